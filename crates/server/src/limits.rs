//! Every cap that is not a setting, by name. The settings are in [`crate::config`].
//!
//! Never: a limit that nothing enforces.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use fanfare_codec::UNCONSUMED_BYTES_MAX;
use fanfare_protocol::hook::HookKind;

/// The longest head of an upgrade request, as a setting: at least this.
pub(crate) const HANDSHAKE_BYTES_MIN: usize = 1 << 10;
/// And at most this.
pub(crate) const HANDSHAKE_BYTES_MAX: usize = 1 << 20;

/// From a connection's beginning to when its request's head must have come at `min_handshake_bytes_per_second`.
pub(crate) const HANDSHAKE_GRACE: Duration = Duration::from_secs(5);

/// What may be so often a second, as a setting: one each microsecond.
pub(crate) const RATE_MAX: NonZeroU32 = NonZeroU32::new(1_000_000).expect("it is not zero");

/// Connections that are told 503 at once, one after the other, while there is no descriptor for more.
pub(crate) const TURNED_AWAY_PER_TURN_MAX: usize = 64;

/// One `recv`: a batch of frames that stays in a first-level cache.
pub(crate) const READ_BYTES: usize = 16 << 10;

/// A worker's receive buffer: one read, of TLS the longer one, behind what a cut frame left over.
pub(crate) const RECEIVE_BUFFER_BYTES: usize = TLS_RECORD_BYTES_MAX + UNCONSUMED_BYTES_MAX;

const _: () = assert!(READ_BYTES <= TLS_RECORD_BYTES_MAX);

/// Of messages that may have been compressed, what a turn may bring; what was read with them waits for the next. A
/// read of 16 KiB can be inflated to sixteen mebibytes.
pub(crate) const TURN_INFLATED_BYTES_MAX: usize = 256 << 10;

/// Reads of one connection before it is another's turn. It is small, for a read may be thousands of frames.
pub(crate) const READS_PER_TURN_MAX: usize = 4;

/// Turns of connections that had more to say than fits one, together, in microseconds, before those that say little
/// are looked after again. The turn that it ends in is finished.
pub(crate) const BUSY_TURNS_MICROS_MAX: u64 = 1000;

/// A worker's reply buffer is given back to the allocator past this.
pub(crate) const REPLY_BUFFER_BYTES_KEPT: usize = 256 << 10;

/// Compressors of a worker while none is needed: one for each window size (RFC 7692 §7.1.2.1).
pub(crate) const DEFLATERS_KEPT_MAX: usize = 8;

/// Inflaters of a worker while none is needed. Of messages that come in one piece one is enough.
pub(crate) const INFLATERS_KEPT_MAX: usize = 4;

/// Connections taken from a listener before connections that are open get their turn. It is small for the sake of
/// those: what comes with each new one (a handshake, a token, subscriptions) waits in line with what they say.
pub(crate) const ACCEPTS_PER_TURN_MAX: usize = 8;

/// Findings of other threads before connections get their turn: the work on a connect, or on an upgrade, goes on.
pub(crate) const FINDINGS_PER_TURN_MAX: usize = 16;

/// Connections past the cap that are still answered, with 503; the kernel's backlog holds the rest.
pub(crate) const REFUSED_CONNECTIONS_MAX: usize = 64;

/// Plaintext that TLS seals at once. What a full socket leaves of it waits beside `max_output_bytes`, with the
/// heads of two records. On the HTTP thread, what a peer must take in [`HTTP_SEND_TIME_MAX`].
pub(crate) const TLS_SEND_BYTES_MAX: usize = 32 << 10;

/// The longest record (RFC 5246 §6.2.3; in TLS 1.3 it is shorter): one read is as much.
pub(crate) const TLS_RECORD_BYTES_MAX: usize = 5 + (16 << 10) + 2048;

/// One read while pieces of a handshake's message wait for the rest.
pub(crate) const TLS_READ_BYTES_MIN: usize = 4 << 10;

/// Records that wait for the rest of a handshake's message: a client's certificates, of 64 KiB at most.
pub(crate) const TLS_HANDSHAKE_BYTES_MAX: usize = (64 << 10) + TLS_RECORD_BYTES_MAX;

/// Between two looks at the files of `[tls]`.
pub(crate) const TLS_WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// Connections that wait in the kernel to be accepted (it caps this by `net.core.somaxconn`), unless that is set.
pub(crate) const LISTEN_BACKLOG: i32 = 4096;

/// Listeners of one worker: places to listen at, and descriptors that systemd passes on.
pub(crate) const LISTENERS_MAX: usize = 8;

/// Connections that another worker has accepted for one and that it has not taken in yet; past it the other keeps
/// them.
pub(crate) const NEWCOMERS_WAITING_MAX: usize = 1024;

/// The mode of a socket file, unless that is set.
pub(crate) const UNIX_SOCKET_MODE: u32 = 0o660;

