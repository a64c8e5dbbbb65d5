//! How a push server ends: what is still served, who is told when and with what, and that nothing that was
//! published before is lost.
//!
//! Never: takes a close for the end of the test: the process has an exit code.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]
#![allow(clippy::print_stdout, reason = "the suite prints what it has measured")]

use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fanfare_tests::client::Client;
use fanfare_tests::clock;
use fanfare_tests::crowd::{Member, Seen, reserve_descriptors, to_their_closes};
use fanfare_tests::daemon::Daemon;
use fanfare_tests::http::Http;
use fanfare_tests::push::{KEYS, NAMESPACES, Push};
use fanfare_tests::session::{Session, Wire};
use fanfare_tests::wire::Frame;
use rustix::process::Signal;
use serde_json::json;

const CHANNEL: &str = "past:drain";
const SUBSCRIBERS: usize = 5000;
const SESSIONS: usize = SUBSCRIBERS / 2;
/// Of this process: theirs, and some room; the server has as many.
const DESCRIPTORS: u64 = SUBSCRIBERS as u64 + 1000;
/// Between two publications: each is five thousand messages.
const PAUSE: Duration = Duration::from_millis(250);
const DELAY: Duration = Duration::from_secs(4);
const WINDOW: Duration = Duration::from_secs(10);
/// What a busy machine may be late by.
const SLACK: Duration = Duration::from_secs(2);

/// A server that drains as these settings say, each a name and a value of `[drain]`.
fn start(drain: &[(&str, &str)]) -> Push {
    let api = format!("[api]\nlisten = \"{{api}}\"\n{KEYS}");
    let config = [
        "workers = 2\necho = true",
        NAMESPACES,
        &api,
        "[client]\nallow_anonymous = true\n[websocket]\nclose_timeout = 20",
    ];
    let names = drain.iter().map(|(name, value)| {
        let name = format!("FANFARE_DRAIN__{}", name.to_ascii_uppercase());
        (name, *value)
    });
    let environment: Vec<(String, &str)> = names.collect();
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    Push::over(Daemon::serve_in(&config.join("\n"), &[], &environment).unwrap())
}

/// Subscribers of one channel, the half of them sessions on both wires; some threads connect them.
fn subscribers(push: &Push) -> Vec<Member> {
    let next = AtomicUsize::new(0);
    let members = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let member = match n {
                        0..SESSIONS => {
                            let wire = [Wire::Json, Wire::Protobuf][n % 2];
                            let mut session = Session::anonymous(push, wire);
                            session.subscribe(CHANNEL);
                            Member::Session(session)
                        }
                        SESSIONS..SUBSCRIBERS => {
                            let (mut client, _) = push.subscribe_at(&format!("{CHANNEL}?meta=1"));
                            client.text(); // where it begins
                            Member::Raw(client)
                        }
                        _ => return,
                    };
                    members.lock().unwrap().push(member);
                }
            });
        }
    });
    members.into_inner().unwrap()
}

/// Publishes again and again; when each offset was acknowledged.
fn publish_until(push: &Push, stops: &AtomicBool) -> Vec<(u64, Instant)> {
    let mut api = push.api();
    let mut acknowledged = Vec::new();
    while !stops.load(Ordering::SeqCst) {
        let result = api.publish(CHANNEL, &json!({"n": acknowledged.len()}));
        acknowledged.push((result["offset"].as_u64().expect("an offset"), clock::now()));
        thread::sleep(PAUSE);
    }
    acknowledged
}

/// Prints how many closes came in each tenth of the window.
fn print_histogram(asked_at: Instant, seen: &[Seen]) {
    let mut tenths = [0_usize; 10];
    let (mut early, mut late) = (0, 0);
    for close in seen {
        let after = close.closed_at.duration_since(asked_at);
        let Some(within) = after.checked_sub(DELAY) else {
            early += 1;
            continue;
        };
        let tenth = within.as_millis() * 10 / WINDOW.as_millis();
        match tenths.get_mut(usize::try_from(tenth).unwrap()) {
            Some(count) => *count += 1,
            None => late += 1,
        }
    }
    println!("{} closes after {DELAY:?}, within {WINDOW:?}:", seen.len());
    for (n, count) in (1..).zip(tenths) {
        let until = DELAY + WINDOW * n / 10;
        println!(
            "  until {:4.1} s {count:4} {}",
            until.as_secs_f64(),
            "#".repeat(count / 20)
        );
    }
    println!("  earlier {early}, later {late}");
}

