//! Frames and HTTP heads, written and read the plain way straight from RFC 6455 §5.2 and RFC 9112.
//! In: fields, wrong ones too. Out: bytes; and the other way round.
//!
//! Never: uses the codec: an error there must not be repeated here.

use base64::Engine as _;
use sha1::Digest as _;

/// §5.2: a further fragment.
pub const CONTINUATION: u8 = 0x0;
/// §5.2: text.
pub const TEXT: u8 = 0x1;
/// §5.2: binary.
pub const BINARY: u8 = 0x2;
/// §5.2: close.
pub const CLOSE: u8 = 0x8;
/// §5.2: ping.
pub const PING: u8 = 0x9;
/// §5.2: pong.
pub const PONG: u8 = 0xA;

/// Which end of the connection writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Masks (§5.1).
    Client,
    /// Does not.
    Server,
}

/// How the payload length is written (§5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthForm {
    /// The shortest that holds it, as the RFC demands.
    Shortest,
    /// 126 and 16 bits.
    Bits16,
    /// 127 and 64 bits.
    Bits64,
}

/// A frame to send, legal unless told otherwise.
#[derive(Clone, Debug)]
pub struct Frame {
    opcode: u8,
    fin: bool,
    rsv: u8,
    payload: Vec<u8>,
    form: LengthForm,
    declared: Option<u64>,
    wrong_mask: bool,
    key: [u8; 4],
}

impl Frame {
    /// A whole, final frame.
    #[must_use]
    pub fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            opcode,
            fin: true,
            rsv: 0,
            payload: payload.into(),
            form: LengthForm::Shortest,
            declared: None,
            wrong_mask: false,
            key: [0x37, 0xFA, 0x21, 0x3D],
        }
    }

    /// Text.
    #[must_use]
    pub fn text(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(TEXT, payload)
    }

    /// Binary.
    #[must_use]
    pub fn binary(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(BINARY, payload)
    }

    /// A continuation that ends its message.
    #[must_use]
    pub fn continuation(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(CONTINUATION, payload)
    }

    /// Ping.
    #[must_use]
    pub fn ping(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(PING, payload)
    }

    /// Pong.
    #[must_use]
    pub fn pong(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(PONG, payload)
    }

    /// Close with a code and a reason.
    #[must_use]
    pub fn close(code: u16, reason: impl AsRef<[u8]>) -> Self {
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend_from_slice(reason.as_ref());
        Self::new(CLOSE, payload)
    }

    /// FIN clear.
    #[must_use]
    pub const fn not_final(mut self) -> Self {
        self.fin = false;
        self
    }

    /// The three reserved bits, RSV1 the highest of 0–7.
    #[must_use]
    pub const fn rsv(mut self, bits: u8) -> Self {
        self.rsv = bits & 7;
        self
    }

    /// The length in this form, shortest or not.
    #[must_use]
    pub const fn form(mut self, form: LengthForm) -> Self {
        self.form = form;
        self
    }

    /// Declares this length, whatever the payload has.
    #[must_use]
    pub const fn declaring(mut self, len: u64) -> Self {
        self.declared = Some(len);
        self
    }

    /// Masked where it must not be, unmasked where it must.
    #[must_use]
    pub const fn wrong_mask(mut self) -> Self {
        self.wrong_mask = true;
        self
    }

    /// Masked with this key, if masked.
    #[must_use]
    pub const fn key(mut self, key: [u8; 4]) -> Self {
        self.key = key;
        self
    }

    /// The bytes, as `sender` writes them.
    #[must_use]
    pub fn encode(&self, sender: Sender) -> Vec<u8> {
        let masked = (sender == Sender::Client) != self.wrong_mask;
        let mask_bit = if masked { 0x80 } else { 0 };
        let len = self.declared.unwrap_or(self.payload.len() as u64);
        let mut out = vec![u8::from(self.fin) << 7 | self.rsv << 4 | self.opcode];
        match (self.form, u8::try_from(len), u16::try_from(len)) {
            (LengthForm::Shortest, Ok(short @ 0..=125), _) => out.push(mask_bit | short),
            (LengthForm::Shortest | LengthForm::Bits16, _, Ok(middle)) => {
                out.push(mask_bit | 126);
                out.extend_from_slice(&middle.to_be_bytes());
            }
            _ => {
                out.push(mask_bit | 127);
                out.extend_from_slice(&len.to_be_bytes());
            }
        }
        if masked {
            out.extend_from_slice(&self.key);
            out.extend(
                self.payload
                    .iter()
                    .zip(self.key.iter().cycle())
                    .map(|(byte, key)| byte ^ key),
            );
        } else {
            out.extend_from_slice(&self.payload);
        }
        out
    }
}

/// A frame as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The low four bits.
    pub opcode: u8,
    /// FIN.
    pub fin: bool,
    /// Unmasked.
    pub payload: Vec<u8>,
}

