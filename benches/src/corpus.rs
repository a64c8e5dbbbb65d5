//! What the benches decode and encode. In: sizes and a seed. Out: payloads and wires, the same ones
//! each time.
//!
//! Never: measures.

use fanfare_codec::{Encoder, MessageKind};

/// Payload sizes: small ones, the edges of the length forms (RFC 6455 §5.2), large ones.
pub const SIZES: [usize; 9] = [0, 20, 125, 126, 1024, 16 << 10, 65_535, 65_536, 1 << 20];

/// Texts of one kind, repeated to a size.
#[derive(Clone, Copy, Debug)]
pub struct Language {
    /// For the bench's id.
    pub name: &'static str,
    sample: &'static str,
}

/// One, two, three and four bytes a character, and what chats send.
pub const LANGUAGES: [Language; 4] = [
    Language {
        name: "ascii",
        sample: "The quick brown fox jumps over the lazy dog. 0123456789 ",
    },
    Language {
        name: "russian",
        sample: "Съешь же ещё этих мягких французских булок, да выпей чаю. ",
    },
    Language {
        name: "korean",
        sample: "키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다. ",
    },
    Language {
        name: "emoji_json",
        sample: r#"{"user":"민준","text":"축하해 🎉🎊 great job 👏🏽","reactions":["😀","🚀"]},"#,
    },
];

impl Language {
    /// Text of at most `len` bytes, short of it by at most three: characters are not cut.
    #[must_use]
    pub fn text(self, len: usize) -> String {
        let mut text = self.sample.repeat(len / self.sample.len() + 1);
        text.truncate(text.floor_char_boundary(len));
        text
    }
}

/// Bytes that no validator could take for text.
#[must_use]
pub fn binary(len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(6455);
    std::iter::repeat_with(|| random.u8(0x80..))
        .take(len)
        .collect()
}

/// `count` frames as a client sends them, each masked with a key of its own.
///
/// # Panics
///
/// If the payload of a text is not UTF-8.
#[must_use]
pub fn client_frames(kind: MessageKind, payload: &[u8], count: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(6455);
    let mut encoder = Encoder::client(|| random.u32(..).to_ne_bytes());
    let mut wire = Vec::new();
    for _ in 0..count {
        let message = match kind {
            MessageKind::Text => core::str::from_utf8(payload).map(|t| encoder.text(&mut wire, t)),
            MessageKind::Binary => Ok(encoder.binary(&mut wire, payload)),
        };
        message
            .expect("a text corpus is UTF-8")
            .expect("no message is fragmented");
    }
    wire
}
