//! Masked frames on their way to a socket. In: payloads. Out: the bytes of frames.
//!
//! Mask keys are fresh for every frame and come from a fast generator that the OS has seeded. They
//! are as random as a measurement needs; they are not the unpredictable ones that RFC 6455 §10.3
//! asks of a browser, which must keep a script from choosing the bytes on the wire.
//!
//! Never: writes to a socket.

use fanfare_codec::append_masked;
use fanfare_codec::deflate::{FreshWindow, Inflaters};
use fanfare_codec::{CONTROL_PAYLOAD_BYTES_MAX, CloseFrame, Header, MessageKind, Opcode, Rsv};

use super::deflate::{Contexts, Savings};

/// Frames that wait for the end of the batch, of one connection at a time.
#[derive(Debug)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    keys: fastrand::Rng,
    /// Made when a server first agrees.
    contexts: Option<Box<Contexts>>,
    /// How the messages of the connection are compressed whose turn it is, if they are.
    window: Option<FreshWindow>,
}

impl Outbox {
    /// An empty one; `keys` makes the mask keys.
    pub(crate) const fn new(keys: fastrand::Rng) -> Self {
        Self {
            bytes: Vec::new(),
            keys,
            contexts: None,
            window: None,
        }
    }

    /// From now on messages are another connection's.
    #[inline]
    pub(super) const fn turn_to(&mut self, window: Option<FreshWindow>) {
        self.window = window;
    }

    /// What inflates messages.
    pub(super) fn inflaters(&mut self) -> &mut Inflaters {
        &mut self.contexts().inflaters
    }

    /// What compression has come to.
    pub(super) fn savings(&self) -> Savings {
        let contexts = self.contexts.as_deref();
        contexts.map_or_else(Savings::default, |contexts| contexts.savings)
    }

    /// More of that.
    pub(super) fn save(&mut self, more: Savings) {
        self.contexts().savings.add(more);
    }

    fn contexts(&mut self) -> &mut Contexts {
        self.contexts
            .get_or_insert_with(|| Box::new(Contexts::new()))
    }

    /// The source of randomness for upgrades.
    pub(crate) const fn keys(&mut self) -> &mut fastrand::Rng {
        &mut self.keys
    }

    /// Appends a data message, its payload in parts, each masked as it is copied.
    #[inline]
    pub(crate) fn message<const N: usize>(&mut self, kind: MessageKind, parts: &[&[u8]; N]) {
        if let Some(window) = self.window {
            return self.deflated(kind, parts, window);
        }
        let opcode = match kind {
            MessageKind::Text => Opcode::Text,
            MessageKind::Binary => Opcode::Binary,
        };
        let mut key = self.header(opcode, parts.iter().map(|part| part.len()).sum());
        for part in parts {
            key = append_masked(&mut self.bytes, part, key);
        }
    }

    #[inline(never)]
    fn deflated(&mut self, kind: MessageKind, parts: &[&[u8]], window: FreshWindow) {
        let contexts = self
            .contexts
            .get_or_insert_with(|| Box::new(Contexts::new()));
        contexts.append(&mut self.bytes, kind, parts, window, &mut self.keys);
    }

    /// Appends a ping (§5.5.2) of at most 125 bytes.
    pub(crate) fn ping(&mut self, payload: &[u8]) {
        self.control(Opcode::Ping, payload);
    }

    /// Appends the answer to a ping (§5.5.3).
    pub(super) fn pong(&mut self, payload: &[u8]) {
        self.control(Opcode::Pong, payload);
    }

    fn control(&mut self, opcode: Opcode, payload: &[u8]) {
        debug_assert!(payload.len() <= CONTROL_PAYLOAD_BYTES_MAX, "§5.5");
        let key = self.header(opcode, payload.len());
        append_masked(&mut self.bytes, payload, key);
    }

    /// Appends a close frame; nothing may follow it.
    pub(crate) fn close(&mut self, close: Option<CloseFrame<'_>>) {
        let mut encoder = fanfare_codec::Encoder::client(|| self.keys.u32(..).to_ne_bytes());
        encoder.close(&mut self.bytes, close);
    }

    /// Appends a header and gives the key that it announces.
    #[inline]
    fn header(&mut self, opcode: Opcode, payload_len: usize) -> [u8; 4] {
        let key = self.keys.u32(..).to_ne_bytes();
        let header = Header {
            fin: true,
            rsv: Rsv::NONE,
            opcode,
            mask_key: Some(key),
            payload_len: payload_len as u64,
        };
        let mut bytes = [0; Header::BYTES_MAX];
        let len = header.encode(&mut bytes);
        self.bytes.reserve(len + payload_len);
        self.bytes.extend_from_slice(&bytes[..len]);
        key
    }

    /// What waits.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets what waits.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }
}
