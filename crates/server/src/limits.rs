//! Every cap that is not a setting, by name. The settings are in [`crate::config`].
//!
//! Never: a limit that nothing enforces.

use std::num::NonZeroUsize;

use fanfare_codec::UNCONSUMED_BYTES_MAX;
use fanfare_codec::handshake::HeadLimits;

/// An upgrade request's head.
pub(crate) const HEAD_LIMITS: HeadLimits = HeadLimits::DEFAULT;

/// One `recv`: a batch of frames that stays in a first-level cache.
pub(crate) const READ_BYTES: usize = 16 << 10;

/// A worker's receive buffer: one read behind what a cut frame left over.
pub(crate) const RECEIVE_BUFFER_BYTES: usize = READ_BYTES + UNCONSUMED_BYTES_MAX;

/// Reads of one connection before it is another's turn.
pub(crate) const READS_PER_TURN_MAX: usize = 16;

/// A worker's reply buffer is given back to the allocator past this.
pub(crate) const REPLY_BUFFER_BYTES_KEPT: usize = 256 << 10;

/// Connections taken from a listener before connections that are open get their turn.
pub(crate) const ACCEPTS_PER_TURN_MAX: usize = 256;

/// Connections past the cap that are still answered, with 503; the kernel's backlog holds the rest.
pub(crate) const REFUSED_CONNECTIONS_MAX: usize = 64;

/// Connections that wait in the kernel to be accepted (it caps this by `net.core.somaxconn`).
pub(crate) const LISTEN_BACKLOG: i32 = 4096;

/// Publications of one tick, of all channels together, in bytes: past that they are told before more are
/// taken from the inbox. A segment is at most that and one publication long.
pub(crate) const SEGMENT_BYTES_MAX: usize = 64 << 10;

/// Publishes of a worker's own connections before it drains its inbox: an inbox holds many more.
pub(crate) const PUBLISHES_PER_TICK_MAX: usize = 1024;

/// Batches taken from the inbox before connections get their turn.
pub(crate) const BATCHES_PER_TURN_MAX: usize = 8;

/// Parts of a queue that one `writev` offers (Linux takes 1024).
pub(crate) const SLICES_PER_SEND_MAX: usize = 64;

/// A publication of history up to this length is copied for whoever asks for it; a longer one is shared.
pub(crate) const HISTORY_COPY_BYTES_MAX: usize = 1 << 10;

/// Descriptors that are not served connections: standard streams, the signals' pipe, a listener, a
/// poller and its duplicate and a waker for each worker, and those that are told 503.
pub(crate) const fn reserved_descriptors(workers: NonZeroUsize) -> u64 {
    16 + 4 * workers.get() as u64 + REFUSED_CONNECTIONS_MAX as u64
}

/// Threads that serve connections: each asks the engine, and so does the API.
pub(crate) const WORKERS_MAX: NonZeroUsize =
    NonZeroUsize::new(fanfare_hub::limits::ORIGINS_MAX - 1).expect("there are more");

/// A key of the API, so that it is not soon guessed.
pub(crate) const API_KEY_BYTES_MIN: usize = 8;

/// Events taken from the kernel at once.
pub(crate) const EVENTS_PER_POLL: usize = 1024;
