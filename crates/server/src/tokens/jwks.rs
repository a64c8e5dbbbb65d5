//! The issuer's JWK set, from its URL. In: which URL, keys that are missing. Out: the set, again and again.
//!
//! A token whose key is not known is put off until the set has been fetched once more: the issuer may have a new
//! key. After that it is refused. So nobody is refused for good for want of a key that is there, and whoever
//! makes up names of keys causes one fetch a pause.
//!
//! Never: fetches twice at once, or sooner than a pause after the last time; drops keys because a fetch failed.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use super::bench::Bench;
use super::fetch;
use crate::config::JwksUrl;
use crate::limits::{JWKS_MISSES_MAX, JWKS_RETRY, JWKS_RETRY_MAX};

/// What is known of the set, and a thread that fetches it once there is a URL.
pub(super) struct Jwks {
    state: Mutex<State>,
    changed: Condvar,
    pause: Duration,
    hashes: RandomState,
}

#[derive(Default)]
struct State {
    url: Option<JwksUrl>,
    /// Of a URL; a set that was fetched for an older one says nothing.
    generation: u64,
    is_wanted: bool,
    has_thread: bool,
    is_closed: bool,
    /// Headers of tokens whose keys are missing since the last fetch began: each names its key.
    asked: HashSet<u64>,
    /// Those whose keys a fetch has not brought.
    refused: HashSet<u64>,
}

/// A fetch.
struct Errand {
    generation: u64,
    url: JwksUrl,
    /// Keys that it may bring.
    missing: HashSet<u64>,
}

impl State {
    /// There is something new to fetch, or nothing any more.
    const fn is_over(&self, generation: u64) -> bool {
        self.is_closed || self.generation != generation
    }
}

impl Jwks {
    pub(super) fn new(pause: Duration) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            pause,
            hashes: RandomState::new(),
        }
    }

    /// Starts the thread, if it is not there.
    pub(super) fn start(bench: &Arc<Bench>) -> io::Result<()> {
        let mut state = bench.jwks.lock();
        if !state.has_thread {
            let bench = Arc::clone(bench);
            thread::Builder::new()
                .name("jwks".to_owned())
                .spawn(move || run_or_end_process(&bench))?;
            state.has_thread = true;
        }
        Ok(())
    }

    /// Fetches from this URL from now on, and at once; from none if there is none.
    pub(super) fn follow(&self, url: Option<JwksUrl>) {
        let mut state = self.lock();
        state.url = url;
        state.generation += 1;
        state.asked.clear();
        state.refused.clear();
        drop(state);
        self.changed.notify_all();
    }

    /// Whether the key that a token names may come yet; then it is asked for.
    pub(super) fn may_bring_key_of(&self, token: &str) -> bool {
        // Whoever signs with one key writes one header.
        let header = token.split('.').next().unwrap_or_default();
        let hash = self.hashes.hash_one(header);
        let mut state = self.lock();
        if state.refused.contains(&hash) {
            return false;
        }
        if state.asked.len() < JWKS_MISSES_MAX {
            state.asked.insert(hash);
        }
        let was_wanted = std::mem::replace(&mut state.is_wanted, true);
        drop(state);
        if !was_wanted {
            self.changed.notify_all();
        }
        true
    }

    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing under this lock panics but for want of memory")
    }

    /// What is to be fetched next, once there is a URL; none: there will be none any more.
    fn next(&self) -> Option<Errand> {
        let waits = |state: &mut State| state.url.is_none() && !state.is_closed;
        let state = self.changed.wait_while(self.lock(), waits);
        let mut state = state.expect("nothing under this lock panics but for want of memory");
        if state.is_closed {
            return None;
        }
        state.is_wanted = false;
        Some(Errand {
            generation: state.generation,
            url: state.url.clone()?,
            missing: std::mem::take(&mut state.asked),
        })
    }

    /// Those keys are not there.
    fn refuse(&self, generation: u64, missing: HashSet<u64>) {
        let mut state = self.lock();
        if state.generation == generation {
            state.refused = missing;
        }
    }

    /// Those keys are missing still: nobody knows.
    fn put_back(&self, generation: u64, missing: HashSet<u64>) {
        let mut state = self.lock();
        if state.generation == generation {
            state.asked.extend(missing);
        }
    }

    /// Waits for the pause, and then up to `longest` for somebody who wants a key.
    fn rest(&self, generation: u64, longest: Duration) {
        let poisoned = "nothing under this lock panics but for want of memory";
        let pause = self.pause.min(longest);
        let waits = |state: &mut State| !state.is_over(generation);
        let state = self.changed.wait_timeout_while(self.lock(), pause, waits);
        let (state, _) = state.expect(poisoned);
        let waits = |state: &mut State| !state.is_over(generation) && !state.is_wanted;
        let left = longest.saturating_sub(pause);
        drop(
            self.changed
                .wait_timeout_while(state, left, waits)
                .expect(poisoned),
        );
    }
}

/// If the thread fails, so does the process: keys would grow old in silence.
fn run_or_end_process(bench: &Bench) {
    if catch_unwind(AssertUnwindSafe(|| run(bench))).is_err() {
        process::exit(1); // the panic hook has said where
    }
}

fn run(bench: &Bench) {
    let jwks = &bench.jwks;
    let mut retry = JWKS_RETRY;
    while let Some(errand) = jwks.next() {
        let Errand {
            generation,
            url: JwksUrl {
                url,
                refresh_interval,
            },
            missing,
        } = errand;
        let taken = fetch::jwk_set(&url).and_then(|set| {
            let taken = bench.take_set(&url, &set.into());
            taken.map_err(|error| error.to_string())
        });
        let rest = match taken {
            Ok(()) => {
                jwks.refuse(generation, missing);
                retry = JWKS_RETRY;
                refresh_interval
            }
            Err(error) => {
                tracing::warn!("keys of tokens from {url}: {error}; those that are known stay");
                jwks.put_back(generation, missing);
                let now = retry.min(refresh_interval);
                retry = JWKS_RETRY_MAX.min(retry * 2);
                now
            }
        };
        jwks.rest(generation, rest);
    }
}
