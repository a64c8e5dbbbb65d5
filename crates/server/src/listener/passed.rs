//! Descriptors that systemd passes on (sd_listen_fds(3)). In: the environment. Out: sockets that listen already.
//!
//! Never: closes one that nobody asks for: it is systemd's to say what is done with it.

use std::io;
use std::net::TcpListener as StdTcpListener;
use std::os::unix::net::UnixListener as StdUnixListener;

use listenfd::ListenFd;

/// What was passed on and has not been taken.
pub(crate) struct Passed {
    descriptors: ListenFd,
    /// One each, if there are names.
    names: Vec<String>,
    taken: Vec<bool>,
}

/// A socket that was passed on.
#[derive(Debug)]
pub(super) enum PassedSocket {
    Tcp(StdTcpListener),
    Unix(StdUnixListener),
}

impl Passed {
    /// What was passed on to this process.
    pub(crate) fn from_env() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let names = names.split(':').map(str::to_owned).collect();
        let descriptors = ListenFd::from_env();
        let taken = vec![false; descriptors.len()];
        Self {
            descriptors,
            names,
            taken,
        }
    }

    /// How many there were.
    pub(crate) fn len(&self) -> usize {
        self.taken.len()
    }

    /// Those with this name, or all of them; not the ones that were taken before.
    ///
    /// # Errors
    ///
    /// One of them is no stream socket, or there are none.
    pub(super) fn take(&mut self, name: Option<&str>) -> io::Result<Vec<PassedSocket>> {
        let mut sockets = Vec::new();
        for n in 0..self.taken.len() {
            let is_meant = name.is_none_or(|name| self.names.get(n).is_some_and(|own| own == name));
            if !is_meant || self.taken[n] {
                continue;
            }
            sockets.push(self.take_one(n)?);
            self.taken[n] = true;
        }
        if sockets.is_empty() {
            let why = match name {
                None => "no descriptors were passed on (LISTEN_FDS, LISTEN_PID)".into(),
                Some(name) => {
                    format!("no descriptor of the name {name:?} was passed on (LISTEN_FDNAMES)")
                }
            };
            return Err(io::Error::new(io::ErrorKind::NotFound, why));
        }
        Ok(sockets)
    }

    fn take_one(&mut self, n: usize) -> io::Result<PassedSocket> {
        if let Ok(Some(listener)) = self.descriptors.take_tcp_listener(n) {
            listener.set_nonblocking(true)?;
            return Ok(PassedSocket::Tcp(listener));
        }
        let taken = self.descriptors.take_unix_listener(n)?;
        let listener = taken.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        listener.set_nonblocking(true)?;
        Ok(PassedSocket::Unix(listener))
    }
}