/// A Unix socket's path (`sun_path`, without its zero).
pub(crate) const UNIX_PATH_BYTES_MAX: usize = 107;

/// A PROXY header of version 1 (proxy-protocol.txt §2.1).
pub(crate) const PROXY_V1_BYTES_MAX: usize = 107;

/// A PROXY header of version 2 with all its extensions.
pub(crate) const PROXY_V2_BYTES_MAX: usize = 4096;

/// Publications of one tick, of all channels together, in bytes: past that they are told before more are
/// taken from the inbox. A segment is at most that and one publication long.
pub(crate) const SEGMENT_BYTES_MAX: usize = 64 << 10;

/// Publishes of a worker's own connections, and their bytes, before it drains its inbox and reads on: an inbox
/// holds many more.
pub(crate) const PUBLISHES_PER_TICK_MAX: usize = 1024;
/// See [`PUBLISHES_PER_TICK_MAX`].
pub(crate) const PUBLISHED_BYTES_PER_TICK_MAX: usize = 4 << 20;

/// Batches taken from the inbox before connections get their turn.
pub(crate) const BATCHES_PER_TURN_MAX: usize = 8;

/// Parts of a queue that one `writev` offers (Linux takes 1024).
pub(crate) const SLICES_PER_SEND_MAX: usize = 64;

/// What of replies may wait for a session beyond `websocket.max_output_bytes`: it has asked for several pages of
/// the past at once, and each may be as long as one alone. Past it the session is not asked for more, but what it
/// asked for is answered.
pub(crate) const REPLIES_OVER_BYTES_MAX: usize =
    (fanfare_protocol::limits::PAST_PENDING_MAX + 1) * fanfare_protocol::limits::PAST_BYTES_MAX;

/// What a session's message may have beside a publication: its envelope, or other commands.
pub(crate) const COMMANDS_BYTES_MAX: u64 = 64 << 10;

/// A publication of history up to this length is copied for whoever asks for it; a longer one is shared.
pub(crate) const HISTORY_COPY_BYTES_MAX: usize = 1 << 10;

/// Descriptors that are not served connections: standard streams, the signals' pipe, `listeners`, a
/// poller and its duplicate, a waker and a spare one for each worker, and those that are told 503.
pub(crate) const fn reserved_descriptors(workers: NonZeroUsize, listeners: u64) -> u64 {
    16 + 4 * workers.get() as u64 + listeners + REFUSED_CONNECTIONS_MAX as u64
}

/// Threads that serve connections: each asks the engine, and so does the API.
pub(crate) const WORKERS_MAX: NonZeroUsize =
    NonZeroUsize::new(fanfare_hub::limits::ORIGINS_MAX - 1).expect("there are more");

/// Connections that the kernel's table of descriptors is made for at the start, if no number of them is set: half a
/// megabyte of the kernel's.
pub(crate) const DESCRIPTORS_AHEAD_MAX: usize = 1 << 16;

/// A key of the API, so that it is not soon guessed.
pub(crate) const API_KEY_BYTES_MIN: usize = 8;

/// Tokens that wait for a thread that verifies them, and their bytes.
pub(crate) const TOKENS_WAITING_MAX: usize = 65_536;
/// See [`TOKENS_WAITING_MAX`].
pub(crate) const TOKENS_WAITING_BYTES_MAX: usize = 64 << 20;

/// A file that holds a key or a JWK set, and a JWK set from a URL.
pub(crate) const KEY_FILE_BYTES_MAX: usize = 1 << 20;

/// From the request for a JWK set to its last byte.
pub(crate) const JWKS_TIME_MAX: Duration = Duration::from_secs(10);

/// The shortest `token.jwks_refresh_interval`.
pub(crate) const JWKS_REFRESH_MIN: Duration = Duration::from_secs(1);

/// Between two requests for it, whatever keys tokens name, unless it is refreshed more often than that.
pub(crate) const JWKS_PAUSE: Duration = Duration::from_secs(5);

/// After a first request that failed, and the longest such pause: each one doubles it.
pub(crate) const JWKS_RETRY: Duration = Duration::from_secs(1);
/// See [`JWKS_RETRY`].
pub(crate) const JWKS_RETRY_MAX: Duration = Duration::from_secs(60);

/// Hosts that a request for it may be passed on to.
pub(crate) const JWKS_REDIRECTS_MAX: u32 = 3;

/// Keys that are remembered as asked for, so that each is looked for once before a token of it is refused.
pub(crate) const JWKS_MISSES_MAX: usize = 1024;

/// Events taken from the kernel at once.
pub(crate) const EVENTS_PER_POLL: usize = 128;

/// Sockets that workers have handed over and the HTTP thread has not taken yet; past it the worker
/// answers 503.
pub(crate) const HANDOVERS_WAITING_MAX: usize = 256;

/// Sockets handed over that the HTTP thread serves at once, one request each.
pub(crate) const HANDOVERS_SERVED_MAX: usize = 4096;

