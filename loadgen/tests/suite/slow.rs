//! `loadgen slow`: clients that do not read, and servers that cut them off or do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fanfare_codec::{CloseCode, CloseFrame};

use super::harness::{errors, output, report};
use super::peer::{self, Deed, Peer};
use super::server::{Conduct, Server};

/// Messages of more bytes than this come from slow clients.
const HEALTHY_BYTES: usize = 20;

#[test]
fn the_healthy_ones_are_measured_and_the_slow_ones_are_no_fault() {
    let server = Server::start(Conduct::Honest);
    for flags in [
        "",
        "--rate 200",
        "--read-rate 50000",
        "--text --depth 2 --threads 2",
    ] {
        let args = format!(
            "slow {} --connections 10 --slow-share 0.3 --duration 0.5 --warmup 0 {flags} --json",
            server.url
        );
        let report = report(&output(&args), 0);
        assert_eq!(report["slow_connections"], 3, "{flags}");
        assert_eq!(report["slow_closed"], 0, "{flags}");
        assert!(report["messages"].as_u64() > Some(0), "{flags}");
        let reads = flags.contains("--read-rate");
        assert_eq!(report["slow_messages"].as_u64() > Some(0), reads, "{flags}");
    }
}

/// Ends, as `end` does, every connection that sends messages of a slow client.
fn intolerant(end: impl Fn(&mut Peer) -> Option<()> + Send + Sync + 'static) -> String {
    peer::start(
        |_| Conduct::Honest,
        move |_, peer| {
            loop {
                match peer.next()? {
                    Deed::Data(bytes) if bytes.len() > HEALTHY_BYTES => return end(peer),
                    Deed::Data(bytes) => peer.binary(&bytes),
                    Deed::Ping(payload) => peer.pong(&payload),
                    Deed::Close => return peer.part(),
                }
                peer.flush()?;
            }
        },
    )
}

#[test]
fn slow_ones_that_the_server_ends_are_counted_with_their_codes() {
    let cut = intolerant(|_| None);
    let too_slow = intolerant(|peer| {
        let close = CloseFrame::new(CloseCode(3008), "slow").expect("3008 is allowed");
        peer.encoder.close(&mut peer.out, Some(close));
        peer.flush()?;
        // The close frame is to be read, so the socket must not be reset by what the client still sends.
        while peer.next().is_some() {}
        Some(())
    });
    for (url, code) in [(cut, 1006), (too_slow, 3008)] {
        let args = format!(
            "slow {url} --connections 10 --slow-share 0.2 --read-rate 1000 --duration 1 --warmup 0 --json"
        );
        let report = report(&output(&args), 0);
        assert_eq!(report["slow_closed"], 2, "{report}");
        let codes = report["slow_close_codes"].as_array().expect("a list");
        assert_eq!(codes.len(), 1, "{report}");
        assert_eq!(
            (&codes[0]["code"], &codes[0]["count"]),
            (&code.into(), &2.into())
        );
        assert!(report["slow_closed_after_microseconds"]["max"].is_number());
        assert!(report["messages"].as_u64() > Some(0), "{report}");
    }
}

#[test]
fn a_healthy_one_that_the_server_ends_is_a_fault() {
    let messages = Arc::new(AtomicUsize::new(0));
    let url = peer::start(
        |_| Conduct::Honest,
        move |_, peer| {
            loop {
                match peer.next()? {
                    Deed::Data(bytes) => {
                        let is_healthy = bytes.len() <= HEALTHY_BYTES;
                        if is_healthy && messages.fetch_add(1, Ordering::SeqCst) == 5 {
                            return None;
                        }
                        peer.binary(&bytes);
                    }
                    Deed::Ping(payload) => peer.pong(&payload),
                    Deed::Close => return peer.part(),
                }
                peer.flush()?;
            }
        },
    );
    let args = format!("slow {url} --connections 10 --duration 0.3 --warmup 0 --json");
    let report = report(&output(&args), 1);
    assert_eq!(errors(&report), [0, 0, 0, 0, 1, 0]);
    assert_eq!(report["slow_closed"], 0);
}

#[test]
fn slow_listeners_of_a_server_that_pushes() {
    let url = peer::start(
        |_| Conduct::Honest,
        |_, peer| {
            assert_eq!(peer.next()?, Deed::Data(b"all".to_vec()));
            loop {
                peer.binary(&[7; 4096]);
                peer.flush()?;
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        },
    );
    let args = format!(
        "slow {url} --receive --subscribe all --connections 10 --slow-share 0.5 --duration 0.5 \
         --warmup 0 --json"
    );
    let report = report(&output(&args), 0);
    assert_eq!(report["slow_connections"], 5);
    assert_eq!(report["slow_messages"], 0);
    assert!(report["messages"].as_u64() > Some(0), "{report}");
    assert!(report["gap_microseconds"]["p50"].is_number());
    assert!(report["latency_microseconds"]["p50"].is_null());
}
