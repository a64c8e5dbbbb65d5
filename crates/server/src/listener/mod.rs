//! Listening sockets. In: addresses, descriptors. Out: connections.
//!
//! The seam for other ways of getting connections: workers take a [`Transport`] from wherever.
//!
//! Never: decides whether a connection is welcome.

mod address;
mod bind;
mod passed;
mod socket_file;

use std::io;
use std::os::fd::OwnedFd;

use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use rustix::io::Errno;

use crate::config::Listen;
use crate::peer::Peer;
use crate::stream::Stream;
use crate::transport::Transport;

pub(crate) use address::ListenAddr;
pub(crate) use bind::Bound;
pub(crate) use passed::Passed;

use socket_file::SocketFile;

/// One worker's listener.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Socket,
    /// The others have none like it: what it accepts is for all of them.
    pub(crate) is_shared: bool,
    /// Trusted proxies speak the PROXY protocol here.
    pub(crate) is_proxied: bool,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    /// With its file in front of it, if that is ours: it goes first.
    Unix(
        #[expect(dead_code, reason = "it is dropped")] Option<SocketFile>,
        UnixListener,
    ),
}

/// What [`Listener::accept`] found.
pub(crate) enum Accepted {
    Connection(Transport, Peer),
    /// The backlog is empty; an edge will tell when it is not.
    Nobody,
    /// That connection was gone before it was taken; there may be others.
    Lost,
    /// The process or the machine is out of descriptors or memory, or the listener is broken: no
    /// edge will come.
    Exhausted(io::Error),
}

impl Listener {
    const fn new(socket: Socket, listen: &Listen, is_shared: bool) -> Self {
        Self {
            socket,
            is_shared,
            is_proxied: listen.is_proxied,
        }
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match &mut self.socket {
            Socket::Tcp(socket) => registry.register(socket, token, Interest::READABLE),
            Socket::Unix(_, socket) => registry.register(socket, token, Interest::READABLE),
        }
    }

    pub(crate) fn accept(&self) -> Accepted {
        let accepted = match &self.socket {
            Socket::Tcp(socket) => {
                let accepted = socket.accept();
                accepted.map(|(socket, peer)| (OwnedFd::from(socket), Peer::Tcp(peer)))
            }
            Socket::Unix(_, socket) => {
                let accepted = socket.accept();
                accepted.map(|(socket, _)| (OwnedFd::from(socket), Peer::Unix))
            }
        };
        match accepted {
            Ok((socket, peer)) => {
                Accepted::Connection(Transport::Plain(Stream::from(socket)), peer)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Accepted::Nobody,
            // accept(2): what went wrong with a connection is reported as accept's own error.
            Err(error) if is_of_connection(&error) => Accepted::Lost,
            Err(error) => Accepted::Exhausted(error),
        }
    }
}

fn is_of_connection(error: &io::Error) -> bool {
    let of_connection = [
        Errno::CONNABORTED,
        Errno::INTR,
        Errno::PERM,
        Errno::PROTO,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::TIMEDOUT,
    ];
    Errno::from_io_error(error).is_some_and(|errno| of_connection.contains(&errno))
}
