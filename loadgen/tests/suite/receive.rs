//! `loadgen receive`, against servers that push.

use super::harness::{errors, output, report};
use super::peer::{self, Deed};
use super::server::Conduct;

#[test]
fn what_is_pushed_in_the_measured_time_is_counted_exactly() {
    // A server cannot see when the measurement begins: it pushes half a second after the subscription,
    // when all connections have long been made, and the run lasts a second longer.
    let url = peer::start(
        |_| Conduct::Honest,
        |_, peer| {
            assert_eq!(peer.next()?, Deed::Data(b"go".to_vec()));
            std::thread::sleep(std::time::Duration::from_millis(500));
            for _ in 0..25 {
                peer.text("four");
            }
            peer.flush()?;
            peer.behave()
        },
    );
    let args =
        format!("receive {url} --connections 4 --subscribe go --duration 1.5 --warmup 0 --json");
    let report = report(&output(&args), 0);
    assert_eq!(report["messages"], 100);
    assert!(report["latency_microseconds"]["p50"].is_null());
    assert!(report["gap_microseconds"]["max"].is_number());
    let bytes = report["payload_bytes_per_second"].as_f64().expect("a rate");
    let seconds = report["duration_seconds"].as_f64().expect("a time");
    assert!((bytes * seconds - 400.0).abs() < 1e-6, "{report}");
    let first = report["first_message_microseconds"]["min"].as_f64();
    assert!(first >= Some(499_000.0), "{report}");
}

#[test]
fn a_subscriber_that_the_server_drops_is_a_fault() {
    let url = peer::start(
        |_| Conduct::Honest,
        |number, peer| if number < 2 { None } else { peer.behave() },
    );
    let args = format!("receive {url} --connections 5 --duration 0.3 --warmup 0 --json");
    assert_eq!(errors(&report(&output(&args), 1)), [0, 0, 0, 0, 2, 0]);
}
