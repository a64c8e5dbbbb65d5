//! What a server says instead of a 101, over a transport that gives it in any pieces; and what no server says.

mod common;

use std::time::Duration;

use common::{Scripted, poll_times};
use fanfare_tokio::{ClientRequest, Config, Error, Refusal, client};

const POLLS_MAX: u32 = 1_000_000;

fn ask(seed: u64, says: &[u8]) -> Error {
    let request = ClientRequest::new("ws://server.example/").expect("a URL");
    let config = Config::default().with_handshake_timeout(None);
    let transport = Scripted::new(seed, says.to_vec());
    let asked = poll_times(POLLS_MAX, client(transport, request, &config));
    asked.expect("it ends").map(|_| ()).expect_err("no 101")
}

fn refused(seed: u64, says: &[u8]) -> Refusal {
    match ask(seed, says) {
        Error::Upgrade(refusal) => *refusal,
        other => panic!("{seed}: {other:?}"),
    }
}

/// Responses and the bodies that they have.
fn samples() -> Vec<(Vec<u8>, Vec<u8>)> {
    let long = "0123456789abcdef".repeat(1000);
    let mut samples: Vec<(String, &str)> = [
        ("401 No\r\nContent-Length: 5\r\n\r\nabcdefgh", "abcde"),
        ("400 No\r\n\r\nto the end", "to the end"),
        ("304 Same\r\nContent-Length: 5\r\n\r\nabcde", ""),
        ("500 No\r\nContent-Length: 99\r\n\r\ncut", "cut"),
        (
            "503 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;a\r\nde\r\n0\r\n\r\nf",
            "abcde",
        ),
        (
            "503 No\r\nTransfer-Encoding: gzip, chunked\r\nContent-Length: 1\r\n\r\n1\r\na\r\n0\r\n\r\n",
            "a",
        ),
        ("503 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", "abc"),
        ("503 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc", "ab"),
        ("503 No\r\nTransfer-Encoding: chunked\r\n\r\nnone", ""),
    ]
    .map(|(response, body)| (response.to_owned(), body))
    .into();
    samples.push((format!("500 No\r\n\r\n{long}"), &long[..4096]));
    let chunked =
        format!("500 No\r\nTransfer-Encoding: chunked\r\n\r\n3E80\r\n{long}\r\n0\r\n\r\n");
    samples.push((chunked, &long[..4096 - "3E80\r\n".len()]));
    samples
        .into_iter()
        .map(|(response, body)| (format!("HTTP/1.1 {response}").into(), body.into()))
        .collect()
}

#[test]
fn a_refusal_is_the_same_in_whatever_pieces_it_comes() {
    for (response, body) in samples() {
        for seed in 0..50 {
            let refusal = refused(seed, &response);
            let shown = String::from_utf8_lossy(&response);
            assert!(
                refusal.body == body,
                "{seed}: {shown}: {:?}",
                refusal.text()
            );
        }
    }
}

#[test]
fn what_no_server_says_is_an_error_and_never_more_than_came() {
    let samples = samples();
    for seed in 0..3_000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut says = rng.choice(&samples).expect("some").0.clone();
        for _ in 0..rng.usize(1..6) {
            let at = rng.usize(..says.len().min(120));
            match rng.u8(..3) {
                0 => says[at] = rng.u8(..),
                1 => says.insert(at, rng.u8(..)),
                _ => drop(says.remove(at)),
            }
        }
        if let Error::Upgrade(refusal) = ask(seed, &says) {
            assert!(refusal.body.len() <= 4096, "{seed}");
            assert!(refusal.body.capacity() <= 2 * says.len() + 64, "{seed}");
        }
    }
}

/// The time for the handshake comes while a body is read: at each poll before that, and what has come is given.
#[tokio::test(start_paused = true)]
async fn a_timeout_takes_nothing_of_what_was_read() {
    use tokio::io::AsyncWriteExt;
    for len in 0..10 {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let request = ClientRequest::new("ws://server.example/").expect("a URL");
        let config = Config::default().with_handshake_timeout(Some(Duration::from_secs(1)));
        let asked = tokio::spawn(async move { client(ours, request, &config).await.map(|_| ()) });
        let says = b"HTTP/1.1 403 No\r\nContent-Length: 10\r\n\r\n";
        theirs.write_all(says).await.expect("read");
        for byte in &b"0123456789"[..len] {
            tokio::time::sleep(Duration::from_millis(10)).await;
            theirs.write_u8(*byte).await.expect("read");
        }
        match asked.await.expect("a task") {
            Err(Error::Upgrade(refusal)) => assert_eq!(refusal.body, &b"0123456789"[..len]),
            other => panic!("{len}: {other:?}"),
        }
    }
}
