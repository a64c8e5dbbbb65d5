//! Who clients are. In: their tokens, and what `[token]` says. Out: claims, on the caller's thread or by a
//! [`ReturnAddress`].
//!
//! ```text
//!            HS                        worker ── verify_now ──┐
//! worker ── verify ── RS, ES ── Pool ─── a verifier's thread ─┼─ Bench ── claims
//!                                                             │    ↑ keys
//!                                           a key is missing ─┴─ Jwks ── the issuer's URL
//! ```
//!
//! Never: verifies RS or ES on a worker, which would hold up its connections; says more of a token to a client
//! than a [`TokenError`] does.

mod bench;
mod fetch;
mod jwks;
mod pool;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fanfare_hub::{Busy, Time};
use fanfare_protocol::limits::TOKEN_BYTES_MAX;
use fanfare_protocol::token::{Claims, TokenError, TokenKind};

use crate::config::{SharedLive, TokenSettings};
use crate::limits::JWKS_PAUSE;
use crate::returns::{Finding, ReturnAddress};

use bench::Bench;
use jwks::Jwks;
use pool::{Job, Pool};

/// Verifies tokens: a handle, one for each who asks. The threads behind it end with the last one.
#[derive(Clone)]
pub(crate) struct Tokens(Arc<Inner>);

struct Inner {
    bench: Arc<Bench>,
    pool: Pool,
    /// Held while settings are put in place: of two reloads the later one's stay.
    reloading: Mutex<()>,
}

impl Tokens {
    /// Starts what the settings of now need: no thread for HS with keys of its own.
    ///
    /// # Errors
    ///
    /// The operating system's: no thread.
    pub(crate) fn start(live: &SharedLive) -> io::Result<Self> {
        let tokens = Self::new(JWKS_PAUSE);
        tokens.reload(live)?;
        Ok(tokens)
    }

    /// Takes the settings of now: their keys, which may be others under the same names, and a JWK set that is
    /// fetched anew. Until it is there the old one stays, if it is of the same URL.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start); the settings hold, but what needs the thread is not verified.
    pub(crate) fn reload(&self, live: &SharedLive) -> io::Result<()> {
        let _held = self.0.reloading.lock();
        self.apply(live.load().tokens.clone())
    }

    fn new(jwks_pause: Duration) -> Self {
        let bench = Arc::new(Bench::new(Jwks::new(jwks_pause)));
        Self(Arc::new(Inner {
            pool: Pool::new(Arc::clone(&bench)),
            bench,
            reloading: Mutex::default(),
        }))
    }

    fn apply(&self, settings: Option<Arc<TokenSettings>>) -> io::Result<()> {
        let bench = &self.0.bench;
        bench.apply(settings);
        if bench.needs_pool() {
            self.0.pool.start()?;
        }
        if bench.needs_jwks() {
            Jwks::start(bench)?;
        }
        Ok(())
    }

    /// What a token says, if that is found out at once; none: [`verify`](Self::verify) it.
    ///
    /// `kind` is what it must be for, if that matters.
    pub(crate) fn verify_now(
        &self,
        kind: Option<TokenKind>,
        token: &str,
        now: Time,
    ) -> Option<Result<(TokenKind, Claims), TokenError>> {
        if token.len() > TOKEN_BYTES_MAX {
            return Some(Err(TokenError::Invalid));
        }
        let verdict = self.0.bench.verify_cheaply(kind, token, now)?;
        Some(verdict.map(|claims| (claims.kind(), claims)))
    }

    /// Has a token verified; what it says is a [`Finding::Verified`] at `to`. What is found out at once is there
    /// when this returns.
    ///
    /// # Errors
    ///
    /// [`Busy`]: as many wait as may, and nothing comes.
    pub(crate) fn verify(
        &self,
        kind: Option<TokenKind>,
        token: String,
        now: Time,
        to: ReturnAddress,
    ) -> Result<(), Busy> {
        if let Some(verdict) = self.verify_now(kind, &token, now) {
            to.send(Finding::Verified(verdict.map(|(_, claims)| claims)));
            return Ok(());
        }
        self.0.pool.add(Job {
            kind,
            token,
            now,
            to,
        })
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.pool.close();
        self.bench.jwks.close();
    }
}
