//! Subscribers that read slowly or never: each of the three ways, what it costs, and that nobody else
//! pays for it.
//!
//! Never: waits for a fixed time; it publishes until the kernel's buffers must be full.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use fanfare_tests::client::Client;
use fanfare_tests::push::{Push, eventually};
use fanfare_tests::read::read;
use fanfare_tests::wire::{self, CLOSE, Frame, Received, Sender, TEXT};
use serde_json::json;

const PAYLOAD_BYTES: usize = 16 << 10;
/// Much more than the kernel holds for a connection, which is up to 4 MiB.
const PUBLICATIONS: usize = (24 << 20) / PAYLOAD_BYTES;
/// Of these, what may wait in the server for one subscriber.
const OUTPUT_BYTES_MAX: usize = 256 << 10;

/// One worker, so that slow and healthy subscribers share it; nobody is cut off while a test goes on.
fn start(output_bytes_max: usize) -> Push {
    let websocket = format!(
        "[websocket]\nmax_output_bytes = {output_bytes_max}\nsend_timeout = 60\nclose_timeout = 60"
    );
    Push::start("workers = 1", &websocket)
}

/// A subscriber whose kernel takes little for it.
fn narrow(push: &Push, channel: &str) -> Client {
    Client::narrow(push.addr(), &format!("/raw/{channel}"), &[])
}

/// Publication `n`: its number, then a filling that depends on it.
fn payload(n: usize) -> String {
    let letter = char::from(b'a' + u8::try_from(n % 26).unwrap());
    let filling = String::from(letter).repeat(PAYLOAD_BYTES);
    format!("{n:06} {filling}")
}

/// The number of a publication that is as it was published.
#[track_caller]
fn number(frame: &Received) -> usize {
    assert_eq!(
        (frame.opcode, frame.fin),
        (TEXT, true),
        "{:?}",
        frame.opcode
    );
    let text = String::from_utf8_lossy(&frame.payload);
    let n = text[..6].parse().unwrap();
    assert!(text == payload(n), "publication {n} has changed");
    n
}

/// Publishes everything, in bursts of a few; the publisher and a healthy neighbour have all of a burst
/// before the next one.
fn publish_all(push: &Push, channel: &str) {
    let mut publisher = push.subscribe(channel);
    let mut neighbour = push.subscribe(channel);
    let mut random = fastrand::Rng::with_seed(7);
    let mut done = 0;
    while done < PUBLICATIONS {
        let burst = done..PUBLICATIONS.min(done + random.usize(1..8));
        let frames = burst
            .clone()
            .map(|n| Frame::text(payload(n)).encode(Sender::Client));
        publisher.send(&frames.collect::<Vec<_>>().concat());
        for client in [&mut publisher, &mut neighbour] {
            for n in burst.clone() {
                let frame = client.frame().expect("healthy readers get everything");
                assert_eq!(number(&frame), n, "{channel}");
            }
        }
        done = burst.end;
    }
}

/// All bytes that come until the end of the stream.
fn drain(client: &mut Client) -> Vec<u8> {
    let mut bytes = std::mem::take(&mut client.received);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match read(&mut client.socket, &mut buffer) {
            Ok(0) | Err(_) => return bytes,
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
        }
    }
}

#[test]
fn close_ends_what_was_begun_then_says_3008() {
    let push = start(OUTPUT_BYTES_MAX);
    for channel in ["open:a", "recovers:a"] {
        let mut slow: Vec<Client> = (0..3).map(|_| narrow(&push, channel)).collect();
        publish_all(&push, channel);
        for client in &mut slow {
            let mut bytes = &drain(client)[..];
            let mut next = 0;
            loop {
                let left = bytes.len();
                let Some((frame, len)) = wire::read_frame(bytes, Sender::Server).unwrap() else {
                    panic!("{channel}: {left} bytes of a frame after publication {next}");
                };
                bytes = &bytes[len..];
                if frame.opcode == CLOSE {
                    let (code, reason) = frame.payload.split_at(2);
                    assert_eq!(code, 3008_u16.to_be_bytes(), "{channel}");
                    assert!(reason.starts_with(b"slow"), "{channel}: {reason:?}");
                    break;
                }
                assert_eq!(number(&frame), next, "{channel}");
                next += 1;
            }
            assert!(bytes.is_empty(), "{channel}: {bytes:?} after the close");
            assert!((1..PUBLICATIONS).contains(&next), "{channel}: {next} came");
        }
        let mut after = push.subscribe(channel);
        push.api().publish(channel, &json!("after"));
        after.expect_text("\"after\"");
    }
}

