//! Ends (RFC 6455 §5.5.1, §7), in every order.

use std::time::Duration;

use fanfare_tokio::{CloseCode, CloseFrame, Config, Error, Message, Role};
use tokio::io::AsyncWriteExt;

use crate::wire::{CLOSE, PING, TEXT, broken, close, code, ends, frame, frames, so_far, to_end};

const ROLES: [Role; 2] = [Role::Server, Role::Client];

#[tokio::test]
async fn s5_5_1_closes_that_cross_end_both_sides_cleanly() {
    for role in ROLES {
        let (mut ours, mut theirs) = ends(role, &Config::DEFAULT, 1 << 16);
        ours.send(Message::Close(None)).await.expect("open");
        theirs
            .write_all(&close(role.peer(), 4000, "mine"))
            .await
            .expect("a pipe");
        assert_eq!(so_far(&mut theirs).await, [(CLOSE, vec![])]);
        if role == Role::Client {
            theirs.shutdown().await.expect("a pipe"); // the server ends first
        }
        let told = ours.recv().await.expect("a close").expect("good");
        let wanted = CloseFrame::new(CloseCode(4000), "mine");
        assert_eq!(told, Message::Close(Some(wanted)));
        assert!(ours.recv().await.is_none());
        drop(ours);
        assert_eq!(to_end(&mut theirs).await, [], "one close is enough");
    }
}

#[tokio::test]
async fn s7_1_6_data_before_the_answer_to_our_close_is_still_given() {
    let (mut ours, mut theirs) = ends(Role::Server, &Config::DEFAULT, 1 << 16);
    ours.send(Message::Close(None)).await.expect("open");
    let mut bytes = frame(Role::Client, TEXT, b"late");
    bytes.extend(frame(Role::Client, PING, b"?"));
    bytes.extend(close(Role::Client, 1000, ""));
    theirs.write_all(&bytes).await.expect("a pipe");
    let mut given = Vec::new();
    while let Some(message) = ours.recv().await {
        given.push(message.expect("good"));
    }
    let wanted = CloseFrame::new(CloseCode(1000), "");
    assert_eq!(
        given,
        [
            Message::text("late"),
            Message::Ping(b"?"[..].into()),
            Message::Close(Some(wanted))
        ]
    );
    assert_eq!(
        to_end(&mut theirs).await,
        [(CLOSE, vec![])],
        "and no pong behind it"
    );
}

#[tokio::test]
async fn s5_5_1_nothing_is_taken_from_behind_a_close() {
    for role in ROLES {
        let (mut ours, mut theirs) = ends(role, &Config::DEFAULT, 1 << 16);
        let mut bytes = close(role.peer(), 1001, "");
        bytes.extend(frame(role.peer(), TEXT, b"behind"));
        bytes.extend([0xFF; 10]);
        theirs.write_all(&bytes).await.expect("a pipe");
        theirs.shutdown().await.expect("a pipe");
        let told = ours.recv().await.expect("a close").expect("good");
        assert!(told.is_close());
        assert!(ours.recv().await.is_none(), "{role:?}");
        drop(ours);
        let told = to_end(&mut theirs).await;
        assert_eq!(told.iter().map(code).collect::<Vec<_>>(), [Some(1001)]);
    }
}

#[tokio::test]
async fn s7_4_closes_that_must_not_be_are_told_1002_or_1007() {
    let with = |code: u16| close(Role::Client, code, "");
    let mut bad: Vec<(Vec<u8>, u16)> = [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535]
        .map(|code| (with(code), 1002))
        .into();
    bad.push((frame(Role::Client, CLOSE, b"\x03"), 1002));
    bad.push((frame(Role::Client, CLOSE, b"\x03\xE8\xFF"), 1007));
    bad.push((frame(Role::Client, CLOSE, &[b'a'; 126]), 1002));
    bad.push((frame(Role::Client, 0x08, b""), 1002)); // a fragment
    for (bytes, wanted) in bad {
        let (mut ours, mut theirs) = ends(Role::Server, &Config::DEFAULT, 1 << 16);
        theirs.write_all(&bytes).await.expect("a pipe");
        let (failed, told) = broken(ours.recv(), theirs).await;
        assert!(
            matches!(failed, Some(Err(Error::Protocol(_)))),
            "{bytes:?}: {failed:?}"
        );
        assert!(ours.recv().await.is_none());
        assert_eq!(told, [Some(wanted)], "{bytes:?}");
    }
}

