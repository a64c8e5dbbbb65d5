//! `loadgen ping` and `loadgen idle`: pongs that come, late, twice, changed or not at all.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::harness::{errors, output, report};
use super::peer::{self, Deed, Peer};
use super::server::{Conduct, Server};

/// A server that does `misdeed` in place of the pong to the ping of this number, of all.
fn misbehaving(
    at: usize,
    misdeed: impl Fn(&mut Peer, &[u8]) -> Option<()> + Send + Sync + 'static,
) -> String {
    let pings = AtomicUsize::new(0);
    peer::start(
        |_| Conduct::Honest,
        move |_, peer| {
            loop {
                match peer.next()? {
                    Deed::Ping(payload) if pings.fetch_add(1, Ordering::SeqCst) == at => {
                        misdeed(peer, &payload)?;
                    }
                    Deed::Ping(payload) => peer.pong(&payload),
                    Deed::Data(_) => panic!("ping sends no messages"),
                    Deed::Close => return peer.part(),
                }
                peer.flush()?;
            }
        },
    )
}

/// Two connections, each with one ping in flight from the start.
fn ping(url: &str, flags: &str, code: i32) -> serde_json::Value {
    let args = format!("ping {url} --connections 2 --warmup 0 --timeout 1 {flags} --json");
    report(&output(&args), code)
}

#[test]
fn pongs_are_counted_and_messages_are_not_looked_at() {
    let url = peer::start(
        |_| Conduct::Honest,
        |_, peer| {
            peer.text("unasked");
            peer.flush()?;
            peer.behave()
        },
    );
    for flags in [
        "",
        "--size 8",
        "--size 125",
        "--rate 200",
        "--interval 0.02",
    ] {
        let report = ping(&url, &format!("--duration 0.3 {flags}"), 0);
        assert!(report["messages"].as_u64() > Some(0), "{flags}");
        assert!(report["latency_microseconds"]["p50"].is_number());
    }
}

#[test]
fn each_wrong_pong_is_counted_once() {
    let closed = ping(&misbehaving(1, |_, _| None), "--duration 0.3", 1);
    assert_eq!(errors(&closed), [0, 0, 0, 0, 1, 0]);
    let unanswered = ping(&misbehaving(1, |_, _| Some(())), "--duration 0.3", 1);
    assert_eq!(errors(&unanswered), [0, 0, 0, 0, 0, 1]);
    let changed = misbehaving(1, |peer, payload| {
        let mut changed = payload.to_vec();
        changed[0] ^= 1;
        peer.pong(&changed);
        Some(())
    });
    assert_eq!(
        errors(&ping(&changed, "--duration 0.3", 1)),
        [0, 0, 0, 1, 0, 0]
    );
    let shortened = misbehaving(1, |peer, payload| {
        peer.pong(&payload[1..]);
        Some(())
    });
    assert_eq!(
        errors(&ping(&shortened, "--duration 0.3", 1)),
        [0, 0, 0, 1, 0, 0]
    );
    let repeated = misbehaving(1, |peer, payload| {
        peer.pong(payload);
        peer.pong(payload);
        Some(())
    });
    assert_eq!(
        errors(&ping(&repeated, "--duration 0.3", 1)),
        [0, 0, 0, 1, 0, 0]
    );
}

#[test]
fn a_heartbeat_of_the_server_is_no_fault() {
    let url = peer::start(
        |_| Conduct::Honest,
        |_, peer| {
            peer.pong(b"");
            peer.flush()?;
            peer.behave()
        },
    );
    // It comes while no ping is awaited: the first would be minutes away.
    ping(&url, "--interval 1000 --duration 0.2", 0);
}

#[test]
fn one_pong_answers_the_pings_before_it() {
    // Ten pings of one connection are answered by one pong each time.
    let url = peer::start(
        |_| Conduct::Honest,
        |_, peer| {
            let mut pings = 0;
            loop {
                match peer.next()? {
                    Deed::Ping(payload) => {
                        pings += 1;
                        if pings % 10 == 0 {
                            peer.pong(&payload);
                        }
                    }
                    Deed::Data(_) => panic!("ping sends no messages"),
                    Deed::Close => return peer.part(),
                }
                peer.flush()?;
            }
        },
    );
    let args = format!(
        "ping {url} --connections 1 --rate 200 --duration 0.5 --warmup 0 --timeout 1 --json"
    );
    let output = output(&args);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    // All but those after the last tenth are answered, and these time out.
    let (messages, timeouts) = (report["messages"].as_u64(), errors(&report)[5]);
    assert_eq!(messages.map(|count| count % 10), Some(0), "{report}");
    assert!(messages > Some(0) && timeouts < 10, "{report}");
}

#[test]
fn an_idle_run_holds_its_connections_and_weighs_them() {
    let server = Server::start(Conduct::Honest);
    let args = format!(
        "idle {} --connections 50 --threads 2 --ramp 0.2 --duration 0.3 --warmup 0 --pid {} --json",
        server.url,
        std::process::id()
    );
    let report = report(&output(&args), 0);
    for key in ["client", "server_user", "kernel"] {
        let key = format!("{key}_bytes_per_connection");
        assert!(report[&key].is_number(), "{key}");
    }
    assert_eq!(report["messages"], 0);
    assert_eq!(server.received.load(Ordering::SeqCst), 0);
}

#[test]
fn heartbeats_are_answered_by_every_connection() {
    let beating = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&beating);
    let url = peer::start(
        |_| Conduct::Honest,
        move |number, peer| {
            loop {
                match peer.next()? {
                    Deed::Ping(payload) => {
                        seen.lock().expect("no test panics with it").insert(number);
                        peer.pong(&payload);
                    }
                    Deed::Data(_) => panic!("idle sends no messages"),
                    Deed::Close => return peer.part(),
                }
                peer.flush()?;
            }
        },
    );
    let args = format!(
        "idle {url} --connections 20 --threads 2 --heartbeat 0.2 --duration 0.6 --warmup 0 --json"
    );
    let report = report(&output(&args), 0);
    assert_eq!(beating.lock().expect("no test panics with it").len(), 20);
    assert!(report["messages"].as_u64() >= Some(20), "{report}");
    assert!(report["server_user_bytes_per_connection"].is_null());
}

#[test]
fn an_idle_connection_that_the_server_ends_is_a_fault() {
    let url = peer::start(
        |_| Conduct::Honest,
        |number, peer| if number == 3 { None } else { peer.behave() },
    );
    let args = format!("idle {url} --connections 10 --duration 0.3 --warmup 0 --json");
    assert_eq!(errors(&report(&output(&args), 1)), [0, 0, 0, 0, 1, 0]);
}

#[test]
fn each_heartbeat_without_a_pong_is_a_timeout() {
    let beats = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&beats);
    let url = peer::start(
        |_| Conduct::Honest,
        move |_, peer| {
            while let Some(deed) = peer.next() {
                match deed {
                    Deed::Ping(_) => drop(counter.fetch_add(1, Ordering::SeqCst)),
                    Deed::Data(_) => panic!("idle sends no messages"),
                    Deed::Close => return peer.part(),
                }
            }
            None
        },
    );
    let args = format!(
        "idle {url} --connections 5 --heartbeat 0.2 --duration 0.5 --warmup 0 --timeout 0.3 --json"
    );
    let timeouts = errors(&report(&output(&args), 1));
    let beats = beats.load(Ordering::SeqCst) as u64;
    assert!(beats >= 5);
    assert_eq!(timeouts, [0, 0, 0, 0, 0, beats]);
}