#[test]
fn up_to_the_cap_everything_waits_where_more_than_the_latest_does() {
    let push = start(2 * PAYLOAD_BYTES * PUBLICATIONS);
    for channel in ["open:a", "recovers:a", "oldest:a"] {
        let mut slow = narrow(&push, channel);
        publish_all(&push, channel);
        for n in 0..PUBLICATIONS {
            let frame = slow.frame().expect("all of them");
            assert_eq!(number(&frame), n, "{channel}");
        }
    }
}

/// What came of all publications to a subscriber that read nothing until they were out.
fn numbers_that_came(push: &Push, channel: &str) -> Vec<usize> {
    let mut slow = narrow(push, channel);
    publish_all(push, channel);
    let mut came = Vec::new();
    while came.last() != Some(&(PUBLICATIONS - 1)) {
        let frame = slow.frame().expect("the last publication, not the end");
        came.push(number(&frame));
    }
    assert!(came.is_sorted_by(|a, b| a < b), "{channel}: {came:?}");
    assert!(came.len() < PUBLICATIONS, "{channel}: it was not slow");
    // From now on it is as good as any.
    for n in 0..3 {
        push.api().publish(channel, &json!(n));
        slow.expect_text(&n.to_string());
    }
    slow.say(&Frame::ping("alive"));
    assert_eq!(slow.frame().expect("a pong").payload, b"alive");
    came
}

/// How many came after the last publication that did not.
fn after_the_last_gap(came: &[usize]) -> usize {
    let gap = came.windows(2).rposition(|pair| pair[1] != pair[0] + 1);
    came.len() - 1 - gap.expect("a gap")
}

#[test]
fn drop_oldest_keeps_the_newest_that_fit() {
    let push = start(OUTPUT_BYTES_MAX);
    let came = numbers_that_came(&push, "oldest:a");
    let kept = after_the_last_gap(&came);
    let fit = OUTPUT_BYTES_MAX / PAYLOAD_BYTES;
    assert!(
        (fit / 2..=fit + 1).contains(&kept),
        "{kept} of {fit} that fit"
    );
}

#[test]
fn conflate_keeps_the_latest_alone() {
    let push = start(OUTPUT_BYTES_MAX);
    let came = numbers_that_came(&push, "latest:a");
    let kept = after_the_last_gap(&came);
    assert_eq!(kept, 1, "{came:?}");
}

#[test]
fn who_never_reads_costs_what_may_wait_for_it() {
    for channel in ["oldest:a", "latest:a", "open:a"] {
        let push = start(OUTPUT_BYTES_MAX);
        let readers = 10;
        let deaf: Vec<Client> = (0..readers).map(|_| narrow(&push, channel)).collect();
        let before = push.daemon().resident_kib();
        publish_all(&push, channel);
        if let (Some(before), Some(after)) = (before, push.daemon().resident_kib()) {
            let grown = after.saturating_sub(before);
            // What all of them may hold twice, and something for the rest of the daemon.
            let allowed = 2 * readers * (OUTPUT_BYTES_MAX as u64 >> 10) + 4096;
            assert!(grown < allowed, "{channel}: {grown} KiB of {allowed}");
        }
        drop(deaf);
    }
}

#[test]
fn who_never_reads_is_gone_when_its_time_is_up() {
    let websocket = format!(
        "[websocket]\nmax_output_bytes = {OUTPUT_BYTES_MAX}\nsend_timeout = 0.5\nclose_timeout = 0.5"
    );
    let push = Push::start("workers = 1", &websocket);
    let mut api = push.api();
    api.publish("open:a", &json!("opens the connection that stays"));
    let before = push.daemon().open_files();
    let deaf: Vec<Client> = (0..10).map(|_| narrow(&push, "open:a")).collect();
    eventually("all are present", || api.clients("open:a").len() == 10);
    publish_all(&push, "open:a");
    eventually("all are gone", || api.clients("open:a").is_empty());
    eventually("their descriptors are free", || {
        api.publish("open:a", &json!("a turn of its loop"));
        push.daemon().open_files() <= before.map(|files| files + 1)
    });
    drop(deaf);
}
