//! How far a connection has come, and its times. In: what was read and written, and the clock where a time is
//! configured. Out: whether it goes on, and how it ends.
//!
//! Never: makes a timer that nobody asked for; ends for a broken rule without telling the peer which, if it lets us.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use fanfare_codec::{CloseFrame, ProtocolError, Role};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::link::{Link, Side};
use crate::outgoing::KEEP_ALIVE;
use crate::pool::{self, Size};
use crate::{Config, Error};

#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) phase: Phase,
    stage: Stage,
    times: Times,
    timer: Option<Timer>,
    /// Set once the end has taken too long: what is here already is still given, and nothing more is read.
    pub(crate) over: Option<Due>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Phase {
    Open,
    /// The peer has closed, and our answer is written.
    Closed,
    /// The peer has broken a rule, and the close that says so is written.
    Failing(ProtocolError),
    /// The peer sends nothing more, and has not closed.
    Cut,
    Ended,
}

/// What is left to do at the end.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Drain,
    Shutdown,
    /// Until the peer has gone, too: a socket that is dropped with bytes unread takes back what it has sent.
    Discard,
}

#[derive(Clone, Copy, Debug)]
struct Times {
    ping: Option<Duration>,
    idle: Option<Duration>,
    close: Option<Duration>,
}

#[derive(Debug)]
struct Timer {
    sleep: Pin<Box<Sleep>>,
    /// It is for the end, and no more for what comes.
    is_for_end: bool,
    heard_at: Instant,
    pinged_at: Instant,
    /// So many of [`Outgoing::keep_alive`](crate::outgoing::Outgoing::keep_alive)'s pings are not answered yet.
    awaited_pongs: u32,
}

/// Between two pings.
const PING_MIN: Duration = Duration::from_millis(1);

/// A time that has come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Due {
    Idle,
    End,
}

impl Life {
    pub(crate) const fn new(config: &Config) -> Self {
        Self {
            phase: Phase::Open,
            stage: Stage::Drain,
            times: Times {
                ping: config.ping_interval,
                idle: config.idle_timeout,
                close: config.close_timeout,
            },
            timer: None,
            over: None,
        }
    }

    /// Something has come.
    #[inline]
    pub(crate) fn hear(&mut self) {
        if let Some(timer) = &mut self.timer {
            timer.heard_at = Instant::now();
        }
    }

    /// Whether a pong answers a ping that was sent to see whether the peer is alive, and means nothing else.
    pub(crate) fn takes_pong(&mut self, payload: &[u8]) -> bool {
        let Some(timer) = &mut self.timer else {
            return false;
        };
        if payload != KEEP_ALIVE || timer.awaited_pongs == 0 {
            return false;
        }
        timer.awaited_pongs -= 1;
        true
    }

    /// The peer's close was answered.
    pub(crate) const fn close(&mut self) {
        self.phase = Phase::Closed;
        self.stage = Stage::Drain;
    }

    /// The peer has gone without a close, or sends nothing more.
    #[cold]
    pub(crate) const fn cut(&mut self) {
        self.phase = Phase::Cut;
        self.stage = Stage::Drain;
    }

    /// The peer has broken a rule: it is told.
    #[cold]
    pub(crate) fn fail<S>(&mut self, error: ProtocolError, link: &mut Link<S>) {
        self.phase = Phase::Failing(error);
        self.stage = Stage::Drain;
        let reason = error.to_string();
        link.close(CloseFrame::new(error.close_code(), &reason).ok());
    }

    /// Whether a time has come; pings the peer when it is time for that. `is_closing`: only the end is waited for.
    #[inline]
    pub(crate) fn poll_due<S>(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link<S>,
        is_closing: bool,
    ) -> Poll<Due> {
        let Times { ping, idle, close } = self.times;
        if (is_closing && close.is_none()) || (!is_closing && ping.is_none() && idle.is_none()) {
            return Poll::Pending;
        }
        self.poll_timer(cx, link, is_closing)
    }

