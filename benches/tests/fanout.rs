//! `ceiling --fanout`, as a process: everybody but the sender gets every frame, once, whole and in order.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use fanfare_codec::Encoder;
use fanfare_codec::handshake::{ClientHandshake, HeadLimits, ResponseDecoder};

use support::Ceiling;

const TIMEOUT: Duration = Duration::from_secs(20);

/// A client with its 101, whose accept value is that of a key of its own.
fn join(ceiling: &Ceiling, nonce: u8) -> TcpStream {
    let mut stream = TcpStream::connect(&ceiling.addr).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.set_nodelay(true).unwrap();
    let handshake = ClientHandshake::new(&ceiling.addr, "/any/path", [nonce; 16]).unwrap();
    let mut bytes = Vec::new();
    handshake.encode(&mut bytes);
    stream.write_all(&bytes).unwrap();

    let mut decoder = ResponseDecoder::new(HeadLimits::default());
    let mut received = Vec::new();
    let mut byte = [0];
    loop {
        stream.read_exact(&mut byte).unwrap();
        received.push(byte[0]);
        if let Some(head) = decoder.decode(&received).unwrap() {
            handshake.verify(&head).unwrap();
            return stream;
        }
    }
}

/// Messages of these lengths: masked, as a client sends them, and as everybody else is to get them.
fn messages(lengths: &[usize]) -> (Vec<u8>, Vec<u8>) {
    let (mut masked, mut plain) = (Vec::new(), Vec::new());
    let mut client = Encoder::client(|| [1, 2, 3, 4]);
    let mut server = Encoder::server();
    for (nth, &length) in lengths.iter().enumerate() {
        let text = char::from(b'a' + u8::try_from(nth % 26).unwrap())
            .to_string()
            .repeat(length);
        client.text(&mut masked, &text).unwrap();
        server.text(&mut plain, &text).unwrap();
    }
    (masked, plain)
}

#[track_caller]
fn assert_gets(stream: &mut TcpStream, expected: &[u8], what: &str) {
    let mut received = vec![0; expected.len()];
    stream.read_exact(&mut received).unwrap();
    assert!(received == expected, "{what}");
}

#[test]
fn frames_of_one_write_reach_everybody_but_the_sender() {
    let ceiling = Ceiling::start(&["--fanout"]);
    let mut clients = [1, 2, 3].map(|nonce| join(&ceiling, nonce));
    let (masked, plain) = messages(&[0, 1, 125, 126, 65_535, 65_536, 128]);
    clients[0].write_all(&masked).unwrap();
    for reader in &mut clients[1..] {
        assert_gets(reader, &plain, "all frames, unmasked");
    }
    // What the sender gets first is another's: its own never came.
    let (masked, plain) = messages(&[7]);
    clients[1].write_all(&masked).unwrap();
    assert_gets(&mut clients[0], &plain, "the other's frame");
}

#[test]
fn a_frame_cut_anywhere_arrives_whole() {
    let ceiling = Ceiling::start(&["--fanout"]);
    let [mut sender, mut other, mut reader] = [1, 2, 3].map(|nonce| join(&ceiling, nonce));
    let (masked, plain) = messages(&[3, 130]);
    let (masked_mark, mark) = messages(&[1]);
    for cut in 1..masked.len() {
        sender.write_all(&masked[..cut]).unwrap();
        // Ready events come in order: once the mark is here, the first part has been read.
        other.write_all(&masked_mark).unwrap();
        let whole_before = if cut < 9 { 0 } else { 5 };
        assert_gets(&mut reader, &plain[..whole_before], "the first frame");
        assert_gets(&mut reader, &mark, "the mark");
        sender.write_all(&masked[cut..]).unwrap();
        assert_gets(
            &mut reader,
            &plain[whole_before..],
            &format!("cut at {cut}"),
        );
    }
}

#[test]
fn what_a_socket_does_not_take_is_sent_later() {
    let ceiling = Ceiling::start(&["--fanout"]);
    let [mut sender, mut late] = [1, 2].map(|nonce| join(&ceiling, nonce));
    let mut prompt = join(&ceiling, 3);
    // More than a pair of sockets holds.
    let (masked, plain) = messages(&[60_000; 300]);
    let writing = std::thread::spawn(move || sender.write_all(&masked).map(|()| sender));
    assert_gets(
        &mut prompt,
        &plain,
        "a reader beside one that does not read",
    );
    writing.join().unwrap().unwrap();
    assert_gets(&mut late, &plain, "the one that reads late");
}

#[test]
fn a_close_frame_and_a_broken_rule_end_the_connection_alone() {
    let ceiling = Ceiling::start(&["--fanout"]);
    let mut reader = join(&ceiling, 1);
    for (nonce, last) in [&b"\x88\x80\0\0\0\0"[..], b"\xFF\xFF"].iter().enumerate() {
        let mut client = join(&ceiling, u8::try_from(nonce).unwrap());
        let (mut bytes, plain) = messages(&[5]);
        bytes.extend_from_slice(last);
        client.write_all(&bytes).unwrap();
        assert_gets(&mut reader, &plain, "what came before the end");
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0, "{last:?}");
    }
}

#[test]
fn a_frame_length_is_the_echo_s_alone() {
    let mut ceiling = std::process::Command::new(env!("CARGO_BIN_EXE_ceiling"));
    let output = ceiling
        .args(["--fanout", "--frame-bytes", "26"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}
