//! Echo servers on tokio, all in one process and on one thread: ours and its peers, each on a port of its own.
//!
//! In: which peers, and lines on stdin. Out: a line for each peer, its name and where it listens; for each line on
//! stdin one with the nanoseconds that the thread has had of a CPU, and how many messages each peer has echoed. So
//! whoever loads one peer at a time knows what a message of it costs.
//!
//! All do the same: text and binary messages are sent back, sockets have `TCP_NODELAY`, text is validated, no extension is
//! agreed on, no timer runs. Each does it as its documentation says, and where that leaves a choice, in the way that is
//! faster; its file says how.
//!
//! Never: tells peers apart but by their port; looks at a path.
#![allow(clippy::print_stdout, reason = "a binary's result")]

mod axum_ws;
mod count;
mod fastwebsockets;
mod floor;
mod ours;
mod sinks;

use std::future::Future;
use std::io::{self, BufRead, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::thread;

use axum::Router;
use axum::serve::ListenerExt;
use clap::{Parser, ValueEnum};
use fanfare_benches::cpu_time;
use tokio::net::{TcpListener, TcpStream};

use count::Count;

/// What tungstenite's documentation advises to read with where there are many connections.
const SMALL_BYTES: usize = 4 << 10;

/// What one connection came to.
type Echoed = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Echo servers on tokio, all on one thread, each on a port of its own.
#[derive(Debug, Parser)]
#[command(name = "adopted", version)]
struct Cli {
    /// Only these; several with commas.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    peer: Vec<Peer>,

    /// The first one's port; the others have the ports behind it. 0: any.
    #[arg(long, default_value_t = 0)]
    port: u16,

    /// Length of a frame that answers, header included: the floor counts by it.
    #[arg(long, default_value_t = 22, value_name = "N", value_parser = clap::value_parser!(u64).range(2..))]
    frame_bytes: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Peer {
    /// one read and one write, and the codec in between
    Floor,
    /// fanfare-tokio on an accepted socket
    Fanfare,
    /// fanfare-tokio behind axum, on the socket that hyper gives back
    FanfareAxum,
    /// axum's own extractor
    AxumWs,
    /// axum's own extractor, reads of 4 KiB
    #[value(name = "axum-ws-4k")]
    AxumWs4k,
    /// tokio-tungstenite on an accepted socket
    TokioTungstenite,
    /// tokio-tungstenite on an accepted socket, reads of 4 KiB
    #[value(name = "tokio-tungstenite-4k")]
    TokioTungstenite4k,
    /// fastwebsockets on an accepted socket
    Fastwebsockets,
    /// tokio-websockets on an accepted socket
    TokioWebsockets,
    /// sockudo-ws on an accepted socket
    SockudoWs,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let peers = match cli.peer.as_slice() {
        [] => Peer::value_variants(),
        some => some,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    match runtime.block_on(serve(peers, &cli)) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("adopted: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(peers: &[Peer], cli: &Cli) -> io::Result<std::convert::Infallible> {
    let frame_bytes = usize::try_from(cli.frame_bytes).map_err(io::Error::other)?;
    let mut counts = Vec::new();
    for (peer, nth) in peers.iter().zip(0..) {
        let port = if cli.port == 0 { 0 } else { cli.port + nth };
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        let count = Count::new();
        let name = peer.to_possible_value().expect("none is skipped");
        println!("{} {}", name.get_name(), listener.local_addr()?);
        peer.spawn(listener, count, frame_bytes);
        counts.push(count);
    }
    io::stdout().flush()?;
    thread::spawn(move || answer(&counts));
    std::future::pending().await
}

/// Answers each line on stdin. The runtime's thread is the process' first.
fn answer(counts: &[Count]) {
    let pid = std::process::id();
    for line in io::stdin().lock().lines() {
        let Ok(_) = line else { return };
        let Ok(cpu) = cpu_time::thread_ns(pid, pid) else {
            return;
        };
        print!("{cpu}");
        for count in counts {
            print!(" {}", count.messages());
        }
        println!();
        if io::stdout().flush().is_err() {
            return;
        }
    }
}

impl Peer {
    /// Serves from now on.
    fn spawn(self, listener: TcpListener, count: Count, frame_bytes: usize) {
        match self {
            Self::Floor => accept(listener, move |io| floor::echo(io, count, frame_bytes)),
            Self::Fanfare => accept(listener, move |io| ours::echo(io, count)),
            Self::FanfareAxum => route(listener, ours::route(count)),
            Self::AxumWs => route(listener, axum_ws::route(count, None)),
            Self::AxumWs4k => route(listener, axum_ws::route(count, Some(SMALL_BYTES))),
            Self::TokioTungstenite => {
                accept(listener, move |io| sinks::tungstenite(io, count, None))
            }
            Self::TokioTungstenite4k => accept(listener, move |io| {
                sinks::tungstenite(io, count, Some(SMALL_BYTES))
            }),
            Self::Fastwebsockets => accept(listener, move |io| fastwebsockets::echo(io, count)),
            Self::TokioWebsockets => accept(listener, move |io| sinks::websockets(io, count)),
            Self::SockudoWs => accept(listener, move |io| sinks::sockudo(io, count)),
        }
    }
}

/// A task for each connection that comes.
fn accept<F>(listener: TcpListener, echo: impl Fn(TcpStream) -> F + Send + 'static)
where
    F: Future<Output = Echoed> + Send + 'static,
{
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            if socket.set_nodelay(true).is_ok() {
                // How a client leaves is its own business; its report says what was wrong.
                tokio::spawn(echo(socket));
            }
        }
    });
}

/// The same behind axum.
fn route(listener: TcpListener, router: Router) {
    let listener = listener.tap_io(|socket| {
        if let Err(error) = socket.set_nodelay(true) {
            eprintln!("adopted: TCP_NODELAY: {error}");
        }
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
}
