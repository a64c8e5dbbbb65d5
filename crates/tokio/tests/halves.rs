//! Both halves of a connection, each future dropped at any of its polls as a seed says: what was received is given once,
//! what was sent leaves once, pongs and the answer to a close leave though only the reading half asks for them.

mod common;

use common::{Scripted, poll_times};
use fanfare_codec::{
    CloseCode, CloseFrame, Encoder, Limits, Message as MessageRef, MessageDecoder, Role,
};
use fanfare_tokio::{
    Config, EncodeError, Error, Message, PreparedFrame, ReadHalf, WebSocketStream, WriteHalf,
};
use futures_util::{SinkExt, StreamExt};

const SEEDS: u64 = 1_500;

/// Numbered messages, pings between them, a close.
fn script(rng: &mut fastrand::Rng) -> (Vec<u8>, Vec<Vec<u8>>, usize) {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::client(|| [9, 8, 7, 6]);
    let (mut data, mut pings) = (Vec::new(), 0);
    for n in 0..rng.usize(1..15) {
        let mut payload = format!("{n} ").into_bytes();
        payload.resize(payload.len() + rng.usize(..6_000), b'y');
        encoder.binary(&mut bytes, &payload).expect("open");
        data.push(payload);
        if rng.bool() {
            encoder
                .ping(&mut bytes, pings.to_string().as_bytes())
                .expect("short");
            pings += 1;
        }
    }
    let close = CloseFrame::new(CloseCode(4000), "").expect("good");
    encoder.close(&mut bytes, Some(close));
    (bytes, data, pings)
}

/// One future of the reading half; false once the connection has ended.
fn read_some(
    rng: &mut fastrand::Rng,
    read: &mut ReadHalf<Scripted>,
    received: &mut Vec<Vec<u8>>,
) -> bool {
    let polls = rng.u32(1..4);
    let next = match rng.u8(..3) {
        0 => poll_times(polls, read.next_message()).map(|n| n.map(|m| m.map(Message::from))),
        1 => poll_times(polls, read.recv()),
        _ => poll_times(polls, read.next()),
    };
    match next {
        None => true,
        Some(None) => false,
        Some(Some(message)) => {
            let message = message.expect("by the rules");
            if message.is_data() {
                received.push(message.payload().to_vec());
            }
            true
        }
    }
}

/// One future of the writing half.
fn write_some(
    rng: &mut fastrand::Rng,
    write: &mut WriteHalf<Scripted>,
    sent: &mut Vec<(Vec<u8>, bool)>,
) {
    let polls = rng.u32(1..4);
    let mut payload = format!("{} ", sent.len()).into_bytes();
    // Some leave from where they lie.
    let max = [500, 500, 500, 50_000][rng.usize(..4)];
    payload.resize(payload.len() + rng.usize(..max), b'x');
    let message = Message::binary(payload.clone());
    let done = match rng.u8(..6) {
        0 => poll_times(polls, write.send_binary(&payload)),
        1 => poll_times(polls, write.feed(message)),
        2 => poll_times(polls, WriteHalf::send(write, message)),
        3 => poll_times(polls, SinkExt::send(write, message)),
        4 => {
            let frame = PreparedFrame::binary(payload.clone());
            poll_times(polls, write.send_prepared(&frame))
        }
        _ => {
            let flushed = poll_times(polls, write.flush());
            assert!(!matches!(flushed, Some(Err(_))));
            return;
        }
    };
    match done {
        None => sent.push((payload, false)),
        Some(Ok(())) => sent.push((payload, true)),
        // The reading half has answered a close.
        Some(Err(Error::Encode(EncodeError::Closed))) => {}
        Some(Err(error)) => panic!("{error}"),
    }
}

fn run(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (bytes, data, pings) = script(&mut rng);
    let config = Config::default()
        .with_close_timeout(None)
        .with_max_write_buffer(rng.usize(1..2_000));
    let io = Scripted::new(rng.u64(..), bytes);
    let ws = WebSocketStream::from_raw(io, Role::Server, &config, &[]);
    let (mut write, mut read) = ws.split();
    let (mut received, mut sent) = (Vec::new(), Vec::new());
    loop {
        if rng.bool() {
            write_some(&mut rng, &mut write, &mut sent);
        } else if !read_some(&mut rng, &mut read, &mut received) {
            break;
        }
    }
    assert!(received == data, "seed {seed}: what was received");
    let ws = read.reunite(write).expect("of one stream");
    assert!(ws.io().is_shut_down, "seed {seed}");
    let mut written = ws.io().written.clone();
    let mut input = &mut written[..];
    let mut decoder = MessageDecoder::new(Role::Client, Limits::default());
    let (mut left, mut next_pong, mut closed) = (Vec::new(), 0, false);
    while let Some(message) = decoder.next_message(&mut input).expect("by the rules") {
        assert!(!closed, "seed {seed}: behind a close");
        match message {
            MessageRef::Binary(bytes) => left.push(bytes.to_vec()),
            MessageRef::Pong(payload) => {
                let nth: usize = std::str::from_utf8(payload)
                    .expect("a number")
                    .parse()
                    .expect("one");
                assert!(next_pong <= nth && nth < pings, "seed {seed}: pong {nth}");
                next_pong = nth + 1;
            }
            MessageRef::Close(close) => closed = close.is_some_and(|c| c.code().0 == 4000),
            other => panic!("{other:?}"),
        }
    }
    assert!(
        closed && input.is_empty(),
        "seed {seed}: the answer to the close"
    );
    let mut left = left.iter().peekable();
    for (payload, is_certain) in &sent {
        let has_left = left.next_if(|next| *next == payload).is_some();
        assert!(
            has_left || !is_certain,
            "seed {seed}: lost, or out of order"
        );
    }
    assert!(left.next().is_none(), "seed {seed}: doubled, or not ours");
}

#[test]
fn halves_lose_and_double_nothing_whenever_their_futures_are_dropped() {
    (0..SEEDS).for_each(run);
}
