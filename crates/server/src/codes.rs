//! The close codes of the push server (PROTOCOL.md, "Codes"). In: nothing. Out: constants.
//!
//! Clients of the Centrifuge protocol come back after 3000–3499 and give up after 3500–3999.
//!
//! Never: without a reason beside it: some clients would take a final code for a temporary one.

use fanfare_codec::CloseCode;

/// The daemon stops: a session comes back.
pub(crate) const SHUTDOWN: CloseCode = CloseCode(3001);
/// The server can't do what the connection needs.
pub(crate) const SERVER_ERROR: CloseCode = CloseCode(3004);
/// The token that it came with ends.
pub(crate) const EXPIRED: CloseCode = CloseCode(3005);
/// More waits for the client than may.
pub(crate) const SLOW: CloseCode = CloseCode(3008);
/// It has missed something, or asked for what is gone.
pub(crate) const INSUFFICIENT_STATE: CloseCode = CloseCode(3010);
/// It has not answered a ping.
pub(crate) const NO_PONG: CloseCode = CloseCode(3012);
/// It asks faster than it is answered.
pub(crate) const TOO_MANY_REQUESTS: CloseCode = CloseCode(3013);
/// The operator wants it gone.
pub(crate) const FORCE_DISCONNECT: CloseCode = CloseCode(3503);
/// It did what it may not.
pub(crate) const PERMISSION_DENIED: CloseCode = CloseCode(3507);
