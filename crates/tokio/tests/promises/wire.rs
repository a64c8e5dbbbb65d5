//! Frames written and read by hand (RFC 6455 §5.2).
//!
//! Never: uses the codec.

use fanfare_tokio::{Config, Role, WebSocketStream};
use tokio::io::{AsyncReadExt, DuplexStream, duplex};

pub(crate) const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8A;

/// A frame with this first byte, as its sender's role has it.
pub(crate) fn frame(sender: Role, first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = if sender == Role::Client { 0x80 } else { 0 };
    let len = payload.len();
    let mut frame = vec![first];
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(short @ 0..=125), _) => frame.push(mask | short),
        (_, Ok(medium)) => {
            frame.push(mask | 126);
            frame.extend(medium.to_be_bytes());
        }
        _ => {
            frame.push(mask | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    if sender == Role::Client {
        frame.extend(KEY);
        frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(b, k)| b ^ k));
    } else {
        frame.extend(payload);
    }
    frame
}

/// A close frame with a code and a reason.
pub(crate) fn close(sender: Role, code: u16, reason: &str) -> Vec<u8> {
    let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
    frame(sender, CLOSE, &payload)
}

/// The frames in these bytes: first byte and unmasked payload.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        let (len, rest) = match second & 0x7F {
            126 => {
                let (len, rest) = rest.split_first_chunk().expect("a length");
                (usize::from(u16::from_be_bytes(*len)), rest)
            }
            127 => {
                let (len, rest) = rest.split_first_chunk().expect("a length");
                let len = u64::from_be_bytes(*len);
                (usize::try_from(len).expect("it fits"), rest)
            }
            len => (usize::from(len), rest),
        };
        let (key, rest) = match second & 0x80 {
            0 => ([0; 4], rest),
            _ => {
                let (key, rest) = rest.split_first_chunk().expect("a key");
                (*key, rest)
            }
        };
        let (payload, rest) = rest.split_at(len);
        let payload = payload.iter().zip(key.iter().cycle());
        frames.push((*first, payload.map(|(b, k)| b ^ k).collect()));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "a cut frame");
    frames
}

/// The code of a close frame.
pub(crate) fn code((first, payload): &(u8, Vec<u8>)) -> Option<u16> {
    assert_eq!(*first, CLOSE);
    payload.first_chunk().map(|code| u16::from_be_bytes(*code))
}

/// An end of ours, and the other as bytes.
pub(crate) fn ends(
    role: Role,
    config: &Config,
    bytes: usize,
) -> (WebSocketStream<DuplexStream>, DuplexStream) {
    let (ours, theirs) = duplex(bytes);
    (WebSocketStream::from_raw(ours, role, config, &[]), theirs)
}

/// What is there to be read now.
pub(crate) async fn so_far(theirs: &mut DuplexStream) -> Vec<(u8, Vec<u8>)> {
    let mut bytes = vec![0; 1 << 20];
    let read = theirs.read(&mut bytes).await.expect("a pipe");
    frames(&bytes[..read])
}

/// All that comes till the end.
pub(crate) async fn to_end(theirs: &mut DuplexStream) -> Vec<(u8, Vec<u8>)> {
    let mut bytes = Vec::new();
    theirs.read_to_end(&mut bytes).await.expect("a pipe");
    frames(&bytes)
}

/// Reads what breaks a rule, while the peer reads which: what reading gives, and the codes of all frames that the peer is
/// told.
pub(crate) async fn broken<F: Future>(
    reading: F,
    mut theirs: DuplexStream,
) -> (F::Output, Vec<Option<u16>>) {
    // It leaves when it has been told.
    let peer = async move { to_end(&mut theirs).await.iter().map(code).collect() };
    tokio::join!(reading, peer)
}
