//! `loadgen fanout` against broadcast servers that behave and servers that do not.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use super::broadcast::{Broadcast, Conduct, MISDEED_FROM, MISDEEDS};
use super::harness::{errors, loadgen, output, report, stderr};

/// Long enough for every misdeed, all of them in the measured time.
const TIMES: &str = "--rate 300 --duration 0.5 --warmup 0.3 --timeout 2 --json";

fn number(report: &Value, key: &str) -> u64 {
    report[key].as_u64().expect("a count")
}

/// Gaps, duplicates, disordered and refused.
fn losses(report: &Value) -> [u64; 4] {
    ["gaps", "duplicates", "disordered", "refused"].map(|key| number(report, key))
}

/// Everybody got everything.
fn check_whole(report: &Value, subscribers_of_channel: u64) {
    assert_eq!(losses(report), [0; 4]);
    assert_eq!(errors(report), [0; 6]);
    let publications = number(report, "publications");
    assert!(publications > 0);
    assert_eq!(number(report, "publications_complete"), publications);
    let deliveries = publications * subscribers_of_channel;
    assert_eq!(number(report, "deliveries"), deliveries);
    assert_eq!(number(report, "messages"), deliveries);
    let figures = &report["delivery_microseconds"];
    let of = |key: &str| figures[key].as_f64().expect("a time");
    assert!(of("first") <= of("median") && of("median") <= of("p99") && of("p99") <= of("last"));
}

#[test]
fn a_plain_broadcast_server_is_measured_at_any_size_and_spread() {
    let server = Broadcast::start(Conduct::Honest);
    for (flags, subscribers_of_channel) in [
        ("--subscribers 1", 1),
        ("--subscribers 12 --publishers 3", 12),
        ("--subscribers 12 --channels 4 --threads 2", 3),
        (
            "--subscribers 12 --channels 4 --publishers 8 --threads 3 --binary",
            3,
        ),
        ("--subscribers 6 --channels 3 --threads 9 --poisson", 2),
        ("--subscribers 4 --threads 2 --size 24", 4),
        ("--subscribers 4 --size 24..300 --channel-prefix a.b:c-", 4),
        ("--subscribers 2 --size 300000", 2),
    ] {
        let url = &server.url;
        let output = output(&format!("fanout {url}{{channel}} {flags} {TIMES}"));
        check_whole(&report(&output, 0), subscribers_of_channel);
    }
}

#[test]
fn each_lost_repeated_late_or_changed_delivery_is_counted_once() {
    for (conduct, expected, mismatches) in [
        (Conduct::Drop, [MISDEEDS, 0, 0, 0], 0),
        (Conduct::Greet, [MISDEEDS, 0, 0, 0], 12),
        (Conduct::Repeat, [0, MISDEEDS, 0, 0], 0),
        (Conduct::Swap, [0, 0, MISDEEDS, 0], 0),
        (Conduct::CorruptByte(0), [0; 4], MISDEEDS),
        (Conduct::CorruptByte(12), [0; 4], MISDEEDS),
        (Conduct::CorruptByte(23), [0; 4], MISDEEDS),
        (Conduct::CorruptByte(63), [0; 4], MISDEEDS),
        (Conduct::Shorten, [0; 4], MISDEEDS),
        (Conduct::OtherKind, [0; 4], MISDEEDS),
        (Conduct::Leak, [0; 4], MISDEEDS),
    ] {
        for flags in ["", "--threads 3", "--binary --size 64..80"] {
            let server = Broadcast::start(conduct);
            let url = &server.url;
            let output = output(&format!(
                "fanout {url}{{channel}} --subscribers 12 --channels 3 --publishers 6 {flags} {TIMES}"
            ));
            let report = report(&output, 1);
            assert_eq!(server.misdeeds(), MISDEEDS, "{conduct:?} {flags}");
            assert_eq!(losses(&report), expected, "{conduct:?} {flags}");
            let classes = [0, 0, 0, mismatches, 0, 0];
            assert_eq!(errors(&report), classes, "{conduct:?} {flags}");
            assert!(stderr(&output).contains("LOST"), "{}", stderr(&output));
            // What was left out or changed is no delivery; what came late, or once more, is one.
            let is_short = match conduct {
                Conduct::Repeat | Conduct::Swap | Conduct::Leak => 0,
                _ => MISDEEDS,
            };
            let publications = number(&report, "publications");
            let complete = number(&report, "publications_complete");
            assert_eq!(complete, publications - is_short, "{conduct:?} {flags}");
            let deliveries = number(&report, "deliveries");
            assert_eq!(deliveries, publications * 4 - is_short, "{conduct:?}");
        }
    }
}

