//! Settings at their ends, floods, times.

use std::time::Duration;

use fanfare_tokio::{Config, Error, Limits, Message, ProtocolError, Role};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};

use crate::wire::{BINARY, PING, PONG, TEXT, broken, close, code, ends, frame, so_far, to_end};

#[tokio::test]
async fn buffers_of_zero_bytes_still_carry_everything() {
    let config = Config::DEFAULT
        .with_max_read_buffer(0)
        .with_max_write_buffer(0);
    for len in [0, 1, 125, 126, 5_000, 70_000, 1_000_000] {
        let (mut ours, mut theirs) = ends(Role::Server, &config, 1 << 12);
        let payload: Vec<u8> = (0..=250).cycle().take(len).collect();
        let sent = frame(Role::Client, BINARY, &payload);
        let theirs_sends = async {
            theirs.write_all(&sent).await.expect("a pipe");
            theirs
                .write_all(&close(Role::Client, 1000, ""))
                .await
                .expect("a pipe");
            to_end(&mut theirs).await
        };
        let ours_answers = async {
            let message = ours.recv().await.expect("open").expect("good");
            ours.send(message).await.expect("open");
            while let Some(message) = ours.recv().await {
                message.expect("good");
            }
        };
        let (back, ()) = tokio::join!(theirs_sends, ours_answers);
        assert!(back[0] == (BINARY, payload), "{len} bytes");
        assert_eq!((back.len(), code(&back[1])), (2, Some(1000)));
    }
}

#[tokio::test]
async fn limits_of_zero_take_what_is_empty_and_nothing_else() {
    let limits = Limits::default()
        .with_max_message_bytes(0)
        .with_max_frame_bytes(0);
    let config = Config::DEFAULT.with_limits(limits);
    let (mut ours, mut theirs) = ends(Role::Server, &config, 1 << 16);
    let mut bytes = frame(Role::Client, TEXT, b"");
    bytes.extend(frame(Role::Client, TEXT, b"x"));
    theirs.write_all(&bytes).await.expect("a pipe");
    let empty = ours.recv().await.expect("open").expect("good");
    assert_eq!(empty, Message::text(""));
    let (failed, told) = broken(ours.recv(), theirs).await;
    assert!(
        matches!(failed, Some(Err(Error::Protocol(_)))),
        "{failed:?}"
    );
    assert_eq!(told, [Some(1009)]);
}

/// What a header declares is refused before it has come.
#[tokio::test]
async fn a_declared_length_past_the_limit_is_refused_at_its_header() {
    let limits = Limits::default().with_max_message_bytes(1_000);
    let config = Config::DEFAULT.with_limits(limits);
    for declared in [1_001, 1 << 40, u64::MAX >> 1] {
        let (mut ours, mut theirs) = ends(Role::Server, &config, 1 << 16);
        let mut header = vec![BINARY, 0xFF];
        header.extend(declared.to_be_bytes());
        header.extend([0; 4]);
        if declared < 65_536 {
            header = vec![BINARY, 0xFE];
            header.extend(u16::try_from(declared).expect("it fits").to_be_bytes());
            header.extend([0; 4]);
        }
        theirs.write_all(&header).await.expect("a pipe");
        let (failed, told) = broken(ours.recv(), theirs).await;
        assert!(
            matches!(
                failed,
                Some(Err(Error::Protocol(
                    ProtocolError::MessageTooLong(_) | ProtocolError::FrameTooLong(_)
                )))
            ),
            "{declared}: {failed:?}"
        );
        assert_eq!(told, [Some(1009)]);
    }
}

