//! Where the daemon listens, whom it believes, and how its sockets are set. In: what is written. Out: values that
//! hold together, or the key that is at fault.
//!
//! Never: opens anything (but host names are looked up).

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::check::{entries, seconds, seconds_or_zero};
use super::error::{Fault, Key};
use super::file::File;
use crate::limits::{LISTEN_BACKLOG, LISTENERS_MAX};
use crate::listener::ListenAddr;
use crate::peer::Trusted;

/// A place to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) addr: ListenAddr,
    /// Trusted proxies speak the PROXY protocol there.
    pub(crate) is_proxied: bool,
}

impl Listen {
    /// Where nobody speaks the PROXY protocol.
    pub(crate) const fn plain(addr: ListenAddr) -> Self {
        Self {
            addr,
            is_proxied: false,
        }
    }
}

/// How TCP's sockets are set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TcpSettings {
    /// What is sent leaves at once.
    pub(crate) nodelay: bool,
    /// Without an acknowledgement of what was sent; none: the system's.
    pub(crate) user_timeout: Option<Duration>,
    /// None: a silent peer is not asked.
    pub(crate) keepalive: Option<Keepalive>,
    /// Connections that wait in the kernel to be accepted.
    pub(crate) backlog: i32,
}

/// When the kernel asks a silent peer whether it is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keepalive {
    /// Silence before the first question.
    pub(crate) idle: Duration,
    /// From one question to the next.
    pub(crate) interval: Duration,
    /// Questions without an answer, after which it is gone.
    pub(crate) count: u32,
}

impl TcpSettings {
    /// What `default.toml` says, beside this `websocket.send_timeout`.
    pub(crate) fn default_beside(send_timeout: Duration) -> Self {
        let tcp = Tcp::default();
        Self {
            nodelay: tcp.nodelay,
            user_timeout: Some(user_timeout_beside(send_timeout)),
            keepalive: Some(Keepalive {
                idle: Duration::from_secs_f64(tcp.keepalive_idle),
                interval: Duration::from_secs_f64(tcp.keepalive_interval),
                count: tcp.keepalive_count.get(),
            }),
            backlog: LISTEN_BACKLOG,
        }
    }
}

/// So late that it is the daemon who gives a peer up that takes nothing, and says why.
fn user_timeout_beside(send_timeout: Duration) -> Duration {
    let twice = send_timeout.saturating_mul(2);
    twice.clamp(USER_TIMEOUT_MIN, USER_TIMEOUT_MAX)
}

/// What it is at least, unless it is set: the HTTP thread has other timeouts.
const USER_TIMEOUT_MIN: Duration = Duration::from_secs(60);
/// The kernel counts milliseconds in 32 bits.
const USER_TIMEOUT_MAX: Duration = Duration::from_secs(1_000_000);

/// Of keepalive, in seconds, and of its questions (Linux's MAX_TCP_KEEPIDLE, MAX_TCP_KEEPCNT).
const KEEPALIVE_SECONDS_MAX: Duration = Duration::from_secs(32_767);
/// See [`KEEPALIVE_SECONDS_MAX`].
const KEEPALIVE_COUNT_MAX: u32 = 127;

/// `listen`, as it is written: one place or several.
#[derive(Clone, Serialize)]
#[serde(untagged)]
pub(super) enum Places {
    One(String),
    Several(Vec<String>),
}

impl<'de> Deserialize<'de> for Places {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrSeveral;
        impl<'de> Visitor<'de> for OneOrSeveral {
            type Value = Places;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, or a list of strings")
            }

            fn visit_str<E>(self, text: &str) -> Result<Places, E> {
                Ok(Places::One(text.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Places, A::Error> {
                let mut several = Vec::new();
                while let Some(text) = list.next_element()? {
                    several.push(text);
                }
                Ok(Places::Several(several))
            }
        }
        deserializer.deserialize_any(OneOrSeveral)
    }
}

impl Places {
    /// Each, with its key.
    fn entries(&self) -> Vec<(Key, &String)> {
        match self {
            Self::One(text) => vec![(["listen"].into(), text)],
            Self::Several(list) => {
                let key = Key::from(["listen"]);
                let numbered = list.iter().enumerate();
                numbered
                    .map(|(n, text)| (key.join(&n.to_string()), text))
                    .collect()
            }
        }
    }
}

/// `[tcp]`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tcp {
    pub(super) nodelay: bool,
    pub(super) user_timeout: Option<f64>,
    pub(super) keepalive_idle: f64,
    pub(super) keepalive_interval: f64,
    pub(super) keepalive_count: NonZeroU32,
    pub(super) backlog: NonZeroU32,
}

impl Default for Tcp {
    fn default() -> Self {
        Self {
            nodelay: true,
            user_timeout: None,
            keepalive_idle: 60.0,
            keepalive_interval: 10.0,
            keepalive_count: const { NonZeroU32::new(6).unwrap() },
            backlog: const { NonZeroU32::new(LISTEN_BACKLOG.unsigned_abs()).unwrap() },
        }
    }
}

