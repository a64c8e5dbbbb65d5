//! Publishers over HTTP. In: where to post and when. Out: publications, each a POST of its own, and
//! what became of them.
//!
//! Each publisher is a thread with one connection that is kept alive. It posts at the intended times
//! whatever the answers take; what it posts late, because an answer took longer than the time to the
//! next, is late from the intended time on and shows as send lag. What is still due when the timeout has
//! passed after the end is a fault of class `refused`: the server did not take it.
//!
//! Never: touches a WebSocket.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ureq::Agent;

use super::Shared;
use super::bursts::{Bursts, Due};
use crate::clock::{Clock, Nanos, thread_cpu};
use crate::fault::{Fault, FaultClass};
use crate::payload::{STAMP_BYTES, Stamp};
use crate::stats::{Counter, Measure, Tally};

/// What stands for a payload in a body.
pub(crate) const PAYLOAD: &str = "{payload}";

/// What stands for its base64 (RFC 4648 §4).
pub(crate) const BASE64_PAYLOAD: &str = "{b64payload}";

/// The base64 of a payload is that of its parts: none is padded but the last.
const _: () = assert!(STAMP_BYTES.is_multiple_of(3));

/// The longest sleep, so that the end is noticed.
const NAP: Duration = Duration::from_millis(20);

/// Where and how to post.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    /// A URL, in which `{channel}` stands for the channel.
    pub(crate) url: String,
    /// Names and values.
    pub(crate) headers: Vec<(String, String)>,
    /// A body in which `{channel}` stands for the channel, and `{payload}` for the payload or
    /// `{b64payload}` for its base64; without it the body is the payload.
    pub(crate) template: Option<String>,
    pub(crate) timeout: Duration,
}

/// One publisher.
pub(super) struct Poster {
    shared: Arc<Shared>,
    post: Arc<Post>,
    clock: Clock,
    bursts: Bursts,
    letters: Vec<Letter>,
    agent: Agent,
    body: Vec<u8>,
    base64: String,
    tally: Tally,
}

/// What the publications of one series have in common.
struct Letter {
    series: usize,
    url: String,
    /// What stands before and behind the payload.
    head: String,
    tail: String,
    /// The payload is to be told in base64.
    is_base64: bool,
}

impl Poster {
    /// Publisher `number` of the run.
    pub(super) fn new(
        shared: Arc<Shared>,
        post: Arc<Post>,
        number: usize,
        clock: Clock,
        bursts: Bursts,
    ) -> Self {
        let letters = shared
            .layout
            .series_of_publisher(number)
            .into_iter()
            .map(|series| {
                let channel = &shared.channels[shared.layout.channel_of_series(series)];
                let template = post.template.as_deref().unwrap_or(PAYLOAD);
                let plain = template.split_once(PAYLOAD);
                let parts = plain.or_else(|| template.split_once(BASE64_PAYLOAD));
                let (head, tail) = parts.unwrap_or((template, ""));
                Letter {
                    series,
                    url: post.url.replace("{channel}", channel),
                    head: head.replace("{channel}", channel),
                    tail: tail.replace("{channel}", channel),
                    is_base64: plain.is_none(),
                }
            })
            .collect();
        let config = Agent::config_builder()
            .timeout_global(Some(post.timeout))
            .max_redirects(0)
            .proxy(None)
            .build();
        Self {
            shared,
            post,
            clock,
            bursts,
            letters,
            agent: config.into(),
            body: Vec::new(),
            base64: String::new(),
            tally: Tally::default(),
        }
    }

    /// Posts what is due before `until`; what is late then, for the timeout at most. It stops at once
    /// when no thread of the run is left before.
    pub(super) fn run(mut self, until: Nanos) -> Tally {
        // Else the kernel may wake this thread 50 µs late; if it refuses, the send lag tells.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        let last = until.after(self.post.timeout);
        let mut before = None;
        // The first burst is of letter 0.
        let mut letter = self.letters.len() - 1;
        loop {
            let now = self.clock.now();
            let due = self.bursts.next();
            let is_cut_short = now < until && !self.shared.ledger.is_running();
            if due >= until || is_cut_short {
                break;
            }
            if now >= last {
                self.give_up_overdue(until);
                break;
            }
            let Some(Due {
                intended,
                begins_burst,
            }) = self.bursts.take_due(now)
            else {
                thread::sleep(due.duration_since(now).min(NAP));
                continue;
            };
            if begins_burst {
                letter = (letter + 1) % self.letters.len();
            }
            let is_measured = self.shared.is_measured(intended);
            if is_measured {
                before.get_or_insert_with(|| (now, thread_cpu()));
                self.tally.record(Measure::SendLag, now.since(intended));
            }
            self.publish(letter, intended, is_measured);
        }
        if let Some((began, cpu)) = before {
            self.tally.cpu = thread_cpu().saturating_sub(cpu);
            self.tally.cpu_span = self.clock.now().duration_since(began);
        }
        std::mem::take(&mut self.tally)
    }

    /// Counts what was due before `until` and is not posted.
    fn give_up_overdue(&mut self, until: Nanos) {
        let mut given_up = 0;
        while self.bursts.next() < until && self.bursts.take_due(until).is_some() {
            given_up += 1;
        }
        let timeout = self.post.timeout;
        let detail = format_args!(
            "POST {}: due and not begun {timeout:?} after the end: answers take too long for the rate",
            self.post.url
        );
        let fault = Fault::new(FaultClass::Refused, detail);
        self.tally.faults.add_many(given_up, fault);
    }

    fn publish(&mut self, letter: usize, intended: Nanos, is_measured: bool) {
        let letter = &self.letters[letter];
        let seq = self.shared.ledger.publish(letter.series);
        let stamp = Stamp {
            series: super::narrow(letter.series),
            seq,
            intended,
        };
        let (front, filler) = self.shared.stamps.publication(stamp);
        self.body.clear();
        self.body.extend_from_slice(letter.head.as_bytes());
        for part in [&front[..], filler] {
            if letter.is_base64 {
                self.base64.clear();
                STANDARD.encode_string(part, &mut self.base64);
                self.body.extend_from_slice(self.base64.as_bytes());
            } else {
                self.body.extend_from_slice(part);
            }
        }
        self.body.extend_from_slice(letter.tail.as_bytes());
        match self.send(letter) {
            Ok(()) if is_measured => self.tally.add(Counter::Publications, 1),
            Ok(()) => {}
            Err(error) => {
                self.shared.ledger.fail(letter.series, seq);
                let detail = format_args!("POST {}: {error}", letter.url);
                let fault = Fault::new(FaultClass::Refused, detail);
                self.tally.faults.add(fault);
            }
        }
    }

    fn send(&self, letter: &Letter) -> Result<(), ureq::Error> {
        let mut request = self.agent.post(&letter.url);
        for (name, value) in &self.post.headers {
            request = request.header(name, value);
        }
        let mut response = request.send(&self.body[..])?;
        let status = response.status();
        if !status.is_success() {
            return Err(ureq::Error::StatusCode(status.as_u16()));
        }
        // A connection whose answer is not read whole is not used again.
        response.body_mut().read_to_vec().map(drop)
    }
}

impl Drop for Poster {
    /// However it ends, nobody waits for it any more.
    fn drop(&mut self) {
        self.shared.ledger.stop_posting();
    }
}
