//! The close codes that connections end with by themselves, of those that sessions have. In: the protocol's. Out: the
//! codec's.
//!
//! Clients of the Centrifuge protocol come back after 3000–3499 and give up after 3500–3999.
//!
//! Never: without a reason beside it: some clients would take a final code for a temporary one.

use fanfare_codec::CloseCode;
use fanfare_protocol::Disconnect;

/// The daemon stops: a session comes back.
pub(crate) const SHUTDOWN: CloseCode = CloseCode(Disconnect::SHUTDOWN.code);
/// The server can't do what the connection needs.
pub(crate) const SERVER_ERROR: CloseCode = CloseCode(Disconnect::SERVER_ERROR.code);
/// The token that it came with ends.
pub(crate) const EXPIRED: CloseCode = CloseCode(Disconnect::EXPIRED.code);
/// More waits for the client than may.
pub(crate) const SLOW: CloseCode = CloseCode(Disconnect::SLOW.code);
/// It has missed something, or asked for what is gone.
pub(crate) const INSUFFICIENT_STATE: CloseCode = CloseCode(Disconnect::INSUFFICIENT_STATE.code);
/// It has not answered a ping.
pub(crate) const NO_PONG: CloseCode = CloseCode(Disconnect::NO_PONG.code);
/// It asks faster than it is answered.
pub(crate) const TOO_MANY_REQUESTS: CloseCode = CloseCode(Disconnect::TOO_MANY_REQUESTS.code);
/// The operator wants it gone.
pub(crate) const FORCE_DISCONNECT: CloseCode = CloseCode(Disconnect::FORCE_DISCONNECT.code);
/// It did what it may not.
pub(crate) const PERMISSION_DENIED: CloseCode = CloseCode(Disconnect::PERMISSION_DENIED.code);
