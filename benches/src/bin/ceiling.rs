//! The ceiling of an echo server: bare edge-triggered epoll, one `recv` and one `send` a read.
//!
//! In: any upgrade request, then masked frames. Out: a fixed 101 (its accept value answers the
//! one key `bare_client` sends), then as many bytes as an echo would have. The bytes are those
//! just read, header and masking untouched, so only their number means something.
//!
//! How many bytes: without `--frame-bytes`, a read of n bytes is answered with n - 4, since a
//! server's frame header is four bytes shorter than a client's. That is right with one frame a
//! read; d frames in a read get 4 (d - 1) bytes too many. With `--frame-bytes N` (a masked
//! frame's whole length, header included) each N bytes received are answered with N - 4, and a
//! frame that a read has cut is answered with the read that completes it: one division a read
//! and four bytes a connection, and the lengths are right at any depth.
//!
//! What a socket does not take at once is owed as a number and sent once it is writable; nothing
//! is lost, doubled or buffered. The request's head must arrive in one piece, or the connection
//! is closed. Ended by SIGTERM's default action.
//!
//! Never: parses a frame, unmasks, validates, allocates for a message.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{
    self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, sockopt,
};

/// The answer to every request; its accept value fits the key `bare_client` sends.
const SWITCHING_PROTOCOLS: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Accept: HSmrc0sMlYUkAGmm5OPpG2HaGWk=\r\n\r\n";

/// The most one `recv` takes and one `send` gives.
const READ_BYTES_MAX: usize = 1 << 19;

const BACKLOG: i32 = 4096;
const EVENTS_MAX: usize = 1024;
const LISTENER: u64 = u64::MAX;

/// The mask key, which a client's frame header has and a server's has not.
const MASK_BYTES: usize = 4;

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
}

fn parse_frame_bytes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(bytes @ 6..=READ_BYTES_MAX) => Ok(bytes),
        _ => Err(format!("a frame has 6 to {READ_BYTES_MAX} bytes")),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let error = match Server::bind(cli.listen, cli.frame_bytes) {
        Ok(mut server) => match server.run() {
            Err(error) => error,
        },
        Err(error) => error,
    };
    eprintln!("ceiling: {}: {error}", cli.listen);
    ExitCode::FAILURE
}

#[derive(Debug)]
struct Connection {
    socket: OwnedFd,
    upgraded: bool,
    /// Bytes received of a frame that is not complete; only counted with `--frame-bytes`.
    cut_bytes: usize,
    /// Bytes of answers that the socket has not taken yet.
    owed_bytes: usize,
}

#[derive(Debug)]
struct Server {
    epoll: OwnedFd,
    listener: OwnedFd,
    connections: Vec<Option<Connection>>,
    free_slots: Vec<usize>,
    frame_bytes: Option<usize>,
    buf: Box<[u8]>,
}

/// What to do with a connection after an event.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// The next edge will come by itself.
    Wait,
    /// No edge may come for what is left to do: ask the kernel to look again.
    Rearm,
    Close,
}

impl Server {
    fn bind(addr: SocketAddr, frame_bytes: Option<usize>) -> io::Result<Self> {
        let family = match addr {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let listener = net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
        sockopt::set_socket_reuseaddr(&listener, true)?;
        net::bind(&listener, &addr)?;
        net::listen(&listener, BACKLOG)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let data = EventData::new_u64(LISTENER);
        epoll::add(&epoll, &listener, data, EventFlags::IN)?;
        let bound: SocketAddr = net::getsockname(&listener)?.try_into()?;
        eprintln!("ceiling: listening on {bound}");
        Ok(Self {
            epoll,
            listener,
            connections: Vec::new(),
            free_slots: Vec::new(),
            frame_bytes,
            buf: vec![0; READ_BYTES_MAX].into_boxed_slice(),
        })
    }

    fn run(&mut self) -> io::Result<std::convert::Infallible> {
        let mut events = [MaybeUninit::<Event>::uninit(); EVENTS_MAX];
        loop {
            let ready = match epoll::wait(&self.epoll, &mut events, None) {
                Ok((ready, _)) => ready,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for event in ready {
                match event.data.u64() {
                    LISTENER => self.accept_all()?,
                    slot => self.serve(slot, event.flags)?,
                }
            }
        }
    }

    fn accept_all(&mut self) -> io::Result<()> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        loop {
            let socket = match net::accept_with(&self.listener, flags) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(error) => return Err(error.into()),
            };
            sockopt::set_tcp_nodelay(&socket, true)?;
            let slot = self.free_slots.pop().unwrap_or(self.connections.len());
            let data = EventData::new_u64(slot as u64);
            epoll::add(&self.epoll, &socket, data, READ_EDGES)?;
            let connection = Connection {
                socket,
                upgraded: false,
                cut_bytes: 0,
                owed_bytes: 0,
            };
            match self.connections.get_mut(slot) {
                Some(place) => *place = Some(connection),
                None => self.connections.push(Some(connection)),
            }
        }
    }