    fn poll_timer<S>(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link<S>,
        is_closing: bool,
    ) -> Poll<Due> {
        let Times { ping, idle, close } = self.times;
        let mut now = Instant::now();
        let timer = self.timer.get_or_insert_with(|| Timer {
            sleep: Box::pin(tokio::time::sleep_until(now)),
            is_for_end: false,
            heard_at: now,
            pinged_at: now,
            awaited_pongs: 0,
        });
        if is_closing && !timer.is_for_end {
            timer.is_for_end = true;
            let at = after(now, close.unwrap_or_default());
            timer.sleep.as_mut().reset(at);
        }
        loop {
            // A peer that sends without end may keep the runtime's clock from waking anybody.
            if timer.sleep.deadline() > now {
                ready!(timer.sleep.as_mut().poll(cx));
            }
            if timer.is_for_end {
                return Poll::Ready(Due::End);
            }
            now = now.max(Instant::now());
            let idle_at = idle.map(|idle| after(timer.heard_at, idle));
            if idle_at.is_some_and(|at| at <= now) {
                return Poll::Ready(Due::Idle);
            }
            let ping_at = |timer: &Timer| {
                ping.map(|ping| after(timer.heard_at.max(timer.pinged_at), ping.max(PING_MIN)))
            };
            if ping_at(timer).is_some_and(|at| at <= now) {
                timer.pinged_at = now;
                timer.awaited_pongs += u32::from(link.outgoing.keep_alive());
            }
            let next = [idle_at, ping_at(timer)].into_iter().flatten().min();
            timer.sleep.as_mut().reset(next.unwrap_or(now));
        }
    }

    /// Lets what is written leave, and waits for the peer to go where that is right, no longer than it may take.
    ///
    /// Whatever the time, what the transport takes at once leaves.
    pub(crate) fn poll_end<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link<S>,
    ) -> Poll<()> {
        // First: a peer that sends without end uses up what a task may do in one poll, and timers count, too.
        let due = self.poll_due(cx, link, true);
        let ended = self.poll_stages(cx, link);
        if due.is_ready() {
            Poll::Ready(())
        } else {
            ended
        }
    }

    fn poll_stages<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link<S>,
    ) -> Poll<()> {
        let is_closed = self.phase == Phase::Closed;
        let is_client = link.outgoing.role() == Role::Client;
        loop {
            self.stage = match self.stage {
                Stage::Drain => match ready!(link.poll_drain(cx, Side::Reader)) {
                    Err(_) => return Poll::Ready(()),
                    // The server ends first (RFC 6455 §7.1.1).
                    Ok(()) if is_closed && is_client => Stage::Discard,
                    Ok(()) => Stage::Shutdown,
                },
                Stage::Shutdown => match ready!(link.poll_shutdown(cx, Side::Reader)) {
                    Ok(()) if !is_closed => Stage::Discard,
                    _ => return Poll::Ready(()),
                },
                Stage::Discard => return poll_discard(cx, &mut link.io),
            };
        }
    }
}

/// A time that far ahead, or so far that nobody sees it.
fn after(now: Instant, time: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
    now.checked_add(time).unwrap_or_else(|| now + NEVER)
}

/// Reads until the peer has gone.
fn poll_discard<S: AsyncRead + Unpin>(cx: &mut Context<'_>, io: &mut S) -> Poll<()> {
    let mut buffer = pool::take(Size::default());
    let polled = loop {
        let mut into = ReadBuf::new(&mut buffer);
        match Pin::new(&mut *io).poll_read(cx, &mut into) {
            Poll::Pending => break Poll::Pending,
            Poll::Ready(Ok(())) if !into.filled().is_empty() => {}
            Poll::Ready(_) => break Poll::Ready(()),
        }
    };
    pool::give(&mut buffer);
    polled
}

impl From<Due> for Error {
    fn from(due: Due) -> Self {
        match due {
            Due::Idle => Self::IdleTimeout,
            Due::End => Self::CloseTimeout,
        }
    }
}
