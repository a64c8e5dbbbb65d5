//! What waits to be written. In: messages. Out: their frames in one buffer, which leave in one write.
//!
//! Of pings that come while the peer takes nothing only the latest is answered (RFC 6455 §5.5.3): however many it
//! sends, what waits is bounded.
//!
//! Never: does I/O; holds memory while nothing waits, but a window where both sides agreed to one.

use std::io;

use bytes::Bytes;
#[cfg(feature = "deflate")]
use fanfare_codec::deflate::{DeflateTerms, Outgoing as Window};
use fanfare_codec::{
    CONTROL_PAYLOAD_BYTES_MAX, CloseFrame, EncodeError, Encoder, Header, MessageKind, Opcode,
    PreparedFrame, Role, Rsv,
};

use crate::keys::Keys;
use crate::{Config, Error, pool};

/// The payload of pings that nobody has asked for but a [`Config`]: nobody is given their pongs.
pub(crate) const KEEP_ALIVE: &[u8] = b"fanfare keep-alive";

#[derive(Debug)]
pub(crate) struct Outgoing {
    buffer: Vec<u8>,
    /// Of the buffer.
    sent: usize,
    max_bytes: usize,
    encoder: Encoder<Keys>,
    role: Role,
    /// The transport took nothing the last time.
    pub(crate) is_blocked: bool,
    /// Writing has failed, or nobody waits for it any more: nothing leaves.
    pub(crate) broken: Option<io::ErrorKind>,
    in_message: bool,
    is_closed: bool,
    /// The payload of the pong that leaves when the transport takes something again.
    pong: Option<Bytes>,
    #[cfg(feature = "deflate")]
    deflate: Option<Box<Deflate>>,
}

/// How messages are compressed.
#[cfg(feature = "deflate")]
#[derive(Debug)]
struct Deflate {
    window: Window,
    settings: fanfare_codec::deflate::DeflateSettings,
}

impl Outgoing {
    pub(crate) const fn new(role: Role, config: &Config) -> Self {
        Self {
            buffer: Vec::new(),
            sent: 0,
            max_bytes: config.max_write_buffer,
            encoder: Encoder::with_keys(Keys(role)),
            role,
            is_blocked: false,
            broken: None,
            in_message: false,
            is_closed: false,
            pong: None,
            #[cfg(feature = "deflate")]
            deflate: None,
        }
    }

    #[cfg(feature = "deflate")]
    pub(crate) fn set_deflate(&mut self, terms: DeflateTerms, config: &Config) {
        self.deflate = Some(Box::new(Deflate {
            window: Window::new(terms.sent_by(self.role)),
            settings: config.deflate_settings,
        }));
    }

    pub(crate) const fn role(&self) -> Role {
        self.role
    }

    /// Whether a close frame was written.
    pub(crate) const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// What the transport is to take next.
    pub(crate) fn waiting(&self) -> &[u8] {
        &self.buffer[self.sent..]
    }

    /// Whether no more may be written; one message may be where nothing waits.
    pub(crate) const fn is_full(&self) -> bool {
        let waiting = self.buffer.len() - self.sent;
        waiting > 0 && waiting >= self.max_bytes
    }

    /// Nothing leaves any more, and nothing is kept.
    pub(crate) fn give_up(&mut self, kind: io::ErrorKind) {
        self.broken.get_or_insert(kind);
        self.pong = None;
        self.sent = 0;
        self.buffer.clear();
        pool::give_write(&mut self.buffer);
    }

