//! What the daemon tells of itself to Prometheus. In: what workers and the HTTP thread have counted, and sums of the
//! engine. Out: the text format, version 0.0.4.
//!
//! Everyone counts for itself (`count.rs`), and the scrape adds up, on the HTTP thread: it takes no turn of a
//! worker, and its time follows the number of workers, not that of connections or channels.
//!
//! Never: a label whose values a client can choose.

mod count;
mod exposition;
mod handshakes;
mod process;
mod worker;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use fanfare_hub::EngineInfo;

use crate::clock::Clock;
use crate::exceeded::Exceeded;

pub(crate) use count::Count;
pub(crate) use handshakes::{Handshakes, TlsFailure, TlsVersion};
pub(crate) use worker::{Initiator, Kind, Load, Recovered, Slowness, Worker};

use exposition::Exposition;
use process::Process;

/// What the text is, for `Content-Type`.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything that is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    workers: Box<[Arc<Worker>]>,
    /// Publications that the API accepted.
    pub(crate) api_publications: Count,
    /// Answers of the HTTP thread, by status.
    answers: Mutex<BTreeMap<u16, u64>>,
    handshakes: Arc<Handshakes>,
    clock: Clock,
}

impl Metrics {
    pub(crate) fn new(workers: usize, clock: Clock) -> Self {
        Self {
            workers: (0..workers).map(|_| Arc::default()).collect(),
            api_publications: Count::default(),
            answers: Mutex::default(),
            handshakes: Arc::default(),
            clock,
        }
    }

    /// The same, and those who have sessions of TLS count these.
    pub(crate) fn with_handshakes(self, handshakes: Arc<Handshakes>) -> Self {
        Self { handshakes, ..self }
    }

    /// The numbers of worker `number`, for it alone to write.
    pub(crate) fn worker(&self, number: usize) -> Arc<Worker> {
        Arc::clone(&self.workers[number])
    }

    /// Memory of all that waits for clients to read it; what several wait for is there once.
    pub(crate) fn output_bytes(&self) -> u64 {
        self.sum(Worker::output_bytes)
    }

