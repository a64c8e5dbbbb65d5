//! Pings (PROTOCOL.md, "Ping"). In: the time, pongs. Out: when a ping is due, and whether a pong is missing.
//!
//! Never: sends anything; draws a random number: the first pings of many sessions are spread by their ids.

use std::time::Duration;

use fanfare_hub::Time;

use super::NEVER;
use crate::codes::Disconnect;

/// Who asks whether a connection lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PingKind {
    /// The session, with empty objects.
    #[default]
    Protocol,
    /// The server, with frames of WebSocket: the session never does.
    WebSocket,
}

/// When a session pings and is answered.
#[derive(Debug)]
pub(super) struct Pings {
    /// The next one.
    at: Time,
    /// The close, if there is no pong until then.
    pong_by: Time,
    /// As the client was told: a reload does not change what it waits for.
    interval_ms: u32,
    /// Whether it was told to answer.
    wants_pongs: bool,
    /// A ping is out, and no pong has come since.
    is_unanswered: bool,
}

impl Default for Pings {
    fn default() -> Self {
        Self {
            at: NEVER,
            pong_by: NEVER,
            interval_ms: 0,
            wants_pongs: false,
            is_unanswered: false,
        }
    }
}

impl Pings {
    /// The first ping comes somewhere in the second half of an interval, `client` decides where: those who come
    /// back all at once after a restart are not pinged all at once.
    pub(super) fn start(&mut self, client: &str, now: Time, interval: Duration, wants_pongs: bool) {
        let interval_ms = u32::try_from(interval.as_millis())
            .unwrap_or(u32::MAX)
            .max(1);
        let half = u64::from(interval_ms / 2);
        let spread = hash(client) % (u64::from(interval_ms) - half + 1);
        self.at = now + Duration::from_millis(half + spread);
        self.interval_ms = interval_ms;
        self.wants_pongs = wants_pongs;
    }

    /// # Errors
    ///
    /// [`Disconnect::BAD_REQUEST`]: nothing has asked for it. A client that was not told to answer may do so.
    pub(super) const fn on_pong(&mut self) -> Result<(), Disconnect> {
        if !self.is_unanswered {
            return Err(Disconnect::BAD_REQUEST);
        }
        self.is_unanswered = false;
        self.pong_by = NEVER;
        Ok(())
    }

    /// The pong may have come and stand behind a command that waits: an engine that is slow is no reason to close.
    pub(super) fn wait_on(&mut self, now: Time, pong_timeout: Option<Duration>) {
        if now >= self.pong_by {
            // At least a moment: a deadline that stays would be a spin.
            self.pong_by = pong_timeout.map_or(NEVER, |t| now + t.max(Duration::from_millis(1)));
        }
    }

    /// Whether a ping is to be sent now; it then counts as sent.
    ///
    /// # Errors
    ///
    /// [`Disconnect::NO_PONG`].
    pub(super) fn is_due(
        &mut self,
        now: Time,
        pong_timeout: Option<Duration>,
    ) -> Result<bool, Disconnect> {
        if now >= self.pong_by {
            return Err(Disconnect::NO_PONG);
        }
        if now < self.due() {
            return Ok(false);
        }
        self.at = now + Duration::from_millis(u64::from(self.interval_ms));
        self.is_unanswered = true;
        self.pong_by = match pong_timeout {
            Some(timeout) if self.wants_pongs => now + timeout,
            _ => NEVER,
        };
        Ok(true)
    }

    /// While a pong is missing no further ping goes out: its pong could not be told from the first one's.
    pub(super) fn due(&self) -> Time {
        if self.pong_by == NEVER {
            self.at
        } else {
            self.pong_by
        }
    }
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Duration = Duration::from_secs(25);
    const WAIT: Duration = Duration::from_secs(8);

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn first_pings_are_spread_over_the_second_half_of_an_interval() {
        let mut early = 0;
        for n in 0..1000 {
            let mut pings = Pings::default();
            pings.start(&format!("client-{n}"), at(1000), T, true);
            let due = pings.due().as_millis();
            assert!((13_500..=26_000).contains(&due), "{due}");
            early += usize::from(due < 19_750);
        }
        assert!((400..600).contains(&early), "{early} of 1000");
    }

    #[test]
    fn a_ping_without_a_pong_is_waited_for_and_not_repeated() {
        let mut pings = Pings::default();
        pings.start("c", at(0), T, true);
        let first = pings.due();
        let long = Some(T * 2);
        assert_eq!(pings.is_due(first, long), Ok(true));
        assert_eq!(pings.is_due(first + T, long), Ok(false));
        assert_eq!(pings.is_due(first + T * 2, long), Err(Disconnect::NO_PONG));
    }

    #[test]
    fn a_pong_is_taken_once_a_ping() {
        let mut pings = Pings::default();
        pings.start("c", at(0), T, true);
        assert_eq!(pings.on_pong(), Err(Disconnect::BAD_REQUEST));
        let first = pings.due();
        assert_eq!(pings.is_due(first, Some(WAIT)), Ok(true));
        assert_eq!(pings.due(), first + WAIT);
        assert_eq!(pings.on_pong(), Ok(()));
        assert_eq!(pings.due(), first + T);
        assert_eq!(pings.on_pong(), Err(Disconnect::BAD_REQUEST));
        assert_eq!(pings.is_due(first + T, Some(WAIT)), Ok(true));
        assert_eq!(pings.on_pong(), Ok(()));
    }

    #[test]
    fn a_client_that_need_not_answer_may() {
        let mut pings = Pings::default();
        pings.start("c", at(0), T, false);
        let first = pings.due();
        assert_eq!(pings.is_due(first, Some(WAIT)), Ok(true));
        assert_eq!(pings.is_due(first + T, Some(WAIT)), Ok(true));
        assert_eq!(pings.on_pong(), Ok(()));
        assert_eq!(pings.on_pong(), Err(Disconnect::BAD_REQUEST));
    }
}
