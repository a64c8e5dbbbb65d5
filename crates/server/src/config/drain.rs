//! How the daemon ends. In: the keys of `[drain]`. Out: durations that fit into each other, and a close code.
//!
//! Never: knows a signal.

use std::time::Duration;

use fanfare_codec::CloseCode;
use serde::{Deserialize, Serialize};

use super::check::{seconds, seconds_or_zero};
use super::error::{Fault, Key};

/// `[drain]`, as it is written.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Written {
    delay: f64,
    window: f64,
    timeout: f64,
    close_code: u16,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            delay: 5.0,
            window: 10.0,
            timeout: 25.0,
            close_code: CloseCode::GOING_AWAY.0,
        }
    }
}

/// From SIGTERM or SIGINT to the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drain {
    /// For whoever looks at `/ready`: everything is served as before.
    pub(crate) delay: Duration,
    /// From then on: nobody is accepted, and connections are closed one after the other.
    pub(crate) window: Duration,
    /// From the signal to the end of the process. More than the two together.
    pub(crate) timeout: Duration,
    /// Of connections without a session.
    pub(crate) close_code: CloseCode,
}

impl Drain {
    /// Everything is closed at once, and waited for.
    pub(crate) const fn at_once(timeout: Duration) -> Self {
        Self {
            delay: Duration::ZERO,
            window: Duration::ZERO,
            timeout,
            close_code: CloseCode::GOING_AWAY,
        }
    }
}

/// `is_dev`: nobody is there who looks at `/ready`, and somebody waits for the end.
pub(super) fn check(written: &Written, is_dev: bool) -> Result<Drain, Fault> {
    let key = |name| Key::from(["drain", name]);
    let delay = seconds_or_zero(key("delay"), written.delay)?;
    let window = seconds_or_zero(key("window"), written.window)?;
    let timeout = seconds(key("timeout"), written.timeout)?;
    let close_code = CloseCode(written.close_code);
    if ![CloseCode::GOING_AWAY, CloseCode::SERVICE_RESTART].contains(&close_code) {
        return Err(Fault::new(key("close_code"), "want 1001 or 1012"));
    }
    if is_dev {
        return Ok(Drain {
            close_code,
            ..Drain::at_once(timeout)
        });
    }
    if delay + window >= timeout {
        let why = format!(
            "must be more than drain.delay and drain.window together, {}",
            (delay + window).as_secs_f64()
        );
        return Err(Fault::new(key("timeout"), why));
    }
    Ok(Drain {
        delay,
        window,
        timeout,
        close_code,
    })
}
