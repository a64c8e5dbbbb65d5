//! The `fanfare` daemon as a child process. In: its flags and config. Out: its addresses, its log, its
//! memory, its end.
//!
//! Never: leaves a child or a file behind.

use crate::log::Log;
use crate::{binaries, clock};
use rustix::process::Signal;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long a daemon may take to listen or to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at something that gives no event: a port, a child.
const POLL: Duration = Duration::from_millis(5);

/// What a daemon of tests ends without, unless they ask for it: time for balancers, and for many clients.
const AT_ONCE: [(&str, &str); 2] = [
    ("FANFARE_DRAIN__DELAY", "0"),
    ("FANFARE_DRAIN__WINDOW", "0"),
];

/// A running daemon; killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    addr: SocketAddr,
    api: SocketAddr,
    log: Option<Log>,
    config: Option<ConfigFile>,
}

impl Daemon {
    /// `fanfare echo` on a free port of the loopback, with these further flags, listening.
    ///
    /// # Errors
    ///
    /// When it does not start or does not listen in time.
    pub fn echo(flags: &[&str]) -> io::Result<Self> {
        Self::echo_in(flags, &[])
    }

    /// The same in this environment.
    ///
    /// # Errors
    ///
    /// When it does not start or does not listen in time.
    pub fn echo_in(flags: &[&str], environment: &[(&str, &str)]) -> io::Result<Self> {
        Self::started(|addr| {
            let mut command = Command::new(binaries::fanfare());
            command
                .arg("echo")
                .args(["--listen", &addr.to_string()])
                .args(flags)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .env("RUST_LOG", "error")
                .envs(environment.iter().copied());
            Ok(Self {
                child: command.spawn()?,
                addr,
                api: addr,
                log: None,
                config: None,
            })
        })
    }

    /// `fanfare serve` with this config and these further flags, listening on a free port of the loopback.
    ///
    /// `{api}` in the config becomes a second free address, which is where [`Self::api`] then points.
    ///
    /// # Errors
    ///
    /// When it does not start or does not listen in time.
    pub fn serve(config: &str, flags: &[&str]) -> io::Result<Self> {
        Self::serve_in(config, flags, &[])
    }

    /// [`Self::serve`] with these variables in its environment; without them it drains at once.
    ///
    /// # Errors
    ///
    /// When it does not start or does not listen in time.
    pub fn serve_in(
        config: &str,
        flags: &[&str],
        environment: &[(&str, &str)],
    ) -> io::Result<Self> {
        Self::started(|addr| {
            let api = if config.contains("{api}") {
                free_address()?
            } else {
                addr
            };
            let config = ConfigFile::new(&config.replace("{api}", &api.to_string()))?;
            let mut command = fanfare();
            command
                .arg("serve")
                .arg("--config")
                .arg(config.path())
                .args(["--listen", &addr.to_string()])
                .args(flags)
                .envs(AT_ONCE)
                .envs(environment.iter().copied());
            let mut daemon = Self::spawn(command, addr)?;
            daemon.api = api;
            daemon.config = Some(config);
            Ok(daemon)
        })
    }

    /// The `serve` that `command` starts, which listens on `addr` and is ready.
    ///
    /// # Errors
    ///
    /// When it does not start or is not ready in time.
    pub fn run(command: Command, addr: SocketAddr) -> io::Result<Self> {
        let mut daemon = Self::spawn(command, addr)?;
        daemon.ready()?;
        Ok(daemon)
    }

