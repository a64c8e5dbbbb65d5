//! `Sec-WebSocket-Accept` (RFC 6455 §4.2.2 step 5.4). In: the key of a request. Out: the proof that
//! a WebSocket server read it.
//!
//! Never: checks the key's form.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// The length of a `Sec-WebSocket-Accept`: 20 bytes in base64.
pub(super) const ACCEPT_BYTES: usize = 28;

/// The `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key`, both as they stand in the header.
///
/// ```
/// // RFC 6455 §1.3
/// let accept = fanfare_codec::handshake::accept_key(b"dGhlIHNhbXBsZSBub25jZQ==");
/// assert_eq!(&accept, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// ```
#[must_use]
pub fn accept_key(key: &[u8]) -> [u8; ACCEPT_BYTES] {
    let digest = Sha1::new()
        .chain_update(key)
        .chain_update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        .finalize();
    let mut accept = [0; ACCEPT_BYTES];
    let written = STANDARD.encode_slice(digest, &mut accept);
    debug_assert_eq!(written, Ok(ACCEPT_BYTES));
    accept
}
