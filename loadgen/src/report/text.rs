//! The report for people. In: a [`Report`]. Out: a few lines that are read in five seconds.
//!
//! Never: leaves out that something was lost.

use std::fmt::{self, Write};

use super::fanout::{self, Deliveries};
use super::{Headline, Report, lines, warnings};
use crate::stats::{Counter, Measure, Quantiles};

/// The whole summary.
pub(super) fn summary(report: &Report<'_>) -> String {
    let mut out = String::new();
    write_summary(report, &mut out).expect("a String takes everything");
    out
}

fn write_summary(report: &Report<'_>, out: &mut String) -> fmt::Result {
    let Report {
        subject, outcome, ..
    } = report;
    writeln!(
        out,
        "{} {}: {}, {}, {}, {:.1} s measured",
        subject.scenario,
        subject.url,
        plural(subject.connections, "connection"),
        plural(subject.threads, "thread"),
        subject.detail,
        outcome.measured.as_secs_f64(),
    )?;
    if outcome.interrupted {
        writeln!(out, "  interrupted  these are the results so far")?;
    }
    match subject.headline {
        Headline::Messages => write_messages(report, out)?,
        Headline::Pings => {
            lines::write_pings(report, out)?;
            write_latency(report, out)?;
        }
        Headline::Received => lines::write_received(report, out)?,
        Headline::Held => {
            let latency = [("heartbeat", Measure::Latency)];
            lines::write_measures(report, &latency, out)?;
            lines::write_weight(report, out)?;
        }
        Headline::Handshakes => lines::write_handshakes(report, out)?,
        Headline::Returns { .. } => lines::write_rounds(report, out)?,
        Headline::Deliveries { .. } => {
            if let Some(deliveries) = Deliveries::of(report) {
                fanout::write(report, &deliveries, out)?;
            }
        }
    }
    lines::write_slow(report, out)?;
    lines::write_deflate(report, out)?;
    write_cpu(report, out)?;
    for warning in warnings::warnings(report) {
        writeln!(out, "  WARNING      {warning}")?;
    }
    write_errors(report, out)
}

/// Messages and their latency.
fn write_messages(report: &Report<'_>, out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "  throughput   {} messages/s, {:.1} MB/s of payload each way",
        thousands(report.per_second(Counter::Messages)),
        report.per_second(Counter::PayloadBytes) / 1e6,
    )?;
    write_latency(report, out)?;
    match report.subject.compared_one_in {
        1 => Ok(()),
        one_in => writeln!(
            out,
            "  sampling     1 message in {one_in} was compared whole, the others by number and length"
        ),
    }
}

/// How long answers took, and how late an open loop was.
fn write_latency(report: &Report<'_>, out: &mut String) -> fmt::Result {
    let tally = &report.outcome.tally;
    match tally.quantiles(Measure::Latency) {
        Some(latency) => write_quantiles("latency", &latency, out)?,
        None => {
            let (_, unit) = report.subject.headline.unit();
            let verb = if unit == "message" {
                "was answered"
            } else {
                "came"
            };
            writeln!(out, "  latency      no {unit} {verb}")?;
        }
    }
    lines::write_measures(report, &[("send lag", Measure::SendLag)], out)
}

pub(super) fn write_quantiles(label: &str, quantiles: &Quantiles, out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "  {label:<12} p50 {}   p90 {}   p99 {}   p99.9 {}   max {}",
        time(quantiles.p50),
        time(quantiles.p90),
        time(quantiles.p99),
        time(quantiles.p999),
        time(quantiles.max),
    )
}

fn write_cpu(report: &Report<'_>, out: &mut String) -> fmt::Result {
    let outcome = report.outcome;
    let (_, unit) = report.subject.headline.unit();
    if let Some(micros) = report.cpu_micros_each(outcome.tally.cpu) {
        writeln!(
            out,
            "  client       {micros:.2} µs CPU a {unit}, {:.0} % busy",
            report.client_busy() * 100.0
        )?;
    }
    if let Some(server) = outcome.server {
        write!(out, "  server       ")?;
        if let Some(micros) = report.cpu_micros_each(server.cpu) {
            write!(out, "{micros:.2} µs CPU a {unit}, ")?;
        }
        writeln!(out, "{:.1} MB resident", server.rss_bytes as f64 / 1e6)?;
    }
    Ok(())
}

fn write_errors(report: &Report<'_>, out: &mut String) -> fmt::Result {
    let faults = &report.outcome.tally.faults;
    if faults.total() == 0 {
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

/// `1 thread`, `2 threads`.
pub(crate) fn plural(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

/// `1234567.8` as `1,234,568`.
pub(super) fn thousands(number: f64) -> String {
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
pub(super) fn time(micros: f64) -> String {
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