#[test]
fn a_subscriber_that_is_disconnected_is_one_fault_and_no_gap() {
    for threads in [1, 2] {
        let server = Broadcast::start(Conduct::Hangup);
        let url = &server.url;
        let output = output(&format!(
            "fanout {url} --subscribers 8 --threads {threads} {TIMES}"
        ));
        let report = report(&output, 1);
        let hung_up = server.misdeeds();
        assert!(hung_up > 0);
        // The server does not notice that the first is gone, and does no more to it.
        assert_eq!(errors(&report), [0, 0, 0, 0, 1, 0]);
        assert_eq!(losses(&report), [0; 4]);
        let publications = number(&report, "publications");
        assert_eq!(number(&report, "publications_complete"), publications);
        assert!(number(&report, "deliveries") >= publications * 7);
    }
}

#[test]
fn a_subscriber_that_gets_nothing_more_misses_all_that_is_published() {
    for threads in [1, 2] {
        let server = Broadcast::start(Conduct::Mute);
        let url = &server.url;
        let output = output(&format!(
            "fanout {url} --subscribers 4 --publishers 2 --threads {threads} {TIMES}"
        ));
        let report = report(&output, 1);
        let gaps = server.misdeeds();
        assert_eq!(gaps, server.published() - MISDEED_FROM);
        assert_eq!(losses(&report), [gaps, 0, 0, 0]);
        assert_eq!(errors(&report), [0; 6]);
        let publications = number(&report, "publications");
        assert_eq!(
            number(&report, "publications_complete"),
            publications - gaps
        );
        assert_eq!(number(&report, "deliveries"), publications * 4 - gaps);
    }
}

#[test]
fn a_slow_subscriber_is_the_last_delivery_of_each_publication() {
    let delay = Duration::from_millis(30);
    for threads in [1, 2] {
        let server = Broadcast::start(Conduct::Delay(delay));
        let url = &server.url;
        let output = output(&format!(
            "fanout {url} --subscribers 4 --threads {threads} {TIMES}"
        ));
        let report = report(&output, 0);
        check_whole(&report, 4);
        let last = &report["delivery_spread_microseconds"]["last"];
        assert!(last["min"].as_f64() >= Some(30_000.0), "{last}");
        let p99 = &report["delivery_spread_microseconds"]["p99"];
        assert!(p99["min"].as_f64() >= Some(30_000.0 * 0.99), "{p99}");
        assert!(report["latency_microseconds"]["max"].as_f64() >= Some(30_000.0));
    }
}

#[test]
fn publications_go_over_http_as_they_are_or_in_json() {
    // A publisher waits for each answer: a machine with much else to do must have time for them all.
    const TIMES: &str = "--rate 100 --duration 0.5 --warmup 0.3 --timeout 15 --json";
    let server = Broadcast::start(Conduct::Honest);
    let (url, http) = (&server.url, &server.http_url);
    for (flags, threads) in [
        (format!("--publish-http {http}publish/{{channel}}"), 1),
        (
            format!("--publish-http {http}publish/{{channel}} --publishers 2"),
            2,
        ),
        (
            format!(
                "--publish-http {http}api/publish --publishers 5 --publish-header X-API-Key:secret \
                 --publish-json {{\"channel\":\"{{channel}}\",\"data\":\"{{payload}}\"}}"
            ),
            2,
        ),
        (
            format!(
                "--publish-http {http}api/publish --publish-header X-API-Key:secret --size 24..80 \
                 --publish-json {{\"channel\":\"{{channel}}\",\"b64data\":\"{{b64payload}}\"}} \
                 --burst 4"
            ),
            1,
        ),
    ] {
        let before = server.published();
        let output = output(&format!(
            "fanout {url}{{channel}} --subscribers 9 --channels 3 {flags} --threads {threads} {TIMES}"
        ));
        let report = report(&output, 0);
        check_whole(&report, 3);
        assert!(server.published() - before >= number(&report, "publications"));
        assert_eq!(number(&report, "connections"), 9);
        assert!(report["send_lag_microseconds"]["p50"].is_number());
    }
}

#[test]
fn what_the_http_endpoint_refuses_is_counted_and_nobody_misses_it() {
    let server = Broadcast::start(Conduct::Refuse);
    let (url, http) = (&server.url, &server.http_url);
    let output = output(&format!(
        "fanout {url}{{channel}} --subscribers 4 --channels 2 --threads 2 \
         --publish-http {http}publish/{{channel}} {TIMES}"
    ));
    let report = report(&output, 1);
    assert_eq!(losses(&report), [0, 0, 0, MISDEEDS]);
    assert_eq!(errors(&report), [0; 6]);
    assert!(stderr(&output).contains("503"), "{}", stderr(&output));
    let publications = number(&report, "publications");
    assert_eq!(number(&report, "publications_complete"), publications);
    assert_eq!(number(&report, "deliveries"), publications * 2);
}

