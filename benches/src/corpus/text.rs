//! What messages say. In: a language and sizes. Out: payloads, the same ones each time.
//!
//! Never: measures, frames.

/// Every random choice of the corpora starts from it.
pub const SEED: u64 = 6455;

/// Texts of one kind, repeated to a size.
#[derive(Clone, Copy, Debug)]
pub struct Language {
    /// For the bench's id.
    pub name: &'static str,
    sample: &'static str,
}

/// One byte a character.
pub const ASCII: Language = Language {
    name: "ascii",
    sample: "The quick brown fox jumps over the lazy dog. 0123456789 ",
};

/// Two bytes a character, but for spaces and stops.
pub const RUSSIAN: Language = Language {
    name: "russian",
    sample: "Съешь же ещё этих мягких французских булок, да выпей чаю. ",
};

/// Three bytes a character, but for spaces.
pub const KOREAN: Language = Language {
    name: "korean",
    sample: "키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다. ",
};

/// Four bytes a character.
pub const EMOJI: Language = Language {
    name: "emoji",
    sample: "😀🚀🎉🎊👏🏽🔥💯🙏",
};

/// What chats in Korea send.
pub const KOREAN_JSON: Language = Language {
    name: "korean_json",
    sample: r#"{"room":42,"user":"민준","text":"오늘 저녁에 시간 괜찮으세요?","sent":1785000000},"#,
};

/// What chats everywhere send.
pub const EMOJI_JSON: Language = Language {
    name: "emoji_json",
    sample: r#"{"user":"민준","text":"축하해 🎉🎊 great job 👏🏽","reactions":["😀","🚀"]},"#,
};

/// All of them.
pub const LANGUAGES: [Language; 6] = [ASCII, RUSSIAN, KOREAN, EMOJI, KOREAN_JSON, EMOJI_JSON];

impl Language {
    /// Text of exactly `len` bytes: characters are not cut, spaces fill what is left.
    #[must_use]
    pub fn text(self, len: usize) -> String {
        let mut text = self.sample.repeat(len / self.sample.len() + 1);
        text.truncate(text.floor_char_boundary(len));
        while text.len() < len {
            text.push(' ');
        }
        text
    }
}

/// ASCII text of `len` bytes but for one Korean character that starts at `at` or just before the
/// end.
#[must_use]
pub fn ascii_but_one(len: usize, at: usize) -> String {
    const ONE: &str = "한";
    let mut text = ASCII.text(len.saturating_sub(ONE.len()));
    text.insert_str(at.min(text.len()), ONE);
    text
}

/// ASCII text of `len` bytes whose last one no UTF-8 text holds.
#[must_use]
pub fn bad_last_byte(len: usize) -> Vec<u8> {
    let mut bytes = ASCII.text(len).into_bytes();
    if let Some(last) = bytes.last_mut() {
        *last = 0xFF;
    }
    bytes
}

/// Bytes that no validator could take for text.
#[must_use]
pub fn binary(len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(SEED);
    std::iter::repeat_with(|| random.u8(0x80..))
        .take(len)
        .collect()
}
