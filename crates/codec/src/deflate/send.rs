//! Compressed messages of one connection (RFC 7692 §7.2.1). In: messages. Out: frames with RSV1, or without
//! where it is not worth it.
//!
//! Never: compresses with a window that the peer has not seen all of; holds a context before it is needed.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::deflater::{Deflater, Deflaters};
use super::{DirectionTerms, FreshWindow, WindowBits};
use crate::header::Rsv;
use crate::{EncodeError, Encoder, MaskKeys, MessageKind};

/// How one connection compresses what it sends.
///
/// It must see each message of its connection but those that are sent as they are: of
/// [`Encoder::text`], [`Encoder::binary`] and their kin, and [`PreparedFrame`](crate::PreparedFrame)s.
#[derive(Debug)]
pub struct Outgoing {
    window: Window,
}

const _: () = assert!(size_of::<Outgoing>() <= 16);

#[derive(Debug)]
enum Window {
    Fresh(FreshWindow),
    /// Made when it is needed.
    Kept(WindowBits, Option<Box<Deflater>>),
}

impl Outgoing {
    /// For what we send, as `ours` says.
    #[must_use]
    pub const fn new(ours: DirectionTerms) -> Self {
        let window = match FreshWindow::of(ours) {
            Some(fresh) => Window::Fresh(fresh),
            None => Window::Kept(ours.window_bits, None),
        };
        Self { window }
    }

    /// What it takes to send frames that others send, too; `None` if this connection keeps its window
    /// between messages, and so must not.
    #[must_use]
    pub const fn fresh_window(&self) -> Option<FreshWindow> {
        match self.window {
            Window::Fresh(fresh) => Some(fresh),
            Window::Kept(..) => None,
        }
    }

    /// Whether it has a context of its own.
    #[must_use]
    pub const fn holds_context(&self) -> bool {
        matches!(self.window, Window::Kept(_, Some(_)))
    }

    /// Gives `take` what is sent of a message; `None` if it is sent as it is.
    fn deflate<R>(
        &mut self,
        deflaters: &mut Deflaters,
        payload: &[u8],
        take: impl FnOnce(Option<&[u8]>) -> R,
    ) -> R {
        match &mut self.window {
            Window::Fresh(fresh) => deflaters.deflate_fresh(fresh.bits(), payload, take),
            Window::Kept(bits, kept) => deflaters.deflate_behind(*bits, kept, payload, take),
        }
    }
}

impl<K: MaskKeys> Encoder<K> {
    /// Appends a whole message, compressed if that is worth it.
    ///
    /// `kind` says whether it is text; that text is UTF-8 is the caller's to keep.
    ///
    /// ```
    /// use fanfare_codec::deflate::{DeflateSettings, DeflateTerms, Deflaters, Outgoing};
    /// use fanfare_codec::{Encoder, MessageKind};
    ///
    /// let mut deflaters = Deflaters::new(DeflateSettings::default().with_threshold_bytes(5), 1);
    /// let mut outgoing = Outgoing::new(DeflateTerms::DEFAULT.server);
    /// let mut server = Encoder::server();
    /// let mut out = Vec::new();
    /// server.deflate(&mut out, MessageKind::Text, b"Hello", &mut outgoing, &mut deflaters)?;
    /// assert_eq!(out, b"\xC1\x07\xF2\x48\xCD\xC9\xC9\x07\x00"); // RFC 7692 §7.2.3.1
    /// # Ok::<(), fanfare_codec::EncodeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`EncodeError::InsideMessage`], [`EncodeError::Closed`]; nothing is compressed then.
    pub fn deflate(
        &mut self,
        out: &mut Vec<u8>,
        kind: MessageKind,
        payload: &[u8],
        outgoing: &mut Outgoing,
        deflaters: &mut Deflaters,
    ) -> Result<(), EncodeError> {
        self.expect_between_messages()?;
        outgoing.deflate(deflaters, payload, |deflated| match deflated {
            Some(deflated) => self.extended(out, kind, Rsv::RSV1, deflated),
            None => self.extended(out, kind, Rsv::NONE, payload),
        });
        Ok(())
    }
}
