//! From addresses to listeners. In: what the config says. Out: for each worker its own, and for the first those
//! that there is one of.
//!
//! Never: accepts.

use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener};

use mio::net::{TcpListener, UnixListener};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::passed::{Passed, PassedSocket};
use super::socket_file;
use super::{ListenAddr, Listener, Socket as Listening};
use crate::config::{Config, Listen, TcpSettings};

/// Every listener of a daemon, and where they are.
#[derive(Debug, Default)]
pub(crate) struct Bound {
    /// Each worker's.
    pub(crate) workers: Vec<Vec<Listener>>,
    /// As URLs, as far as there are such: with port 0, the port that was free.
    pub(crate) urls: Vec<String>,
}

impl Bound {
    /// Listens everywhere where the config says.
    ///
    /// # Errors
    ///
    /// With the address that there is no listening on.
    pub(crate) fn new<'c>(
        config: &'c Config,
        passed: &mut Passed,
    ) -> Result<Self, (&'c ListenAddr, io::Error)> {
        let mut bound = Self::default();
        bound.workers.resize_with(config.workers.get(), Vec::new);
        // Those with a name first: they are not among the rest then.
        let is_rest = |listen: &&Listen| listen.addr == ListenAddr::Systemd { name: None };
        let (rest, named): (Vec<_>, Vec<_>) = config.listen.iter().partition(is_rest);
        for listen in named.into_iter().chain(rest) {
            bound
                .add(config, listen, passed)
                .map_err(|error| (&listen.addr, error))?;
        }
        Ok(bound)
    }

    fn add(&mut self, config: &Config, listen: &Listen, passed: &mut Passed) -> io::Result<()> {
        let scheme = if config.tls.is_some() { "wss" } else { "ws" };
        match &listen.addr {
            ListenAddr::Tcp(addr) => {
                let (sockets, addr) = bind_many(*addr, self.workers.len(), config.tcp)?;
                self.urls.push(format!("{scheme}://{addr}"));
                for (worker, socket) in self.workers.iter_mut().zip(sockets) {
                    let socket = Listening::Tcp(TcpListener::from_std(socket));
                    worker.push(Listener::new(socket, listen, false));
                }
            }
            ListenAddr::Unix(path) => {
                let (socket, file) =
                    socket_file::listen(path, config.unix_socket_mode, config.tcp.backlog)?;
                let socket = Listening::Unix(Some(file), UnixListener::from_std(socket));
                self.urls.push(listen.addr.to_string());
                self.share(Listener::new(socket, listen, true));
            }
            ListenAddr::Systemd { name } => {
                for socket in passed.take(name.as_deref())? {
                    let (socket, url) = adopt(socket, scheme, config.tcp)?;
                    self.urls.push(format!("{url} ({})", listen.addr));
                    self.share(Listener::new(socket, listen, true));
                }
            }
        }
        Ok(())
    }

    /// There is one of it, so the first worker accepts for all.
    fn share(&mut self, listener: Listener) {
        if let Some(first) = self.workers.first_mut() {
            first.push(listener);
        }
    }
}

fn adopt(
    socket: PassedSocket,
    scheme: &str,
    settings: TcpSettings,
) -> io::Result<(Listening, String)> {
    Ok(match socket {
        PassedSocket::Tcp(socket) => {
            let url = format!("{scheme}://{}", socket.local_addr()?);
            set(&SockRef::from(&socket), settings)?;
            (Listening::Tcp(TcpListener::from_std(socket)), url)
        }
        PassedSocket::Unix(socket) => {
            let addr = socket.local_addr()?;
            let path = addr.as_pathname().unwrap_or_else(|| "?".as_ref());
            let url = format!("unix:{}", path.display());
            (Listening::Unix(None, UnixListener::from_std(socket)), url)
        }
    })
}

/// `count` sockets on one address, between which the kernel spreads connections (SO_REUSEPORT), and the address:
/// with port 0, the port that was free.
fn bind_many(
    addr: SocketAddr,
    count: usize,
    settings: TcpSettings,
) -> io::Result<(Vec<StdTcpListener>, SocketAddr)> {
    let first = bind(addr, Sharing::LaterOnly, settings)?;
    let addr = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..count {
        sockets.push(bind(addr, Sharing::FromTheStart, settings)?);
    }
    Ok((sockets, addr))
}

/// When a socket agrees to share its port.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    /// The first asks for the port alone: two daemons of one user would otherwise split its
    /// connections, and neither would say so.
    LaterOnly,
    FromTheStart,
}

fn bind(addr: SocketAddr, sharing: Sharing, settings: TcpSettings) -> io::Result<StdTcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?; // over connections of an earlier daemon in TIME_WAIT
    socket.set_nonblocking(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?; // so that 0.0.0.0 may stand beside [::]
    }
    set(&SockRef::from(&socket), settings)?;
    socket.set_reuse_port(sharing == Sharing::FromTheStart)?;
    socket.bind(&addr.into())?;
    socket.set_reuse_port(true)?;
    socket.listen(settings.backlog)?;
    Ok(socket.into())
}

/// What is accepted inherits all of it.
fn set(socket: &SockRef<'_>, settings: TcpSettings) -> io::Result<()> {
    socket.set_tcp_nodelay(settings.nodelay)?;
    if let Some(keepalive) = settings.keepalive {
        let params = TcpKeepalive::new()
            .with_time(keepalive.idle)
            .with_interval(keepalive.interval)
            .with_retries(keepalive.count);
        socket.set_tcp_keepalive(&params)?;
    }
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(settings.user_timeout)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpStream};
    use std::time::Duration;

    use super::*;
    use crate::config::Keepalive;

    #[test]
    fn what_is_accepted_has_the_settings_of_its_listener() {
        let settings = TcpSettings {
            nodelay: true,
            user_timeout: Some(Duration::from_secs(17)),
            keepalive: Some(Keepalive {
                idle: Duration::from_secs(41),
                interval: Duration::from_secs(7),
                count: 3,
            }),
            backlog: 16,
        };
        let (sockets, addr) = bind_many((Ipv4Addr::LOCALHOST, 0).into(), 1, settings).unwrap();
        let _client = TcpStream::connect(addr).unwrap();
        let (accepted, _) = sockets[0].accept().unwrap();
        let accepted = SockRef::from(&accepted);
        assert!(accepted.tcp_nodelay().unwrap() && accepted.keepalive().unwrap());
        assert_eq!(
            accepted.tcp_keepalive_time().unwrap(),
            Duration::from_secs(41)
        );
        assert_eq!(
            accepted.tcp_keepalive_interval().unwrap(),
            Duration::from_secs(7)
        );
        assert_eq!(accepted.tcp_keepalive_retries().unwrap(), 3);
        #[cfg(target_os = "linux")]
        assert_eq!(
            accepted.tcp_user_timeout().unwrap(),
            Some(Duration::from_secs(17))
        );
    }
}