#[tokio::test]
async fn s5_1_a_client_is_told_of_masked_frames_with_1002() {
    let (mut ours, mut theirs) = ends(Role::Client, &Config::DEFAULT, 1 << 16);
    let bytes = frame(Role::Client, TEXT, b"masked");
    theirs.write_all(&bytes).await.expect("a pipe");
    let (failed, told) = broken(ours.recv(), theirs).await;
    assert!(
        matches!(failed, Some(Err(Error::Protocol(_)))),
        "{failed:?}"
    );
    assert_eq!(told, [Some(1002)]);
}

/// A peer that has ended its direction may still read.
#[tokio::test]
async fn a_transport_half_closed_is_an_end_without_a_close() {
    for part in [0, 1, 3, 20] {
        let (mut ours, mut theirs) = ends(Role::Server, &Config::DEFAULT, 1 << 16);
        let mut bytes = frame(Role::Client, TEXT, b"whole");
        bytes.extend(&frame(Role::Client, TEXT, &[b'x'; 50])[..part]);
        theirs.write_all(&bytes).await.expect("a pipe");
        theirs.shutdown().await.expect("a pipe");
        let whole = ours.recv().await.expect("open").expect("good");
        assert_eq!(whole, Message::text("whole"));
        let end = ours.recv().await;
        assert!(
            matches!(end, Some(Err(Error::Disconnected))),
            "{part}: {end:?}"
        );
        assert!(ours.recv().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_timeout_of_zero_still_tells_the_peer_what_it_may_take() {
    let config = Config::DEFAULT.with_close_timeout(Some(Duration::ZERO));
    let (mut ours, mut theirs) = ends(Role::Server, &config, 1 << 16);
    let bytes = frame(Role::Server, TEXT, b"unmasked");
    theirs.write_all(&bytes).await.expect("a pipe");
    let failed = ours.recv().await;
    assert!(
        matches!(failed, Some(Err(Error::Protocol(_)))),
        "{failed:?}"
    );
    drop(ours);
    let told = to_end(&mut theirs).await;
    assert_eq!(told.iter().map(code).collect::<Vec<_>>(), [Some(1002)]);

    let (mut ours, mut theirs) = ends(Role::Server, &config, 1 << 16);
    let closed = ours.close(CloseCode::NORMAL, "").await;
    assert!(matches!(closed, Err(Error::CloseTimeout)), "{closed:?}");
    drop(ours);
    let told = to_end(&mut theirs).await;
    assert_eq!(told.iter().map(code).collect::<Vec<_>>(), [Some(1000)]);
}

#[tokio::test(start_paused = true)]
async fn a_close_of_a_half_needs_no_room_and_starts_the_time() {
    for way in ["send", "close"] {
        let (ours, _theirs) = ends(Role::Server, &Config::DEFAULT.with_max_write_buffer(1), 16);
        let (mut write, mut read) = ours.split();
        let stuck = tokio::time::timeout(Duration::from_millis(1), write.send_binary(&[0; 100]));
        assert!(stuck.await.is_err(), "the peer takes nothing");
        let closing = async {
            match way {
                "send" => write.send(Message::Close(None)).await,
                _ => write.close(CloseCode::NORMAL, "").await,
            }
        };
        let reading = tokio::time::timeout(Duration::from_secs(60), read.recv());
        let (closed, end) = tokio::join!(closing, reading);
        assert!(
            matches!(end, Ok(Some(Err(Error::CloseTimeout)))),
            "{way}: {end:?}"
        );
        assert!(matches!(closed, Err(Error::Io(_))), "{way}: {closed:?}");
    }
}

#[tokio::test]
async fn s7_1_1_a_server_ends_its_direction_and_a_client_waits_for_that() {
    let (mut ours, mut theirs) = ends(Role::Client, &Config::DEFAULT, 1 << 16);
    let server = async {
        let asked = so_far(&mut theirs).await;
        theirs
            .write_all(&close(Role::Server, 1000, ""))
            .await
            .expect("a pipe");
        tokio::task::yield_now().await;
        theirs.shutdown().await.expect("a pipe");
        (asked, to_end(&mut theirs).await)
    };
    let client = async {
        let closed = ours.close(CloseCode::NORMAL, "").await;
        drop(ours);
        closed
    };
    let ((asked, behind), closed) = tokio::join!(server, client);
    closed.expect("clean");
    assert_eq!(frames(&close(Role::Client, 1000, "")), asked);
    assert_eq!(behind, []);
}
