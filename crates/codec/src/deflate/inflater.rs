//! A compressed message back into what it was (RFC 7692 §6.2). In: its unmasked payload, in pieces cut
//! anywhere. Out: its bytes, appended to a message as they appear.
//!
//! Never: gives more bytes than it is told to; makes more room than the last message took or a piece usually
//! comes to, but for doubling; waits where neither more input nor more room would help.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};

use zlib_rs::{Inflate, InflateFlush, Status};

use crate::ProtocolError;
use crate::assembly::Content;

/// What a sender takes off the end of each message (§7.2.1 step 3), an empty stored block without its
/// header; and bytes behind it that nothing may take, so many that the library need not be careful in front of them.
const TAIL_AND_MARGIN: &[u8] = b"\x00\x00\xFF\xFF\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

const TAIL_BYTES: usize = 4;

/// The same with one such byte.
const TAIL_AND_SENTINEL: &[u8] = TAIL_AND_MARGIN.split_at(TAIL_BYTES + 1).0;

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

/// The most streams in a row, each ended by a block with BFINAL set, that may give nothing: no sender needs many,
/// and each costs us more than its two bytes cost the peer.
const BARREN_STREAMS_MAX: u32 = 16;

/// A window of 32 KiB, which reads what any smaller one was written for, and the state around it: 47 KiB.
pub(crate) struct Inflater {
    stream: Inflate,
    /// A block with BFINAL set has ended: what follows starts anew.
    ended: bool,
    /// The message in progress has had a byte.
    begun: bool,
    /// The stream in progress has given one.
    wrote: bool,
    /// Of the message in progress, streams in a row that gave none.
    barren: u32,
    tally: Tally,
}

impl Inflater {
    fn new(tally: Tally) -> Self {
        Self {
            stream: Inflate::new(false, super::WindowBits::MAX.get()),
            ended: false,
            begun: false,
            wrote: false,
            barren: 0,
            tally,
        }
    }

    /// It is in the middle of a message, of which there is `content`; or of none.
    pub(crate) fn hold(&mut self, content: Option<&Content>) {
        if content.is_none() {
            self.barren = 0;
        }
        self.tally.hold(content.map(Content::capacity));
    }

