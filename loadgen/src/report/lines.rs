//! The lines that only some scenarios have. In: a [`Report`]. Out: how connections were made, came back,
//! were heard on, weigh or were slow.
//!
//! Never: computes more than a rate.

use std::fmt::{self, Write};

use super::Report;
use super::text::{thousands, time, write_quantiles};
use crate::stats::{Counter, Measure};

/// Quantiles of each measure that has recorded something.
pub(super) fn write_measures(
    report: &Report<'_>,
    measures: &[(&str, Measure)],
    out: &mut String,
) -> fmt::Result {
    for &(label, measure) in measures {
        if let Some(quantiles) = report.outcome.tally.quantiles(measure) {
            write_quantiles(label, &quantiles, out)?;
        }
    }
    Ok(())
}

/// Pongs a second.
pub(super) fn write_pings(report: &Report<'_>, out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "  pings        {} pongs/s",
        thousands(report.per_second(Counter::Messages))
    )
}

/// What came unasked.
pub(super) fn write_received(report: &Report<'_>, out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "  received     {} messages/s, {:.1} MB/s of payload",
        thousands(report.per_second(Counter::Messages)),
        report.per_second(Counter::PayloadBytes) / 1e6,
    )?;
    if report.outcome.tally.count(Counter::Messages) == 0 {
        writeln!(out, "  gap          no message came")?;
    }
    let measures = [("first", Measure::FirstMessage), ("gap", Measure::Gap)];
    write_measures(report, &measures, out)
}

/// Connections that were made, and their steps.
pub(super) fn write_handshakes(report: &Report<'_>, out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "  handshakes   {}/s, {} in all",
        thousands(report.per_second(Counter::Handshakes)),
        thousands(report.outcome.tally.count(Counter::Handshakes) as f64),
    )?;
    write_steps(report, out)?;
    if report.outcome.tally.count(Counter::Messages) > 0 {
        let rate = thousands(report.per_second(Counter::Messages));
        writeln!(out, "  messages     {rate}/s")?;
        write_measures(report, &[("latency", Measure::Latency)], out)?;
    }
    write_measures(report, &[("send lag", Measure::SendLag)], out)
}

fn write_steps(report: &Report<'_>, out: &mut String) -> fmt::Result {
    let steps = [
        ("handshake", Measure::Handshake),
        ("connect", Measure::Connect),
        ("TLS", Measure::Tls),
        ("upgrade", Measure::Upgrade),
    ];
    let is_tls = report.subject.url.starts_with("wss");
    let steps: Vec<_> = steps
        .into_iter()
        .filter(|&(_, measure)| is_tls || measure != Measure::Tls)
        .collect();
    write_measures(report, &steps, out)
}

/// How connections came back, round by round.
pub(super) fn write_rounds(report: &Report<'_>, out: &mut String) -> fmt::Result {
    for (number, round) in report.outcome.tally.rounds.all().iter().enumerate() {
        let count = thousands(round.count() as f64);
        write!(out, "  round {:<6} {count} back", number + 1)?;
        if let Some(returns) = round.returns() {
            write!(
                out,
                ": first {}   median {}   p99 {}   last {}",
                time(returns.first),
                time(returns.median),
                time(returns.p99),
                time(returns.last),
            )?;
        }
        match round.failures {
            0 => writeln!(out)?,
            failures => writeln!(out, "   ({} failed attempts)", thousands(failures as f64))?,
        }
    }
    write_steps(report, out)
}

/// What a connection weighs.
pub(super) fn write_weight(report: &Report<'_>, out: &mut String) -> fmt::Result {
    for (bytes, whose) in [
        (report.weight.server, "the server"),
        (report.weight.kernel, "the kernel, all ends on this machine"),
        (report.weight.client, "loadgen itself"),
    ] {
        if let Some(bytes) = bytes {
            let bytes = thousands(bytes);
            writeln!(out, "  memory       {bytes} B a connection in {whose}")?;
        }
    }
    Ok(())
}

/// What became of the connections that read slowly.
pub(super) fn write_slow(report: &Report<'_>, out: &mut String) -> fmt::Result {
    let Some(slow) = report.subject.slow_connections else {
        return Ok(());
    };
    let tally = &report.outcome.tally;
    write!(
        out,
        "  slow         {} of the connections: {} messages, {} closed by the server",
        thousands(slow as f64),
        thousands(tally.count(Counter::SlowMessages) as f64),
        thousands(tally.count(Counter::SlowClosed) as f64),
    )?;
    for (code, count) in &tally.close_codes {
        write!(out, ", code {code}: {count}")?;
    }
    writeln!(out)?;
    write_measures(report, &[("closed after", Measure::SlowClosed)], out)
}

/// What compression came to.
pub(super) fn write_deflate(report: &Report<'_>, out: &mut String) -> fmt::Result {
    let Some(deflate) = report.outcome.tally.deflate else {
        return Ok(());
    };
    if deflate.connections == 0 {
        return writeln!(out, "  deflate      the server agreed on no connection");
    }
    let (payload, wire) = (deflate.payload_bytes as f64, deflate.wire_bytes as f64);
    let saved = if payload > 0.0 {
        1.0 - wire / payload
    } else {
        0.0
    };
    writeln!(
        out,
        "  deflate      agreed {} times: {:.1} MB of payload in {:.1} MB on the wire, {:.1} % saved",
        thousands(deflate.connections as f64),
        payload / 1e6,
        wire / 1e6,
        saved * 100.0,
    )
}
