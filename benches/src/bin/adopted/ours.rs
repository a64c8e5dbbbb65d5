//! `fanfare-tokio`: `next_with_replies`, whose answers leave in one write for all that one read brought. Two ways to come by
//! a transport: an accepted socket, and the extractor behind axum.
//!
//! Never: measures.

use axum::Router;
use axum::routing::any;
use fanfare_tokio::axum::WebSocketUpgrade;
use fanfare_tokio::{Config, MessageRef, WebSocketStream, accept};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::Echoed;
use crate::count::Count;

pub(crate) async fn echo(socket: TcpStream, count: Count) -> Echoed {
    let ws = accept(socket, &Config::DEFAULT).await?;
    run(ws, count).await
}

/// Any path.
pub(crate) fn route(count: Count) -> Router {
    Router::new().fallback(any(async move |ws: WebSocketUpgrade| {
        ws.on_upgrade(async move |socket| {
            // How a client leaves is its own business.
            let _ = run(socket, count).await;
        })
    }))
}

async fn run<S>(mut ws: WebSocketStream<S>, count: Count) -> Echoed
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(received) = ws.next_with_replies().await {
        let (message, mut replies) = received?;
        match message {
            MessageRef::Text(text) => replies.text(text)?,
            MessageRef::Binary(bytes) => replies.binary(bytes)?,
            _ => continue,
        }
        count.add();
    }
    Ok(())
}
