//! One connection of plain HTTP. In: a socket. Out: nothing, once its last request is answered.
//!
//! Never: upgrades it.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use crate::limits::{HEAD_TIME_MAX, HTTP_BUFFER_BYTES};

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// If the kernel still knows.
    pub(super) addr: Option<SocketAddr>,
    /// Whom a proxy has named.
    pub(super) client: Option<IpAddr>,
}

/// How many requests a connection may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Requests {
    /// One, answered with `Connection: close`: a later one could ask for an upgrade, which only a worker
    /// can give.
    One,
    /// One after the other.
    Any,
}

/// Serves `socket` until it is closed; once `stopping` says so, no longer than to the end of the request
/// that is under way.
pub(super) async fn serve(
    socket: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
    peer: Peer,
    requests: Requests,
    mut stopping: watch::Receiver<bool>,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HTTP_BUFFER_BYTES)
        .half_close(true) // a peer may send FIN behind its request and wait for the answer
        .keep_alive(requests == Requests::Any)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = pin!(connection);
    let stops = async {
        match requests {
            Requests::Any => drop(stopping.wait_for(|stops| *stops).await),
            // It ends in any case; told to, hyper would throw away a request that is not read yet.
            Requests::One => std::future::pending().await,
        }
    };
    let served = tokio::select! {
        served = &mut connection => served,
        () = stops => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!("HTTP: {error}");
    }
}
