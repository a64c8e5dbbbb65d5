//! A server frame encoded once and sent to many. In: a payload. Out: header and payload as slices,
//! from wherever a partial write stopped.
//!
//! Never: masks (each frame of a client needs a key of its own), copies a payload.

use bytes::Bytes;

use crate::header::Rsv;
use crate::{CloseFrame, EncodeError, Header, Opcode, utf8};

/// An unmasked frame, ready for any number of sockets; a clone is one reference count.
///
/// ```
/// use fanfare_codec::PreparedFrame;
///
/// let news = PreparedFrame::text("news");
/// let [header, payload] = news.slices(0);
/// assert_eq!((header, payload), (&b"\x81\x04"[..], &b"news"[..]));
/// // A socket took three bytes: its cursor is 3.
/// assert_eq!(news.slices(3), [&b""[..], &b"ews"[..]]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreparedFrame {
    /// Unmasked, so at most 10 bytes are used.
    header: [u8; 10],
    header_len: u8,
    payload: Bytes,
    /// What it is deflated to, if it may be.
    #[cfg(feature = "deflate")]
    pub(crate) variants: Option<alloc::sync::Arc<crate::deflate::Variants>>,
}

impl PreparedFrame {
    /// A text message.
    #[must_use]
    pub fn text(text: impl Into<alloc::string::String>) -> Self {
        Self::new(Opcode::Text, Rsv::NONE, text.into().into_bytes().into())
    }

    /// A text message from bytes that are shared already.
    ///
    /// # Errors
    ///
    /// [`EncodeError::NotUtf8`].
    pub fn text_from_bytes(payload: Bytes) -> Result<Self, EncodeError> {
        match utf8::validate(&payload) {
            Ok(_) => Ok(Self::new(Opcode::Text, Rsv::NONE, payload)),
            Err(_) => Err(EncodeError::NotUtf8),
        }
    }

    /// A binary message.
    #[must_use]
    pub fn binary(payload: impl Into<Bytes>) -> Self {
        Self::new(Opcode::Binary, Rsv::NONE, payload.into())
    }

    /// A close frame: the same for everyone when a server shuts down.
    #[must_use]
    pub fn close(close: CloseFrame<'_>) -> Self {
        let mut payload = alloc::vec::Vec::new();
        close.append_payload(&mut payload);
        Self::new(Opcode::Close, Rsv::NONE, payload.into())
    }

    /// A ping without payload: the same for everyone.
    #[must_use]
    pub fn ping() -> Self {
        Self::new(Opcode::Ping, Rsv::NONE, Bytes::new())
    }

    /// The same kind of message, as an extension has transformed it.
    #[cfg(feature = "deflate")]
    pub(crate) fn extended(&self, rsv: Rsv, payload: Bytes) -> Self {
        Self::new(self.opcode(), rsv, payload)
    }

    /// Whether it is a message, and no control frame.
    #[cfg(feature = "deflate")]
    pub(crate) const fn is_data(&self) -> bool {
        self.header[0] & 0x08 == 0
    }

    fn new(opcode: Opcode, rsv: Rsv, payload: Bytes) -> Self {
        let header = Header {
            fin: true,
            rsv,
            opcode,
            mask_key: None,
            payload_len: payload.len() as u64,
        };
        let (bytes, header_len) = header.encoded();
        let mut header = [0; 10];
        header.copy_from_slice(&bytes[..10]);
        Self {
            header,
            header_len: u8::try_from(header_len).expect("an unmasked header has 2–10 bytes"),
            payload,
            #[cfg(feature = "deflate")]
            variants: None,
        }
    }

    /// [`Opcode::Text`] or [`Opcode::Binary`] of a message, else what control frame it is.
    #[expect(clippy::missing_panics_doc, reason = "the header is of `new`")]
    #[must_use]
    pub fn opcode(&self) -> Opcode {
        Opcode::from_bits(self.header[0] & 0x0F).expect("of a frame of ours")
    }

    /// Header and payload bytes together.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a frame has at least its header"
    )]
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.header_len) + self.payload.len()
    }

    /// The payload.
    #[must_use]
    pub const fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// What is left after `sent` bytes of the frame: of the header and of the payload.
    #[must_use]
    pub fn slices(&self, sent: usize) -> [&[u8]; 2] {
        let header = &self.header[..usize::from(self.header_len)];
        let of_header = sent.min(header.len());
        let of_payload = (sent - of_header).min(self.payload.len());
        [&header[of_header..], &self.payload[of_payload..]]
    }

    /// [`slices`](Self::slices), for `write_vectored`.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn io_slices(&self, sent: usize) -> [std::io::IoSlice<'_>; 2] {
        self.slices(sent).map(std::io::IoSlice::new)
    }
}
