//! The daemon as an endpoint, over real TCP. In: the peer's pieces, each a `send` of its own. Out: what
//! the daemon wrote.
//!
//! Never: runs a case whose role is the client's.

use super::{Came, Endpoint, KEY, Patience};
use crate::catalogue::{Case, Chop, LIMITS, Start};
use crate::daemon::Daemon;
use crate::read::read;
use crate::report::Report;
use crate::wire;
use fanfare_codec::Role;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// How long a daemon may think about its answer.
const LONG: Duration = Duration::from_secs(10);
/// How long a daemon that should stay silent is listened to.
const SHORT: Duration = Duration::from_millis(15);
/// Connections at a time: most of them wait.
const THREADS: usize = 24;

/// A connection to the daemon.
#[derive(Debug)]
pub struct LiveConnection {
    stream: Option<TcpStream>,
}

impl LiveConnection {
    /// Connects.
    ///
    /// # Errors
    ///
    /// The socket's.
    pub fn connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?; // or the chop's pieces would be put together again
        Ok(Self {
            stream: Some(stream),
        })
    }

    /// Connects and upgrades.
    ///
    /// # Errors
    ///
    /// The socket's; or anything but a 101.
    pub fn open(addr: SocketAddr) -> io::Result<Self> {
        let mut connection = Self::connect(addr)?;
        connection.send(upgrade_request().as_bytes());
        let mut received = Vec::new();
        while wire::read_head(&received).is_none() {
            if connection.receive(&mut received, Patience::Long) != Came::Bytes {
                let got = super::brief(&received);
                return Err(io::Error::other(format!(
                    "no answer to the upgrade but {got}"
                )));
            }
        }
        let head = wire::read_head(&received).expect("just seen");
        if head.status() == Some(101) && head.len == received.len() {
            Ok(connection)
        } else {
            Err(io::Error::other(format!(
                "{head:?}, then {}",
                super::brief(&received[head.len..])
            )))
        }
    }

    /// The socket.
    #[must_use]
    pub const fn stream(&self) -> Option<&TcpStream> {
        self.stream.as_ref()
    }
}

/// A request that any WebSocket server accepts.
#[must_use]
pub fn upgrade_request() -> String {
    format!(
        "GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

impl Endpoint for LiveConnection {
    fn send(&mut self, piece: &[u8]) {
        if let Some(stream) = &mut self.stream {
            // A daemon that has failed the connection may be gone; what it said is still readable.
            let _ = stream.write_all(piece);
        }
    }

    fn eof(&mut self) {
        if let Some(stream) = &self.stream {
            let _ = stream.shutdown(Shutdown::Write);
        }
    }

    fn reset(&mut self) {
        if let Some(stream) = self.stream.take() {
            // Lingering for no time makes the close a RST.
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
    }

    fn begin_close(&mut self, _: u16) {
        unreachable!("only the codec driver runs cases in which the endpoint begins");
    }

    fn receive(&mut self, out: &mut Vec<u8>, patience: Patience) -> Came {
        let Some(stream) = &mut self.stream else {
            return Came::End;
        };
        let wait = match patience {
            Patience::Long => LONG,
            Patience::Short => SHORT,
        };
        if stream.set_read_timeout(Some(wait)).is_err() {
            return Came::End;
        }
        let mut buffer = [0; 16 * 1024];
        match read(stream, &mut buffer) {
            Ok(0) => Came::End,
            Ok(n) => {
                out.extend_from_slice(&buffer[..n]);
                Came::Bytes
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                Came::Nothing
            }
            Err(_) => Came::End, // a reset ends it too
        }
    }
}

/// The flags that give a daemon the catalogue's limits and keep its timers out of the way.
#[must_use]
pub fn flags() -> Vec<String> {
    [
        ("--workers", "2".to_owned()),
        ("--max-frame-bytes", LIMITS.max_frame_bytes.to_string()),
        ("--max-message-bytes", LIMITS.max_message_bytes.to_string()),
        ("--max-fragments", LIMITS.max_fragments.to_string()),
        ("--handshake-timeout", "30".to_owned()),
        ("--ping-interval", "0".to_owned()),
        ("--close-timeout", "5".to_owned()),
    ]
    .into_iter()
    .flat_map(|(name, value)| [name.to_owned(), value])
    .collect()
}

/// Runs the cases that are for live servers, each under a few chops, against a daemon of its own.
///
/// # Errors
///
/// When the daemon does not start, or no longer serves at the end.
pub fn run_all(cases: &[Case], seed: u64) -> io::Result<Report> {
    let flags = flags();
    let daemon = Daemon::echo(&flags.iter().map(String::as_str).collect::<Vec<_>>())?;
    let cases: Vec<Case> = cases
        .iter()
        .filter(|case| case.live && case.role == Role::Server)
        .cloned()
        .collect();
    let addr = daemon.addr();
    let report = super::run_parallel(
        "live-server",
        &cases,
        THREADS,
        |case| Chop::some(case, seed),
        |case| {
            let connection = match case.start {
                Start::Connected => LiveConnection::connect(addr),
                Start::Open => LiveConnection::open(addr),
            };
            connection.map(|connection| Box::new(connection) as Box<dyn Endpoint>)
        },
    );
    LiveConnection::open(addr)?; // after all that it still serves
    Ok(report)
}
