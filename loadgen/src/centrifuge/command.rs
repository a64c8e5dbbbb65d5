//! What a client says. In: commands and their parts. Out: the bytes of objects, appended.
//!
//! In JSON whoever puts several into one message puts newlines between them.
//!
//! Never: frames, masks.

use super::Encoding;

/// As it stands in every `connect`.
const NAME: &str = "loadgen";

/// What is behind a position is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recovery<'a> {
    pub(crate) offset: u64,
    pub(crate) epoch: &'a str,
}

/// Appends command `id`: `connect`.
pub(crate) fn connect(encoding: Encoding, id: u32, token: Option<&str>, out: &mut Vec<u8>) {
    match encoding {
        Encoding::Json => {
            open(id, "connect", out);
            out.push(b'{');
            if let Some(token) = token {
                out.extend_from_slice(b"\"token\":");
                quote(token, out);
                out.push(b',');
            }
            out.extend_from_slice(b"\"name\":");
            quote(NAME, out);
            out.extend_from_slice(b"}}");
        }
        Encoding::Protobuf => {
            let mut request = Vec::new();
            put_bytes(1, token.unwrap_or_default().as_bytes(), &mut request);
            put_bytes(4, NAME.as_bytes(), &mut request);
            wrap(id, 4, &request, out);
        }
    }
}

/// Appends command `id`: `subscribe`, with positions if `is_positioned` or `recovery` says so.
pub(crate) fn subscribe(
    encoding: Encoding,
    id: u32,
    channel: &str,
    is_positioned: bool,
    recovery: Option<Recovery<'_>>,
    out: &mut Vec<u8>,
) {
    let is_positioned = is_positioned || recovery.is_some();
    match encoding {
        Encoding::Json => {
            open(id, "subscribe", out);
            out.extend_from_slice(b"{\"channel\":");
            quote(channel, out);
            if is_positioned {
                out.extend_from_slice(b",\"positioned\":true,\"recoverable\":true");
            }
            if let Some(Recovery { offset, epoch }) = recovery {
                let front = format!(",\"recover\":true,\"offset\":{offset},\"epoch\":");
                out.extend_from_slice(front.as_bytes());
                quote(epoch, out);
            }
            out.extend_from_slice(b"}}");
        }
        Encoding::Protobuf => {
            let mut request = Vec::new();
            put_bytes(1, channel.as_bytes(), &mut request);
            if let Some(Recovery { offset, epoch }) = recovery {
                put_number(3, 1, &mut request);
                put_bytes(6, epoch.as_bytes(), &mut request);
                put_number(7, offset, &mut request);
            }
            put_number(9, u64::from(is_positioned), &mut request);
            put_number(10, u64::from(is_positioned), &mut request);
            wrap(id, 5, &request, out);
        }
    }
}

/// Appends the front of command `id`: `publish` of `data_len` bytes, which follow it.
#[inline]
pub(crate) fn publish_head(
    encoding: Encoding,
    id: u32,
    channel: &str,
    data_len: usize,
    out: &mut Vec<u8>,
) {
    match encoding {
        Encoding::Json => {
            open(id, "publish", out);
            out.extend_from_slice(b"{\"channel\":");
            quote(channel, out);
            out.extend_from_slice(b",\"data\":");
        }
        Encoding::Protobuf => {
            let channel_len = field_len(channel.len());
            let request_len = channel_len + field_len(data_len);
            put_varint(
                (1 + varint_len(u64::from(id)) + field_len(request_len)) as u64,
                out,
            );
            put_number(1, u64::from(id), out);
            put_length(7, request_len, out);
            put_bytes(1, channel.as_bytes(), out);
            put_length(2, data_len, out);
        }
    }
}

/// What stands behind the data of a `publish`.
#[inline]
pub(crate) const fn publish_tail(encoding: Encoding) -> &'static [u8] {
    match encoding {
        Encoding::Json => b"}}",
        Encoding::Protobuf => b"",
    }
}

/// The answer to a ping.
pub(crate) const fn pong(encoding: Encoding) -> &'static [u8] {
    match encoding {
        Encoding::Json => b"{}",
        Encoding::Protobuf => &[0],
    }
}

/// The front of a JSON command, up to its request.
fn open(id: u32, method: &str, out: &mut Vec<u8>) {
    let front = format!("{{\"id\":{id},\"{method}\":");
    out.extend_from_slice(front.as_bytes());
}

/// Appends a JSON string.
fn quote(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a Vec takes everything, and text is JSON");
}

/// Appends command `id` with `request` in field `number`, behind its length.
fn wrap(id: u32, number: u32, request: &[u8], out: &mut Vec<u8>) {
    let len = 1 + varint_len(u64::from(id)) + field_len(request.len());
    put_varint(len as u64, out);
    put_number(1, u64::from(id), out);
    put_length(number, request.len(), out);
    out.extend_from_slice(request);
}

/// Bytes of a field under 16 that holds `len` bytes.
const fn field_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

const fn varint_len(number: u64) -> usize {
    let bits = 64 - (number | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    out.push((number & 0x7F) as u8);
}

/// A number, unless it is 0: that is left out.
fn put_number(field: u32, number: u64, out: &mut Vec<u8>) {
    if number > 0 {
        put_varint(u64::from(field << 3), out);
        put_varint(number, out);
    }
}

/// Bytes, unless they are none.
fn put_bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    if !bytes.is_empty() {
        put_length(field, bytes.len(), out);
        out.extend_from_slice(bytes);
    }
}

/// The front of bytes that follow.
fn put_length(field: u32, len: usize, out: &mut Vec<u8>) {
    put_varint(u64::from(field << 3 | 2), out);
    put_varint(len as u64, out);
}
