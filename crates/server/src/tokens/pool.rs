//! Threads that verify what is costly. In: tokens that wait. Out: findings, each to its worker.
//!
//! They are nicer than workers: while both want the same core, whoever is connected already comes first.
//!
//! Never: holds more tokens than the caps in `limits.rs`; ends without an answer to one.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use fanfare_hub::{Busy, Time};
use fanfare_protocol::token::TokenKind;
use rustix::process::setpriority_process;

use super::bench::Bench;
use crate::config::parse;
use crate::limits::{TOKENS_WAITING_BYTES_MAX, TOKENS_WAITING_MAX};
use crate::returns::{Finding, ReturnAddress};

/// What a thread's priority is lowered to; 0 is a worker's, 19 the lowest.
const NICENESS: i32 = 10;

/// A token to verify.
pub(super) struct Job {
    pub(super) kind: Option<TokenKind>,
    pub(super) token: String,
    pub(super) now: Time,
    pub(super) to: ReturnAddress,
}

/// The threads, once they are needed.
pub(super) struct Pool {
    queue: Arc<Queue>,
    bench: Arc<Bench>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    added: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Of their tokens.
    bytes: usize,
    threads: usize,
    is_closed: bool,
}

impl Pool {
    /// No thread yet.
    pub(super) fn new(bench: Arc<Bench>) -> Self {
        let queue = Arc::default();
        Self { queue, bench }
    }

    /// One thread fewer than there are cores, but one at least; those that run already are not started again.
    pub(super) fn start(&self) -> io::Result<()> {
        let wanted = (parse::one_a_core().get() - 1).max(1);
        let mut state = self.queue.lock();
        while state.threads < wanted {
            let (queue, bench) = (Arc::clone(&self.queue), Arc::clone(&self.bench));
            thread::Builder::new()
                .name(format!("verifier-{}", state.threads))
                .spawn(move || run_or_end_process(&queue, &bench))?;
            state.threads += 1;
        }
        Ok(())
    }

    pub(super) fn add(&self, job: Job) -> Result<(), Busy> {
        let mut state = self.queue.lock();
        let bytes = state.bytes + job.token.len();
        // Without a thread nobody would ever answer.
        if state.threads == 0
            || state.jobs.len() == TOKENS_WAITING_MAX
            || bytes > TOKENS_WAITING_BYTES_MAX
        {
            return Err(Busy);
        }
        state.bytes = bytes;
        state.jobs.push_back(job);
        drop(state);
        self.queue.added.notify_one();
        Ok(())
    }

    /// Takes jobs that nobody does.
    #[cfg(test)]
    pub(super) fn pretend_to_run(&self) {
        self.queue.lock().threads = 1;
    }

    /// The threads end when they have done what waits.
    pub(super) fn close(&self) {
        self.queue.lock().is_closed = true;
        self.queue.added.notify_all();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing under this lock panics but for want of memory")
    }

    /// The next one; none: there will be no more.
    fn take(&self) -> Option<Job> {
        let waits = |state: &mut State| state.jobs.is_empty() && !state.is_closed;
        let state = self.added.wait_while(self.lock(), waits);
        let mut state = state.expect("nothing under this lock panics but for want of memory");
        let job = state.jobs.pop_front()?;
        state.bytes -= job.token.len();
        Some(job)
    }
}

/// If a thread fails, so does the process: whoever it worked for would wait for ever.
fn run_or_end_process(queue: &Queue, bench: &Bench) {
    if let Err(error) = setpriority_process(None, NICENESS) {
        tracing::debug!("a verifier has a worker's priority: {error}");
    }
    let run = AssertUnwindSafe(|| {
        while let Some(job) = queue.take() {
            let verdict = bench.verify(job.kind, &job.token, job.now);
            job.to.send(Finding::Verified(verdict));
        }
    });
    if catch_unwind(run).is_err() {
        process::exit(1); // the panic hook has said where
    }
}