    /// Whether it is in the middle of a message.
    pub(crate) const fn holds_message(&self) -> bool {
        self.tally.held.is_some()
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
        let mut steps = Steps::default();
        while !input.is_empty() || steps.is_full {
            if self.ended {
                self.restart();
            }
            let step = self.step(input, InflateFlush::NoFlush, &steps, content, max)?;
            input = &input[step.read..];
            steps.add(step)?;
            if self.ended && input.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether [`whole`](Self::whole) takes a message of which this is all.
    pub(crate) const fn takes_whole(&self, message: &[u8]) -> bool {
        !self.begun && !message.is_empty() && message.len() <= Self::WHOLE_BYTES_MAX
    }

    /// The longest that [`whole`](Self::whole) takes: it is copied.
    const WHOLE_BYTES_MAX: usize = 1024;

    /// [`push`](Self::push) and [`finish`](Self::finish) of a short message at once, so that the library goes fast to
    /// its end.
    ///
    /// # Errors
    ///
    /// As theirs.
    pub(crate) fn whole(
        &mut self,
        message: &[u8],
        keeps_window: bool,
        content: &mut Content,
        max: u64,
    ) -> Result<(), ProtocolError> {
        if keeps_window {
            return self.whole_before(TAIL_AND_SENTINEL, message, content, max);
        }
        self.whole_before(TAIL_AND_MARGIN, message, content, max)
            .or_else(|_| {
                // A message that is cut goes on into what is behind it: what it breaks first must not hang on
                // how much that is.
                content.clear();
                self.barren = 0;
                self.restart();
                self.push(message, content, max)?;
                self.finish(content, max)
            })
    }

    /// Inflates a message with `behind` behind it, of which it may take the tail and no more.
    fn whole_before(
        &mut self,
        behind: &[u8],
        message: &[u8],
        content: &mut Content,
        max: u64,
    ) -> Result<(), ProtocolError> {
        let mut bytes = [0; Self::WHOLE_BYTES_MAX + TAIL_AND_MARGIN.len()];
        let end = message.len() + behind.len();
        bytes[..message.len()].copy_from_slice(message);
        bytes[message.len()..end].copy_from_slice(behind);
        let mut rest = &bytes[..end];
        let mut steps = Steps::default();
        loop {
            if self.ended {
                self.restart();
            }
            // To a block's end at most, so that it shows whether the message ends with one.
            let step = self.step(rest, InflateFlush::Block, &steps, content, max)?;
            rest = &rest[step.read..];
            steps.add(step)?;
            if step.is_full && !self.ended && !rest.is_empty() {
                continue;
            }
            match rest.len() {
                left if left == behind.len() - TAIL_BYTES && !self.ended => return Ok(()),
                left if left == behind.len() && self.ended => return Ok(()),
                left if left >= behind.len() => {}
                _ => return Err(ProtocolError::CorruptDeflate),
            }
        }
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
        let mut steps = Steps::default();
        loop {
            // Goes no further than to a block's end: so that it shows whether the tail is one.
            let step = self.step(rest, InflateFlush::Block, &steps, content, max)?;
            rest = &rest[step.read..];
            steps.add(step)?;
            match rest.len() {
                1 if !step.is_full && !self.ended => return Ok(()),
                1.. if !self.ended => {}
                _ => return Err(ProtocolError::CorruptDeflate),
            }
        }
    }

    /// Forgets everything.
    fn restart(&mut self) {
        self.stream.reset(false);
        self.ended = false;
        self.wrote = false;
    }

    /// One call of the library, into room that is made for it.
    fn step(
        &mut self,
        input: &[u8],
        flush: InflateFlush,
        before: &Steps,
        content: &mut Content,
        max: u64,
    ) -> Result<Step, ProtocolError> {
        let len = content.len() as u64;
        let left = usize::try_from(max.saturating_sub(len)).unwrap_or(usize::MAX);
        if left == 0 {
            return self.step_at_limit(input, flush, max);
        }
        let guess = match content.spare() {
            // Room is zeroed: nobody who sends many short blocks gets much for each.
            _ if before.left_room => STEP_BYTES_MIN,
            // There already, so more would only move what there is; but not all of it for a byte.
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
        let written = self.stream.total_out();
        let step = self.run(input, &mut [0], flush);
        // Even if what comes behind that byte is corrupt: where the message is cut must not matter.
        if self.stream.total_out() > written {
            return Err(ProtocolError::MessageTooLong(max.saturating_add(1)));
        }
        step
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
        self.wrote |= written > 0;
        if self.ended {
            let wrote = core::mem::take(&mut self.wrote);
            self.barren = if wrote { 0 } else { self.barren + 1 };
            if self.barren > BARREN_STREAMS_MAX {
                return Err(ProtocolError::CorruptDeflate);
            }
        }
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

/// The steps of one piece so far.
#[derive(Default)]
struct Steps {
    /// Those without a byte read or written, one after another.
    idle: u32,
    /// The last one filled the room that it had, or there was one and it did not.
    is_full: bool,
    left_room: bool,
}

impl Steps {
    /// # Errors
    ///
    /// [`ProtocolError::CorruptDeflate`]: nothing comes of them.
    fn add(&mut self, step: Step) -> Result<(), ProtocolError> {
        let is_idle = step.read == 0 && step.written == 0;
        self.idle = if is_idle { self.idle + 1 } else { 0 };
        self.is_full = step.is_full;
        self.left_room = !step.is_full;
        if self.idle > IDLE_STEPS_MAX {
            return Err(ProtocolError::CorruptDeflate);
        }
        Ok(())
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

    /// Memory of messages that have begun and not ended, as far as they are inflated; the inflaters are not in it.
    ///
    /// A peer that sends little can have this grow as far as the limit of a message, for each of its connections:
    /// whoever serves many limits the sum.
    #[must_use]
    pub fn message_bytes(&self) -> usize {
        self.living.message_bytes()
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

/// Counts contexts, wherever they have gone, and what messages that have begun hold.
#[derive(Debug, Default)]
pub(super) struct Living(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    contexts: AtomicUsize,
    message_bytes: AtomicUsize,
}

impl Living {
    pub(super) fn count(&self) -> usize {
        // Nothing else is read by it, nor by the other.
        self.0.contexts.load(Ordering::Relaxed)
    }

    fn message_bytes(&self) -> usize {
        self.0.message_bytes.load(Ordering::Relaxed)
    }

    /// One more, until it is dropped.
    pub(super) fn tally(&self) -> Tally {
        self.0.contexts.fetch_add(1, Ordering::Relaxed);
        Tally {
            counts: Arc::clone(&self.0),
            held: None,
        }
    }
}

/// A context that is counted.
pub(super) struct Tally {
    counts: Arc<Counts>,
    /// What a message that it is in the middle of holds.
    held: Option<usize>,
}

impl Tally {
    fn hold(&mut self, held: Option<usize>) {
        if self.held == held {
            return;
        }
        let bytes = &self.counts.message_bytes;
        bytes.fetch_add(held.unwrap_or(0), Ordering::Relaxed);
        bytes.fetch_sub(self.held.unwrap_or(0), Ordering::Relaxed);
        self.held = held;
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.hold(None);
        self.counts.contexts.fetch_sub(1, Ordering::Relaxed);
    }
}
