//! Listening sockets. In: an address. Out: connections.
//!
//! The seam for other ways of getting connections: workers take a [`Transport`] from wherever.
//!
//! Never: decides whether a connection is welcome.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};

use mio::net::TcpListener;
use mio::{Interest, Registry, Token};
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
    /// The process or the machine is out of descriptors or memory: no edge will come.
    Exhausted(io::Error),
}

impl Listener {
    /// `count` listeners on one address, between which the kernel spreads connections
    /// (SO_REUSEPORT), and the address: with port 0, the port that was free.
    pub(crate) fn bind_many(addr: SocketAddr, count: usize) -> io::Result<(Vec<Self>, SocketAddr)> {
        let share = count > 1;
        if share && addr.port() != 0 {
            // Two daemons of one user could share a port without noticing: ask for it alone first.
            drop(bind(addr, false)?);
        }
        let first = bind(addr, share)?;
        let addr = first.local_addr()?;
        let mut listeners = vec![Self(TcpListener::from_std(first))];
        for _ in 1..count {
            listeners.push(Self(TcpListener::from_std(bind(addr, true)?)));
        }
        Ok((listeners, addr))
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.0, token, Interest::READABLE)
    }

    pub(crate) fn accept(&self) -> Accepted {
        match self.0.accept() {
            Ok((socket, peer)) => {
                // A reply that waits for an ACK is a reply that is late.
                if let Err(error) = socket.set_nodelay(true) {
                    tracing::debug!(%peer, %error, "no TCP_NODELAY: the peer has gone");
                    return Accepted::Lost;
                }
                Accepted::Connection(Transport::Tcp(socket), peer)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Accepted::Nobody,
            Err(error) => match error
                .raw_os_error()
                .map(rustix::io::Errno::from_raw_os_error)
            {
                Some(
                    rustix::io::Errno::MFILE
                    | rustix::io::Errno::NFILE
                    | rustix::io::Errno::NOBUFS
                    | rustix::io::Errno::NOMEM,
                ) => Accepted::Exhausted(error),
                // accept(2): what went wrong with a connection is reported as accept's own error.
                _ => Accepted::Lost,
            },
        }
    }
}

fn bind(addr: SocketAddr, share: bool) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?; // over connections of an earlier daemon in TIME_WAIT
    socket.set_reuse_port(share)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}