    /// The HTTP thread has answered a request.
    pub(crate) fn answers(&self, status: u16) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        *answers.entry(status).or_default() += 1;
    }

    /// Everything as text. Without `engine`, which has not answered, what it tells is left out.
    pub(crate) fn expose(&self, engine: Option<EngineInfo>, users: usize) -> String {
        let mut out = Exposition::default();
        self.expose_connections(&mut out, users);
        self.expose_traffic(&mut out);
        self.expose_channels(&mut out, engine);
        self.expose_daemon(&mut out);
        out.text()
    }

    fn sum(&self, of: impl Fn(&Worker) -> u64) -> u64 {
        self.workers.iter().map(|worker| of(worker)).sum()
    }

    /// Each worker with its number, as a label.
    fn numbered(&self) -> impl Iterator<Item = (String, &Worker)> {
        let workers = self.workers.iter().enumerate();
        workers.map(|(n, worker)| (n.to_string(), &**worker))
    }

    fn expose_connections(&self, out: &mut Exposition, users: usize) {
        let mut open = out.gauge(
            "fanfare_connections",
            "Connections of a worker, by what they are at the moment.",
        );
        for (number, worker) in self.numbered() {
            for (kind, name) in Kind::ALL {
                let labels = [("worker", number.as_str()), ("kind", name)];
                open.add(&labels, worker.connections(kind));
            }
        }
        let mut accepted = out.counter(
            "fanfare_connections_accepted_total",
            "Connections that a worker has accepted.",
        );
        for (number, worker) in self.numbered() {
            accepted.add(&[("worker", &number)], worker.accepted.get());
        }
        let mut opened = out.counter(
            "fanfare_connections_opened_total",
            "WebSockets that were opened, by kind.",
        );
        for (kind, name) in Kind::OPENED {
            opened.add(&[("kind", name)], self.sum(|worker| worker.opened(kind)));
        }
        let mut refused = out.counter(
            "fanfare_handshakes_refused_total",
            "Upgrades that were refused, by status; none: gone before there was an answer.",
        );
        let mut by_status: BTreeMap<String, u64> = BTreeMap::new();
        for (status, count) in self.workers.iter().flat_map(|worker| worker.refusals()) {
            *by_status.entry(status).or_default() += count;
        }
        for (status, count) in &by_status {
            refused.add(&[("status", status)], *count);
        }
        self.expose_tls(out);
        self.expose_ends(out);
        out.gauge("fanfare_users", "Users with connections.")
            .add(&[], users as u64);
    }

    fn expose_tls(&self, out: &mut Exposition) {
        let mut completed = out.counter(
            "fanfare_tls_handshakes_total",
            "TLS sessions that began, by version.",
        );
        for (version, name) in TlsVersion::ALL {
            completed.add(&[("version", name)], self.handshakes.completed(version));
        }
        let mut failed = out.counter(
            "fanfare_tls_handshakes_failed_total",
            "TLS handshakes that came to nothing, by cause; alert: the client said no; unfinished: it left or took too long.",
        );
        for (failure, name) in TlsFailure::ALL {
            failed.add(&[("cause", name)], self.handshakes.failed(failure));
        }
    }

    fn expose_ends(&self, out: &mut Exposition) {
        let mut ended = out.counter(
            "fanfare_disconnects_total",
            "WebSockets that were closed, by close code and by who closed them; 1006: without a close.",
        );
        for (initiator, name) in Initiator::ALL {
            let mut by_code: BTreeMap<Option<u16>, u64> = BTreeMap::new();
            for worker in &self.workers {
                for (code, count) in worker.disconnects(initiator).counts() {
                    *by_code.entry(code).or_default() += count;
                }
            }
            for (code, count) in by_code {
                // One in any case, so that the family is there from the start.
                if count > 0 || code == Some(1000) {
                    let code = code.map_or_else(|| "other".to_owned(), |code| code.to_string());
                    ended.add(&[("code", &code), ("initiator", name)], count);
                }
            }
        }
        let mut exceeded = out.counter(
            "fanfare_limits_exceeded_total",
            "How often somebody met a limit, by the key of the config that sets it; descriptors: there were none left.",
        );
        for limit in Exceeded::ALL {
            let labels = [("limit", limit.key())];
            exceeded.add(&labels, self.sum(|worker| worker.exceeded(limit)));
        }
        let mut slow = out.counter(
            "fanfare_slow_closes_total",
            "Clients that were cut off because they read too slowly: too much waited, or nothing was taken.",
        );
        for (slowness, name) in Slowness::ALL {
            slow.add(
                &[("cause", name)],
                self.sum(|worker| worker.slow_closes(slowness)),
            );
        }
    }

    fn expose_traffic(&self, out: &mut Exposition) {
        out.counter(
            "fanfare_received_bytes_total",
            "Bytes that came from clients, request heads and frame headers included.",
        )
        .add(&[], self.sum(|worker| worker.received_bytes.get()));
        out.counter(
            "fanfare_sent_bytes_total",
            "Bytes that the kernel took for clients, frame headers included.",
        )
        .add(&[], self.sum(|worker| worker.sent_bytes.get()));
        out.counter(
            "fanfare_received_messages_total",
            "Data messages of sessions and of raw clients; not those of /echo.",
        )
        .add(&[], self.sum(|worker| worker.received_messages.get()));
        let mut sent = out.counter(
            "fanfare_sent_messages_total",
            "Messages for clients; delivery: publications, joins and leaves; reply: all else of a session.",
        );
        sent.add(
            &[("type", "delivery")],
            self.sum(|worker| worker.deliveries.get()),
        );
        sent.add(
            &[("type", "reply")],
            self.sum(|worker| worker.replies.get()),
        );
        out.counter(
            "fanfare_deflate_messages_total",
            "Messages that were compressed: what many are told once a worker and window size.",
        )
        .add(&[], self.sum(|worker| worker.deflated.get()));
        let mut contexts = out.gauge(
            "fanfare_deflate_contexts",
            "Contexts of permessage-deflate: compressors, messages that have begun to come, clients that keep their window.",
        );
        for n in 0..3 {
            let name = self.workers[0].contexts()[n].0;
            contexts.add(&[("for", name)], self.sum(|worker| worker.contexts()[n].1));
        }
        out.gauge(
            "fanfare_deflate_half_received_bytes",
            "Memory of what messages that have begun to come were inflated to so far: max_half_received_bytes is its limit.",
        )
        .add(&[], self.sum(|worker| worker.half_received_bytes.get()));
        out.gauge(
            "fanfare_output_queued_bytes",
            "Bytes that wait for slow readers.",
        )
        .add(&[], self.sum(Worker::queued_bytes));
        out.gauge(
            "fanfare_output_pinned_bytes",
            "Memory that they keep: what several wait for counts for each.",
        )
        .add(&[], self.sum(Worker::pinned_bytes));
        out.gauge(
            "fanfare_output_memory_bytes",
            "The same, with what several wait for once: max_output_bytes_in_all is its limit.",
        )
        .add(&[], self.output_bytes());
        let mut published = out.counter(
            "fanfare_publications_total",
            "Publications, by who published: of the API what was accepted, of clients what they asked for.",
        );
        published.add(&[("source", "api")], self.api_publications.get());
        published.add(
            &[("source", "client")],
            self.sum(|worker| worker.publications.get()),
        );
        let mut flush = out.histogram(
            "fanfare_publication_flush_seconds",
            "From a publication to the end of its fan-out in a worker, once a publication and worker with subscribers.",
        );
        for (number, worker) in self.numbered() {
            flush.add(&[("worker", &number)], &worker.flush);
        }
    }

    fn expose_channels(&self, out: &mut Exposition, engine: Option<EngineInfo>) {
        let mut subscriptions = out.gauge(
            "fanfare_subscriptions",
            "Subscriptions of a worker's clients.",
        );
        for (number, worker) in self.numbered() {
            subscriptions.add(&[("worker", &number)], worker.subscriptions.get());
        }
        let mut recovered = out.counter(
            "fanfare_recoveries_total",
            "Subscribers that came back to where they were: whether they got all that they had missed.",
        );
        for (how, name) in Recovered::ALL {
            recovered.add(
                &[("result", name)],
                self.sum(|worker| worker.recoveries(how)),
            );
        }
        out.counter(
            "fanfare_insufficient_total",
            "Subscriptions that ended because they had missed something.",
        )
        .add(&[], self.sum(|worker| worker.insufficient.get()));
        out.counter(
            "fanfare_events_lost_total",
            "Joins and leaves that a worker's inbox had no room for.",
        )
        .add(&[], self.sum(|worker| worker.events_lost.get()));
        let Some(engine) = engine else {
            return;
        };
        for (name, help, value) in [
            (
                "fanfare_channels",
                "Channels with subscribers.",
                engine.channels,
            ),
            (
                "fanfare_channels_kept",
                "Channels of which anything is remembered.",
                engine.channels_kept,
            ),
            (
                "fanfare_history_publications",
                "Publications in histories.",
                engine.publications,
            ),
            ("fanfare_history_bytes", "Their payloads.", engine.bytes),
        ] {
            out.gauge(name, help).add(&[], value);
        }
    }

    fn expose_daemon(&self, out: &mut Exposition) {
        let mut turns = out.histogram(
            "fanfare_worker_turn_seconds",
            "How long a worker was busy from one wait for news to the next.",
        );
        for (number, worker) in self.numbered() {
            turns.add(&[("worker", &number)], &worker.turns);
        }
        let mut answered = out.counter(
            "fanfare_http_requests_total",
            "Requests of plain HTTP, by status.",
        );
        {
            let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            let others = answers.iter().filter(|(status, _)| **status != 200);
            let successes = answers.get(&200).copied().unwrap_or_default();
            for (status, count) in others.chain([(&200, &successes)]) {
                answered.add(&[("status", &status.to_string())], *count);
            }
        }
        out.gauge("fanfare_build_info", "1, with the version as a label.")
            .add(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        let process = Process::look();
        out.counter(
            "process_cpu_seconds_total",
            "CPU time of the process, the kernel's for it included.",
        )
        .add_seconds(&[], process.cpu_seconds);
        out.gauge(
            "process_start_time_seconds",
            "When the process began, since the Unix epoch.",
        )
        .add_seconds(&[], self.clock.began_at_seconds());
        for (name, help, value) in [
            (
                "process_resident_memory_bytes",
                "Memory that is resident.",
                process.resident_bytes,
            ),
            (
                "process_open_fds",
                "Descriptors that are open (Linux 6.2 and later).",
                process.open_descriptors,
            ),
            (
                "process_max_fds",
                "Descriptors that may be.",
                process.descriptors_max,
            ),
        ] {
            if let Some(value) = value {
                out.gauge(name, help).add(&[], value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
