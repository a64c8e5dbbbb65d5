//! A compressed message back into what it was (RFC 7692 §6.2). In: its unmasked payload, in pieces cut
//! anywhere. Out: its bytes, appended to a message as they appear.
//!
//! Never: gives more bytes than it is told to; makes more room than there are bytes to fill it, but for
//! doubling; waits where neither more input nor more room would help.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};

use zlib_rs::{Inflate, InflateFlush, Status};

use crate::ProtocolError;
use crate::assembly::Content;

/// What a sender takes off the end of each message (§7.2.1 step 3), an empty stored block without its
/// header; and a byte behind it that nothing may take.
const TAIL_AND_SENTINEL: &[u8] = &[0x00, 0x00, 0xFF, 0xFF, 0x00];

/// The most that one step appends: what is inflated and validated while a cache near by has it.
const STEP_BYTES_MAX: usize = 32 << 10;

/// The least: a short message is one step.
const STEP_BYTES_MIN: usize = 256;

/// What text of our kind shrinks to; a guess at what a piece comes to.
const USUAL_RATIO: usize = 4;

/// What few texts shrink to.
const GOOD_RATIO: usize = 16;

/// The most steps without a byte read or written that a stream may take, one after another.
const IDLE_STEPS_MAX: u32 = 2;

/// A window of 32 KiB, which reads what any smaller one was written for, and the state around it: 47 KiB.
pub(crate) struct Inflater {
    stream: Inflate,
    /// A block with BFINAL set has ended: what follows starts anew.
    ended: bool,
    /// The message in progress has had a byte.
    begun: bool,
    _tally: Tally,
}

impl Inflater {
    fn new(tally: Tally) -> Self {
        Self {
            stream: Inflate::new(false, super::WindowBits::MAX.get()),
            ended: false,
            begun: false,
            _tally: tally,
        }
    }