/// Connections of the API's own listener, one request at a time each; the kernel's backlog holds the rest.
pub(crate) const API_CONNECTIONS_MAX: usize = 256;

/// Descriptors of the HTTP thread but for sockets handed over, which count as connections already: a
/// poller, its duplicate and its waker, signals, the API's listener and its connections, and one that is
/// accepted past them.
pub(crate) const HTTP_DESCRIPTORS: u64 = 8 + API_CONNECTIONS_MAX as u64;

/// Descriptors for keys of tokens: a file or a socket, what looks its host up, and the system's certificates.
pub(crate) const TOKEN_DESCRIPTORS: u64 = 8;

/// Descriptors for the operator's backend, if so many calls of each kind are asked at once: each has one, and
/// connections that are kept for the next call are among them.
pub(crate) const fn hook_descriptors(in_flight_max: usize) -> u64 {
    (HookKind::ALL.len() * in_flight_max) as u64
}

/// Calls of one kind that the backend is asked at once, as a setting.
pub(crate) const HOOKS_IN_FLIGHT_MAX: usize = 4096;

/// Calls of one kind that wait for their turn or their answer; past it a client is told to try again.
pub(crate) const HOOKS_WAITING_MAX: usize = 16 << 10;

/// What all calls keep of what clients sent, in bytes. A single one always fits.
pub(crate) const HOOK_CALLS_BYTES_MAX: usize = 64 << 20;

/// An answer of the backend.
pub(crate) const HOOK_ANSWER_BYTES_MAX: usize = 4 << 20;

/// Answers under way, all together. A single one always fits.
pub(crate) const HOOK_ANSWERS_BYTES_MAX: usize = 64 << 20;

/// The head of such an answer.
pub(crate) const HOOK_HEAD_BYTES_MAX: usize = 64 << 10;

/// Headers of the backend that a client gets with the answer to its upgrade.
pub(crate) const HOOK_HEADERS_BYTES_MAX: usize = 16 << 10;

/// Headers that a client puts into its connect command and that are kept for the backend.
pub(crate) const EMULATED_HEADERS_BYTES_MAX: usize = 8 << 10;

/// How long a connection to the backend is kept for the next call. Shorter than backends keep theirs (5 s is
/// usual): a call that meets the end of its connection is lost, and can't be asked twice.
pub(crate) const HOOK_IDLE_TIME_MAX: Duration = Duration::from_secs(4);

/// From the first packet to a connection to the backend, also for one that nobody waits for any more.
pub(crate) const HOOK_CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// From one line in the log about a failing hook to the next.
pub(crate) const HOOK_SILENCE: Duration = Duration::from_secs(1);

/// Host names that are looked up at once, on a thread each.
pub(crate) const LOOKUPS_AT_ONCE_MAX: usize = 4;

/// What hyper reads ahead: the longest head on the API's own listener.
pub(crate) const HTTP_BUFFER_BYTES: usize = 64 << 10;

/// Bodies under way, all together. A single one always fits.
pub(crate) const BODIES_BYTES_MAX: usize = 256 << 20;

/// An answer of the API.
pub(crate) const ANSWER_BYTES_MAX: usize = 128 << 20;

/// A refusal's line, which may quote the peer.
pub(crate) const REFUSAL_BYTES_MAX: usize = 512;

/// Channels of one broadcast.
pub(crate) const BROADCAST_CHANNELS_MAX: usize = 10_000;

/// Of them, those that the engine is asked about before it is waited for.
pub(crate) const BROADCAST_ASKED_MAX: usize = 256;

/// Commands of one batch.
pub(crate) const BATCH_COMMANDS_MAX: usize = 1000;

/// From the first byte of a head to its last, and silence before it on a connection that is kept.
pub(crate) const HEAD_TIME_MAX: Duration = Duration::from_secs(60);

/// From a head to the end of its body.
pub(crate) const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// From a request to the engine to its answer.
pub(crate) const ENGINE_TIME_MAX: Duration = Duration::from_secs(5);

/// The same for `/ready` and `/metrics`, which are asked again soon.
pub(crate) const READY_TIME_MAX: Duration = Duration::from_secs(1);

/// How long `/metrics` tells the same sums of the engine, however often it is asked.
pub(crate) const ENGINE_SUMS_KEPT: Duration = Duration::from_secs(1);

/// From a body to its answer, whatever it asks of the engine.
pub(crate) const CALL_TIME_MAX: Duration = Duration::from_secs(30);

/// Without the peer taking a byte of an answer.
pub(crate) const HTTP_SEND_TIME_MAX: Duration = Duration::from_secs(30);

/// After the last answer, for a peer that still sends: closed at once, the answer would be lost on it.
pub(crate) const LINGER_TIME_MAX: Duration = Duration::from_secs(1);

/// What such a peer may still send.
pub(crate) const LINGER_BYTES_MAX: usize = 64 << 20;
