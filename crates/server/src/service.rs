//! What a worker serves: the echo daemon's one endpoint, or the push server's. In: requests and messages of
//! connections. Out: verdicts on requests; what becomes of messages.
//!
//! Never: touches a socket.

use std::net::IpAddr;
use std::sync::Arc;

use fanfare_codec::Message;
use fanfare_codec::deflate::DeflateAnswer;
use fanfare_codec::handshake::{MalformedExtensions, Request, Response};
use fanfare_hub::{ChannelId, ClientInfo};

use crate::admission::Admitted;
use crate::clock::Time;
use crate::echo;
use crate::push::{Candidate, NotPublished, Push, Start, Who};
use crate::returns::Finding;
use crate::slab::ConnId;

/// What a worker serves.
#[derive(Debug)]
pub(crate) enum Service {
    /// Every upgrade is an echo.
    Echo,
    Push(Box<Push>),
}

/// A request, and whose it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'r> {
    pub(crate) request: &'r Request<'r>,
    pub(crate) admitted: Admitted,
    /// None: nothing is known, as behind a Unix socket.
    pub(crate) client: Option<IpAddr>,
    /// What its 101 says of compression.
    pub(crate) deflate: Result<Option<DeflateAnswer>, MalformedExtensions>,
}

/// What becomes of a connection with a request.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is answered, and ends.
    Refuse(Response),
    /// It is answered, and every message is echoed.
    Echo(Response),
    /// It is answered once its subscription is in place.
    Subscribe(Box<(Response, Option<Box<Who>>)>),
    /// Something is still to be found out.
    Wait(Box<Candidate>),
    /// It is answered, and has a session.
    Session(Box<(Response, Start)>),
    /// It is plain HTTP.
    HandOver,
}

impl Service {
    /// Judges a request; may ask the engine for a subscription of `conn`.
    pub(crate) fn judge(&mut self, asked: Asked<'_>, conn: ConnId, now: Time) -> Verdict {
        match self {
            Self::Echo => echo::upgrade(asked),
            Self::Push(push) => push.judge(asked, conn, now),
        }
    }

    /// Goes on with a request of which something was found out.
    pub(crate) fn decide(
        &mut self,
        candidate: Candidate,
        finding: Finding,
        conn: ConnId,
        now: Time,
    ) -> Verdict {
        match self {
            Self::Echo => Verdict::Refuse(echo::unavailable(&"there is nothing to wait for")),
            Self::Push(push) => push.decide(candidate, finding, conn, now),
        }
    }

    /// Whether publications are to be told before more are taken.
    pub(crate) fn is_crowded(&self) -> bool {
        match self {
            Self::Echo => false,
            Self::Push(push) => push.is_crowded(),
        }
    }

    /// A data message of a raw subscriber; without `info` it is anonymous.
    pub(crate) fn publish(
        &mut self,
        conn: ConnId,
        info: Option<&Arc<ClientInfo>>,
        message: Message<'_>,
        now: Time,
    ) -> Result<(), NotPublished> {
        match self {
            Self::Echo => Ok(()), // it has no subscribers
            Self::Push(push) => push.publish(conn, info, message, now),
        }
    }

    /// The largest message that a subscriber may publish.
    pub(crate) fn publication_bytes_max(&self) -> u64 {
        match self {
            Self::Echo => u64::MAX,
            Self::Push(push) => push.publication_bytes_max(),
        }
    }

    /// Whether `conn` has a subscription to the channel with this id.
    pub(crate) fn is_in(&self, conn: ConnId, channel: ChannelId) -> bool {
        match self {
            Self::Echo => false,
            Self::Push(push) => push.is_in(conn, channel),
        }
    }

    /// `conn` subscribes to nothing any more; `info`: who it was, if that is known.
    pub(crate) fn leave(&mut self, conn: ConnId, info: Option<&ClientInfo>, now: Time) {
        if let Self::Push(push) = self {
            push.leave(conn, info, now);
        }
    }
}