    #[inline]
    fn serve(&mut self, slot: u64, flags: EventFlags) -> io::Result<()> {
        let slot = usize::try_from(slot).expect("a slot was a usize when it was registered");
        let Some(Some(connection)) = self.connections.get_mut(slot) else {
            return Ok(());
        };
        match connection.on_event(flags, self.frame_bytes, &mut self.buf) {
            Next::Wait => {}
            Next::Rearm => {
                let edges = match connection.owed_bytes {
                    0 => READ_EDGES,
                    _ => READ_EDGES | EventFlags::OUT,
                };
                let data = EventData::new_u64(slot as u64);
                epoll::modify(&self.epoll, &connection.socket, data, edges)?;
            }
            Next::Close => {
                self.connections[slot] = None;
                self.free_slots.push(slot);
            }
        }
        Ok(())
    }
}

const READ_EDGES: EventFlags = EventFlags::IN
    .union(EventFlags::RDHUP)
    .union(EventFlags::ET);

impl Connection {
    #[inline]
    fn on_event(&mut self, flags: EventFlags, frame_bytes: Option<usize>, buf: &mut [u8]) -> Next {
        let received = match receive(&self.socket, buf) {
            Ok(0) => return Next::Close,
            Ok(received) => received,
            Err(Errno::AGAIN) => 0,
            Err(_) => return Next::Close,
        };
        let mut payload_bytes = received;
        if !self.upgraded && received > 0 {
            let Some(head_bytes) = head_len(&buf[..received]) else {
                return Next::Close;
            };
            // A socket that has sent nothing yet takes 130 bytes.
            if net::send(&self.socket, SWITCHING_PROTOCOLS, SendFlags::NOSIGNAL)
                != Ok(SWITCHING_PROTOCOLS.len())
            {
                return Next::Close;
            }
            self.upgraded = true;
            payload_bytes -= head_bytes;
        }
        self.owed_bytes += self.reply_bytes(payload_bytes, frame_bytes);
        if self.owed_bytes > 0 {
            let chunk = &buf[..self.owed_bytes.min(buf.len())];
            match net::send(&self.socket, chunk, SendFlags::NOSIGNAL) {
                Ok(sent) => self.owed_bytes -= sent,
                Err(Errno::AGAIN) => {}
                Err(_) => return Next::Close,
            }
        }
        // A full read leaves more, a short write must be taken up again, and data and FIN may
        // have shared this edge.
        if received == buf.len() || self.owed_bytes > 0 || flags.contains(EventFlags::RDHUP) {
            return Next::Rearm;
        }
        Next::Wait
    }

    #[inline]
    fn reply_bytes(&mut self, received: usize, frame_bytes: Option<usize>) -> usize {
        let Some(frame_bytes) = frame_bytes else {
            return received.saturating_sub(MASK_BYTES);
        };
        let total = self.cut_bytes + received;
        let frames = total / frame_bytes;
        self.cut_bytes = total % frame_bytes;
        frames * (frame_bytes - MASK_BYTES)
    }
}

#[inline]
fn receive(socket: &OwnedFd, buf: &mut [u8]) -> rustix::io::Result<usize> {
    net::recv(socket, buf, RecvFlags::empty()).map(|(_, received)| received)
}

/// The length of the request's head, blank line included.
fn head_len(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(end + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Connection {
        Connection {
            socket: std::net::TcpListener::bind("127.0.0.1:0").unwrap().into(),
            upgraded: true,
            cut_bytes: 0,
            owed_bytes: 0,
        }
    }

    #[test]
    fn without_a_frame_length_a_read_is_answered_four_bytes_shorter() {
        let mut connection = connection();
        assert_eq!(connection.reply_bytes(26, None), 22);
        assert_eq!(connection.reply_bytes(3, None), 0);
    }

    #[test]
    fn with_a_frame_length_every_cut_of_a_burst_adds_up() {
        for first in 0..=26 * 16 {
            let mut connection = connection();
            let bytes = connection.reply_bytes(first, Some(26))
                + connection.reply_bytes(26 * 16 - first, Some(26));
            assert_eq!(
                (bytes, connection.cut_bytes),
                (22 * 16, 0),
                "cut at {first}"
            );
        }
    }

    #[test]
    fn the_head_ends_after_the_first_blank_line() {
        assert_eq!(head_len(b"GET / HTTP/1.1\r\n\r\n\r\n\r\n"), Some(18));
        assert_eq!(head_len(b"GET / HTTP/1.1\r\n"), None);
    }
}
