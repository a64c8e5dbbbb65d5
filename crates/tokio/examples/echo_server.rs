//! Sends every message back. In: an address, and `--deflate` to agree to compression. Out: echoes, on one thread.
//!
//! ```console
//! $ cargo run --release -p fanfare-tokio --example echo_server -- 127.0.0.1:9001
//! ```
//!
//! Never: looks at a path; keeps a message.

use std::process::ExitCode;
use std::time::Duration;

use fanfare_tokio::{Config, Error, MessageRef, accept};
use tokio::net::{TcpListener, TcpStream};

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let asked = args.len();
    args.retain(|arg| arg != "--deflate");
    let is_deflate = args.len() < asked;
    let [address] = args.as_slice() else {
        eprintln!("usage: echo_server ADDR [--deflate]");
        return ExitCode::from(2);
    };
    let Some(config) = config(is_deflate) else {
        eprintln!("echo_server: --deflate needs the feature `deflate`");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    match runtime.block_on(serve(address, config)) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("echo_server: {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(feature = "deflate")]
fn config(is_deflate: bool) -> Option<Config> {
    use fanfare_tokio::deflate::{DeflatePolicy, DeflateSettings};
    let settings = DeflateSettings::DEFAULT.with_threshold_bytes(0);
    Some(
        Config::default()
            .with_deflate_policy(is_deflate.then_some(DeflatePolicy::DEFAULT))
            .with_deflate_settings(settings),
    )
}

#[cfg(not(feature = "deflate"))]
fn config(is_deflate: bool) -> Option<Config> {
    (!is_deflate).then(Config::default)
}

async fn serve(address: &str, config: Config) -> std::io::Result<std::convert::Infallible> {
    let listener = TcpListener::bind(address).await?;
    eprintln!("listening on ws://{}", listener.local_addr()?);
    loop {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                eprintln!("echo_server: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        tokio::spawn(async move {
            // How a client leaves is its own business.
            let _ = echo(socket, config).await;
        });
    }
}

async fn echo(socket: TcpStream, config: Config) -> Result<(), Error> {
    socket.set_nodelay(true)?;
    let mut ws = accept(socket, &config).await?;
    while let Some(received) = ws.next_with_replies().await {
        let (message, mut replies) = received?;
        match message {
            MessageRef::Text(text) => replies.text(text)?,
            MessageRef::Binary(bytes) => replies.binary(bytes)?,
            _ => {} // pings and closes are answered already
        }
    }
    Ok(())
}
