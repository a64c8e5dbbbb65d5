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
const EMPTY: u8 = 0x00;

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

    /// Forgets the messages before.
    pub(super) fn restart(&mut self) {
        self.stream.reset();
    }

    /// Appends what is sent of a message.
    pub(super) fn append(&mut self, mut payload: &[u8], out: &mut Vec<u8>) {
        if payload.is_empty() {
            out.push(EMPTY);
            return;
        }
        let start = out.len();
        // Half of it, and what a flush takes, will do for most; what it lacks is added below.
        let mut room = payload.len() / 2 + 64;
        loop {
            let end = out.len();
            out.resize(end + room, 0);
            let (read, written) = (self.stream.total_in(), self.stream.total_out());
            let status = self
                .stream
                .compress(payload, &mut out[end..], DeflateFlush::SyncFlush);
            let since =
                |total: u64, before: u64| usize::try_from(total - before).unwrap_or(usize::MAX);
            payload = &payload[since(self.stream.total_in(), read)..];
            let written = since(self.stream.total_out(), written);
            out.truncate(end + written);
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
        debug_assert!(out[start..].ends_with(TAIL), "flushed");
        out.truncate(out.len() - TAIL.len());
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

    /// Whether a payload of so many bytes is worth it.
    pub(super) const fn is_worth(&self, payload: &[u8]) -> bool {
        payload.len() >= self.settings.threshold_bytes
    }

    pub(super) const fn count(&mut self) {
        self.deflated += 1;
    }

    /// One for good.
    pub(super) fn make(&self, window_bits: WindowBits) -> Box<Deflater> {
        Box::new(Deflater::new(
            self.settings,
            window_bits,
            self.living.tally(),
        ))
    }

    /// Appends what is sent of a message that refers to no other; nothing if it would not be smaller.
    /// Whether it is.
    pub(super) fn append_fresh(
        &mut self,
        window_bits: WindowBits,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        if !self.is_worth(payload) {
            return false;
        }
        let kept = self
            .idle
            .iter()
            .rposition(|deflater| deflater.window_bits == window_bits);
        let mut deflater = match kept {
            Some(at) => self.idle.swap_remove(at),
            None => self.make(window_bits),
        };
        let start = out.len();
        deflater.append(payload, out);
        self.count();
        deflater.restart();
        if self.idle.len() < self.idle_max {
            self.idle.push(deflater);
        }
        let is_smaller = out.len() - start < payload.len();
        if !is_smaller {
            out.truncate(start);
        }
        is_smaller
    }
}
