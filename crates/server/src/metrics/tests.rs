//! What is exposed: what was counted, under names that `METRICS.md` has.
//!
//! Never: reads another daemon's numbers.

use std::fmt::Write;
use std::time::Instant;

use fanfare_codec::CloseCode;
use fanfare_codec::handshake::Status;

use super::*;

fn expose(metrics: &Metrics) -> String {
    let engine = EngineInfo {
        channels: 3,
        subscribers: 4,
        channels_kept: 5,
        publications: 6,
        bytes: 7,
    };
    metrics.expose(Some(engine), 2)
}

/// The value of a sample, by its name and labels as they are written.
#[track_caller]
fn value(text: &str, sample: &str) -> f64 {
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    let line = line.unwrap_or_else(|| panic!("no {sample} in:\n{text}"));
    line.parse().expect("a number")
}

#[test]
fn what_workers_count_is_added_up_or_told_apart() {
    let metrics = Metrics::new(2, Clock::start());
    for (n, worker) in (1..).zip(&metrics.workers) {
        worker.sent_bytes.add(n);
        worker.enters(Kind::Handshake);
        worker.opens(Kind::Raw);
        worker.answers(Status(503));
        worker.ends(Initiator::Server, CloseCode(3008));
        worker.is_slow(Slowness::Output);
        worker.recovers(Recovered::No);
        worker.flush.observe(75);
        worker.subscriptions.set(n);
    }
    metrics.answers(200);
    metrics.answers(404);
    let text = expose(&metrics);
    for (sample, expected) in [
        ("fanfare_sent_bytes_total", 3.0),
        ("fanfare_connections{worker=\"1\",kind=\"handshake\"}", 1.0),
        ("fanfare_connections{worker=\"1\",kind=\"raw\"}", 0.0),
        ("fanfare_connections_opened_total{kind=\"raw\"}", 2.0),
        ("fanfare_handshakes_refused_total{status=\"503\"}", 2.0),
        (
            "fanfare_disconnects_total{code=\"3008\",initiator=\"server\"}",
            2.0,
        ),
        (
            "fanfare_disconnects_total{code=\"1000\",initiator=\"client\"}",
            0.0,
        ),
        ("fanfare_slow_closes_total{cause=\"output\"}", 2.0),
        ("fanfare_recoveries_total{result=\"not_recovered\"}", 2.0),
        ("fanfare_subscriptions{worker=\"0\"}", 1.0),
        ("fanfare_subscriptions{worker=\"1\"}", 2.0),
        (
            "fanfare_publication_flush_seconds_bucket{worker=\"0\",le=\"0.00005\"}",
            0.0,
        ),
        (
            "fanfare_publication_flush_seconds_bucket{worker=\"0\",le=\"0.0001\"}",
            1.0,
        ),
        (
            "fanfare_publication_flush_seconds_bucket{worker=\"0\",le=\"+Inf\"}",
            1.0,
        ),
        ("fanfare_publication_flush_seconds_count{worker=\"0\"}", 1.0),
        (
            "fanfare_publication_flush_seconds_sum{worker=\"0\"}",
            0.000_075,
        ),
        ("fanfare_http_requests_total{status=\"200\"}", 1.0),
        ("fanfare_http_requests_total{status=\"404\"}", 1.0),
        ("fanfare_users", 2.0),
        ("fanfare_channels", 3.0),
        ("fanfare_history_bytes", 7.0),
    ] {
        assert_eq!(value(&text, sample), expected, "{sample}");
    }
}

#[test]
fn without_the_engine_everything_else_is_told() {
    let text = Metrics::new(1, Clock::start()).expose(None, 0);
    assert!(!text.contains("fanfare_channels"), "{text}");
    assert_eq!(value(&text, "fanfare_users"), 0.0);
}

/// The rows of `METRICS.md`, as what is exposed says them.
fn table(text: &str) -> String {
    let mut table = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' '))
        else {
            continue;
        };
        let kind = lines
            .next()
            .and_then(|line| line.rsplit(' ').next())
            .expect("a type");
        let sample = lines.peek().expect("a sample");
        let labels = sample.split_once('{').map_or("", |(_, rest)| rest);
        let labels = labels.split_once('}').map_or("", |(labels, _)| labels);
        let labels = labels.split(',').filter_map(|label| label.split_once('='));
        let labels: Vec<String> = labels
            .filter(|(label, _)| *label != "le")
            .map(|(label, _)| format!("`{label}`"))
            .collect();
        let _ = writeln!(
            table,
            "| `{name}` | {kind} | {} | {help} |",
            labels.join(", ")
        );
    }
    table
}

#[test]
fn metrics_md_has_every_family_and_no_other() {
    let table = table(&expose(&Metrics::new(1, Clock::start())));
    let file = include_str!("../../METRICS.md");
    let rows: String = file
        .lines()
        .filter(|line| line.starts_with("| `fanfare_") || line.starts_with("| `process_"))
        .flat_map(|line| [line, "\n"])
        .collect();
    assert_eq!(rows, table, "METRICS.md should have:\n{table}");
}

#[test]
fn a_scrape_of_many_workers_takes_milliseconds() {
    let metrics = Metrics::new(64, Clock::start());
    #[expect(clippy::disallowed_methods, reason = "it is measured from outside")]
    let began = Instant::now();
    let text = expose(&metrics);
    let took = began.elapsed();
    assert!(text.len() < 256 << 10, "{} bytes", text.len());
    assert!(took.as_secs() < 1, "{took:?}");
}
