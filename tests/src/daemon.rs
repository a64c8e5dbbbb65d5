//! The `fanfare` daemon as a child process. In: its flags. Out: its address, its memory, its end.
//!
//! Never: leaves a child behind.

use crate::{binaries, clock};
use rustix::process::Signal;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// How long a daemon may take to listen or to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at something that gives no event: a port, a child.
const POLL: Duration = Duration::from_millis(5);

/// A running daemon; killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    addr: SocketAddr,
}

impl Daemon {
    /// `fanfare echo` on a free port of the loopback, with these further flags, listening.
    ///
    /// # Errors
    ///
    /// When it does not start or does not listen in time.
    pub fn echo(flags: &[&str]) -> io::Result<Self> {
        // The port is free when we ask; should another process take it meanwhile, the daemon ends
        // and the next port is tried.
        let mut last = io::Error::other("no daemon was started");
        for _ in 0..3 {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
                .local_addr()?
                .port();
            let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let mut command = Command::new(binaries::fanfare());
            command
                .arg("echo")
                .args(["--listen", &addr.to_string()])
                .args(flags);
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .env("RUST_LOG", "error");
            let mut daemon = Self {
                child: command.spawn()?,
                addr,
            };
            match daemon.listening() {
                Ok(()) => return Ok(daemon),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn listening(&mut self) -> io::Result<()> {
        let deadline = clock::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!(
                    "the daemon ended at once: {status}"
                )));
            }
            match TcpStream::connect(self.addr) {
                Ok(_) => return Ok(()),
                Err(error) if clock::now() > deadline => return Err(error),
                Err(_) => std::thread::sleep(POLL), // a port that opens gives no event
            }
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory, in KiB; `None` where `/proc` does not tell.
    #[must_use]
    pub fn resident_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    }

    /// Open descriptors; `None` where `/proc` does not tell.
    #[must_use]
    pub fn open_files(&self) -> Option<usize> {
        Some(
            std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))
                .ok()?
                .count(),
        )
    }

    /// Asks it to stop: SIGTERM.
    ///
    /// # Errors
    ///
    /// When it has gone already.
    pub fn terminate(&self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    ///
    /// When it has gone already.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        Ok(rustix::process::kill_process(pid, signal)?)
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// When it does not come.
    pub fn wait(mut self) -> io::Result<ExitStatus> {
        let deadline = clock::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if clock::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(POLL); // std has no wait with a deadline
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
