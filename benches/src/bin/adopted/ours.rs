//! `fanfare-tokio`: `receive`, whose answers leave in one write for all that one read brought. Three ways to come by a
//! transport: an accepted socket, the socket that hyper gives back behind axum, and what hyper has made of it.
//!
//! Never: measures.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, StatusCode, header};
use axum::routing::any;
use fanfare_codec::handshake::accept_key;
use fanfare_tokio::{Config, MessageRef, Role, WebSocketStream, accept};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade::downcast;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::Echoed;
use crate::count::Count;

pub(crate) async fn echo(socket: TcpStream, count: Count) -> Echoed {
    let ws = accept(socket, &Config::DEFAULT).await?;
    run(ws, count).await
}

async fn run<S>(mut ws: WebSocketStream<S>, count: Count) -> Echoed
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(received) = ws.receive().await {
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

/// What the stream lies on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transport {
    /// The socket, and what hyper had read of it beyond the request.
    Socket,
    /// Hyper's own type, which has the socket behind a pointer to what it can do.
    Upgraded,
}

/// Any path.
pub(crate) fn route(count: Count, on: Transport) -> Router {
    Router::new().fallback(any(move |request: Request| async move {
        upgrade(request, count, on).unwrap_or_else(|| {
            let mut refusal = Response::new(Body::empty());
            *refusal.status_mut() = StatusCode::BAD_REQUEST;
            refusal
        })
    }))
}

fn upgrade(mut request: Request, count: Count, on: Transport) -> Option<Response<Body>> {
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY)?;
    let accepted = accept_key(key.as_bytes());
    let pending: OnUpgrade = request.extensions_mut().remove()?;
    tokio::spawn(async move {
        let upgraded = pending.await?;
        match on {
            Transport::Socket => run(on_socket(upgraded)?, count).await,
            Transport::Upgraded => {
                let io = TokioIo::new(upgraded);
                let ws = WebSocketStream::from_raw(io, Role::Server, &Config::DEFAULT, &[]);
                run(ws, count).await
            }
        }
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::UPGRADE, "websocket")
        .header(header::CONNECTION, "upgrade")
        .header(header::SEC_WEBSOCKET_ACCEPT, &accepted[..])
        .body(Body::empty())
        .ok()
}

fn on_socket(upgraded: Upgraded) -> Result<WebSocketStream<TcpStream>, &'static str> {
    let parts = downcast::<TokioIo<TcpStream>>(upgraded).map_err(|_| "it is no TCP socket")?;
    let socket = parts.io.into_inner();
    Ok(WebSocketStream::from_raw(
        socket,
        Role::Server,
        &Config::DEFAULT,
        &parts.read_buf,
    ))
}
