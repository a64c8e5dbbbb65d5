//! Every cap of the protocol, by name. What is a setting names its default here.
//!
//! Never: a limit that nothing enforces.

use std::time::Duration;

/// Commands of one session that wait for an answer; past it the next ones are not taken.
pub const PENDING_MAX: usize = 32;

/// Of them, those that bring publications of the past: each may be as long as [`PAST_BYTES_MAX`].
pub const PAST_PENDING_MAX: usize = 4;

/// Commands in one frame.
pub const COMMANDS_PER_FRAME_MAX: usize = 4096;

/// Server-side subscriptions that a connect command may come back to.
pub const CONNECT_SUBS_MAX: usize = 1024;

/// Headers that a connect command may carry.
pub const CONNECT_HEADERS_MAX: usize = 64;

/// Digits of a number in data of a client: Python reads an integer of 4,300, and ends with a longer one.
pub const JSON_DIGITS_MAX: usize = 1000;

/// Publications of the past in one reply, in bytes: what is longer can't be recovered, and a page of history
/// ends there.
pub const PAST_BYTES_MAX: usize = 1 << 20;

/// A token. Those that need one are longer by far in no known issuer.
pub const TOKEN_BYTES_MAX: usize = 16 << 10;

/// From the upgrade to connect (PROTOCOL.md, "Commands").
pub const CONNECT_TIME: Duration = Duration::from_secs(10);

/// From a token's end to the disconnect: an SDK brings a new one when its time runs out.
pub const EXPIRY_GRACE: Duration = Duration::from_secs(25);

/// How far clocks of issuers may be ahead or behind.
pub const TOKEN_LEEWAY: Duration = Duration::from_secs(0);

/// Commands of one session that may fail within [`ERRORS_TIME`]; past it the session is closed with 3509.
pub const ERRORS_MAX: u32 = 200;

/// See [`ERRORS_MAX`].
pub const ERRORS_TIME: Duration = Duration::from_secs(60);

/// The shortest time after which the backend is asked again whether a session may stay, if it did not answer.
pub const REFRESH_RETRY_TIME: Duration = Duration::from_secs(1);

/// Arrays and objects within each other in data of a client. Many who read it take no more than 127, ours
/// around it among them, and give up the whole frame.
pub const JSON_DEPTH_MAX: usize = 100;

/// A secret of HS algorithms, so that it is not soon guessed.
pub const HMAC_KEY_BYTES_MIN: usize = 16;

/// The modulus of an RSA key: 2048 to 8192 bits.
pub const RSA_KEY_BYTES_MIN: usize = 256;
/// See [`RSA_KEY_BYTES_MIN`].
pub const RSA_KEY_BYTES_MAX: usize = 1024;