/// While the peer takes nothing, what waits for it does not grow with what it asks.
#[tokio::test]
async fn s5_5_2_a_flood_of_pings_is_answered_within_bounds() {
    let (mut ours, mut theirs) = ends(Role::Server, &Config::DEFAULT, 64);
    let flood = 20_000_u32;
    let flooding = async {
        for n in 0..flood {
            let ping = frame(Role::Client, PING, &n.to_be_bytes());
            theirs.write_all(&ping).await.expect("a pipe");
        }
        theirs
            .write_all(&frame(Role::Client, TEXT, b"done"))
            .await
            .expect("a pipe");
        theirs
    };
    let reading = async {
        let (mut pings, mut most) = (0, 0);
        loop {
            match ours.recv().await.expect("open").expect("good") {
                Message::Ping(_) => pings += 1,
                Message::Text(_) => break (pings, most),
                other => panic!("{other:?}"),
            }
            most = most.max(ours.waiting_bytes());
        }
    };
    let ((pings, most), mut theirs) = tokio::join!(reading, flooding);
    assert_eq!(pings, flood);
    assert!(most <= 4_096, "{most} bytes wait");
    let (told, left) = tokio::join!(
        async {
            let mut told = Vec::new();
            while told.last() != Some(&(PONG, (flood - 1).to_be_bytes().to_vec())) {
                told.extend(so_far_of_pongs(&mut theirs).await);
            }
            told
        },
        async {
            let _ = timeout(Duration::from_secs(5), ours.recv()).await;
        }
    );
    let () = left;
    let numbers: Vec<&Vec<u8>> = told.iter().map(|(_, payload)| payload).collect();
    assert!(numbers.is_sorted(), "in order, and the latest at last");
}

/// Pongs of four bytes, one by one: the pipe is short.
async fn so_far_of_pongs(theirs: &mut tokio::io::DuplexStream) -> Vec<(u8, Vec<u8>)> {
    use tokio::io::AsyncReadExt;
    let mut pong = [0; 6];
    theirs.read_exact(&mut pong).await.expect("a pipe");
    crate::wire::frames(&pong)
}

#[tokio::test(start_paused = true)]
async fn pings_leave_after_silence_alone_and_any_frame_breaks_it() {
    let second = Duration::from_secs(1);
    let config = Config::DEFAULT
        .with_ping_interval(Some(10 * second))
        .with_idle_timeout(Some(25 * second));
    let (mut ours, mut theirs) = ends(Role::Server, &config, 1 << 16);
    let start = Instant::now();
    let peer = async {
        // Every 8 s something comes: no ping is due.
        for _ in 0..5 {
            tokio::time::sleep(8 * second).await;
            let pong = frame(Role::Client, PONG, b"");
            theirs.write_all(&pong).await.expect("a pipe");
        }
        assert_eq!(
            so_far(&mut theirs).await,
            [(PING, b"fanfare keep-alive".to_vec())]
        );
        assert_eq!(start.elapsed().as_secs(), 50);
        assert_eq!(
            so_far(&mut theirs).await,
            [(PING, b"fanfare keep-alive".to_vec())]
        );
        assert_eq!(start.elapsed().as_secs(), 60);
        to_end(&mut theirs).await
    };
    let reading = async {
        let error = loop {
            match ours.recv().await.expect("an end") {
                Ok(message) => assert_eq!(message, Message::Pong(b""[..].into())),
                Err(error) => break error,
            }
        };
        assert_eq!(start.elapsed().as_secs(), 65);
        assert!(ours.recv().await.is_none());
        drop(ours);
        error
    };
    let (error, _) = tokio::join!(reading, peer);
    assert!(matches!(error, Error::IdleTimeout), "{error}");
}

#[tokio::test(start_paused = true)]
async fn times_of_zero_end_silence_at_once_and_lose_nothing_that_has_come() {
    let config = Config::DEFAULT
        .with_idle_timeout(Some(Duration::ZERO))
        .with_ping_interval(Some(Duration::ZERO));
    let (mut ours, mut theirs) = ends(Role::Server, &config, 1 << 16);
    theirs
        .write_all(&frame(Role::Client, TEXT, b"here"))
        .await
        .expect("a pipe");
    let here = ours.recv().await.expect("open").expect("good");
    assert_eq!(here, Message::text("here"));
    let end = ours.recv().await;
    assert!(matches!(end, Some(Err(Error::IdleTimeout))), "{end:?}");
    assert!(ours.recv().await.is_none());
}
