//! What a report tells of publications. In: a [`Report`]. Out: lines for people and keys for programs.
//!
//! Never: leaves out a key; in other scenarios they are null.

use std::fmt::{self, Write};

use serde::Serialize;

use super::json::{CloseCodes, Spread};
use super::text::{thousands, time, write_quantiles};
use super::{Headline, Report, lines};
use crate::fault::FaultClass;
use crate::stats::{Counter, Measure, Quantiles};

/// What came of the publications of a run.
pub(super) struct Deliveries {
    burst: u32,
    stalled: usize,
    sent: u64,
    complete: u64,
    count: u64,
    /// First, median, 99th percentile and last, each spread over the publications.
    spreads: [Option<Quantiles>; 4],
}

impl Deliveries {
    /// `None` in scenarios without publications.
    pub(super) fn of(report: &Report<'_>) -> Option<Self> {
        let Headline::Deliveries { burst, stalled } = report.subject.headline else {
            return None;
        };
        let tally = &report.outcome.tally;
        Some(Self {
            burst,
            stalled,
            sent: tally.count(Counter::Publications),
            complete: tally.count(Counter::PublicationsComplete),
            count: tally.count(Counter::Messages),
            spreads: [
                Measure::DeliveryFirst,
                Measure::DeliveryMedian,
                Measure::DeliveryP99,
                Measure::DeliveryLast,
            ]
            .map(|measure| tally.quantiles(measure)),
        })
    }
}

/// The part of the summary that others fill with messages.
pub(super) fn write(report: &Report<'_>, deliveries: &Deliveries, out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "  throughput   {} deliveries/s, {} publications/s, {:.1} MB/s of payload delivered",
        thousands(report.per_second(Counter::Messages)),
        thousands(report.per_second(Counter::Publications)),
        report.per_second(Counter::PayloadBytes) / 1e6,
    )?;
    let tally = &report.outcome.tally;
    match tally.quantiles(Measure::Latency) {
        Some(latency) => write_quantiles("delivery", &latency, out)?,
        None => writeln!(out, "  delivery     nothing was delivered")?,
    }
    if let [Some(first), Some(median), Some(p99), Some(last)] = &deliveries.spreads {
        writeln!(
            out,
            "  publication  first {}   median {}   p99 {}   last {}   (each the median over {} publications)",
            time(first.p50),
            time(median.p50),
            time(p99.p50),
            time(last.p50),
            thousands(deliveries.complete as f64),
        )?;
        write_quantiles("last of each", last, out)?;
    }
    if deliveries.complete < deliveries.sent {
        writeln!(
            out,
            "  complete     {} of {} publications reached everybody",
            thousands(deliveries.complete as f64),
            thousands(deliveries.sent as f64),
        )?;
    }
    if deliveries.stalled > 0 {
        write!(
            out,
            "  stalled      {} of the subscribers never read: {} closed by the server",
            thousands(deliveries.stalled as f64),
            thousands(tally.count(Counter::StalledClosed) as f64),
        )?;
        for (code, count) in &tally.close_codes {
            write!(out, ", code {code}: {count}")?;
        }
        writeln!(out)?;
    }
    let [cuts, resumes, told] = comings(report);
    if cuts + told > 0 {
        writeln!(
            out,
            "  cuts         {} subscribers cut, {} resumed, {} told by the server that they missed something",
            thousands(cuts as f64),
            thousands(resumes as f64),
            thousands(told as f64),
        )?;
    }
    let measures = [
        ("back after", Measure::Reconnect),
        ("send lag", Measure::SendLag),
    ];
    lines::write_measures(report, &measures, out)
}

/// Cut, resumed and told.
fn comings(report: &Report<'_>) -> [u64; 3] {
    let count = |counter| report.outcome.tally.count(counter);
    [Counter::Cuts, Counter::Resumes, Counter::Told].map(count)
}

/// The keys, all of them null in other scenarios.
#[derive(Default, Serialize)]
pub(super) struct FanoutJson {
    burst: Option<u32>,
    publications: Option<u64>,
    publications_per_second: Option<f64>,
    publications_complete: Option<u64>,
    deliveries: Option<u64>,
    deliveries_per_second: Option<f64>,
    delivery_microseconds: Four<Option<f64>>,
    delivery_spread_microseconds: Four<Spread>,
    gaps: Option<u64>,
    duplicates: Option<u64>,
    disordered: Option<u64>,
    refused: Option<u64>,
    cuts: Option<u64>,
    resumes: Option<u64>,
    told: Option<u64>,
    reconnect_microseconds: Spread,
    stalled: Option<usize>,
    stalled_closed: Option<u64>,
    stalled_close_codes: Vec<CloseCodes>,
    server_cpu_microseconds_per_delivery: Option<f64>,
}

/// Of each publication.
#[derive(Default, Serialize)]
struct Four<T> {
    first: T,
    median: T,
    p99: T,
    last: T,
}

impl<T> Four<T> {
    fn of<U>(from: [U; 4], with: impl Fn(U) -> T) -> Self {
        let [first, median, p99, last] = from.map(with);
        Self {
            first,
            median,
            p99,
            last,
        }
    }
}

impl FanoutJson {
    /// What `report` tells.
    pub(super) fn of(report: &Report<'_>) -> Self {
        let Some(deliveries) = Deliveries::of(report) else {
            return Self::default();
        };
        let [cuts, resumes, told] = comings(report).map(Some);
        let server = report.outcome.server;
        let count = |class| Some(report.outcome.tally.faults.count(class));
        Self {
            burst: Some(deliveries.burst),
            publications: Some(deliveries.sent),
            publications_per_second: Some(report.per_second(Counter::Publications)),
            publications_complete: Some(deliveries.complete),
            deliveries: Some(deliveries.count),
            deliveries_per_second: Some(report.per_second(Counter::Messages)),
            delivery_microseconds: Four::of(deliveries.spreads, |spread| spread.map(|s| s.p50)),
            delivery_spread_microseconds: Four::of(deliveries.spreads, Spread::of),
            gaps: count(FaultClass::Gap),
            duplicates: count(FaultClass::Duplicate),
            disordered: count(FaultClass::Disorder),
            refused: count(FaultClass::Refused),
            cuts,
            resumes,
            told,
            reconnect_microseconds: Spread::of(report.outcome.tally.quantiles(Measure::Reconnect)),
            stalled: Some(deliveries.stalled),
            stalled_closed: Some(report.outcome.tally.count(Counter::StalledClosed)),
            stalled_close_codes: CloseCodes::of(report),
            server_cpu_microseconds_per_delivery: server
                .and_then(|server| report.cpu_micros_each(server.cpu)),
        }
    }
}
