//! The echo scenario: every message comes back as it was sent. In: connections, a message size and a
//! depth. Out: what was answered, how fast, and what was not.
//!
//! A closed loop: each connection keeps `depth` messages in flight and sends the next when one is
//! answered. So a server that stalls is also asked less, and its stall weighs little in the quantiles.
//! Latency runs from just before the send call that carries the message to just after the receive
//! call that brings the end of its reply.
//!
//! Never: prints, touches a socket.

use std::io;
use std::time::Duration;

use fanfare_codec::MessageKind;

use super::window::{Reply, Window};
use super::{Crew, Outcome, Schedule, Share, Timing};
use crate::client::{Clients, Dial, Handler, Opening, Outbox, Piece};
use crate::clock::{Nanos, thread_cpu};
use crate::fault::{Fault, FaultClass};
use crate::observe::Server;
use crate::payload::{Comparison, Corpus, Series};
use crate::stats::Tally;

/// Connections that one thread makes at the same time.
const OPENING_MAX: usize = 128;

/// The longest wait in the kernel, so that Ctrl-C and timeouts are noticed.
const TICK: Duration = Duration::from_millis(50);

/// The wait in the kernel while other threads are not ready.
const START_TICK: Duration = Duration::from_millis(1);

/// What to run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) dial: Dial,
    pub(crate) connections: usize,
    pub(crate) threads: usize,
    pub(crate) kind: MessageKind,
    /// Bytes of each message.
    pub(crate) size: usize,
    /// Messages in flight on each connection.
    pub(crate) depth: usize,
    pub(crate) timing: Timing,
}

/// Runs `plan` to its end.
///
/// # Errors
///
/// When the OS gives no thread, no poll instance or no random bytes.
pub(crate) fn run(plan: &Plan, crew: &Crew, server: Option<&Server>) -> io::Result<Outcome> {
    let mut random = os_seeded()?;
    let corpus = Corpus::new(plan.kind, plan.size, &mut random);
    super::run(crew, plan.threads, plan.timing, server, |thread, ready| {
        let first = plan.connections * thread / plan.threads;
        let count = plan.connections * (thread + 1) / plan.threads - first;
        let mut echo = Echo::new(plan, &corpus, first, count, &mut os_seeded()?);
        let mut clients = Clients::new(&plan.dial, first..first + count, crew.clock, os_seeded()?)?;
        echo.open(&mut clients, crew)?;
        ready();
        echo.load(&mut clients, crew)
    })
}

/// A fast generator that starts where nobody can guess.
fn os_seeded() -> io::Result<fastrand::Rng> {
    let mut seed = [0; 8];
    rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())?;
    Ok(fastrand::Rng::with_seed(u64::from_ne_bytes(seed)))
}

/// The connections of one thread.
struct Echo<'a> {
    dial: &'a Dial,
    corpus: &'a Corpus,
    timing: Timing,
    /// The number, in the whole run, of this thread's connection 0.
    first: usize,
    sessions: Vec<Session>,
    /// `None` until all threads are ready.
    schedule: Option<Schedule>,
    /// From the start, whenever this thread takes notice of it, to the end of the measurement: so the
    /// first windows are sent even in a run that is over at once.
    is_sending: bool,
    tally: Tally,
}

/// What an echo connection remembers; two cache lines and the times in its window.
#[repr(align(64))]
struct Session {
    series: Series,
    window: Window,
    comparison: Comparison,
}

const _: () = assert!(size_of::<Session>() <= 128);

impl<'a> Echo<'a> {
    fn new(
        plan: &'a Plan,
        corpus: &'a Corpus,
        first: usize,
        count: usize,
        random: &mut fastrand::Rng,
    ) -> Self {
        let session = || Session {
            series: Corpus::series(random),
            window: Window::new(plan.depth),
            comparison: Comparison::new(),
        };
        Self {
            dial: &plan.dial,
            corpus,
            timing: plan.timing,
            first,
            sessions: std::iter::repeat_with(session).take(count).collect(),
            schedule: None,
            is_sending: false,
            tally: Tally::new(),
        }
    }

    /// Makes all connections; comes back when each is open or has failed.
    fn open(&mut self, clients: &mut Clients<'_>, crew: &Crew) -> io::Result<()> {
        let timeout = self.timing.timeout;
        let route = self.dial.route();
        let mut begun = 0;
        while (begun < self.sessions.len() || clients.opening() > 0) && !crew.is_stopped() {
            while begun < self.sessions.len() && clients.opening() < OPENING_MAX {
                clients.connect(begun, route, self);
                begun += 1;
            }
            let now = clients.turn(TICK.min(timeout), self)?;
            clients.expire(now, timeout, self);
        }
        Ok(())
    }

