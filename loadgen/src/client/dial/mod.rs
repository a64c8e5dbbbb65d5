//! How connections are made. In: a URL and what the flags say about requests, sources and trust. Out:
//! a [`Dial`], checked before the run; then, connection by connection, a socket on its way and the
//! request to send.
//!
//! Never: waits for a connection, reads a response.

mod any_certificate;
mod credentials;
mod source;
mod target;
mod trust;

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use fanfare_codec::handshake::ClientHandshake;
use nix::sys::socket::{setsockopt, sockopt};
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_tcp_nodelay};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, ipproto, socket_with};

use super::deflate;
use super::tls::TlsStream;
use super::transport::Transport;
use crate::clock::Clock;
use crate::fault::{Fault, FaultClass};
use credentials::Credentials;
pub(crate) use credentials::load_tokens;
use source::Sources;
pub(crate) use target::Route;
use target::Target;
use trust::Trust;

/// The flags of a command that connects, as typed.
#[derive(Clone, Debug, Default)]
pub(crate) struct DialOptions {
    /// `<URL>`: `ws://` or `wss://`.
    pub(crate) url: String,
    /// `--header 'Name: value'`, of every connection.
    pub(crate) headers: Vec<String>,
    /// `--headers-file`: a line a connection, its headers separated by tabs.
    pub(crate) headers_file: Option<PathBuf>,
    /// `--subprotocol`, in the order of preference.
    pub(crate) subprotocols: Vec<String>,
    /// `--token`: `Authorization: Bearer`.
    pub(crate) token: Option<String>,
    /// `--tokens-file`: a line a connection.
    pub(crate) tokens_file: Option<PathBuf>,
    /// `--cookie 'name=value'`, joined in one header.
    pub(crate) cookies: Vec<String>,
    /// `--cookies-file`: a line a connection, `name=value; name=value`.
    pub(crate) cookies_file: Option<PathBuf>,
    /// `--source`: addresses, ranges `A-B` and networks `A/BITS`, each a list with commas.
    pub(crate) sources: Vec<String>,
    /// `--ca`: PEM files of the only certificates to trust.
    pub(crate) ca: Vec<PathBuf>,
    /// `--insecure`: trust everybody.
    pub(crate) insecure: bool,
    /// `--deflate`: offer to compress.
    pub(crate) deflate: bool,
}

/// Everything that connections have in common, checked.
#[derive(Debug)]
pub(crate) struct Dial {
    target: Target,
    address: SocketAddr,
    sources: Sources,
    credentials: Credentials,
    trust: Option<Trust>,
    deflate: bool,
}

/// A flag that cannot be followed, in one line.
#[derive(Debug)]
pub(crate) struct DialError {
    flag: &'static str,
    why: String,
}

impl DialError {
    fn new(flag: &'static str, why: impl fmt::Display) -> Self {
        Self {
            flag,
            why: why.to_string(),
        }
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.flag, self.why)
    }
}

impl std::error::Error for DialError {}

impl Dial {
    /// Checks `options`, reads the files that they name and resolves the URL's host, once, to its
    /// first address. At most `connections` will be open at the same time.
    ///
    /// # Errors
    ///
    /// The flag that is wrong, its file and line, and why.
    pub(crate) fn prepare(options: &DialOptions, connections: usize) -> Result<Self, DialError> {
        let url = &options.url;
        let wrong_url =
            |why: &dyn fmt::Display| DialError::new("<URL>", format_args!("'{url}': {why}"));
        let target = Target::parse(url).map_err(|error| wrong_url(&error))?;
        let name = &target.name;
        let unresolved =
            |why: &dyn fmt::Display| wrong_url(&format_args!("cannot resolve '{name}': {why}"));
        let address = (name.as_str(), target.port)
            .to_socket_addrs()
            .map_err(|error| unresolved(&error))?
            .next()
            .ok_or_else(|| unresolved(&"it has no address"))?;
        Ok(Self {
            sources: Sources::choose(options, address, connections)?,
            credentials: Credentials::load(options)?,
            trust: Trust::establish(options, &target)?,
            deflate: options.deflate,
            target,
            address,
        })
    }

    /// Path and query of the URL, as typed: a `{channel}` still stands in it.
    pub(crate) const fn route(&self) -> &Route {
        &self.target.route
    }

    /// Whether compression is offered.
    pub(super) const fn offers_deflate(&self) -> bool {
        self.deflate
    }

    /// A socket that is connecting, the `attempt`-th of the run; `receive_bytes` is the size of its
    /// receive buffer, unless the kernel chooses.
    pub(super) fn transport(
        &self,
        attempt: usize,
        receive_bytes: Option<usize>,
        clock: Clock,
    ) -> Result<Transport, Fault> {
        let socket = self
            .socket(attempt, receive_bytes)
            .map_err(|error| connect_fault(&error))?;
        Ok(match &self.trust {
            None => Transport::Plain(socket),
            Some(trust) => {
                Transport::Tls(Box::new(TlsStream::new(socket, trust.session()?, clock)))
            }
        })
    }

    fn socket(&self, attempt: usize, receive_bytes: Option<usize>) -> io::Result<OwnedFd> {
        let family = match self.address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
        // Without it a small message could wait for the acknowledgement of the one before.
        set_tcp_nodelay(&socket, true)?;
        if let Some(bytes) = receive_bytes {
            // Before the peer is told how large a window may grow (RFC 7323 §2).
            set_socket_recv_buffer_size(&socket, bytes)?;
        }
        if let Some(source) = self.sources.turn(attempt) {
            // The port is chosen at `connect`, when the target is known, and so may be in use for
            // another: else all sources and targets would share one range.
            setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
            bind(&socket, &SocketAddr::new(source, 0))?;
        }
        match connect(&socket, &self.address) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
            Err(error) => Err(error.into()),
        }
    }

    /// The request of connection `number` of the run, with a fresh key.
    pub(super) fn handshake(
        &self,
        route: &Route,
        number: usize,
        random: &mut fastrand::Rng,
    ) -> Result<ClientHandshake, Fault> {
        let nonce = random.u128(..).to_ne_bytes();
        ClientHandshake::new(&self.target.host, route.as_str(), nonce)
            .and_then(|request| self.credentials.add_to(request, number))
            .map(|request| match self.deflate {
                true => request.offer_deflate(deflate::offer()),
                false => request,
            })
            .map_err(|error| Fault::new(FaultClass::Handshake, error))
    }
}

/// The socket did not connect.
#[cold]
pub(super) fn connect_fault(error: &io::Error) -> Fault {
    if error.kind() == io::ErrorKind::AddrNotAvailable {
        let why = "no local port is free (those of closed connections are held for a minute): \
                   spread them over more addresses with --source";
        return Fault::new(FaultClass::Connect, why);
    }
    Fault::new(FaultClass::Connect, error)
}
