//! What makes the figures doubtful. In: a [`Report`]. Out: a sentence for each reason.
//!
//! Never: hides a figure.

use super::{Headline, Report};
use crate::stats::{Counter, Measure};

/// Above this share of its threads' time the client may be what limits the run.
const CLIENT_BUSY_MAX: f64 = 0.95;

/// Microseconds past which what a message waits for this client is no longer small.
const LAG_MICROS_MAX: f64 = 1_000.0;

/// Above this share of the latency, at the 99th percentile, the client's own lag is part of the result.
const LAG_SHARE_MAX: f64 = 0.1;

/// Below this share of the rate asked for, the rate was not put on the server.
const RATE_SHARE_MIN: f64 = 0.99;

/// One sentence a reason; none when the figures are the server's.
pub(super) fn warnings(report: &Report<'_>) -> Vec<String> {
    let tally = &report.outcome.tally;
    let p99 = |measure| {
        tally
            .quantiles(measure)
            .map_or(0.0, |quantiles| quantiles.p99)
    };
    let latency = p99(report.subject.headline.measure());
    let mut warnings = Vec::new();
    let busy = report.client_busy();
    // An open loop is awake before every send, so that it is on time.
    if busy > CLIENT_BUSY_MAX && report.subject.rate_per_second.is_none() {
        warnings.push(format!(
            "loadgen itself may be the limit: its threads were {:.0} % busy; try more --threads",
            busy * 100.0
        ));
    }
    for (measure, what) in [
        (Measure::LoopLag, "what has arrived waits for loadgen"),
        (
            Measure::SendLag,
            "messages leave late (or the server takes none)",
        ),
    ] {
        let lag = p99(measure);
        if lag <= LAG_MICROS_MAX || lag <= latency * LAG_SHARE_MAX {
            continue;
        }
        if measure == Measure::SendLag && report.subject.headline == Headline::Handshakes {
            // What a connection waits for is a slot, and those the server holds as long as it takes.
            warnings.push(format!(
                "connections begin late, {:.1} ms at the 99th percentile: the server is too slow for \
                 the rate, or --connections too few",
                lag / 1e3
            ));
        } else {
            warnings.push(format!(
                "loadgen itself may be the limit: {what}, {:.1} ms at the 99th percentile; try more \
                 --threads or a machine with less to do",
                lag / 1e3
            ));
        }
    }
    if let Some(asked) = report.subject.rate_per_second {
        let sent = tally
            .spectrum(Measure::SendLag)
            .map_or(0, |lag| lag.count());
        let at_once = match report.subject.headline {
            Headline::Deliveries { burst, .. } => f64::from(burst),
            _ => 1.0,
        };
        // The first of each thread comes within an interval.
        let expected =
            asked * report.outcome.measured.as_secs_f64() - report.subject.threads as f64 * at_once;
        let share = sent as f64 / expected;
        if share < RATE_SHARE_MIN && expected > 0.0 {
            warnings.push(format!(
                "only {:.1} % of what the rate asked for was sent",
                share * 100.0
            ));
        }
    }
    if report.outcome.server_is_gone {
        warnings
            .push("the server's process was gone before the end: nothing of it is told".to_owned());
    }
    let rounds = tally.rounds.all().len();
    if let Headline::Returns { rounds: asked } = report.subject.headline
        && rounds < asked
    {
        warnings.push(format!(
            "only {rounds} of {asked} rounds fitted into the --duration"
        ));
    }
    let given_up = tally.count(Counter::PublicationsGivenUp);
    if given_up > 0 {
        warnings.push(format!(
            "{given_up} publications waited so long for deliveries that there was no room to follow \
             them: the spread of publications is without them"
        ));
    }
    warnings
}