    /// Waits for the other threads, then warms up, measures and waits for the last replies.
    fn load(mut self, clients: &mut Clients<'_>, crew: &Crew) -> io::Result<Share> {
        while self.schedule.is_none() && clients.live() > 0 && !crew.is_stopped() {
            clients.turn(START_TICK, &mut self)?;
            self.schedule = crew.schedule();
        }
        let mut ended = crew.clock.now();
        if let Some(schedule) = self.schedule {
            self.is_sending = true;
            for conn in 0..self.sessions.len() {
                clients.refill(conn, &mut self);
            }
            self.turn_until(schedule.from, clients, crew)?;
            let cpu_before = thread_cpu();
            ended = self.turn_until(schedule.until, clients, crew)?;
            self.tally.cpu = thread_cpu().saturating_sub(cpu_before);
            self.is_sending = false;
            self.drain(clients, crew)?;
        }
        clients.close_all();
        Ok(Share {
            tally: self.tally,
            ended,
        })
    }

    /// Keeps the load up until `mark`, Ctrl-C or the loss of the last connection; tells the time.
    fn turn_until(
        &mut self,
        mark: Nanos,
        clients: &mut Clients<'_>,
        crew: &Crew,
    ) -> io::Result<Nanos> {
        let mut now = crew.clock.now();
        let mut next_expiry = now.after(self.expiry_tick());
        while now < mark && clients.live() > 0 && !crew.is_stopped() {
            let wait = mark.min(next_expiry).duration_since(now).min(TICK);
            now = clients.turn(wait, self)?;
            if now >= next_expiry {
                self.expire(now, clients);
                next_expiry = now.after(self.expiry_tick());
            }
        }
        Ok(now)
    }

    /// Waits until every message is answered or overdue.
    fn drain(&mut self, clients: &mut Clients<'_>, crew: &Crew) -> io::Result<()> {
        let tick = self.expiry_tick().min(TICK);
        while !crew.is_stopped() && self.sessions.iter().any(|s| !s.window.is_empty()) {
            let now = clients.turn(tick, self)?;
            self.expire(now, clients);
        }
        Ok(())
    }

    /// How exactly timeouts are kept.
    fn expiry_tick(&self) -> Duration {
        self.timing.timeout / 10
    }

    /// Counts messages that have waited too long; others take their places.
    fn expire(&mut self, now: Nanos, clients: &mut Clients<'_>) {
        let timeout = self.timing.timeout;
        for conn in 0..self.sessions.len() {
            let expired = self.sessions[conn].window.expire(now, timeout);
            for _ in 0..expired {
                self.count(
                    conn,
                    FaultClass::Timeout,
                    &format!("no reply in {timeout:?}"),
                );
            }
            if expired > 0 {
                clients.refill(conn, self);
            }
        }
    }

    #[cold]
    fn count(&mut self, conn: usize, class: FaultClass, what: &str) {
        let number = self.first + conn;
        let detail = format_args!("connection {number}: {what}");
        self.tally.faults.add(Fault::new(class, detail));
    }

    #[inline]
    fn answered(&mut self, sent_at: Nanos, now: Nanos) {
        if self.schedule.is_some_and(|s| s.covers(now)) {
            self.tally.answered(now.since(sent_at));
        }
    }

    /// The way of a reply that came in pieces, or is not the one expected.
    fn compare(&mut self, conn: usize, now: Nanos, piece: &Piece<'_>) {
        let session = &mut self.sessions[conn];
        let series = session.series;
        if piece.offset == 0 {
            session.comparison = Comparison::new();
        }
        let comparison = &mut session.comparison;
        comparison.push(self.corpus, series, piece.kind, piece.offset, piece.data);
        if !piece.ends_message {
            return;
        }
        let len = piece.offset.saturating_add(piece.data.len() as u64);
        let seq_bits = comparison.finish(self.corpus, series, len);
        let fault = match session.window.reply(seq_bits, self.corpus.seq_mask()) {
            Reply::Answer(sent_at) => return self.answered(sent_at, now),
            Reply::Late => return,
            Reply::Changed => "a reply is not what was sent",
            Reply::Repeated => "a reply came twice",
            Reply::OutOfOrder => "a reply came out of order",
            Reply::Unasked => "a message came that answers nothing",
        };
        self.count(conn, FaultClass::Mismatch, fault);
    }
}

impl Handler for Echo<'_> {
    fn opened(&mut self, _conn: usize, _opening: &Opening<'_>) {}

    #[inline]
    fn data(&mut self, conn: usize, now: Nanos, piece: &Piece<'_>) {
        let session = &mut self.sessions[conn];
        if piece.offset == 0
            && piece.ends_message
            && piece.kind == self.corpus.kind()
            && let Some(seq) = session.window.expected()
            && self.corpus.is_message(session.series, seq, piece.data)
        {
            let sent_at = session.window.answer_expected();
            self.answered(sent_at, now);
        } else {
            self.compare(conn, now, piece);
        }
    }

    #[inline]
    fn refill(&mut self, conn: usize, now: Nanos, out: &mut Outbox) {
        if !self.is_sending {
            return;
        }
        let Session { series, window, .. } = &mut self.sessions[conn];
        let tail = self.corpus.tail(*series);
        for _ in 0..window.room() {
            let word = self.corpus.word(*series, window.send(now));
            out.message(self.corpus.kind(), &word[..self.corpus.word_len()], tail);
        }
    }

    fn lost(&mut self, conn: usize, fault: Fault) {
        self.sessions[conn].window = Window::new(1);
        self.count(conn, fault.class, &fault.detail);
    }
}
