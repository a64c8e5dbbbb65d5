//! Why a run of the bare client has no result.

use std::fmt;
use std::io;

/// What went wrong, by blame: the server's doing first, then this side's.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The server answered the upgrade request with this status line.
    NotSwitching(String),
    /// The 101 does not agree to compress.
    NoDeflate,
    /// The server closed this many connections.
    Closed(usize),
    /// The server sent something before it was sent a message.
    Unasked,
    /// The server sent more bytes than an echo has.
    TooMuch,
    /// This many connections got no answer for as long as the run was measured.
    Silent(usize),
    /// No connection to the server; how many stood already.
    Connect(usize, io::Error),
    /// A system call failed on this side.
    Io(&'static str, io::Error),
    /// The server's CPU time can't be read.
    ServerPid(u32, io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSwitching(line) => write!(f, "the server answered {line:?} and not a 101"),
            Self::NoDeflate => f.write_str("the server does not agree to permessage-deflate"),
            Self::Closed(count) => write!(f, "the server closed {count} connection(s)"),
            Self::Unasked => f.write_str("the server sent bytes before it was sent a message"),
            Self::TooMuch => f.write_str("the server sent more bytes than an echo has"),
            Self::Silent(count) => write!(f, "{count} connection(s) got no complete answer"),
            Self::Connect(count, error) => write!(f, "connection {}: {error}", count + 1),
            Self::Io(what, error) => write!(f, "{what}: {error}"),
            Self::ServerPid(pid, error) => write!(f, "CPU time of process {pid}: {error}"),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect(_, error) | Self::Io(_, error) | Self::ServerPid(_, error) => Some(error),
            _ => None,
        }
    }
}
