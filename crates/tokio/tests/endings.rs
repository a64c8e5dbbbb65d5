//! Ends that are none of the ordinary ones: what could not leave, and a peer that never stops.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use fanfare_tokio::{CloseCode, Config, Error, Message, Role, WebSocketStream};
use tokio::io::{AsyncRead, AsyncWriteExt, DuplexStream, ReadBuf, duplex, join, sink};

/// A server of ours behind a narrow pipe, and the client's end as bytes.
fn server() -> (WebSocketStream<DuplexStream>, DuplexStream) {
    let (ours, theirs) = duplex(1000);
    let ws = WebSocketStream::from_raw(ours, Role::Server, &Config::DEFAULT, &[]);
    (ws, theirs)
}

/// What was thrown away is not told as sent.
#[tokio::test(start_paused = true)]
async fn what_could_not_leave_before_the_end_has_failed() {
    for way in ["closes", "breaks a rule", "goes"] {
        let (ws, mut theirs) = server();
        let (mut write, mut read) = ws.split();
        let sending = async { write.send_binary(&[0; 100_000]).await };
        let reading = async {
            // Behind the sender, which is blocked by now.
            tokio::task::yield_now().await;
            match way {
                "closes" => theirs.write_all(b"\x88\x80\0\0\0\0").await,
                "breaks a rule" => theirs.write_all(b"\x83\x80\0\0\0\0").await,
                _ => theirs.shutdown().await,
            }
            .expect("a pipe");
            let mut end = read.recv().await;
            if matches!(end, Some(Ok(Message::Close(_)))) {
                end = read.recv().await;
            }
            (end, theirs)
        };
        let (sent, (end, _theirs)) = tokio::join!(sending, reading);
        assert!(matches!(sent, Err(Error::Io(_))), "{way}: {sent:?}");
        let is_told = match way {
            "closes" => end.is_none(),
            "breaks a rule" => matches!(end, Some(Err(Error::Protocol(_)))),
            _ => matches!(end, Some(Err(Error::Disconnected))),
        };
        assert!(is_told, "{way}: {end:?}");
        let late = write.send("late".into()).await;
        assert!(late.is_err(), "{way}");
    }
}

/// Gives a whole frame at each read, for ever.
#[derive(Debug)]
struct Endless;

impl AsyncRead for Endless {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        into.put_slice(b"\x82\x80\0\0\0\0");
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_peer_that_sends_for_ever_neither_puts_off_the_end_nor_holds_up_others() {
    let config = Config::default().with_close_timeout(Some(Duration::from_millis(50)));
    let io = join(Endless, sink());
    let mut ws = WebSocketStream::from_raw(io, Role::Server, &config, &[]);
    let mut turns = 0;
    let others = async {
        loop {
            tokio::task::yield_now().await;
            turns += 1;
        }
    };
    let closed = tokio::select! {
        closed = ws.close(CloseCode::NORMAL, "") => closed,
        () = others => unreachable!("it goes on"),
    };
    assert!(matches!(closed, Err(Error::CloseTimeout)), "{closed:?}");
    assert!(turns > 2, "{turns}");
}