#[test]
fn what_a_slow_http_endpoint_leaves_unposted_is_counted_as_refused() {
    // Of the 50 that it owes each publisher gets rid of fifteen at most: it has 1.5 s, timeout included.
    let server = Broadcast::start(Conduct::Linger(Duration::from_millis(100)));
    let (url, http) = (&server.url, &server.http_url);
    let output = output(&format!(
        "fanout {url}{{channel}} --subscribers 4 --channels 2 --publishers 2 --threads 2 \
         --publish-http {http}publish/{{channel}} \
         --rate 200 --duration 0.5 --warmup 0 --timeout 1 --json"
    ));
    let report = report(&output, 1);
    let publications = number(&report, "publications");
    assert_eq!(server.published(), publications);
    assert!((1..=30).contains(&publications), "{report}");
    assert_eq!(losses(&report), [0, 0, 0, 100 - publications]);
    assert_eq!(errors(&report), [0; 6]);
    assert_eq!(number(&report, "publications_complete"), publications);
    assert_eq!(number(&report, "deliveries"), publications * 2);
}

#[test]
fn a_burst_is_of_one_time_and_the_rate_stays() {
    let server = Broadcast::start(Conduct::Honest);
    for threads in [1, 2] {
        let output = output(&format!(
            "fanout {}{{channel}} --subscribers 4 --channels 2 --threads {threads} --burst 10 \
             --rate 200 --duration 1 --warmup 0.3 --timeout 2 --json",
            server.url
        ));
        let report = report(&output, 0);
        check_whole(&report, 2);
        assert_eq!(number(&report, "burst"), 10);
        let publications = number(&report, "publications");
        assert_eq!(publications % 10, 0);
        assert!((180..=220).contains(&publications), "{publications}");
    }
}

#[test]
fn stalled_subscribers_are_no_part_of_the_figures() {
    let server = Broadcast::start(Conduct::Honest);
    for (flags, stalled, readers_of_channel) in [
        ("--subscribers 10 --stalled 3", 3, 7),
        (
            "--subscribers 20 --channels 5 --stalled 25% --threads 3",
            5,
            3,
        ),
        (
            "--subscribers 12 --channels 4 --stalled 8 --threads 6 --cut-rate 20",
            8,
            1,
        ),
    ] {
        let url = &server.url;
        let output = output(&format!(
            "fanout {url}{{channel}} {flags} --size 3000 {TIMES}"
        ));
        let report = report(&output, 0);
        assert_eq!(number(&report, "stalled"), stalled, "{flags}");
        assert_eq!(number(&report, "stalled_closed"), 0, "{flags}");
        if !flags.contains("--cut-rate") {
            check_whole(&report, readers_of_channel);
        }
    }
}

#[test]
fn stalled_subscribers_that_the_server_ends_are_counted_and_no_fault() {
    let server = Broadcast::start(Conduct::Impatient(Duration::from_millis(100)));
    let url = &server.url;
    let output = output(&format!(
        "fanout {url}{{channel}} --subscribers 12 --channels 3 --stalled 6 --threads 2 --size 3000 {TIMES}"
    ));
    let report = report(&output, 0);
    check_whole(&report, 2);
    assert_eq!(server.misdeeds(), 6, "all that do not read");
    assert_eq!(number(&report, "stalled_closed"), 6);
    let code = serde_json::json!([{ "code": 1006, "count": 6 }]);
    assert_eq!(report["stalled_close_codes"], code);
    assert_eq!(report["slow_close_codes"], serde_json::json!([]));
}

#[test]
fn ctrl_c_tells_what_was_delivered_so_far() {
    let server = Broadcast::start(Conduct::Honest);
    let child = loadgen(&format!(
        "fanout {} --subscribers 4 --rate 200 --duration 100000 --warmup 0 --json",
        server.url
    ))
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .expect("loadgen starts");
    server.await_published(100);
    let pid = i32::try_from(child.id()).expect("pids are small");
    let pid = rustix::process::Pid::from_raw(pid).expect("pids are positive");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it still runs");
    let output = child.wait_with_output().expect("it ends");
    let report = report(&output, 0);
    assert_eq!(report["interrupted"], true);
    assert!(number(&report, "deliveries") > 0);
    assert_eq!(losses(&report), [0; 4], "what was on its way is not lost");
}

#[test]
fn other_scenarios_have_the_keys_without_a_value() {
    let server = super::server::Server::start(super::server::Conduct::Honest);
    let output = output(&format!(
        "echo {} --connections 1 --duration 0.1 --warmup 0 --json",
        server.url
    ));
    let report = report(&output, 0);
    for key in [
        "burst",
        "publications",
        "deliveries",
        "gaps",
        "refused",
        "cuts",
        "told",
    ] {
        assert_eq!(report[key], Value::Null, "{key}");
    }
    assert_eq!(report["delivery_microseconds"]["last"], Value::Null);
}
