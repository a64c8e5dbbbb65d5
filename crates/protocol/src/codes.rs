//! Error, unsubscribe and disconnect codes (PROTOCOL.md, "Codes"). In: nothing. Out: constants, each with its
//! reason.
//!
//! Never: a code without a reason: an SDK takes a final code with an empty one for a temporary one.

use std::borrow::Cow;

/// Why a command came to nothing: the `error` of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientError {
    /// Below 400: the protocol's own. From 400 on: an application's.
    pub code: u32,
    /// For people.
    pub message: Cow<'static, str>,
    /// An SDK tries again by itself.
    pub is_temporary: bool,
}

/// Why a connection is closed: code and reason of the close frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// The WebSocket close code.
    pub code: u16,
    /// Never empty.
    pub reason: Cow<'static, str>,
}

/// Why a subscription ends: an unsubscribe push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribed {
    /// From 2500 on an SDK subscribes again.
    pub code: u32,
    /// Never empty.
    pub reason: Cow<'static, str>,
}

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident = $code:literal $message:literal $temporary:literal;)*) => {
        impl ClientError {
            $($(#[$doc])* pub const $name: Self = Self {
                code: $code,
                message: Cow::Borrowed($message),
                is_temporary: $temporary,
            };)*
        }
    };
}

errors! {
    /// The server can't, for now.
    INTERNAL = 100 "internal server error" true;
    /// Credentials are needed.
    UNAUTHORIZED = 101 "unauthorized" false;
    /// No namespace of that name.
    UNKNOWN_CHANNEL = 102 "unknown channel" false;
    /// Not to this client.
    PERMISSION_DENIED = 103 "permission denied" false;
    /// There is no such method, or nobody behind it.
    METHOD_NOT_FOUND = 104 "method not found" false;
    /// The connection has that subscription.
    ALREADY_SUBSCRIBED = 105 "already subscribed" false;
    /// More, or longer, than may be.
    LIMIT_EXCEEDED = 106 "limit exceeded" false;
    /// The command makes no sense.
    BAD_REQUEST = 107 "bad request" false;
    /// The channel does not have that.
    NOT_AVAILABLE = 108 "not available" false;
    /// An SDK brings a new token.
    TOKEN_EXPIRED = 109 "token expired" false;
    /// The session, or the subscription, has ended.
    EXPIRED = 110 "expired" false;
    /// Faster than the limit.
    TOO_MANY_REQUESTS = 111 "too many requests" true;
    /// What follows the position is gone.
    UNRECOVERABLE_POSITION = 112 "unrecoverable position" false;
    /// The history changed between two pages.
    CONCURRENT_PAGINATION = 113 "concurrent pagination" true;
}

macro_rules! disconnects {
    ($($(#[$doc:meta])* $name:ident = $code:literal $reason:literal;)*) => {
        impl Disconnect {
            $($(#[$doc])* pub const $name: Self = Self {
                code: $code,
                reason: Cow::Borrowed($reason),
            };)*
        }
    };
}

disconnects! {
    /// The client's own.
    CONNECTION_CLOSED = 3000 "connection closed";
    /// The daemon stops.
    SHUTDOWN = 3001 "shutdown";
    /// The server can't do what the connection needs.
    SERVER_ERROR = 3004 "internal server error";
    /// The session's time is over.
    EXPIRED = 3005 "connection expired";
    /// A subscription's time is over.
    SUBSCRIPTION_EXPIRED = 3006 "subscription expired";
    /// More waits for the client than may.
    SLOW = 3008 "slow";
    /// It could not be written to.
    WRITE_ERROR = 3009 "write error";
    /// It has missed publications.
    INSUFFICIENT_STATE = 3010 "insufficient state";
    /// It is to connect anew.
    FORCE_RECONNECT = 3011 "force reconnect";
    /// No answer to a ping.
    NO_PONG = 3012 "no pong";
    /// Faster than the limit.
    TOO_MANY_REQUESTS = 3013 "too many requests";
    /// What it knows does not hold any more.
    STATE_INVALIDATED = 3014 "state invalidated";
    /// Not signed by who it says, or for others.
    INVALID_TOKEN = 3500 "invalid token";
    /// It broke the protocol.
    BAD_REQUEST = 3501 "bad request";
    /// It did not connect in time.
    STALE = 3502 "stale";
    /// The operator wants it gone.
    FORCE_DISCONNECT = 3503 "force disconnect";
    /// The user has as many connections as it may.
    CONNECTION_LIMIT = 3504 "connection limit";
    /// The connection has as many channels as it may.
    CHANNEL_LIMIT = 3505 "channel limit";
    /// Another wire than was agreed to.
    WRONG_PROTOCOL = 3506 "inappropriate protocol";
    /// It did what it may not.
    PERMISSION_DENIED = 3507 "permission denied";
    /// There is no such thing here.
    NOT_AVAILABLE = 3508 "not available";
    /// Too many of its commands failed.
    TOO_MANY_ERRORS = 3509 "too many errors";
}

impl Unsubscribed {
    /// The API has taken the subscription away, for good.
    pub const BY_SERVER: Self = Self {
        code: 2000,
        reason: Cow::Borrowed("server unsubscribe"),
    };
    /// It has missed publications.
    pub const INSUFFICIENT_STATE: Self = Self {
        code: 2500,
        reason: Cow::Borrowed("insufficient state"),
    };
    /// Its time is over.
    pub const EXPIRED: Self = Self {
        code: 2501,
        reason: Cow::Borrowed("subscription expired"),
    };
}
