//! The report for programs. In: a [`Report`]. Out: one JSON object on one line.
//!
//! Every key is always there; what was not measured is null. `report.schema.json` describes it.
//!
//! Never: rounds, renames a key without a new version.

use std::io::{self, Write};

use serde::Serialize;

use super::Report;
use crate::fault::FaultClass;

/// Of the format; another number when a key changes its meaning or goes.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    scenario: &'static str,
    url: &'a str,
    connections: u32,
    threads: u32,
    duration_seconds: f64,
    messages: u64,
    messages_per_second: f64,
    payload_bytes_per_second: f64,
    latency_microseconds: Latency,
    errors: Errors,
    client_cpu_seconds: f64,
    server_cpu_seconds: Option<f64>,
    server_rss_bytes: Option<u64>,
}

#[derive(Default, Serialize)]
struct Latency {
    min: Option<f64>,
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
    p999: Option<f64>,
    max: Option<f64>,
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
    let Report { args, outcome } = report;
    let faults = &outcome.tally.faults;
    let latency = outcome.tally.latency().map(|latency| Latency {
        min: Some(latency.min),
        p50: Some(latency.p50),
        p90: Some(latency.p90),
        p99: Some(latency.p99),
        p999: Some(latency.p999),
        max: Some(latency.max),
    });
    let json = Json {
        version: VERSION,
        scenario: "echo",
        url: &args.url,
        connections: args.connections,
        threads: args.threads,
        duration_seconds: outcome.measured.as_secs_f64(),
        messages: outcome.tally.messages,
        messages_per_second: report.messages_per_second(),
        payload_bytes_per_second: report.payload_bytes_per_second(),
        latency_microseconds: latency.unwrap_or_default(),
        errors: Errors {
            connect: faults.count(FaultClass::Connect),
            handshake: faults.count(FaultClass::Handshake),
            protocol: faults.count(FaultClass::Protocol),
            mismatch: faults.count(FaultClass::Mismatch),
            closed: faults.count(FaultClass::Closed),
            timeout: faults.count(FaultClass::Timeout),
        },
        client_cpu_seconds: outcome.tally.cpu.as_secs_f64(),
        server_cpu_seconds: outcome.server.map(|server| server.cpu.as_secs_f64()),
        server_rss_bytes: outcome.server.map(|server| server.rss_bytes),
    };
    serde_json::to_writer(&mut *out, &json)?;
    out.write_all(b"\n")
}
