//! A request's body. In: pieces as they arrive. Out: all of it.
//!
//! Never: allocates for what has not arrived; waits longer than [`BODY_TIME_MAX`].

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::{Body, HttpBody};
use tokio::time::timeout;

use super::error::Refusal;
use crate::limits::BODY_TIME_MAX;

/// The bytes of all bodies under way.
#[derive(Debug)]
pub(super) struct Bodies {
    bytes: AtomicUsize,
    bytes_max: usize,
}

/// A body's part of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Received<'b> {
    bodies: &'b Bodies,
    bytes: Vec<u8>,
}

impl Received<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// # Errors
    ///
    /// [`Refusal::Full`].
    fn append(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        let before = self.bodies.bytes.fetch_add(piece.len(), Ordering::Relaxed);
        let others = before - self.bytes.len();
        self.bytes.extend_from_slice(piece);
        if others > 0 && before + piece.len() > self.bodies.bytes_max {
            return Err(Refusal::Full);
        }
        Ok(())
    }
}

impl Drop for Received<'_> {
    fn drop(&mut self) {
        let bytes = self.bytes.len();
        self.bodies.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Bodies {
    /// None yet; at most `bytes_max` together, but a single one always fits.
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self {
            bytes: AtomicUsize::new(0),
            bytes_max,
        }
    }

    /// All of `body`, which has at most `bytes_max`.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooLarge`], before anything of it is asked for if it says so itself;
    /// [`Refusal::TooSlow`], [`Refusal::Cut`], [`Refusal::Full`].
    pub(super) async fn receive(
        &self,
        body: Body,
        bytes_max: usize,
    ) -> Result<Received<'_>, Refusal> {
        match timeout(BODY_TIME_MAX, self.collect(body, bytes_max)).await {
            Ok(received) => received,
            Err(_) => Err(Refusal::TooSlow),
        }
    }

    async fn collect(&self, mut body: Body, bytes_max: usize) -> Result<Received<'_>, Refusal> {
        let too_large = Refusal::TooLarge { bytes_max };
        if body.size_hint().lower() > bytes_max as u64 {
            return Err(too_large);
        }
        let mut received = Received {
            bodies: self,
            bytes: Vec::new(),
        };
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let Ok(piece) = frame.map_err(|_| Refusal::Cut)?.into_data() else {
                continue; // trailers
            };
            if piece.len() > bytes_max - received.bytes.len() {
                return Err(too_large);
            }
            received.append(&piece)?;
        }
        Ok(received)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::task::{Context, Poll};

    use bytes::Bytes;
    use hyper::body::Frame;

    use super::*;

    /// Pieces without a declared length; then its end, or nothing more.
    struct Pieces {
        left: Vec<Bytes>,
        ends: bool,
    }

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.left.pop() {
                Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
                None if self.ends => Poll::Ready(None),
                None => Poll::Pending,
            }
        }
    }

    fn pieces(sizes: &[usize], ends: bool) -> Body {
        let left = sizes.iter().map(|len| vec![b'x'; *len].into()).collect();
        Body::new(Pieces { left, ends })
    }

    #[tokio::test]
    async fn a_body_at_the_limit_is_taken_and_one_more_byte_is_not() {
        let bodies = Bodies::new(20);
        for body in [Body::from("x".repeat(10)), pieces(&[4, 0, 6], true)] {
            let received = bodies.receive(body, 10).await.unwrap();
            assert_eq!(received.bytes(), [b'x'; 10]);
            assert_eq!(bodies.bytes.load(Ordering::Relaxed), 10);
        }
        for body in [Body::from("x".repeat(11)), pieces(&[4, 7], true)] {
            let refused = bodies.receive(body, 10).await.map(drop);
            assert_eq!(refused, Err(Refusal::TooLarge { bytes_max: 10 }));
        }
        assert_eq!(
            bodies.bytes.load(Ordering::Relaxed),
            0,
            "they are given back"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_given_up() {
        let bodies = Bodies::new(20);
        let refused = bodies.receive(pieces(&[1], false), 10).await.map(drop);
        assert_eq!(refused, Err(Refusal::TooSlow));
        assert_eq!(bodies.bytes.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn bodies_have_a_cap_together_but_a_single_one_always_fits() {
        let bodies = Bodies::new(20);
        let large = 21;
        let alone = bodies.receive(pieces(&[large], true), large).await;
        let refused = bodies.receive(pieces(&[1], true), large).await.map(drop);
        assert_eq!(refused, Err(Refusal::Full));
        drop(alone.unwrap());
        assert_eq!(bodies.bytes.load(Ordering::Relaxed), 0);
        assert!(bodies.receive(pieces(&[1], true), large).await.is_ok());
    }
}
