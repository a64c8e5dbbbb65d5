//! What a run comes to. In: one measurement after another, on each thread. Out: sums, quantiles and
//! rates.
//!
//! A scenario names what it counts ([`Counter`]) and what durations it records ([`Measure`]); those it
//! never names do not exist in its [`Tally`], and its report says nothing of them.
//!
//! Never: measures, prints.

mod faults;
mod rounds;
mod spectrum;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::client::Savings;
pub(crate) use faults::Faults;
pub(crate) use rounds::{Round, Rounds};
pub(crate) use spectrum::{Quantiles, Spectrum};

/// What is counted while a run is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counter {
    /// Messages answered, byte for byte; received, where nothing is answered.
    Messages,
    /// Their payload bytes.
    PayloadBytes,
    /// Publications sent.
    Publications,
    /// Those that reached everybody whom they were for.
    PublicationsComplete,
    /// Those whose deliveries could not be followed to the end, for lack of room.
    PublicationsGivenUp,
    /// Connections that were upgraded.
    Handshakes,
    /// Messages on connections that read slowly on purpose.
    SlowMessages,
    /// Of those connections, the ones that the server ended.
    SlowClosed,
    /// Subscribers cut, in the whole run.
    Cuts,
    /// Subscribers that came back to where they stood, after a cut or after they were told.
    Resumes,
    /// Subscribers that the server told that they missed something, in the whole run.
    Told,
    /// Subscribers that never read and that the server ended, in the whole run.
    StalledClosed,
}

/// Durations that are recorded while a run is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// From when a message was sent, or should have been, to when its answer was there.
    Latency,
    /// From when a message should have been sent to when it was (open loop).
    SendLag,
    /// How long what has arrived may have waited for this client: the time from the first receive of a
    /// turn to its end.
    LoopLag,
    /// Of each publication: from when it should have been sent to its first delivery.
    DeliveryFirst,
    /// To when half of its deliveries were there.
    DeliveryMedian,
    /// To when 99 in 100 were.
    DeliveryP99,
    /// To its last.
    DeliveryLast,
    /// From just before a socket was made, or should have been, to when the 101 was there.
    Handshake,
    /// From just before a socket was made to when TCP had connected it.
    Connect,
    /// From there to the end of the TLS handshake; not with `ws`.
    Tls,
    /// From there to when the 101 was there.
    Upgrade,
    /// From when the 101 was there to the end of the first message.
    FirstMessage,
    /// From the end of one message to the end of the next, on one connection.
    Gap,
    /// From when a connection began to read slowly to when the server had ended it.
    SlowClosed,
    /// From when a subscriber was to connect again to when the 101, or the answer to its subscription, was
    /// there.
    Reconnect,
}

impl Counter {
    const COUNT: usize = Self::StalledClosed as usize + 1;
}

impl Measure {
    const COUNT: usize = Self::Reconnect as usize + 1;
}

/// What one thread counts.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counters: [u64; Counter::COUNT],
    spectra: [Option<Box<Spectrum>>; Measure::COUNT],
    /// From the first connection to the last goodbye, warm-up included.
    pub(crate) faults: Faults,
    /// Of a storm.
    pub(crate) rounds: Rounds,
    /// How often the server ended a connection with which code, where that is no fault.
    pub(crate) close_codes: BTreeMap<u16, u64>,
    /// What compression came to, if it was offered.
    pub(crate) deflate: Option<Savings>,
    /// CPU of the thread while the run was measured.
    pub(crate) cpu: Duration,
    /// How long that was; of several threads the sum, as with `cpu`.
    pub(crate) cpu_span: Duration,
}

impl Tally {
    /// Counts `more`.
    #[inline]
    pub(crate) const fn add(&mut self, counter: Counter, more: u64) {
        self.counters[counter as usize] += more;
    }

    /// How many were counted, which begin again at none.
    pub(crate) const fn take(&mut self, counter: Counter) -> u64 {
        std::mem::replace(&mut self.counters[counter as usize], 0)
    }

    /// Records one duration.
    #[inline]
    pub(crate) fn record(&mut self, measure: Measure, ns: u64) {
        self.spectra[measure as usize]
            .get_or_insert_with(|| Box::new(Spectrum::new()))
            .record(ns);
    }

    /// How many were counted.
    pub(crate) const fn count(&self, counter: Counter) -> u64 {
        self.counters[counter as usize]
    }

    /// What was recorded; `None` if nothing was.
    pub(crate) fn spectrum(&self, measure: Measure) -> Option<&Spectrum> {
        self.spectra[measure as usize].as_deref()
    }

    /// Quantiles of what was recorded; `None` if nothing was.
    pub(crate) fn quantiles(&self, measure: Measure) -> Option<Quantiles> {
        self.spectrum(measure).and_then(Spectrum::quantiles)
    }

    /// Adds what another thread counted.
    pub(crate) fn merge(&mut self, other: Self) {
        for (count, more) in self.counters.iter_mut().zip(other.counters) {
            *count += more;
        }
        for (ours, theirs) in self.spectra.iter_mut().zip(other.spectra) {
            match (ours, theirs) {
                (Some(ours), Some(theirs)) => ours.merge(&theirs),
                (ours @ None, theirs) => *ours = theirs,
                (Some(_), None) => {}
            }
        }
        self.faults.merge(other.faults);
        self.rounds.merge(other.rounds);
        for (code, more) in other.close_codes {
            *self.close_codes.entry(code).or_default() += more;
        }
        if let Some(more) = other.deflate {
            self.deflate.get_or_insert_default().add(more);
        }
        self.cpu += other.cpu;
        self.cpu_span += other.cpu_span;
    }
}

/// `count` in `duration`, a second; 0 if there was no time.
pub(crate) fn per_second(count: f64, duration: Duration) -> f64 {
    if duration.is_zero() {
        0.0
    } else {
        count / duration.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_merge_into_one() {
        let (mut one, mut other) = (Tally::default(), Tally::default());
        one.add(Counter::Messages, 2);
        one.record(Measure::Latency, 1_000);
        other.add(Counter::Messages, 3);
        other.record(Measure::Latency, 3_000);
        other.record(Measure::SendLag, 7_000);
        one.merge(other);
        assert_eq!(one.count(Counter::Messages), 5);
        let latency = one.quantiles(Measure::Latency).expect("two were recorded");
        assert!((latency.min - 1.0).abs() < 0.01 && (latency.max - 3.0).abs() < 0.01);
        assert!(one.quantiles(Measure::SendLag).is_some());
        assert!(one.quantiles(Measure::LoopLag).is_none());
    }

    #[test]
    fn no_time_has_no_rate() {
        assert!(per_second(0.0, Duration::ZERO).abs() < f64::EPSILON);
    }
}
