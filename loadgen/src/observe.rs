//! The server under test, seen from outside. In: its process id. Out: the CPU and the memory that it
//! uses, from `/proc`.
//!
//! Never: guesses; what cannot be read is `None`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::param::{clock_ticks_per_second, page_size};

/// A process on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    proc: PathBuf,
}

/// What it has used so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerUse {
    /// User and system, all threads; the kernel tells it in hundredths of a second.
    pub(crate) cpu: Duration,
    /// Resident memory.
    pub(crate) rss_bytes: u64,
}

impl ServerUse {
    /// CPU since `before`; memory as it is now.
    pub(crate) const fn since(self, before: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            rss_bytes: self.rss_bytes,
        }
    }
}

impl Server {
    /// Process `pid`; `None` if its use cannot be read.
    pub(crate) fn find(pid: u32) -> Option<Self> {
        let server = Self {
            proc: PathBuf::from(format!("/proc/{pid}")),
        };
        server.sample().map(|_| server)
    }

    /// What it has used; `None` once it is gone.
    pub(crate) fn sample(&self) -> Option<ServerUse> {
        let stat = fs::read_to_string(self.proc.join("stat")).ok()?;
        let statm = fs::read_to_string(self.proc.join("statm")).ok()?;
        Some(ServerUse {
            cpu: cpu(&stat)?,
            rss_bytes: rss_pages(&statm)? * page_size() as u64,
        })
    }
}

impl Server {
    /// Its resident memory that no file backs: what it has allocated and touched.
    pub(crate) fn anonymous_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(self.proc.join("status")).ok()?;
        kib_field(&status, "RssAnon:")
    }

    /// This process.
    pub(crate) fn own() -> Self {
        Self {
            proc: PathBuf::from("/proc/self"),
        }
    }
}

/// Memory that this machine's kernel holds in objects of its own (sockets, files, polls) and in the
/// pages of TCP buffers.
pub(crate) fn kernel_bytes() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let sockstat = fs::read_to_string("/proc/net/sockstat").ok()?;
    Some(kib_field(&meminfo, "Slab:")? + tcp_pages(&sockstat)? * page_size() as u64)
}

/// A line `Name: 123 kB`, in bytes.
fn kib_field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// The line `TCP: inuse 1 orphan 0 tw 0 alloc 1 mem 2`.
fn tcp_pages(sockstat: &str) -> Option<u64> {
    let line = sockstat.lines().find_map(|l| l.strip_prefix("TCP:"))?;
    let mut words = line.split_ascii_whitespace();
    words.find(|&word| word == "mem")?;
    words.next()?.parse().ok()
}

/// Fields 14 and 15 of `/proc/PID/stat`; field 2, the name, may hold anything, in parentheses.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(14 - 3);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let micros_per_tick = 1_000_000 / clock_ticks_per_second();
    Some(Duration::from_micros((user + system) * micros_per_tick))
}

/// Field 2 of `/proc/PID/statm`.
fn rss_pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 0 0 0 30 20 0 0 20 0 1 0 5 1 1 1";
        let ticks = Duration::from_micros(50 * (1_000_000 / clock_ticks_per_second()));
        assert_eq!(cpu(stat), Some(ticks));
    }

    #[test]
    fn memory_is_read_from_the_lines_that_tell_it() {
        let status = "VmRSS:\t     900 kB\nRssAnon:\t     268 kB\nRssFile:\t 1 kB\n";
        assert_eq!(kib_field(status, "RssAnon:"), Some(268 << 10));
        assert_eq!(kib_field(status, "RssShmem:"), None);
        let sockstat = "sockets: used 17\nTCP: inuse 1 orphan 0 tw 11 alloc 1 mem 108\n";
        assert_eq!(tcp_pages(sockstat), Some(108));
        assert!(Server::own().anonymous_bytes() > Some(0));
    }

    #[test]
    fn this_process_uses_memory_and_a_missing_one_is_none() {
        let own = Server::find(std::process::id()).expect("this process exists");
        assert!(own.sample().expect("it still does").rss_bytes > 0);
        assert!(Server::find(u32::MAX).is_none());
    }
}
