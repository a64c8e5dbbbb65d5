//! Where to listen, as it is written. In: text. Out: an address of one of the kinds that there are.
//!
//! Never: opens anything (but a host name is looked up).

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use crate::config::parse;
use crate::limits::UNIX_PATH_BYTES_MAX;

const UNIX: &str = "unix:";
const SYSTEMD: &str = "systemd";

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListenAddr {
    Tcp(SocketAddr),
    /// A socket file.
    Unix(PathBuf),
    /// Descriptors that systemd passes on: all of them, or those of one name.
    Systemd {
        name: Option<String>,
    },
}

impl FromStr for ListenAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix(UNIX) {
            return match path.len() {
                0 => Err("want unix:PATH".into()),
                1..=UNIX_PATH_BYTES_MAX => Ok(Self::Unix(path.into())),
                _ => Err(format!(
                    "a socket's path has at most {UNIX_PATH_BYTES_MAX} bytes"
                )),
            };
        }
        match text.strip_prefix(SYSTEMD) {
            Some("") => Ok(Self::Systemd { name: None }),
            Some(":") => Err("want systemd:NAME".into()),
            Some(name) if name.starts_with(':') => Ok(Self::Systemd {
                name: Some(name[1..].into()),
            }),
            _ => parse::address(text).map(Self::Tcp),
        }
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
            Self::Systemd { name: None } => f.write_str(SYSTEMD),
            Self::Systemd { name: Some(name) } => write!(f, "{SYSTEMD}:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_is_read() {
        for text in [
            "127.0.0.1:8000",
            "[::1]:0",
            "unix:/run/fanfare/fanfare.sock",
            "unix:relative.sock",
            "systemd",
            "systemd:web",
        ] {
            assert_eq!(text.parse::<ListenAddr>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("unix:/{}", "x".repeat(UNIX_PATH_BYTES_MAX));
        for text in [
            "",
            "unix:",
            &long,
            "systemd:",
            "127.0.0.1",
            "/run/x.sock",
            "127.0.0.1:65536",
        ] {
            assert!(text.parse::<ListenAddr>().is_err(), "{text}");
        }
    }
}
