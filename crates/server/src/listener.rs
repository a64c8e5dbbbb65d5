//! Listening sockets. In: an address. Out: connections.
//!
//! The seam for other ways of getting connections: workers take a [`Transport`] from wherever.
//!
//! Never: decides whether a connection is welcome.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};

use mio::net::TcpListener;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use crate::limits::LISTEN_BACKLOG;
use crate::transport::Transport;

/// One worker's listener.
#[derive(Debug)]
pub(crate) struct Listener(TcpListener);

/// What [`Listener::accept`] found.
pub(crate) enum Accepted {
    Connection(Transport, SocketAddr),
    /// The backlog is empty; an edge will tell when it is not.
    Nobody,
    /// That connection was gone before it was taken; there may be others.
    Lost,
    /// The process or the machine is out of descriptors or memory, or the listener is broken: no
    /// edge will come.
    Exhausted(io::Error),
}

impl Listener {
    /// `count` listeners on one address, between which the kernel spreads connections
    /// (SO_REUSEPORT), and the address: with port 0, the port that was free.
    pub(crate) fn bind_many(addr: SocketAddr, count: usize) -> io::Result<(Vec<Self>, SocketAddr)> {
        let first = bind(addr, Sharing::LaterOnly)?;
        let addr = first.local_addr()?;
        let mut listeners = vec![Self(TcpListener::from_std(first))];
        for _ in 1..count {
            let next = bind(addr, Sharing::FromTheStart)?;
            listeners.push(Self(TcpListener::from_std(next)));
        }
        Ok((listeners, addr))
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.0, token, Interest::READABLE)
    }

    pub(crate) fn accept(&self) -> Accepted {
        match self.0.accept() {
            Ok((socket, peer)) => Accepted::Connection(Transport::Tcp(socket), peer),
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

/// When a socket agrees to share its port.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    /// The first asks for the port alone: two daemons of one user would otherwise split its
    /// connections, and neither would say so.
    LaterOnly,
    FromTheStart,
}

fn bind(addr: SocketAddr, sharing: Sharing) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?; // over connections of an earlier daemon in TIME_WAIT
    socket.set_nonblocking(true)?;
    // A reply that waits for an ACK is a reply that is late; what is accepted inherits this.
    socket.set_tcp_nodelay(true)?;
    socket.set_reuse_port(sharing == Sharing::FromTheStart)?;
    socket.bind(&addr.into())?;
    socket.set_reuse_port(true)?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}
