//! Peers that are a `Stream` and a `Sink`. Their documentation sends each message with `send`, which flushes; here a
//! message is fed and flushed once nothing more is there to be read, as `StreamExt::forward` does it: at one message in
//! flight the same, at several one write instead of many.
//!
//! - tokio-tungstenite: `accept_async`, its defaults (reads of 128 KiB), or reads of 4 KiB.
//! - tokio-websockets: `ServerBuilder::accept`, its defaults.
//! - sockudo-ws: `server_handshake` and `WebSocketStream::server`, without the timers that it has by default.
//!
//! Never: measures.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::Echoed;
use crate::count::Count;

pub(crate) async fn tungstenite(
    socket: TcpStream,
    count: Count,
    read_bytes: Option<usize>,
) -> Echoed {
    let config = read_bytes.map(|b| WebSocketConfig::default().read_buffer_size(b));
    let ws = tokio_tungstenite::accept_async_with_config(socket, config).await?;
    echo(ws, count, |m| m.is_text() || m.is_binary()).await
}

pub(crate) async fn websockets(socket: TcpStream, count: Count) -> Echoed {
    let (_, ws) = tokio_websockets::ServerBuilder::new()
        .accept(socket)
        .await?;
    echo(ws, count, |m| m.is_text() || m.is_binary()).await
}

pub(crate) async fn sockudo(mut socket: TcpStream, count: Count) -> Echoed {
    use sockudo_ws::{Config, Message, WebSocketStream};
    let handshake = sockudo_ws::handshake::server_handshake(&mut socket).await?;
    drop(handshake);
    let config = Config::builder()
        .auto_ping(false)
        .idle_timeout(0)
        .max_payload_length(1 << 20)
        .build();
    let ws = WebSocketStream::server(socket, config);
    echo(ws, count, |m| {
        matches!(m, Message::Text(_) | Message::Binary(_))
    })
    .await
}

/// Sends back what `is_data`.
pub(crate) async fn echo<W, M, E>(mut ws: W, count: Count, is_data: fn(&M) -> bool) -> Echoed
where
    W: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
    E: std::error::Error + Send + Sync + 'static,
{
    let mut is_flushed = true;
    loop {
        let next = poll_fn(|cx| {
            if let Poll::Ready(next) = Pin::new(&mut ws).poll_next(cx) {
                return Poll::Ready(Ok(next));
            }
            if !is_flushed {
                ready!(Pin::new(&mut ws).poll_flush(cx))?;
                is_flushed = true;
            }
            Poll::<Result<_, E>>::Pending
        });
        let Some(received) = next.await? else {
            return Ok(());
        };
        let message = received?;
        if is_data(&message) {
            poll_fn(|cx| Pin::new(&mut ws).poll_ready(cx)).await?;
            Pin::new(&mut ws).start_send(message)?;
            is_flushed = false;
            count.add();
        }
    }
}
