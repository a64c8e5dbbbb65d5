//! What wakes a worker for its deadlines. In: the next one. Out: an event of its poller, then.
//!
//! A timerfd instead of `poll`'s timeout, which the kernel sets up and tears down at each wait. No gain
//! was measured for it: seven interleaved pairs at one message in flight gave 1.119 of the ceiling's CPU
//! with it and 1.109 without, within their spread. It could go.
//!
//! Never: wakes later than asked; wakes early only for a deadline that has moved since.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::clock::Time;

#[derive(Debug)]
pub(crate) struct Alarm {
    timer: OwnedFd,
    /// When the event comes.
    set_for: Time,
}

impl Alarm {
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self {
            timer,
            set_for: Time::NEVER,
        })
    }

    /// The event has come.
    pub(crate) const fn rang(&mut self) {
        self.set_for = Time::NEVER;
    }

    /// Sees to it that the event comes by `at`.
    #[inline]
    pub(crate) fn set(&mut self, at: Time, now: Time) -> io::Result<()> {
        if at >= self.set_for {
            return Ok(());
        }
        // Zero would disarm it.
        let delay = at.since(now).max(Duration::from_nanos(1));
        let timer = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec::try_from(delay).map_err(|_| io::ErrorKind::InvalidInput)?,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &timer)?;
        self.set_for = at;
        Ok(())
    }
}
