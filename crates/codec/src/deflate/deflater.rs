//! Messages into what is sent of them (RFC 7692 §7.2.1). In: a payload. Out: its DEFLATE blocks, the last
//! four bytes taken off.
//!
//! Never: refers to more than its window's bytes; gives a block with BFINAL set.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Status};

use super::WindowBits;
use super::inflater::{Living, Tally};

/// What each flush ends with, and no message (§7.2.1 step 3).
const TAIL: &[u8] = &[0x00, 0x00, 0xFF, 0xFF];

/// An empty message (§7.2.3.6): the header of the block that the tail is the rest of.
const EMPTY: &[u8] = &[0x00];

/// How hard to try, and with how much memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DeflateSettings {
    level: u8,
    mem_level: u8,
    /// A payload of fewer bytes is sent as it is.
    pub threshold_bytes: usize,
}

impl DeflateSettings {
    /// Level 1 and memory of level 8; payloads of less than 128 bytes are not worth it.
    pub const DEFAULT: Self = Self {
        level: 1,
        mem_level: 8,
        threshold_bytes: 128,
    };

    /// With another level: 1, the fastest, to 9, the smallest; what is beyond is taken for the nearest.
    #[must_use]
    pub fn with_level(mut self, level: u8) -> Self {
        self.level = level.clamp(1, 9);
        self
    }

    /// With memory of another level, 1–9: at 15 bits, 8 is 380 KiB a context; at 9 bits, 1 is 137 KiB.
    #[must_use]
    pub fn with_mem_level(mut self, mem_level: u8) -> Self {
        self.mem_level = mem_level.clamp(1, 9);
        self
    }

    /// With another [`threshold_bytes`](Self::threshold_bytes).
    #[must_use]
    pub const fn with_threshold_bytes(mut self, bytes: usize) -> Self {
        self.threshold_bytes = bytes;
        self
    }
}

impl Default for DeflateSettings {
    /// [`DeflateSettings::DEFAULT`].
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A compressor of one window size.
pub(super) struct Deflater {
    stream: Deflate,
    window_bits: WindowBits,
    _tally: Tally,
}

impl Deflater {
    fn new(settings: DeflateSettings, window_bits: WindowBits, tally: Tally) -> Self {
        // With nine bits zlib refers to no more than 512 - 262 bytes back, so a window of 256 bytes reads
        // what it writes; with eight it would refuse to write raw blocks.
        let bits = i32::from(window_bits.get().max(9));
        let config = DeflateConfig {
            level: settings.level.into(),
            mem_level: settings.mem_level.into(),
            window_bits: -bits,
            ..DeflateConfig::default()
        };
        Self {
            stream: Deflate::new_with_config(config),
            window_bits,
            _tally: tally,
        }
    }

    /// What is sent of a message, in `scratch`.
    ///
    /// The next message may refer to this one, unless `then` is to forget.
    fn deflate<'s>(
        &mut self,
        mut payload: &[u8],
        then: Then,
        scratch: &'s mut Scratch,
    ) -> &'s [u8] {
        if payload.is_empty() {
            return EMPTY;
        }
        // Clearing the table behind a message is half of a restart, and all that it takes.
        let flush = match then {
            Then::Keep => DeflateFlush::SyncFlush,
            Then::Forget => DeflateFlush::FullFlush,
        };
        let mut end = 0;
        // Most become smaller; what a long one may lack is added below.
        let mut room = payload.len().min(Scratch::KEPT_BYTES_MAX) + payload.len() / 8 + 64;
        loop {
            let out = scratch.room(end, room);
            let (read, written) = (self.stream.total_in(), self.stream.total_out());
            let status = self.stream.compress(payload, out, flush);
            let since =
                |total: u64, before: u64| usize::try_from(total - before).unwrap_or(usize::MAX);
            payload = &payload[since(self.stream.total_in(), read)..];
            let written = since(self.stream.total_out(), written);
            end += written;
            assert!(
                matches!(status, Ok(Status::Ok | Status::BufError)),
                "a compressor takes any bytes"
            );
            // A flush is through when it leaves room (zlib's manual, on Z_SYNC_FLUSH).
            if payload.is_empty() && written < room {
                break;
            }
            room = payload.len() + 64;
        }
        let deflated = &scratch.0[..end];
        debug_assert!(deflated.ends_with(TAIL), "flushed");
        &deflated[..end - TAIL.len()]
    }
}

/// What becomes of the window behind a message.
#[derive(Clone, Copy)]
enum Then {
    Keep,
    Forget,
}