/// The frame at the front of `bytes` and its whole length; `None` while it is not whole.
///
/// # Errors
///
/// What `sender` must not have written.
pub fn read_frame(bytes: &[u8], sender: Sender) -> Result<Option<(Received, usize)>, String> {
    let &[first, second, ref rest @ ..] = bytes else {
        return Ok(None);
    };
    if first & 0x70 != 0 {
        return Err(format!("reserved bits set in first byte {first:#04x}"));
    }
    if (second & 0x80 != 0) != (sender == Sender::Client) {
        return Err(format!(
            "mask bit {} in a frame of a {sender:?}",
            second >> 7
        ));
    }
    let (len, rest) = match (second & 0x7F, rest) {
        (126, &[a, b, ref rest @ ..]) => (u64::from(u16::from_be_bytes([a, b])), rest),
        (127, &[a, b, c, d, e, f, g, h, ref rest @ ..]) => {
            (u64::from_be_bytes([a, b, c, d, e, f, g, h]), rest)
        }
        (126 | 127, _) => return Ok(None),
        (len, rest) => (u64::from(len), rest),
    };
    let shortest = match len {
        0..=125 => second & 0x7F <= 125,
        126..=0xFFFF => second & 0x7F == 126,
        _ => true,
    };
    if !shortest {
        return Err(format!("length {len} is not in its shortest form"));
    }
    if first & 0x08 != 0 && (first & 0x80 == 0 || len > 125) {
        return Err(format!(
            "control frame {first:#04x} fragmented or of {len} bytes"
        ));
    }
    let (key, rest) = match (sender, rest) {
        (Sender::Server, rest) => ([0; 4], rest),
        (Sender::Client, &[a, b, c, d, ref rest @ ..]) => ([a, b, c, d], rest),
        _ => return Ok(None),
    };
    let len = usize::try_from(len).map_err(|_| format!("length {len}"))?;
    let Some(payload) = rest.get(..len) else {
        return Ok(None);
    };
    let payload = match sender {
        Sender::Server => payload.to_vec(),
        Sender::Client => {
            let pairs = payload.iter().zip(key.iter().cycle());
            pairs.map(|(byte, key)| byte ^ key).collect()
        }
    };
    let frame = Received {
        opcode: first & 0x0F,
        fin: first & 0x80 != 0,
        payload,
    };
    Ok(Some((frame, bytes.len() - rest.len() + len)))
}

/// The one frame that `bytes` are, and its reserved bits, RSV1 the highest of 0–7.
///
/// # Errors
///
/// What `sender` must not have written, reserved bits aside; bytes behind the frame.
pub fn read_extended(bytes: &[u8], sender: Sender) -> Result<(u8, Received), String> {
    match next_extended(bytes, sender)? {
        Some((rsv, frame, len)) if len == bytes.len() => Ok((rsv, frame)),
        _ => Err("not one frame".to_owned()),
    }
}

/// The frame at the front of `bytes`, its reserved bits in front of it and its whole length behind it; `None`
/// while it is not whole.
///
/// # Errors
///
/// What `sender` must not have written, reserved bits aside.
pub fn next_extended(
    bytes: &[u8],
    sender: Sender,
) -> Result<Option<(u8, Received, usize)>, String> {
    let mut plain = bytes.to_vec();
    let Some(first) = plain.first_mut() else {
        return Ok(None);
    };
    let rsv = *first >> 4 & 7;
    *first &= 0x8F;
    let read = read_frame(&plain, sender)?;
    Ok(read.map(|(frame, len)| (rsv, frame, len)))
}

/// An HTTP head as it was read.
#[derive(Clone, Debug)]
pub struct Head {
    /// The request or status line.
    pub start_line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Bytes, the empty line included.
    pub len: usize,
}

impl Head {
    /// The status code of a response.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.start_line
            .strip_prefix("HTTP/1.1 ")?
            .get(..3)?
            .parse()
            .ok()
    }

    /// Whether one of the headers `name` lists `token`, in any case.
    #[must_use]
    pub fn lists(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(','))
            .any(|t| t.trim().eq_ignore_ascii_case(token))
    }

    /// The values of the headers `name`.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// The head at the front of `bytes`; `None` while it is not whole.
#[must_use]
pub fn read_head(bytes: &[u8]) -> Option<Head> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = text.split("\r\n");
    let start_line = lines.next()?.to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Some(Head {
        start_line,
        headers,
        len: end + 4,
    })
}

/// `Sec-WebSocket-Accept` for a key (§4.2.2 step 5.4).
#[must_use]
pub fn accept_for(key: &str) -> String {
    let mut sha1 = sha1::Sha1::new();
    sha1.update(key.as_bytes());
    sha1.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64::engine::general_purpose::STANDARD.encode(sha1.finalize())
}
