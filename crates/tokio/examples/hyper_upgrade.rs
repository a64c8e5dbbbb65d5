//! A hyper server that has a WebSocket among what it serves. In: an address. Out: an echo at `/ws`, a greeting at `/`.
//!
//! ```console
//! $ cargo run --release -p fanfare-tokio --example hyper_upgrade --features hyper -- 127.0.0.1:3000
//! ```
//!
//! Never: treats a request for an upgrade in another way than any other, but for the response.

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;

use fanfare_tokio::{Config, Error, MessageRef, Upgrade, Upgraded};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [address] = args.as_slice() else {
        eprintln!("usage: hyper_upgrade ADDR");
        return ExitCode::from(2);
    };
    match serve(address).await {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("hyper_upgrade: {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(address: &str) -> std::io::Result<Infallible> {
    let listener = TcpListener::bind(address).await?;
    eprintln!("listening on ws://{}/ws", listener.local_addr()?);
    loop {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                eprintln!("hyper_upgrade: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let _ = socket.set_nodelay(true); // a socket that cannot is served all the same
        let service = service_fn(async |request| Ok::<_, Infallible>(answer(request)));
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new()); // or nobody's request is bounded in time
        let served = server.serve_connection(TokioIo::new(socket), service);
        tokio::spawn(served.with_upgrades());
    }
}

fn answer(mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    match request.uri().path() {
        "/" => Response::new(Full::from("The WebSocket is at /ws.\n")),
        "/ws" => match Upgrade::from_request(&mut request) {
            Ok(upgrade) => {
                let (response, upgraded) = upgrade.accept(&Config::DEFAULT);
                tokio::spawn(echo(upgraded));
                response
            }
            Err(rejection) => rejection.into_response(),
        },
        _ => {
            let mut response = Response::new(Full::from("Nothing is here.\n"));
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    }
}

async fn echo(upgraded: Upgraded) -> Result<(), Error> {
    let mut ws = upgraded.await?;
    while let Some(received) = ws.next_with_replies().await {
        let (message, mut replies) = received?;
        match message {
            MessageRef::Text(text) => replies.text(text)?,
            MessageRef::Binary(bytes) => replies.binary(bytes)?,
            _ => {}
        }
    }
    Ok(())
}