#[test]
fn five_thousand_subscribers_get_every_offset_up_to_a_close_that_has_a_time_of_its_own() {
    reserve_descriptors(DESCRIPTORS);
    let (delay, window) = (DELAY.as_secs().to_string(), WINDOW.as_secs().to_string());
    let push = start(&[("delay", &delay), ("window", &window), ("timeout", "40")]);
    let stops = AtomicBool::new(false);
    // Holds the daemon until the last publication is acknowledged.
    let mut holder = push.subscribe("open:holder");
    let members = subscribers(&push);
    let (asked_at, acknowledged, seen) = thread::scope(|scope| {
        let crowd = scope.spawn(|| to_their_closes(members, 3 * (DELAY + WINDOW)));
        let publisher = scope.spawn(|| publish_until(&push, &stops));
        thread::sleep(4 * PAUSE); // publications flow
        let asked_at = clock::now();
        push.daemon().terminate().unwrap();

        // The delay: balancers are told, and nobody else.
        let mut http = Http::connect(push.daemon().api());
        loop {
            let ready = http.request("GET /ready", &[], b"");
            if ready.status() == 503 {
                ready.expect_line("on api.listen", 503, &["stops"]);
                break;
            }
            assert!(
                asked_at.elapsed() < DELAY,
                "ready though it was told to stop"
            );
        }
        let ready = Http::connect(push.addr()).request("GET /ready", &[], b"");
        ready.expect_line("on the main port", 503, &["stops"]);
        assert_eq!(http.request("GET /health", &[], b"").status(), 200);
        let mut late = push.subscribe("open:late");
        push.api().publish("open:late", &json!("still here"));
        late.expect_text("\"still here\"");
        assert!(
            asked_at.elapsed() < DELAY,
            "the machine was too busy to look"
        );

        let seen = crowd.join().unwrap();
        late.expect_closed(1001, "shutdown");
        stops.store(true, Ordering::SeqCst);
        (asked_at, publisher.join().unwrap(), seen)
    });
    let refused = TcpStream::connect(push.addr()).is_err();
    assert!(refused, "nobody is accepted any more");
    holder.expect_close(1001);
    drop(holder);
    let status = push.into_daemon().wait().unwrap();
    let took = asked_at.elapsed();
    assert_eq!(status.code(), Some(0), "after {took:?}");
    // Long before `timeout`; how long after the window is the machine's business, too.
    assert!(took < DELAY + WINDOW + 6 * SLACK, "{took:?}");

    print_histogram(asked_at, &seen);
    println!("{} publications, exit 0 after {took:?}", acknowledged.len());
    assert_eq!(seen.len(), SUBSCRIBERS);
    for end in &seen {
        let code = if end.is_session { 3001 } else { 1001 };
        assert_eq!(end.code, code, "a session: {}", end.is_session);
        let first = end.offsets[0];
        let in_order = (first..).zip(&end.offsets).all(|(n, offset)| n == *offset);
        assert!(in_order, "{:?}", end.offsets);
        assert_eq!(first, 1, "everyone was there before the first");
        // Acknowledged well before its close, so published before it.
        let before = acknowledged.iter().rev();
        let mut before = before.filter(|(_, at)| *at + SLACK < end.closed_at);
        let (owed, _) = before.next().expect("publications flowed");
        assert!(
            end.offsets.last() >= Some(owed),
            "{owed}: {:?}",
            end.offsets.last()
        );
    }
    let mut closes: Vec<Instant> = seen.iter().map(|end| end.closed_at).collect();
    closes.sort_unstable();
    let spread = closes[closes.len() - 1] - closes[0];
    assert!(spread > WINDOW / 2, "{spread:?}");
    let first = closes[0].duration_since(asked_at);
    assert!(
        first + SLACK > DELAY,
        "the first close came after {first:?}"
    );
}

#[test]
fn a_second_signal_ends_a_delay_and_a_window_at_once() {
    for (settings, code, signal) in [
        (["60", "1", "90"], 128 + 15, Signal::TERM),
        (["0", "60", "90"], 128 + 2, Signal::INT),
    ] {
        let [delay, window, timeout] = settings;
        let push = start(&[("delay", delay), ("window", window), ("timeout", timeout)]);
        let clients: Vec<Client> = (0..20).map(|_| push.subscribe("open:a")).collect();
        let asked_at = clock::now();
        push.daemon().terminate().unwrap();
        let mut http = Http::connect(push.daemon().api());
        while http.request("GET /ready", &[], b"").status() != 503 {
            assert!(asked_at.elapsed() < 20 * SLACK, "still ready");
        }
        let daemon = push.into_daemon();
        daemon.signal(signal).unwrap();
        assert_eq!(daemon.wait().unwrap().code(), Some(code));
        drop(clients);
    }
}

#[test]
fn it_ends_as_soon_as_nobody_is_left() {
    let push = start(&[("delay", "0"), ("window", "60"), ("timeout", "90")]);
    let mut clients: Vec<Client> = (0..3).map(|_| push.subscribe("open:a")).collect();
    push.daemon().terminate().unwrap();
    // Whoever leaves by itself needs no close.
    for client in &mut clients {
        client.say(&Frame::close(1000, ""));
        client.expect_close(1000);
    }
    drop(clients);
    let daemon = push.into_daemon();
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
}

#[test]
fn whoever_has_no_session_gets_the_code_of_the_config() {
    let push = start(&[("delay", "0"), ("window", "0"), ("close_code", "1012")]);
    let mut raw = push.subscribe("open:a");
    let (mut echo, _) = Client::enter(push.addr(), "/echo", &[]);
    let mut session = Session::anonymous(&push, Wire::Json);
    push.daemon().terminate().unwrap();
    raw.expect_closed(1012, "shutdown");
    echo.expect_closed(1012, "shutdown");
    session.expect_closed(3001, "a session");
    drop((raw, echo, session));
    assert_eq!(push.into_daemon().wait().unwrap().code(), Some(0));
}

#[test]
fn under_dev_nothing_is_waited_for() {
    let addr = fanfare_tests::daemon::free_address().unwrap();
    let mut command = fanfare_tests::daemon::fanfare();
    command.args(["serve", "--dev", "--listen", &addr.to_string()]);
    let daemon = Daemon::run(command, addr).unwrap();
    let (mut echo, _) = Client::enter(addr, "/echo", &[]);
    let asked_at = clock::now();
    daemon.signal(Signal::INT).unwrap();
    echo.expect_closed(1001, "shutdown");
    drop(echo);
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
    let took = asked_at.elapsed();
    assert!(
        took < Duration::from_secs(4),
        "less than the delay by default: {took:?}"
    );
}
