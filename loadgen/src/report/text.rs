//! The report for people. In: a [`Report`]. Out: a few lines that are read in five seconds.
//!
//! Never: leaves out that something was lost.

use std::fmt::{self, Write};

use fanfare_codec::MessageKind;

use super::Report;
use crate::stats::Latency;

/// Above this share of its threads' time the client may be what limits the run.
const CLIENT_BUSY_MAX: f64 = 0.95;

/// The whole summary.
pub(super) fn summary(report: &Report<'_>) -> String {
    let mut out = String::new();
    write_summary(report, &mut out).expect("a String takes everything");
    out
}

fn write_summary(report: &Report<'_>, out: &mut String) -> fmt::Result {
    let Report { args, outcome } = report;
    let kind = match args.message_kind() {
        MessageKind::Text => "text",
        MessageKind::Binary => "binary",
    };
    writeln!(
        out,
        "echo {}: {}, {}, depth {}, {} B {kind}, {:.1} s measured",
        args.url,
        plural(args.connections, "connection"),
        plural(args.threads, "thread"),
        args.depth,
        args.size,
        outcome.measured.as_secs_f64(),
    )?;
    if outcome.interrupted {
        writeln!(out, "  interrupted  these are the results so far")?;
    }
    writeln!(
        out,
        "  throughput   {} messages/s, {:.1} MB/s of payload each way",
        thousands(report.messages_per_second()),
        report.payload_bytes_per_second() / 1e6,
    )?;
    match outcome.tally.latency() {
        Some(latency) => write_latency(&latency, out)?,
        None => writeln!(out, "  latency      no message was answered")?,
    }
    write_cpu(report, out)?;
    write_errors(report, out)
}

fn write_latency(latency: &Latency, out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "  latency      p50 {}   p90 {}   p99 {}   p99.9 {}   max {}",
        time(latency.p50),
        time(latency.p90),
        time(latency.p99),
        time(latency.p999),
        time(latency.max),
    )
}

fn write_cpu(report: &Report<'_>, out: &mut String) -> fmt::Result {
    let outcome = report.outcome;
    let busy = report.client_busy();
    if let Some(micros) = report.cpu_micros_per_message(outcome.tally.cpu) {
        writeln!(
            out,
            "  client       {micros:.2} µs CPU a message, {:.0} % busy",
            busy * 100.0
        )?;
    }
    if let Some(server) = outcome.server {
        write!(out, "  server       ")?;
        if let Some(micros) = report.cpu_micros_per_message(server.cpu) {
            write!(out, "{micros:.2} µs CPU a message, ")?;
        }
        writeln!(out, "{:.1} MB resident", server.rss_bytes as f64 / 1e6)?;
    }
    if busy > CLIENT_BUSY_MAX {
        writeln!(
            out,
            "  WARNING      loadgen itself may be the limit: try more --threads"
        )?;
    }
    Ok(())
}

fn write_errors(report: &Report<'_>, out: &mut String) -> fmt::Result {
    let faults = &report.outcome.tally.faults;
    if faults.is_empty() {
        return writeln!(out, "  errors       none");
    }
    for (class, count) in report.errors().filter(|&(_, count)| count > 0) {
        let first = faults.first(class);
        writeln!(
            out,
            "  LOST         {} {count}, first: {first}",
            class.name()
        )?;
    }
    Ok(())
}

fn plural(count: u32, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

/// `1234567.8` as `1,234,568`.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Microseconds in the unit that needs the fewest digits.
fn time(micros: f64) -> String {
    match micros {
        ..100.0 => format!("{micros:.1} µs"),
        ..1_000.0 => format!("{micros:.0} µs"),
        ..100_000.0 => format!("{:.2} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (number, text) in [
            (0.0, "0"),
            (999.4, "999"),
            (1e6, "1,000,000"),
            (12_345.0, "12,345"),
        ] {
            assert_eq!(thousands(number), text);
        }
        for (micros, text) in [
            (1.25, "1.2 µs"),
            (250.0, "250 µs"),
            (1_500.0, "1.50 ms"),
            (1_250_000.0, "1.25 s"),
        ] {
            assert_eq!(time(micros), text);
        }
    }
}
