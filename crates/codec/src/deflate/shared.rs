//! Compressed frames that many connections send (RFC 7692 §7.1.1.1). In: a message, and for each connection
//! the proof that it may. Out: one frame a window size, made when it is first wanted.
//!
//! Never: goes to a connection whose own compressor keeps its window.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::sync::OnceLock;

use bytes::Bytes;

use super::{Deflaters, DirectionTerms, WindowBits};
use crate::header::Rsv;
use crate::{Encoder, MessageKind, PreparedFrame, Unmasked};

/// The proof that a connection's messages refer to none before them, and how far back within one they may.
///
/// There is none for a connection that keeps its window:
///
/// ```
/// use fanfare_codec::deflate::{DeflateTerms, Outgoing};
///
/// let mut terms = DeflateTerms::DEFAULT;
/// assert_eq!(Outgoing::new(terms.server).fresh_window(), None);
/// terms.server.takeover = false;
/// assert!(Outgoing::new(terms.server).fresh_window().is_some());
/// ```
///
/// And it can't be made up, nor can a shared frame be had without it:
///
/// ```compile_fail,E0451
/// use fanfare_codec::deflate::{FreshWindow, WindowBits};
///
/// let window = FreshWindow { bits: WindowBits::MAX };
/// ```
///
/// ```compile_fail,E0308
/// use fanfare_codec::PreparedFrame;
/// use fanfare_codec::deflate::{DeflateSettings, DeflateTerms, Deflaters, Outgoing};
///
/// let mut deflaters = Deflaters::new(DeflateSettings::default(), 1);
/// let outgoing = Outgoing::new(DeflateTerms::DEFAULT.server); // keeps its window
/// let news = PreparedFrame::text("news").with_deflate();
/// let frame = news.deflated(outgoing.fresh_window(), &mut deflaters);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FreshWindow {
    bits: WindowBits,
}

impl FreshWindow {
    /// `None` if messages refer to those before them.
    #[must_use]
    pub const fn of(ours: DirectionTerms) -> Option<Self> {
        if ours.takeover {
            return None;
        }
        Some(Self {
            bits: ours.window_bits,
        })
    }

    /// How far back.
    #[must_use]
    pub const fn bits(self) -> WindowBits {
        self.bits
    }
}

/// How many window sizes there are.
const SIZES: usize = (WindowBits::MAX.get() - WindowBits::MIN.get() + 1) as usize;

/// One message deflated for each window size that was wanted; `None` where it stays as it is.
#[derive(Debug, Default)]
pub(crate) struct Variants([OnceLock<Option<Box<PreparedFrame>>>; SIZES]);

impl PartialEq for Variants {
    /// What was made of a frame so far makes no difference.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Variants {}

impl PreparedFrame {
    /// The same, to be deflated for those who understand it: once a window size, for it and its clones.
    #[must_use]
    pub fn with_deflate(mut self) -> Self {
        if self.is_data() {
            self.variants.get_or_insert_with(Arc::default);
        }
        self
    }

    /// This message as a connection with `window` is sent it: deflated from an empty window when that is
    /// first asked for, and as it is if it is too short, does not become smaller, or was made without
    /// [`with_deflate`](Self::with_deflate).
    ///
    /// ```
    /// use fanfare_codec::PreparedFrame;
    /// use fanfare_codec::deflate::{DeflateSettings, DeflateTerms, Deflaters, FreshWindow};
    ///
    /// let mut deflaters = Deflaters::new(DeflateSettings::default(), 1);
    /// let mut terms = DeflateTerms::DEFAULT;
    /// terms.server.takeover = false;
    /// let window = FreshWindow::of(terms.server).expect("no takeover");
    ///
    /// let news = PreparedFrame::text("news ".repeat(100)).with_deflate();
    /// for _ in 0..1_000 {
    ///     assert!(news.deflated(window, &mut deflaters).len() < 30);
    /// }
    /// assert_eq!(deflaters.deflated(), 1);
    /// ```
    #[must_use]
    pub fn deflated(&self, window: FreshWindow, deflaters: &mut Deflaters) -> Self {
        let Some(variants) = &self.variants else {
            return self.clone();
        };
        let size = usize::from(window.bits.get() - WindowBits::MIN.get());
        let variant = variants.0[size].get_or_init(|| {
            deflaters.deflate_fresh(window.bits, self.payload(), |deflated| {
                let payload = Bytes::copy_from_slice(deflated?);
                Some(Box::new(self.extended(Rsv::RSV1, payload)))
            })
        });
        match variant {
            Some(frame) => Self::clone(frame),
            None => self.clone(),
        }
    }
}

impl Encoder<Unmasked> {
    /// Appends a whole message for many connections that are all proven by a `window` of this size: to put
    /// several together that leave as one. What [`PreparedFrame::deflated`] gives, without a frame of its own.
    ///
    /// The encoder is that of nobody's connection: [`Encoder::server`].
    ///
    /// # Errors
    ///
    /// As [`Encoder::text`].
    pub fn deflate_shared(
        &mut self,
        out: &mut Vec<u8>,
        kind: MessageKind,
        payload: &[u8],
        window: FreshWindow,
        deflaters: &mut Deflaters,
    ) -> Result<(), crate::EncodeError> {
        let fresh = DirectionTerms {
            takeover: false,
            window_bits: window.bits,
        };
        let mut outgoing = super::Outgoing::new(fresh);
        self.deflate(out, kind, payload, &mut outgoing, deflaters)
    }
}