    /// Inflates `input` behind `content`, which gets no longer than `max` bytes.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::CorruptDeflate`], [`ProtocolError::MessageTooLong`] or, of text,
    /// [`ProtocolError::InvalidUtf8`]. The window is worth nothing then.
    pub(crate) fn push(
        &mut self,
        mut input: &[u8],
        content: &mut Content,
        max: u64,
    ) -> Result<(), ProtocolError> {
        self.begun |= !input.is_empty();
        let mut idle_steps = 0;
        let mut is_full = false;
        while !input.is_empty() || is_full {
            if self.ended {
                self.restart();
            }
            let step = self.step(input, InflateFlush::NoFlush, content, max)?;
            input = &input[step.read..];
            is_full = step.is_full;
            idle_steps = if step.is_idle() { idle_steps + 1 } else { 0 };
            if idle_steps > IDLE_STEPS_MAX {
                return Err(ProtocolError::CorruptDeflate);
            }
            if self.ended && input.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Ends the message with what its sender has taken off (§7.2.2): all of it is in `content` then.
    ///
    /// A message of no byte is empty, and one that a block with BFINAL has ended needs no more: some
    /// senders leave out the byte that §7.2.3.4 wants behind it.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push); a message that is cut inside a block is corrupt, too.
    pub(crate) fn finish(&mut self, content: &mut Content, max: u64) -> Result<(), ProtocolError> {
        if self.ended || !core::mem::take(&mut self.begun) {
            self.begun = false;
            return Ok(());
        }
        let mut rest = TAIL_AND_SENTINEL;
        let mut idle_steps = 0;
        loop {
            // Goes no further than to a block's end: so that it shows whether the tail is one.
            let step = self.step(rest, InflateFlush::Block, content, max)?;
            rest = &rest[step.read..];
            idle_steps = if step.is_idle() { idle_steps + 1 } else { 0 };
            match rest.len() {
                1 if !step.is_full && !self.ended => return Ok(()),
                1.. if !self.ended && idle_steps <= IDLE_STEPS_MAX => {}
                _ => return Err(ProtocolError::CorruptDeflate),
            }
        }
    }

    /// Forgets everything.
    fn restart(&mut self) {
        self.stream.reset(false);
        self.ended = false;
    }

    /// One call of the library, into room that is made for it.
    fn step(
        &mut self,
        input: &[u8],
        flush: InflateFlush,
        content: &mut Content,
        max: u64,
    ) -> Result<Step, ProtocolError> {
        let len = content.len() as u64;
        let left = usize::try_from(max.saturating_sub(len)).unwrap_or(usize::MAX);
        if left == 0 {
            return self.step_at_limit(input, flush, max);
        }
        let guess = match content.spare() {
            // There already, so more would only move what there is; but zeroed, so not all of it for a byte.
            spare @ STEP_BYTES_MIN.. => spare.min(input.len().saturating_mul(GOOD_RATIO)),
            _ => input.len().saturating_mul(USUAL_RATIO),
        };
        let room = guess.clamp(STEP_BYTES_MIN, STEP_BYTES_MAX).min(left);
        content.grow_towards(room, left);
        let mut step = Ok(Step::default());
        content.fill(room, |output| {
            step = self.run(input, output, flush);
            step.map_or(0, |step| step.written)
        })?;
        step
    }

    /// The message is as long as it may be: not a byte more.
    #[cold]
    fn step_at_limit(
        &mut self,
        input: &[u8],
        flush: InflateFlush,
        max: u64,
    ) -> Result<Step, ProtocolError> {
        let step = self.run(input, &mut [0], flush)?;
        if step.written > 0 {
            return Err(ProtocolError::MessageTooLong(max.saturating_add(1)));
        }
        Ok(step)
    }

    fn run(
        &mut self,
        input: &[u8],
        output: &mut [u8],
        flush: InflateFlush,
    ) -> Result<Step, ProtocolError> {
        let (read, written) = (self.stream.total_in(), self.stream.total_out());
        match self.stream.decompress(input, output, flush) {
            Ok(status) => self.ended = status == Status::StreamEnd,
            Err(_) => return Err(ProtocolError::CorruptDeflate),
        }
        let since = |total: u64, before: u64| usize::try_from(total - before).unwrap_or(usize::MAX);
        let written = since(self.stream.total_out(), written);
        Ok(Step {
            read: since(self.stream.total_in(), read),
            written,
            is_full: written == output.len(),
        })
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater")
            .field("ended", &self.ended)
            .field("begun", &self.begun)
            .finish_non_exhaustive()
    }
}

/// What one call of the library did.
#[derive(Clone, Copy, Default)]
struct Step {
    read: usize,
    written: usize,
    /// There may be more without more input.
    is_full: bool,
}

impl Step {
    const fn is_idle(self) -> bool {
        self.read == 0 && self.written == 0
    }
}

/// Inflaters for many connections, each lent for one message; a worker owns one.
///
/// A connection whose peer keeps its window between messages (takeover) gets one for good, when its first
/// compressed message comes.
#[derive(Debug)]
pub struct Inflaters {
    #[expect(clippy::vec_box, reason = "lent as it is, without a move")]
    idle: Vec<Box<Inflater>>,
    idle_max: usize,
    living: Living,
}

impl Inflaters {
    /// Keeps at most `idle_max` of them, 47 KiB each, while nobody needs them.
    #[must_use]
    pub fn new(idle_max: usize) -> Self {
        Self {
            idle: Vec::new(),
            idle_max,
            living: Living::default(),
        }
    }

    /// How many there are: kept here, lent, and given for good to connections that still live.
    #[must_use]
    pub fn living(&self) -> usize {
        self.living.count()
    }

    /// How many nobody needs.
    #[must_use]
    pub const fn idle(&self) -> usize {
        self.idle.len()
    }

    fn take(&mut self) -> Box<Inflater> {
        let make = || Box::new(Inflater::new(self.living.tally()));
        self.idle.pop().unwrap_or_else(make)
    }

    fn put(&mut self, mut inflater: Box<Inflater>) {
        if self.idle.len() < self.idle_max {
            inflater.begun = false;
            inflater.restart();
            self.idle.push(inflater);
        }
    }
}

/// Where a decoder gets an inflater: from its caller's [`Inflaters`], or else a new one.
#[derive(Debug)]
pub(crate) struct Lender<'p>(Option<&'p mut Inflaters>);

impl<'p> Lender<'p> {
    pub(crate) const NONE: Self = Self(None);

    pub(crate) const fn of(inflaters: &'p mut Inflaters) -> Self {
        Self(Some(inflaters))
    }

    pub(crate) fn take(&mut self) -> Box<Inflater> {
        match &mut self.0 {
            Some(inflaters) => inflaters.take(),
            None => Box::new(Inflater::new(Living::default().tally())),
        }
    }

    pub(crate) fn put(&mut self, inflater: Box<Inflater>) {
        if let Some(inflaters) = &mut self.0 {
            inflaters.put(inflater);
        }
    }
}

/// Counts contexts, wherever they have gone.
#[derive(Debug, Default)]
pub(super) struct Living(Arc<AtomicUsize>);

impl Living {
    pub(super) fn count(&self) -> usize {
        // Nothing else is read by it.
        self.0.load(Ordering::Relaxed)
    }

    /// One more, until it is dropped.
    pub(super) fn tally(&self) -> Tally {
        self.0.fetch_add(1, Ordering::Relaxed);
        Tally(Arc::clone(&self.0))
    }
}

/// A context that is counted.
pub(super) struct Tally(Arc<AtomicUsize>);

impl Drop for Tally {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