    /// The `serve` that `command` starts, which is going to listen on `addr`.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn spawn(mut command: Command, addr: SocketAddr) -> io::Result<Self> {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let log = child.stderr.take().map(Log::follow);
        Ok(Self {
            child,
            addr,
            api: addr,
            log,
            config: None,
        })
    }

    /// The port is free when we ask; should another process take it meanwhile, the daemon ends and the
    /// next port is tried.
    fn started(start: impl Fn(SocketAddr) -> io::Result<Self>) -> io::Result<Self> {
        let mut last = io::Error::other("no daemon was started");
        for _ in 0..3 {
            let mut daemon = start(free_address()?)?;
            match daemon.ready() {
                Ok(()) => return Ok(daemon),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Waits until it listens; if it is a `serve`, until it says that it is ready.
    ///
    /// # Errors
    ///
    /// When it ends or is not ready in time.
    pub fn ready(&mut self) -> io::Result<()> {
        let deadline = clock::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!(
                    "the daemon ended at once: {status}"
                )));
            }
            match self.probe() {
                Ok(()) => return Ok(()),
                Err(error) if clock::now() > deadline => return Err(error),
                Err(_) => std::thread::sleep(POLL), // a port that opens gives no event
            }
        }
    }

    fn probe(&self) -> io::Result<()> {
        let mut socket = TcpStream::connect(self.addr)?;
        if self.log.is_none() {
            return Ok(());
        }
        TcpStream::connect(self.api)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.write_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        if answer.starts_with("HTTP/1.1 200 ") {
            Ok(())
        } else {
            Err(io::Error::other(answer))
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where its API listens.
    #[must_use]
    pub const fn api(&self) -> SocketAddr {
        self.api
    }

    /// What it logs; only of `serve`.
    #[must_use]
    pub const fn log(&self) -> &Log {
        self.log.as_ref().expect("the log of `serve` is followed")
    }

    /// Puts another config in the place of its config file; `{api}` is what it was.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn rewrite_config(&self, config: &str) -> io::Result<()> {
        let file = self.config.as_ref().expect("`serve` has a config file");
        file.write(&config.replace("{api}", &self.api.to_string()))
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory, in KiB; `None` where `/proc` does not tell.
    #[must_use]
    pub fn resident_kib(&self) -> Option<u64> {
        self.status_kib("VmRSS:")
    }

    /// Of that, what is no file's, as the program itself is.
    #[must_use]
    pub fn anonymous_kib(&self) -> Option<u64> {
        self.status_kib("RssAnon:")
    }

    fn status_kib(&self, field: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    }

    /// CPU time that it has used, in clock ticks: user's and kernel's.
    #[must_use]
    pub fn cpu_ticks(&self) -> Option<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).ok()?;
        // The second field is the program's name in parentheses, which may hold anything.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_whitespace().skip(11);
        let mut next = || fields.next()?.parse::<u64>().ok();
        Some(next()? + next()?)
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

/// The `fanfare` command, without input and without a setting that it could inherit.
#[must_use]
pub fn fanfare() -> Command {
    let mut command = Command::new(binaries::fanfare());
    command.stdin(Stdio::null()).env_remove("RUST_LOG");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FANFARE_") {
            command.env_remove(name);
        }
    }
    command
}

/// What a command that ends by itself says; killed if it does not.
///
/// # Errors
///
/// When it does not start or end.
pub fn output_of(mut command: Command) -> io::Result<Output> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let deadline = clock::now() + PATIENCE;
    while child.try_wait()?.is_none() {
        if clock::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(POLL); // std has no wait with a deadline
    }
    child.wait_with_output()
}

/// An address of the loopback on which nobody listens.
///
/// # Errors
///
/// When there is none.
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// A file that is removed when dropped.
#[derive(Debug)]
pub struct ConfigFile(PathBuf);

impl ConfigFile {
    /// A file with this content.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn new(content: &str) -> io::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("fanfare-tests-{}-{number}.toml", std::process::id());
        let file = Self(std::env::temp_dir().join(name));
        file.write(content)?;
        Ok(file)
    }

    /// Whoever reads it meanwhile sees the old content or the new.
    fn write(&self, content: &str) -> io::Result<()> {
        let new = self.0.with_extension("new");
        std::fs::write(&new, content)?;
        std::fs::rename(new, &self.0)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ConfigFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