    /// The transport took `bytes`.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.sent += bytes;
        self.is_blocked = false;
        if self.sent < self.buffer.len() {
            return;
        }
        self.sent = 0;
        self.buffer.clear();
        if let Some(payload) = self.pong.take() {
            self.answer_ping(&payload);
        } else {
            pool::give_write(&mut self.buffer);
        }
    }

    /// Makes room for a message, or says that too much waits.
    #[inline]
    fn admit(&mut self) -> Result<(), Error> {
        if self.is_closed {
            return Err(EncodeError::Closed.into());
        }
        if let Some(kind) = self.broken {
            return Err(Error::Io(kind.into()));
        }
        if self.is_full() {
            return Err(Error::WriteBufferFull);
        }
        self.prepare();
        Ok(())
    }

    #[inline]
    fn prepare(&mut self) {
        if self.sent == 0 {
            pool::take_write(&mut self.buffer);
        } else if self.sent >= self.buffer.len() - self.sent {
            // What moves is no more than what has left since the last time.
            self.buffer.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// A whole message; of text the caller knows that it is UTF-8.
    #[inline]
    pub(crate) fn data(&mut self, kind: MessageKind, payload: &[u8]) -> Result<(), Error> {
        self.admit()?;
        #[cfg(feature = "deflate")]
        if let Some(deflate) = &mut self.deflate {
            let Deflate { window, settings } = &mut **deflate;
            let (encoder, buffer) = (&mut self.encoder, &mut self.buffer);
            crate::contexts::with_deflaters(*settings, |deflaters| {
                encoder.deflate(buffer, kind, payload, window, deflaters)
            })?;
            return Ok(());
        }
        self.bare(kind, payload)
    }

    /// A whole message as it is.
    #[inline]
    fn bare(&mut self, kind: MessageKind, payload: &[u8]) -> Result<(), Error> {
        self.encoder.message(&mut self.buffer, kind, payload)?;
        Ok(())
    }

    pub(crate) fn begin(&mut self, kind: MessageKind, payload: &[u8]) -> Result<(), Error> {
        self.admit()?;
        self.encoder.begin(&mut self.buffer, kind, payload)?;
        self.in_message = true;
        Ok(())
    }

    pub(crate) fn proceed(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.admit()?;
        Ok(self.encoder.proceed(&mut self.buffer, payload)?)
    }

    pub(crate) fn end(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.admit()?;
        self.encoder.end(&mut self.buffer, payload)?;
        self.in_message = false;
        Ok(())
    }

    pub(crate) fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.admit()?;
        Ok(self.encoder.ping(&mut self.buffer, payload)?)
    }

    pub(crate) fn pong(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.admit()?;
        Ok(self.encoder.pong(&mut self.buffer, payload)?)
    }

    /// A frame that others are sent, too.
    pub(crate) fn prepared(&mut self, frame: &PreparedFrame) -> Result<(), Error> {
        if self.role.masks() {
            return Err(Error::NotAServer);
        }
        let opcode = frame.opcode();
        if self.in_message && !opcode.is_control() {
            return Err(EncodeError::InsideMessage.into());
        }
        if opcode == Opcode::Close {
            let close = CloseFrame::parse(frame.payload()).unwrap_or_default();
            self.close(close);
            return Ok(());
        }
        #[cfg(feature = "deflate")]
        if let Some(deflate) = &self.deflate
            && let Some(fresh) = deflate.window.fresh_window()
        {
            let settings = deflate.settings;
            let deflated = crate::contexts::with_deflaters(settings, |d| frame.deflated(fresh, d));
            return self.append(&deflated);
        }
        self.append(frame)
    }

    fn append(&mut self, frame: &PreparedFrame) -> Result<(), Error> {
        self.admit()?;
        for slice in frame.slices(0) {
            self.buffer.extend_from_slice(slice);
        }
        Ok(())
    }

    /// The header of a whole message whose payload may leave from where it lies: it is neither masked nor compressed, and
    /// nothing waits before it.
    pub(crate) fn header_alone(
        &self,
        kind: MessageKind,
        payload_len: usize,
    ) -> Option<([u8; Header::BYTES_MAX], usize)> {
        if self.role.masks() || self.is_deflated() || !self.is_free() {
            return None;
        }
        let header = Header {
            fin: true,
            rsv: Rsv::NONE,
            opcode: match kind {
                MessageKind::Text => Opcode::Text,
                MessageKind::Binary => Opcode::Binary,
            },
            mask_key: None,
            payload_len: payload_len as u64,
        };
        let mut bytes = [0; Header::BYTES_MAX];
        let len = header.encode(&mut bytes);
        Some((bytes, len))
    }

    /// Whether a prepared message may leave from where it lies.
    pub(crate) fn takes_as_it_is(&self, frame: &PreparedFrame) -> bool {
        !self.role.masks() && !self.is_deflated() && self.is_free() && !frame.opcode().is_control()
    }

    /// Whether a message may be written, and nothing waits before it.
    fn is_free(&self) -> bool {
        let may_be_written = !self.is_closed && self.broken.is_none() && !self.in_message;
        may_be_written && self.waiting().is_empty() && self.pong.is_none()
    }

    const fn is_deflated(&self) -> bool {
        #[cfg(feature = "deflate")]
        return self.deflate.is_some();
        #[cfg(not(feature = "deflate"))]
        false
    }

    /// Appends what is left of a frame of which the transport took `sent` bytes.
    pub(crate) fn keep_rest(&mut self, [header, payload]: [&[u8]; 2], sent: usize) {
        if sent >= header.len() + payload.len() {
            return;
        }
        self.is_blocked = true;
        self.prepare();
        let of_header = sent.min(header.len());
        self.buffer.extend_from_slice(&header[of_header..]);
        self.buffer.extend_from_slice(&payload[sent - of_header..]);
    }

    /// The last frame; a second one is not written. It always fits.
    pub(crate) fn close(&mut self, close: Option<CloseFrame<'_>>) {
        if self.is_closed {
            return;
        }
        self.is_closed = true;
        self.pong = None; // no frame follows a close
        if self.broken.is_some() {
            return;
        }
        self.prepare();
        self.encoder.close(&mut self.buffer, close);
    }

    /// Answers a ping, at once or when the transport takes something again.
    pub(crate) fn answer_ping(&mut self, payload: &[u8]) {
        debug_assert!(payload.len() <= CONTROL_PAYLOAD_BYTES_MAX);
        if self.is_closed || self.broken.is_some() {
            return;
        }
        if self.is_blocked || self.pong.is_some() {
            self.pong = Some(Bytes::copy_from_slice(payload));
            return;
        }
        self.prepare();
        let written = self.encoder.pong(&mut self.buffer, payload);
        debug_assert_eq!(written, Ok(()), "short, and not behind a close");
    }

    /// A ping of ours, unless something waits, which is a sign of life as good: whether it was written.
    pub(crate) fn keep_alive(&mut self) -> bool {
        if self.is_closed || self.broken.is_some() || !self.waiting().is_empty() {
            return false;
        }
        self.prepare();
        let written = self.encoder.ping(&mut self.buffer, KEEP_ALIVE);
        debug_assert_eq!(written, Ok(()), "short, and not behind a close");
        true
    }
}