/// Where to listen; `is_dev`: on the loopback alone.
pub(super) fn places(file: &File, trusted: &Trusted, is_dev: bool) -> Result<Vec<Listen>, Fault> {
    let written = file.listen.entries();
    if written.is_empty() || written.len() > LISTENERS_MAX {
        let why = format!("want 1 to {LISTENERS_MAX} places to listen at");
        return Err(Fault::new(["listen"], why));
    }
    let mut places: Vec<Listen> = Vec::new();
    for (key, text) in &written {
        let addr: ListenAddr = text
            .parse()
            .map_err(|why| Fault::new(key.clone(), format!("{text:?}: {why}")))?;
        let is_twice = places.iter().any(|place| place.addr == addr);
        let takes_any = matches!(&addr, ListenAddr::Tcp(addr) if addr.port() == 0);
        if is_twice && !takes_any {
            return Err(Fault::new(key.clone(), format!("{addr} is there twice")));
        }
        if is_dev {
            assert_local(key, &addr)?;
        }
        places.push(Listen::plain(addr));
    }
    for (key, text) in entries(["proxy_protocol"], &file.proxy_protocol) {
        let mut is_known = false;
        for (place, (_, written)) in places.iter_mut().zip(&written) {
            if *written == text {
                place.is_proxied = true;
                is_known = true;
            }
        }
        if !is_known {
            let why = format!("{text:?} does not stand in `listen`");
            return Err(Fault::new(key, why));
        }
        if trusted.is_empty() {
            let why = "nobody may speak it: trusted_proxies is empty";
            return Err(Fault::new(key, why));
        }
    }
    Ok(places)
}

pub(super) fn trusted(file: &File) -> Result<Trusted, Fault> {
    Trusted::parse(&file.trusted_proxies).map_err(|n| {
        let entry = &file.trusted_proxies[n];
        let want = "want an address, a network such as 10.0.0.0/8, or \"unix\"";
        let key = Key::from(["trusted_proxies"]).join(&n.to_string());
        Fault::new(key, format!("{want}, not {entry:?}"))
    })
}

pub(super) fn unix_socket_mode(file: &File) -> Result<u32, Fault> {
    let mode = file.unix_socket_mode;
    if mode > 0o777 {
        let why = "want a mode of at most 0o777, in octal digits: 0o660";
        return Err(Fault::new(["unix_socket_mode"], why));
    }
    Ok(mode)
}

/// `send_timeout`: that of `[websocket]`.
pub(super) fn tcp(tcp: &Tcp, send_timeout: Duration) -> Result<TcpSettings, Fault> {
    let key = |name| Key::from(["tcp", name]);
    let whole = |name, value| {
        let duration: Duration = seconds(key(name), value)?;
        if duration < Duration::from_secs(1) || duration > KEEPALIVE_SECONDS_MAX {
            let why = format!("must be 1 to {}", KEEPALIVE_SECONDS_MAX.as_secs());
            return Err(Fault::new(key(name), why));
        }
        Ok(duration)
    };
    let user_timeout = match tcp.user_timeout {
        None => user_timeout_beside(send_timeout),
        Some(timeout) => seconds_or_zero(key("user_timeout"), timeout)?,
    };
    if user_timeout > USER_TIMEOUT_MAX {
        let why = format!("must be at most {}", USER_TIMEOUT_MAX.as_secs());
        return Err(Fault::new(key("user_timeout"), why));
    }
    if tcp.keepalive_count.get() > KEEPALIVE_COUNT_MAX {
        let why = format!("must be at most {KEEPALIVE_COUNT_MAX}");
        return Err(Fault::new(key("keepalive_count"), why));
    }
    let keepalive = if seconds_or_zero(key("keepalive_idle"), tcp.keepalive_idle)?.is_zero() {
        None
    } else {
        Some(Keepalive {
            idle: whole("keepalive_idle", tcp.keepalive_idle)?,
            interval: whole("keepalive_interval", tcp.keepalive_interval)?,
            count: tcp.keepalive_count.get(),
        })
    };
    Ok(TcpSettings {
        nodelay: tcp.nodelay,
        user_timeout: (!user_timeout.is_zero()).then_some(user_timeout),
        keepalive,
        backlog: i32::try_from(tcp.backlog.get())
            .map_err(|_| Fault::new(key("backlog"), format!("must be at most {}", i32::MAX)))?,
    })
}

fn assert_local(key: &Key, addr: &ListenAddr) -> Result<(), Fault> {
    let why = match addr {
        ListenAddr::Unix(_) => return Ok(()),
        ListenAddr::Tcp(addr) if addr.ip().to_canonical().is_loopback() => return Ok(()),
        ListenAddr::Tcp(addr) => {
            format!("{addr} is no loopback address, and --dev listens on no other")
        }
        ListenAddr::Systemd { .. } => "--dev does not listen on what systemd passes on".into(),
    };
    Err(Fault::new(key.clone(), why))
}
