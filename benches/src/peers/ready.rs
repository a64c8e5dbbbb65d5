//! Futures whose input is always there. In: one future. Out: what it comes to.
//!
//! Never: waits, wakes.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Drives `future` to its end.
///
/// # Panics
///
/// If it is not ready: nothing here could ever wake it.
#[inline]
pub(super) fn ready<F: Future>(future: F) -> F::Output {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a future on memory is never pending"),
    }
}

/// The output of one poll.
///
/// # Panics
///
/// As [`ready`].
#[inline]
pub(super) fn polled<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> T {
    match poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a poll on memory is never pending"),
    }
}
