//! What a person and what a program reads. In: outcomes and verdicts. Out: text, JSON.
//!
//! Never: measures, judges.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::field::{Outcome, Peer};
use crate::targets::{Sense, Verdict};

/// How the table is to be read; printed above it.
pub(crate) const LEGEND: &str = "\
ns a message: medians over the rounds, quartiles in brackets, the wire copy of the same round taken off
bound: load, XOR and store of the same bytes, plus the best validator alone where text is not ASCII; of
inflate and deflate, zlib-rs alone
ratio: how many times as fast as the fastest peer that does the same work";

/// One case: ours, the best peer, the bound.
pub(crate) fn row(outcome: &Outcome) -> String {
    let ours = &outcome.ours;
    let gigabytes = outcome.payload_bytes / ours.median;
    let mut row = format!(
        "{:<23} {:>9} [{:>9} {:>9}] {:>6} GB/s",
        outcome.case,
        ns(ours.median),
        ns(ours.low),
        ns(ours.high),
        three(gigabytes),
    );
    let limit = outcome.limit_ns.map_or_else(String::new, ns);
    let ratio = outcome.ratio().map_or_else(String::new, three);
    let best = outcome.best_peer().map_or("", |(name, _)| name);
    let best_ns = outcome
        .best_peer()
        .map_or_else(String::new, |(_, peer)| ns(peer.spread.median));
    let _ = write!(row, "  {limit:>9}  {ratio:>6}  {best_ns:>9} {best}");
    row
}

/// The head of the rows.
pub(crate) fn head() -> String {
    format!(
        "{:<23} {:>9} {:^21} {:>11}  {:>9}  {:>6}  {:>9} {}",
        "case", "fanfare", "", "", "bound", "ratio", "best peer", ""
    )
}

/// Every peer of a case, fastest first.
pub(crate) fn peers(outcome: &Outcome) -> String {
    let mut peers: Vec<(&str, &Peer)> = outcome.peers.iter().map(|(&n, p)| (n, p)).collect();
    peers.sort_by(|a, b| a.1.spread.median.total_cmp(&b.1.spread.median));
    let mut text = String::new();
    for (name, peer) in peers {
        let spread = &peer.spread;
        let _ = write!(
            text,
            "    {name:<30} {:>9} [{:>9} {:>9}]  x{:<6}",
            ns(spread.median),
            ns(spread.low),
            ns(spread.high),
            three(spread.median / outcome.ours.median),
        );
        if let Some(bytes) = peer.read_bytes {
            let _ = write!(text, " reads of {} KiB", bytes >> 10);
        }
        if !peer.does_the_same_work() {
            let _ = write!(text, " less work: {}", peer.lacks);
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// A target beside what was measured.
pub(crate) fn verdict(verdict: &Verdict) -> String {
    let sense = match verdict.sense {
        Sense::AtLeast => ">=",
        Sense::AtMost => "<=",
    };
    format!(
        "{:<23} {:>7}  {sense} {:<5} {}  {}",
        verdict.case,
        three(verdict.measured),
        verdict.target,
        if verdict.is_met() { "pass" } else { "MISS" },
        verdict.what,
    )
}

fn ns(value: f64) -> String {
    match value.abs() {
        ..10.0 => format!("{value:.2}"),
        10.0..1000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Three digits.
fn three(value: f64) -> String {
    match value.abs() {
        ..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[derive(Serialize)]
struct CaseJson<'a> {
    case: &'a str,
    ours_ns: f64,
    peers: BTreeMap<&'a str, PeerJson>,
    limit_ns: Option<f64>,
    ratio: Option<f64>,
}

#[derive(Serialize)]
struct PeerJson {
    ns: f64,
    same_work: bool,
}

/// The list of cases that `--json` writes.
pub(crate) fn json(outcomes: &[Outcome]) -> serde_json::Result<String> {
    let cases: Vec<CaseJson<'_>> = outcomes
        .iter()
        .map(|outcome| CaseJson {
            case: &outcome.case,
            ours_ns: outcome.ours.median,
            peers: outcome
                .peers
                .iter()
                .map(|(&name, peer)| {
                    let json = PeerJson {
                        ns: peer.spread.median,
                        same_work: peer.does_the_same_work(),
                    };
                    (name, json)
                })
                .collect(),
            limit_ns: outcome.limit_ns,
            ratio: outcome.ratio(),
        })
        .collect();
    let mut text = serde_json::to_string_pretty(&cases)?;
    text.push('\n');
    Ok(text)
}
