//! Readiness (epoll(7), edge-triggered). In: sockets, each with a [`ConnId`]. Out: which of them can
//! be read or written, to the nanosecond of the wait that was asked for.
//!
//! Straight from the kernel rather than through mio, whose waits are whole milliseconds.
//!
//! Never: reads or writes a socket.

use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;

/// A connection's number and the generation of its socket.
///
/// An event can outlive its socket within one batch; a stale generation makes it miss instead of
/// reaching the next socket of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnId {
    pub(super) conn: u32,
    pub(super) generation: u32,
}

impl ConnId {
    const fn pack(self) -> u64 {
        (self.generation as u64) << 32 | self.conn as u64
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    const fn unpack(data: u64) -> Self {
        Self {
            conn: data as u32,
            generation: (data >> 32) as u32,
        }
    }
}

/// What the kernel reports of one socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Readiness {
    pub(super) id: ConnId,
    /// The peer has sent all it will, or the socket has failed.
    pub(super) is_closing: bool,
}

/// An epoll instance and its last batch.
pub(super) struct Poll {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poll {
    /// An empty one, for the calling thread, whose waits from now on end on time.
    pub(super) fn new() -> io::Result<Self> {
        // By default the kernel may let a thread oversleep by 50 µs to save wake-ups. Where that
        // cannot be changed, waits are a little longer.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS_MAX),
        })
    }

    /// Reports `socket` as `id` from now until it is closed.
    pub(super) fn add(&self, socket: impl AsFd, id: ConnId) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(
            &self.epoll,
            socket,
            EventData::new_u64(id.pack()),
            flags,
        )?)
    }

    /// Waits for `wait_max` at most, until a socket is ready or a signal comes.
    pub(super) fn wait(&mut self, wait_max: Duration) -> io::Result<()> {
        self.events.clear();
        // A wait too long for the kernel's clock is as good as one without end.
        let timeout = Timespec::try_from(wait_max).ok();
        let events = spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, events, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// How many sockets the last wait found ready.
    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.events.len()
    }

    /// Event `at` of those that the last wait brought.
    #[inline]
    pub(super) fn readiness(&self, at: usize) -> Readiness {
        let event = self.events[at];
        let (flags, data) = (event.flags, event.data);
        Readiness {
            id: ConnId::unpack(data.u64()),
            is_closing: flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR),
        }
    }
}
