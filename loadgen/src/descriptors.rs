//! File descriptors. In: how many connections are wanted. Out: a limit that allows them, or the
//! command that raises it.
//!
//! Never: lowers a limit.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cli::Usage;

/// Standard streams, files of `/proc` and some room.
const OTHERS: u64 = 64;

/// Raises the soft limit as far as the connections that `flag` asks for need and the hard limit allows.
///
/// # Errors
///
/// [`Usage`] when the hard limit is too low.
pub(crate) fn reserve(flag: &str, connections: usize, threads: usize) -> Result<(), Usage> {
    // Each thread has a poll.
    let needed = (connections + threads) as u64 + OTHERS;
    let limit = getrlimit(Resource::Nofile);
    let is_enough = |current: Option<u64>| current.is_none_or(|current| current >= needed);
    if is_enough(limit.current) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(needed),
        maximum: limit.maximum,
    };
    if is_enough(limit.maximum) && setrlimit(Resource::Nofile, raised).is_ok() {
        return Ok(());
    }
    Err(too_low(
        flag,
        connections,
        needed,
        limit.maximum.or(limit.current),
    ))
}

fn too_low(flag: &str, connections: usize, needed: u64, limit: Option<u64>) -> Usage {
    Usage(format!(
        "{flag} {connections} needs {needed} file descriptors and the limit is {}; raise it \
         with: sudo prlimit --pid $$ --nofile={needed}:{needed}",
        limit.unwrap_or_default()
    ))
}
