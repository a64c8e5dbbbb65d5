//! The bytes a connection sends again and again. In: size, depth, opcode. Out: masked frames
//! back to back (RFC 6455 §5.2) and the length of their echo.
//!
//! Never: uses the codec, so that a mistake there can't hide here.

const MASK_KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The most bytes one burst may have.
pub const BURST_BYTES_MAX: usize = 1 << 30;

/// Equal masked frames, sent as one piece.
#[derive(Debug)]
pub struct Burst {
    /// The frames, masked.
    pub bytes: Vec<u8>,
    /// How many bytes the echo of all of them has.
    pub reply_bytes: usize,
}

impl Burst {
    /// `depth` frames of `size` payload bytes each, text (lower-case letters) or binary;
    /// nothing if they would be more than [`BURST_BYTES_MAX`] or less than one frame.
    #[must_use]
    pub fn new(size: usize, depth: usize, text: bool) -> Option<Self> {
        let mut header = vec![if text { 0x81 } else { 0x82 }];
        match (u8::try_from(size), u16::try_from(size)) {
            (Ok(len @ ..=125), _) => header.push(0x80 | len),
            (_, Ok(len)) => {
                header.push(0x80 | 126);
                header.extend_from_slice(&len.to_be_bytes());
            }
            _ => {
                header.push(0x80 | 127);
                header.extend_from_slice(&(size as u64).to_be_bytes());
            }
        }
        let reply_bytes = header.len().checked_add(size)?.checked_mul(depth)?;
        header.extend_from_slice(&MASK_KEY);
        let frame_bytes = header.len().checked_add(size)?;
        let burst_bytes = frame_bytes.checked_mul(depth)?;
        if depth == 0 || burst_bytes > BURST_BYTES_MAX {
            return None;
        }
        let letters = (b'a'..=b'z').cycle();
        let masked = letters.zip(MASK_KEY.into_iter().cycle());
        header.extend(masked.take(size).map(|(letter, key)| letter ^ key));
        Some(Self {
            bytes: header.repeat(depth),
            reply_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s5_2_the_shortest_length_form_is_used_and_the_echo_has_no_key() {
        for (size, header_bytes, length) in [
            (0, 6, vec![0x80]),
            (125, 6, vec![0x80 | 125]),
            (126, 8, vec![0x80 | 126, 0, 126]),
            (65_535, 8, vec![0x80 | 126, 0xff, 0xff]),
            (65_536, 14, vec![0x80 | 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let burst = Burst::new(size, 3, true).unwrap();
            assert_eq!(burst.bytes.len(), 3 * (header_bytes + size), "{size}");
            assert_eq!(burst.reply_bytes, 3 * (header_bytes - 4 + size), "{size}");
            assert_eq!(burst.bytes[0], 0x81);
            assert_eq!(burst.bytes[1..=length.len()], length, "{size}");
        }
    }

    #[test]
    fn s5_3_the_payload_unmasks_to_letters() {
        let burst = Burst::new(30, 1, false).unwrap();
        let unmasked = burst.bytes[6..].iter().zip(MASK_KEY.iter().cycle());
        let text: Vec<u8> = unmasked.map(|(byte, key)| byte ^ key).collect();
        assert_eq!(text, b"abcdefghijklmnopqrstuvwxyzabcd");
    }

    #[test]
    fn a_burst_past_the_cap_is_refused() {
        assert!(Burst::new(1 << 20, 1 << 10, false).is_none());
        assert!(Burst::new(usize::MAX, 1, false).is_none());
        assert!(Burst::new(20, 0, false).is_none());
    }
}
