//! Sends back what a server sends, case by case: a client for the Autobahn suite's `fuzzingserver`. In: its URL and
//! our name, and `--deflate` to offer compression. Out: an echo of every case, and its report.
//!
//! ```console
//! $ cargo run --release -p fanfare-tokio --example echo_client -- ws://127.0.0.1:9002 fanfare-tokio
//! ```
//!
//! Never: judges; the suite does.

use std::process::ExitCode;

use fanfare_tokio::{ClientRequest, Config, Error, MessageRef, WebSocketStream, client};
use tokio::net::TcpStream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let asked = args.len();
    args.retain(|arg| arg != "--deflate");
    let is_deflate = args.len() < asked;
    let [url, agent] = args.as_slice() else {
        eprintln!("usage: echo_client ws://HOST:PORT AGENT [--deflate]");
        return ExitCode::from(2);
    };
    let Some(config) = config(is_deflate) else {
        eprintln!("echo_client: --deflate needs the feature `deflate`");
        return ExitCode::from(2);
    };
    match run(url, agent, &config).await {
        Ok(cases) => {
            eprintln!("echo_client: {cases} cases");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("echo_client: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(feature = "deflate")]
fn config(is_deflate: bool) -> Option<Config> {
    use fanfare_tokio::deflate::{DeflateOffer, DeflateSettings};
    let settings = DeflateSettings::DEFAULT.with_threshold_bytes(0);
    Some(
        Config::default()
            .with_deflate_offer(is_deflate.then(DeflateOffer::default))
            .with_deflate_settings(settings),
    )
}

#[cfg(not(feature = "deflate"))]
fn config(is_deflate: bool) -> Option<Config> {
    (!is_deflate).then(Config::default)
}

async fn run(url: &str, agent: &str, config: &Config) -> Result<usize, Error> {
    let mut ws = connect(&format!("{url}/getCaseCount"), config).await?;
    let mut count = 0;
    while let Some(message) = ws.next_message().await {
        if let MessageRef::Text(text) = message? {
            count = text.parse().unwrap_or_default();
        }
    }
    for case in 1..=count {
        // A case may end in any way the suite likes: it knows, we go on.
        let case_url = format!("{url}/runCase?case={case}&agent={agent}");
        let ws = connect(&case_url, config).await?;
        if let Err(error) = echo(ws).await {
            eprintln!("echo_client: case {case}: {error}");
        }
    }
    let mut ws = connect(&format!("{url}/updateReports?agent={agent}"), config).await?;
    while let Some(message) = ws.next_message().await {
        message?;
    }
    Ok(count)
}

async fn connect(url: &str, config: &Config) -> Result<WebSocketStream<TcpStream>, Error> {
    let request = ClientRequest::new(url)?;
    let socket = TcpStream::connect((request.host(), request.port())).await?;
    socket.set_nodelay(true)?;
    Ok(client(socket, request, config).await?.0)
}

async fn echo(mut ws: WebSocketStream<TcpStream>) -> Result<(), Error> {
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