/// Where messages are compressed to, each over the one before.
#[derive(Debug, Default)]
struct Scratch(Vec<u8>);

impl Scratch {
    /// What is kept for the next message.
    const KEPT_BYTES_MAX: usize = 64 << 10;

    /// `len` bytes behind the first `end`.
    fn room(&mut self, end: usize, len: usize) -> &mut [u8] {
        let needed = end + len;
        if self.0.len() < needed {
            self.0.resize(needed, 0);
        }
        &mut self.0[end..needed]
    }

    /// Gives back what only a long message needed.
    fn shrink(&mut self) {
        if self.0.len() > Self::KEPT_BYTES_MAX {
            self.0 = Vec::new();
        }
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater")
            .field("window_bits", &self.window_bits)
            .finish_non_exhaustive()
    }
}

/// Compressors for many connections, each lent for one message; a worker owns one.
///
/// A connection that keeps its window between messages (takeover) gets one for good, when it first
/// compresses a message.
#[derive(Debug)]
pub struct Deflaters {
    settings: DeflateSettings,
    /// Of any window size.
    #[expect(clippy::vec_box, reason = "lent as it is, without a move")]
    idle: Vec<Box<Deflater>>,
    idle_max: usize,
    living: Living,
    deflated: u64,
    scratch: Scratch,
}

impl Deflaters {
    /// Keeps at most `idle_max` of them while nobody needs them.
    #[must_use]
    pub fn new(settings: DeflateSettings, idle_max: usize) -> Self {
        Self {
            settings,
            idle: Vec::new(),
            idle_max,
            living: Living::default(),
            deflated: 0,
            scratch: Scratch::default(),
        }
    }

    /// What was decided.
    #[must_use]
    pub const fn settings(&self) -> DeflateSettings {
        self.settings
    }

    /// How many there are: kept here, and given for good to connections that still live.
    #[must_use]
    pub fn living(&self) -> usize {
        self.living.count()
    }

    /// How many nobody needs.
    #[must_use]
    pub const fn idle(&self) -> usize {
        self.idle.len()
    }

    /// How many messages were deflated, those included that did not become smaller.
    #[must_use]
    pub const fn deflated(&self) -> u64 {
        self.deflated
    }

    /// Gives `take` what is sent of a message whose window `kept` is made when it is first needed; `None` if
    /// the message is sent as it is.
    ///
    /// Smaller or not, once it is in the window it must be in the peer's.
    pub(super) fn deflate_behind<R>(
        &mut self,
        window_bits: WindowBits,
        kept: &mut Option<Box<Deflater>>,
        payload: &[u8],
        take: impl FnOnce(Option<&[u8]>) -> R,
    ) -> R {
        if !self.is_worth(payload) {
            return take(None);
        }
        let deflater = kept.get_or_insert_with(|| self.make(window_bits));
        let taken = take(Some(deflater.deflate(
            payload,
            Then::Keep,
            &mut self.scratch,
        )));
        self.scratch.shrink();
        self.deflated += 1;
        taken
    }

    /// Gives `take` what is sent of a message that refers to no other; `None` if it would not be smaller.
    pub(super) fn deflate_fresh<R>(
        &mut self,
        window_bits: WindowBits,
        payload: &[u8],
        take: impl FnOnce(Option<&[u8]>) -> R,
    ) -> R {
        if !self.is_worth(payload) {
            return take(None);
        }
        let mut idle = self.idle.iter();
        let kept = idle.rposition(|deflater| deflater.window_bits == window_bits);
        let mut deflater = match kept {
            Some(at) => self.idle.swap_remove(at),
            None => self.make(window_bits),
        };
        let deflated = deflater.deflate(payload, Then::Forget, &mut self.scratch);
        let taken = take((deflated.len() < payload.len()).then_some(deflated));
        if self.idle.len() == self.idle_max && !self.idle.is_empty() {
            // Perhaps of a size that nobody has any more.
            self.idle.remove(0);
        }
        if self.idle.len() < self.idle_max {
            self.idle.push(deflater);
        }
        self.scratch.shrink();
        self.deflated += 1;
        taken
    }

    const fn is_worth(&self, payload: &[u8]) -> bool {
        payload.len() >= self.settings.threshold_bytes
    }

    fn make(&self, window_bits: WindowBits) -> Box<Deflater> {
        Box::new(Deflater::new(
            self.settings,
            window_bits,
            self.living.tally(),
        ))
    }
}
