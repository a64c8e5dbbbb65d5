//! The memory of sessions, and what rustls writes into it. In: plaintext, messages of handshakes. Out: records.
//!
//! Never: decides what is said.

use std::cell::Cell;

use rustls::server::ServerConnectionData;
use rustls::unbuffered::{
    EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, ReadTraffic,
};

/// What a record adds to its plaintext, in any suite; more is asked for where that is not enough.
const RECORD_OVERHEAD_BYTES: usize = 64;
/// The plaintext of one record.
const FRAGMENT_BYTES_MAX: usize = 16 << 10;

/// Bytes of which the first have gone.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) bytes: Vec<u8>,
    pub(super) gone: usize,
}

impl Pending {
    pub(super) fn left(&self) -> &[u8] {
        &self.bytes[self.gone..]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.gone == self.bytes.len()
    }

    /// `len` more have gone; with the last goes the memory.
    pub(super) fn advance(&mut self, len: usize) {
        self.gone += len;
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

/// What all sessions of a thread read and seal in, each for the length of one call.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) records: Vec<u8>,
    pub(super) sealed: Vec<u8>,
    pub(super) parts: Vec<u8>,
}

thread_local! {
    static SCRATCH: Cell<Scratch> = Cell::default();
}

/// Lends the thread's memory to `work`.
pub(super) fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    let mut scratch = SCRATCH.take();
    let done = work(&mut scratch);
    SCRATCH.set(scratch);
    done
}

/// Where plaintext goes: to the reader as long as it has room.
pub(super) struct Reader<'b> {
    pub(super) buf: &'b mut [u8],
    pub(super) filled: usize,
}

impl Reader<'_> {
    pub(super) fn take(&mut self, plaintext: &[u8], rest: &mut Vec<u8>) {
        let room = self.buf.len() - self.filled;
        // What once had no room is in front of what follows.
        let fits = if rest.is_empty() {
            room.min(plaintext.len())
        } else {
            0
        };
        self.buf[self.filled..self.filled + fits].copy_from_slice(&plaintext[..fits]);
        self.filled += fits;
        rest.extend_from_slice(&plaintext[fits..]);
    }
}

/// Replaces what `held` holds; it holds no memory when that is nothing.
pub(super) fn keep(held: &mut Vec<u8>, rest: &[u8]) {
    if rest.is_empty() {
        if held.capacity() > 0 {
            *held = Vec::new();
        }
    } else {
        held.clear();
        held.extend_from_slice(rest);
    }
}

/// Gives each piece of plaintext to `take`; how many bytes of records are done with.
pub(super) fn drain(
    mut traffic: ReadTraffic<'_, '_, ServerConnectionData>,
    mut take: impl FnMut(&[u8]),
) -> Result<usize, rustls::Error> {
    let mut discard = 0;
    while let Some(record) = traffic.next_record() {
        let record = record?;
        take(record.payload);
        discard += record.discard;
    }
    Ok(discard)
}

/// Whether a record is an alert. Sealed, it looks like data (RFC 8446 §5.2), but nothing else of a server's is as
/// short as its two bytes, their type and a tag of 16.
pub(super) fn is_alert(record: &[u8]) -> bool {
    const ALERT: u8 = 21;
    const APPLICATION_DATA: u8 = 23;
    match record.first() {
        Some(&ALERT) => true,
        Some(&APPLICATION_DATA) => record.len() == 5 + 2 + 1 + 16,
        _ => false,
    }
}

/// Appends a message of the handshake, or an alert.
pub(super) fn encode(mut message: EncodeTlsData<'_, ServerConnectionData>, out: &mut Vec<u8>) {
    let at = out.len();
    let mut room = 0;
    loop {
        out.resize(at + room, 0);
        match message.encode(&mut out[at..]) {
            Ok(len) => return out.truncate(at + len),
            Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size }))
                if required_size > room =>
            {
                room = required_size;
            }
            Err(_) => return out.truncate(at),
        }
    }
}

/// Appends what `seal` makes of `len` bytes of plaintext.
pub(super) fn append(
    out: &mut Vec<u8>,
    len: usize,
    mut seal: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> Result<(), EncryptError> {
    let at = out.len();
    let mut room = len + (len / FRAGMENT_BYTES_MAX + 1) * RECORD_OVERHEAD_BYTES;
    loop {
        out.resize(at + room, 0);
        match seal(&mut out[at..]) {
            Ok(len) => {
                out.truncate(at + len);
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size }))
                if required_size > room =>
            {
                room = required_size;
            }
            Err(error) => {
                out.truncate(at);
                return Err(error);
            }
        }
    }
}
