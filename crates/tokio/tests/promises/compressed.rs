//! permessage-deflate (RFC 7692) from outside: bits where there may be none, and bombs.

use fanfare_tokio::deflate::DeflatePolicy;
use fanfare_tokio::{Config, Error, Limits, Message, Role, WebSocketStream, accept};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::wire::{broken, frame};

const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
/// "Hello" as RFC 7692 §7.2.3.1 has it.
const HELLO: &[u8] = &[0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];

async fn ends(limits: Limits) -> (WebSocketStream<DuplexStream>, DuplexStream) {
    let config = Config::DEFAULT
        .with_limits(limits)
        .with_deflate_policy(Some(DeflatePolicy::DEFAULT));
    let (ours, mut theirs) = duplex(1 << 20);
    theirs.write_all(REQUEST).await.expect("a pipe");
    let ours = accept(ours, &config).await.expect("an upgrade");
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(char::from(theirs.read_u8().await.expect("a pipe")));
    }
    assert!(head.contains("permessage-deflate"), "{head}");
    (ours, theirs)
}

#[tokio::test]
async fn s6_2_compressed_messages_of_every_cut_are_inflated() {
    for at in 0..=HELLO.len() {
        let (mut ours, mut theirs) = ends(Limits::default()).await;
        let mut bytes = frame(Role::Client, 0x41, &HELLO[..at]);
        bytes.extend(frame(Role::Client, 0x80, &HELLO[at..]));
        bytes.extend(frame(Role::Client, 0x81, b"bare"));
        theirs.write_all(&bytes).await.expect("a pipe");
        for text in ["Hello", "bare"] {
            let message = ours.recv().await.expect("open").expect("good");
            assert_eq!(message, Message::text(text), "cut at {at}");
        }
    }
}

#[tokio::test]
async fn s6_1_reserved_bits_elsewhere_and_bad_streams_are_told() {
    let cases: [(Vec<u8>, u16); 6] = [
        (frame(Role::Client, 0xC9, b""), 1002), // a ping with RSV1
        (frame(Role::Client, 0xA1, b""), 1002), // RSV2
        (frame(Role::Client, 0x91, b""), 1002), // RSV3
        (
            [
                frame(Role::Client, 0x41, HELLO),
                frame(Role::Client, 0xC0, b""),
            ]
            .concat(),
            1002,
        ),
        (frame(Role::Client, 0xC1, &[0xFF; 8]), 1007), // no deflate
        (
            frame(
                Role::Client,
                0xC1,
                &[0x00, 0x01, 0x00, 0xFE, 0xFF, 0xFF, 0x00],
            ),
            1007,
        ), // no UTF-8
    ];
    for way in ["message", "event"] {
        for (bytes, wanted) in &cases {
            let (mut ours, mut theirs) = ends(Limits::default()).await;
            theirs.write_all(bytes).await.expect("a pipe");
            let reading = async {
                loop {
                    let end = match way {
                        "message" => ours.next_message().await.expect("an error").err(),
                        _ => ours.next_event().await.expect("an error").err(),
                    };
                    if let Some(error) = end {
                        break error;
                    }
                }
            };
            let (error, told) = broken(reading, theirs).await;
            assert!(
                matches!(error, Error::Protocol(_)),
                "{way}, {bytes:?}: {error}"
            );
            assert_eq!(told, [Some(*wanted)], "{way}, {bytes:?}");
        }
    }
}

/// A mebibyte of one letter, as stored blocks would never be: 1,040 bytes on the wire.
fn bomb() -> Vec<u8> {
    // A fixed block: 'a', then matches of 258 bytes one back, over and over.
    let (mut bytes, mut bits, mut filled) = (Vec::new(), 0_u32, 0);
    let mut put = |value: u32, len: u32| {
        bits |= value << filled;
        filled += len;
        while filled >= 8 {
            bytes.push(u8::try_from(bits & 0xFF).expect("a byte"));
            bits >>= 8;
            filled -= 8;
        }
    };
    let reversed = |code: u32, len: u32| code.reverse_bits() >> (32 - len);
    put(0b010, 3); // not final, fixed codes
    put(reversed(0x30 + u32::from(b'a'), 8), 8);
    for _ in 0..4_100 {
        put(reversed(0b1100_0101, 8), 8); // length 258
        put(0, 5); // distance 1
    }
    put(0, 7); // the block ends
    put(0, 3); // an empty stored one
    put(0, 7); // to a whole byte, and past it
    bytes
}

#[tokio::test]
async fn a_bomb_ends_at_the_limit_whichever_way_it_is_read() {
    let bomb = bomb();
    assert!(bomb.len() < 8_000, "{} bytes", bomb.len());
    for way in ["owned", "borrowed", "replies", "event"] {
        let limits = Limits::default().with_max_message_bytes(10_000);
        let (mut ours, mut theirs) = ends(limits).await;
        theirs
            .write_all(&frame(Role::Client, 0xC1, &bomb))
            .await
            .expect("a pipe");
        let reading = async {
            let end = match way {
                "owned" => ours.recv().await.expect("an error").err(),
                "borrowed" => ours.next_message().await.expect("an error").err(),
                "replies" => ours.next_with_replies().await.expect("an error").err(),
                _ => ours.next_event().await.expect("an error").err(),
            };
            end.expect("too long")
        };
        let (error, told) = broken(reading, theirs).await;
        assert!(matches!(error, Error::Protocol(_)), "{way}: {error}");
        assert_eq!(told, [Some(1009)], "{way}");
    }
}
