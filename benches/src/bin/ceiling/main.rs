//! The ceiling of an echo server: bare edge-triggered epoll, one `recv` and one `send` a read. With
//! `--fanout` that of a push server: one `recv` a read, and for all that it brings one `send` a subscriber.
//!
//! In: any upgrade request, in one piece, then masked frames. Out: a 101, then what `echo.rs` or
//! `fanout.rs` says. Ended by SIGTERM's default action.
//!
//! Never: does anything for a message that is not named in those files.

mod echo;
mod fanout;
mod server;

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;

use echo::Echo;
use fanout::Fanout;
use server::{Mode, READ_BYTES_MAX, Server};

/// The ceiling of an echo server: one recv and one send a read, no parsing.
#[derive(Debug, Parser)]
#[command(name = "ceiling", version)]
struct Cli {
    /// Where to listen.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9001")]
    listen: SocketAddr,

    /// Length of every masked frame, header included, to answer bursts with the right length.
    #[arg(long, value_name = "N", value_parser = parse_frame_bytes)]
    frame_bytes: Option<usize>,

    /// Send what arrives to everybody else, unmasked, and nothing back: one send a subscriber and read.
    #[arg(long, conflicts_with = "frame_bytes")]
    fanout: bool,
}

fn parse_frame_bytes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(bytes @ 6..=READ_BYTES_MAX) => Ok(bytes),
        _ => Err(format!("a frame has 6 to {READ_BYTES_MAX} bytes")),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let error = if cli.fanout {
        serve(cli.listen, Fanout::new())
    } else {
        serve(cli.listen, Echo::new(cli.frame_bytes))
    };
    eprintln!("ceiling: {}: {error}", cli.listen);
    ExitCode::FAILURE
}

/// Serves until something fails.
fn serve(addr: SocketAddr, mode: impl Mode) -> io::Error {
    let Err(error) = Server::bind(addr, mode).and_then(|mut server| server.run());
    error
}
