//! A transport and an executor that do what a seed says.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Gives and takes bytes in pieces, and often nothing yet.
#[derive(Debug)]
pub(crate) struct Scripted {
    pub(crate) rng: fastrand::Rng,
    /// What is still to be read; then the end.
    pub(crate) incoming: VecDeque<u8>,
    pub(crate) written: Vec<u8>,
    pub(crate) is_shut_down: bool,
    /// Takes several slices at once.
    is_vectored: bool,
    /// Takes nothing at all.
    pub(crate) is_stuck: bool,
    /// Whom it has told to wait then; only the last is owed to be woken.
    pub(crate) stuck: Arc<Mutex<Vec<Waker>>>,
}

impl Scripted {
    pub(crate) fn new(seed: u64, incoming: Vec<u8>) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed),
            is_vectored: seed.is_multiple_of(2),
            incoming: incoming.into(),
            written: Vec::new(),
            is_shut_down: false,
            is_stuck: false,
            stuck: Arc::default(),
        }
    }

    /// How many of `max` bytes move now; `None`: not yet.
    fn piece(&mut self, max: usize, cx: &Context<'_>) -> Option<usize> {
        if self.rng.u8(..3) == 0 {
            cx.waker().wake_by_ref();
            return None;
        }
        let largest = [1, 3, 50, 5_000, usize::MAX][self.rng.usize(..5)];
        Some(self.rng.usize(1..=max.clamp(1, largest)).min(max))
    }
}

impl AsyncRead for Scripted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let max = self.incoming.len().min(into.remaining());
        let Some(len) = self.piece(max, cx) else {
            return Poll::Pending;
        };
        let bytes: Vec<u8> = self.incoming.drain(..len).collect();
        into.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        assert!(!self.is_shut_down, "written behind the end");
        if self.is_stuck {
            self.stuck
                .lock()
                .expect("no panic")
                .push(cx.waker().clone());
            return Poll::Pending;
        }
        let Some(len) = self.piece(bytes.len(), cx) else {
            return Poll::Pending;
        };
        self.written.extend_from_slice(&bytes[..len]);
        Poll::Ready(Ok(len))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        assert!(self.is_vectored, "asked for what it cannot");
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        self.poll_write(cx, &bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.is_vectored
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.piece(1, cx) {
            Some(_) => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.piece(1, cx).is_none() {
            return Poll::Pending;
        }
        self.is_shut_down = true;
        Poll::Ready(Ok(()))
    }
}

/// A task that knows whether it was woken.
#[derive(Debug, Default)]
pub(crate) struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Woken {
    /// Whether it was, since it was asked last.
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// Polls `future` at most `polls` times. Whatever tells it to wait must wake it: nobody else does.
pub(crate) fn poll_times<F: Future>(polls: u32, future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    for _ in 0..polls {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return Some(output),
            Poll::Pending => assert!(woken.take(), "told to wait, and nobody will wake it"),
        }
    }
    None
}
