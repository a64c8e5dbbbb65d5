//! JSON, read from left to right (RFC 8259). In: bytes. Out: members one by one, and values as they
//! stand.
//!
//! What is skipped is not checked but for its end: brackets are counted, strings are whole.
//!
//! Never: builds a tree, allocates, recurses.

/// Bytes on which a place moves to the right.
pub(super) struct Scanner<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Scanner<'b> {
    pub(super) const fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next byte that is no white space.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// Passes `byte`.
    #[inline]
    fn pass(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Whether nothing more follows.
    #[inline]
    pub(super) fn is_done(&mut self) -> bool {
        self.peek().is_none()
    }

    /// Passes an object; `each` gets each key and has to pass its value.
    #[inline]
    pub(super) fn members(
        &mut self,
        mut each: impl FnMut(&mut Self, &'b [u8]) -> Option<()>,
    ) -> Option<()> {
        self.pass(b'{')?;
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            let key = self.string()?;
            self.pass(b':')?;
            each(self, key)?;
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    /// Passes an array; `each` has to pass an element each time.
    pub(super) fn elements(&mut self, mut each: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.pass(b'[')?;
        if self.peek()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            each(self)?;
            match self.peek()? {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    /// What stands between the quotes of a string, escapes as they are.
    #[inline]
    pub(super) fn string(&mut self) -> Option<&'b [u8]> {
        self.pass(b'"')?;
        let start = self.at;
        loop {
            let rest = self.bytes.get(self.at..)?;
            let found = memchr::memchr2(b'"', b'\\', rest)?;
            self.at += found;
            if rest[found] == b'"' {
                self.at += 1;
                return Some(&self.bytes[start..self.at - 1]);
            }
            self.at += 2;
        }
    }

    /// A number that is whole and not negative.
    #[inline]
    pub(super) fn number(&mut self) -> Option<u64> {
        self.peek()?;
        let start = self.at;
        let mut number: u64 = 0;
        while let Some(digit @ b'0'..=b'9') = self.bytes.get(self.at) {
            number = number
                .checked_mul(10)?
                .checked_add(u64::from(digit - b'0'))?;
            self.at += 1;
        }
        (self.at > start).then_some(number)
    }

    /// The same, up to 2³² − 1.
    pub(super) fn number_32(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    pub(super) fn boolean(&mut self) -> Option<bool> {
        match self.value()? {
            b"true" => Some(true),
            b"false" => Some(false),
            _ => None,
        }
    }

    /// A value as it stands.
    #[inline]
    pub(super) fn value(&mut self) -> Option<&'b [u8]> {
        let first = self.peek()?;
        let start = self.at;
        match first {
            b'"' => {
                self.string()?;
            }
            b'{' | b'[' => self.nested()?,
            _ => {
                let rest = &self.bytes[start..];
                let is_end = |byte: &u8| b",]} \t\r\n".contains(byte);
                let len = rest.iter().position(is_end).unwrap_or(rest.len());
                if len == 0 {
                    return None;
                }
                self.at += len;
            }
        }
        Some(&self.bytes[start..self.at])
    }

    /// Passes an object or an array, whatever is in it.
    fn nested(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.bytes.get(self.at)? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }
}
