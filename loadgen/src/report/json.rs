//! The report for programs. In: a [`Report`]. Out: one JSON object on one line.
//!
//! Every key is always there; what was not measured is null. `report.schema.json` describes it.
//!
//! Never: rounds, renames a key without a new version.

use std::io::{self, Write};

use serde::Serialize;

use super::fanout::FanoutJson;
use super::{Report, warnings};
use crate::fault::FaultClass;
use crate::stats::{Counter, Measure, Quantiles, Round};

/// Of the format; another number when a key changes its meaning or goes.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    scenario: &'static str,
    url: &'a str,
    connections: usize,
    threads: usize,
    interrupted: bool,
    duration_seconds: f64,
    rate_per_second: Option<f64>,
    compared_one_in: u32,
    messages: u64,
    messages_per_second: f64,
    payload_bytes_per_second: f64,
    latency_microseconds: Spread,
    send_lag_microseconds: Spread,
    loop_lag_microseconds: Spread,
    #[serde(flatten)]
    fanout: FanoutJson,
    handshakes: Option<u64>,
    handshakes_per_second: Option<f64>,
    handshake_microseconds: Spread,
    connect_microseconds: Spread,
    tls_microseconds: Spread,
    upgrade_microseconds: Spread,
    storm_rounds: Vec<StormRound>,
    first_message_microseconds: Spread,
    gap_microseconds: Spread,
    slow_connections: Option<usize>,
    slow_messages: Option<u64>,
    slow_closed: Option<u64>,
    slow_close_codes: Vec<CloseCodes>,
    slow_closed_after_microseconds: Spread,
    deflate_connections: Option<u64>,
    deflate_payload_bytes: Option<u64>,
    deflate_saved_bytes: Option<i64>,
    client_bytes_per_connection: Option<f64>,
    server_user_bytes_per_connection: Option<f64>,
    kernel_bytes_per_connection: Option<f64>,
    errors: Errors,
    client_cpu_seconds: f64,
    server_cpu_seconds: Option<f64>,
    server_rss_bytes: Option<u64>,
    warnings: Vec<String>,
}

/// Quantiles in microseconds; all null when nothing was recorded.
#[derive(Default, Serialize)]
pub(super) struct Spread {
    min: Option<f64>,
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
    p999: Option<f64>,
    max: Option<f64>,
}

impl Spread {
    pub(super) fn of(quantiles: Option<Quantiles>) -> Self {
        quantiles.map_or_else(Self::default, |quantiles| Self {
            min: Some(quantiles.min),
            p50: Some(quantiles.p50),
            p90: Some(quantiles.p90),
            p99: Some(quantiles.p99),
            p999: Some(quantiles.p999),
            max: Some(quantiles.max),
        })
    }
}

/// One round of a storm; times are null when nothing came back.
#[derive(Serialize)]
struct StormRound {
    returned: usize,
    failed_attempts: u64,
    first_microseconds: Option<f64>,
    median_microseconds: Option<f64>,
    p99_microseconds: Option<f64>,
    last_microseconds: Option<f64>,
}

impl StormRound {
    fn of(round: &Round) -> Self {
        let returns = round.returns();
        Self {
            returned: round.count(),
            failed_attempts: round.failures,
            first_microseconds: returns.map(|r| r.first),
            median_microseconds: returns.map(|r| r.median),
            p99_microseconds: returns.map(|r| r.p99),
            last_microseconds: returns.map(|r| r.last),
        }
    }
}

/// How many slow connections the server ended with a code.
#[derive(Serialize)]
pub(super) struct CloseCodes {
    code: u16,
    count: u64,
}

impl CloseCodes {
    /// Of each code that was counted.
    pub(super) fn of(report: &Report<'_>) -> Vec<Self> {
        let codes = report.outcome.tally.close_codes.iter();
        codes.map(|(&code, &count)| Self { code, count }).collect()
    }
}

#[derive(Serialize)]
struct Errors {
    connect: u64,
    handshake: u64,
    protocol: u64,
    mismatch: u64,
    closed: u64,
    timeout: u64,
}

/// Writes the object and a line end.
pub(super) fn write(report: &Report<'_>, out: &mut impl Write) -> io::Result<()> {
    let Report {
        subject, outcome, ..
    } = report;
    let tally = &outcome.tally;
    let spread = |measure| Spread::of(tally.quantiles(measure));
    let headline = subject.headline;
    let handshakes = headline.has_handshakes().then_some(Counter::Handshakes);
    let of_slow = |counter| subject.slow_connections.map(|_| tally.count(counter));
    let json = Json {
        version: VERSION,
        scenario: subject.scenario,
        url: subject.url,
        connections: subject.connections,
        threads: subject.threads,
        interrupted: outcome.interrupted,
        duration_seconds: outcome.measured.as_secs_f64(),
        rate_per_second: subject.rate_per_second,
        compared_one_in: subject.compared_one_in,
        messages: tally.count(Counter::Messages),
        messages_per_second: report.per_second(Counter::Messages),
        payload_bytes_per_second: report.per_second(Counter::PayloadBytes),
        latency_microseconds: spread(Measure::Latency),
        send_lag_microseconds: spread(Measure::SendLag),
        loop_lag_microseconds: spread(Measure::LoopLag),
        fanout: FanoutJson::of(report),
        handshakes: handshakes.map(|counter| tally.count(counter)),
        handshakes_per_second: handshakes.map(|counter| report.per_second(counter)),
        handshake_microseconds: spread(Measure::Handshake),
        connect_microseconds: spread(Measure::Connect),
        tls_microseconds: spread(Measure::Tls),
        upgrade_microseconds: spread(Measure::Upgrade),
        storm_rounds: tally.rounds.all().iter().map(StormRound::of).collect(),
        first_message_microseconds: spread(Measure::FirstMessage),
        gap_microseconds: spread(Measure::Gap),
        slow_connections: subject.slow_connections,
        slow_messages: of_slow(Counter::SlowMessages),
        slow_closed: of_slow(Counter::SlowClosed),
        slow_close_codes: subject
            .slow_connections
            .map(|_| CloseCodes::of(report))
            .unwrap_or_default(),
        slow_closed_after_microseconds: spread(Measure::SlowClosed),
        deflate_connections: tally.deflate.map(|deflate| deflate.connections),
        deflate_payload_bytes: tally.deflate.map(|deflate| deflate.payload_bytes),
        deflate_saved_bytes: tally
            .deflate
            .map(|deflate| deflate.payload_bytes.cast_signed() - deflate.wire_bytes.cast_signed()),
        client_bytes_per_connection: report.weight.client,
        server_user_bytes_per_connection: report.weight.server,
        kernel_bytes_per_connection: report.weight.kernel,
        errors: Errors {
            connect: tally.faults.count(FaultClass::Connect),
            handshake: tally.faults.count(FaultClass::Handshake),
            protocol: tally.faults.count(FaultClass::Protocol),
            mismatch: tally.faults.count(FaultClass::Mismatch),
            closed: tally.faults.count(FaultClass::Closed),
            timeout: tally.faults.count(FaultClass::Timeout),
        },
        client_cpu_seconds: tally.cpu.as_secs_f64(),
        server_cpu_seconds: outcome.server.map(|server| server.cpu.as_secs_f64()),
        server_rss_bytes: outcome.server.map(|server| server.rss_bytes),
        warnings: warnings::warnings(report),
    };
    serde_json::to_writer(&mut *out, &json)?;
    out.write_all(b"\n")
}
