//! The conformance catalogue: what RFC 6455 asks of an endpoint that echoes, as data. In: nothing.
//! Out: cases, each a script of bytes to send and of what must come back.
//!
//! A case says nothing about how its bytes are cut into reads: that is the [`Chop`], and every case
//! runs under many of them with the same outcome.
//!
//! Never: runs anything (see [`crate::drivers`]), uses the codec to make bytes.

pub mod chop;
pub mod close;
pub mod control;
pub mod framing;
pub mod handshake;
pub mod handshake_client;
pub mod handshake_head;
pub mod utf8;

pub use chop::Chop;

use crate::wire::{BINARY, Frame, PONG, Sender, TEXT};
use fanfare_codec::{Limits, Role};

/// The limits that every endpoint under test runs with.
pub const LIMITS: Limits = Limits::DEFAULT
    .with_max_frame_bytes(100_000)
    .with_max_message_bytes(150_000)
    .with_max_fragments(64);

/// Where a case belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// §4.
    Handshake,
    /// §5.1–5.4.
    Framing,
    /// §5.5.
    Control,
    /// §5.5.1, §7.
    Close,
    /// §8.1.
    Utf8,
}

impl Group {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Handshake,
        Self::Framing,
        Self::Control,
        Self::Close,
        Self::Utf8,
    ];

    /// As it stands in tables and ids.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Framing => "framing",
            Self::Control => "control",
            Self::Close => "close",
            Self::Utf8 => "utf8",
        }
    }
}

/// How strongly the RFC asks for it (RFC 2119).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// A breach is a fault.
    Must,
    /// A breach needs a reason; ours has none, so it fails too.
    Should,
    /// Our choice among what the RFC leaves open; a change of it must be noticed.
    May,
    /// Reported, never failed.
    Info,
}

/// Where in its life the connection is when the first step runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Connected; a client under test has sent its request.
    Connected,
    /// The upgrade is done.
    Open,
}

/// Who ends the TCP connection after the closing handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closer {
    /// The endpoint under test.
    Endpoint,
    /// Its peer, the catalogue: the endpoint waits.
    Peer,
}

/// One line of the script.
#[derive(Clone, Debug)]
pub enum Step {
    /// The peer writes these, frame by frame or in whatever pieces the chop makes.
    Send(Vec<Vec<u8>>),
    /// The peer half-closes: FIN.
    Eof,
    /// The peer resets: RST.
    Reset,
    /// The endpoint starts the closing handshake by itself; only the codec driver can make it.
    BeginClose(u16),
    /// A whole data message, however the endpoint fragments it, or a control frame.
    Expect {
        /// Of the message.
        opcode: u8,
        /// Of the message.
        payload: Vec<u8>,
    },
    /// A 101 that proves the key was read, and the subprotocol it names.
    ExpectAccepted {
        /// `Sec-WebSocket-Protocol`.
        protocol: Option<String>,
    },
    /// Any other response, and then the end of the connection.
    ExpectRefused {
        /// One of these.
        statuses: Vec<u16>,
        /// Header and a token that it lists.
        header: Option<(&'static str, &'static str)>,
    },
    /// Nothing has come that was not expected.
    ExpectSilence,
    /// A close frame with one of these codes (`None`: no code), then the end of the connection.
    ExpectClose {
        /// Allowed codes.
        codes: Vec<Option<u16>>,
        /// Who then closes TCP.
        tcp: Closer,
    },
    /// The end of the connection, with no frame before it. A response other than 101 may come.
    ExpectEnd,
}

/// One rule, one script.
#[derive(Clone, Debug)]
pub struct Case {
    /// `group/rule/variant`, unique.
    pub id: String,
    /// Where it belongs.
    pub group: Group,
    /// The section it tests.
    pub rfc: &'static str,
    /// The endpoint under test.
    pub role: Role,
    /// How strongly it is asked for.
    pub level: Level,
    /// What has happened before.
    pub start: Start,
    /// The script.
    pub steps: Vec<Step>,
    /// Whether it also runs over real sockets; families of thousands send only a sample there.
    pub live: bool,
}

impl Case {
    /// A case on an open connection.
    #[must_use]
    pub fn open(group: Group, role: Role, rfc: &'static str, id: impl AsRef<str>) -> Self {
        let side = match role {
            Role::Server => "server",
            Role::Client => "client",
        };
        Self {
            id: format!("{}/{side}/{}", group.name(), id.as_ref()),
            group,
            rfc,
            role,
            level: Level::Must,
            start: Start::Open,
            steps: Vec::new(),
            live: role == Role::Server,
        }
    }

    /// A case that begins with the upgrade.
    #[must_use]
    pub fn connected(role: Role, rfc: &'static str, id: impl AsRef<str>) -> Self {
        Self {
            start: Start::Connected,
            ..Self::open(Group::Handshake, role, rfc, id)
        }
    }

    /// Another level than `Must`.
    #[must_use]
    pub const fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// Only against the codec.
    #[must_use]
    pub const fn codec_only(mut self) -> Self {
        self.live = false;
        self
    }

    /// Who sends the case's bytes.
    #[must_use]
    pub const fn sender(&self) -> Sender {
        match self.role {
            Role::Server => Sender::Client,
            Role::Client => Sender::Server,
        }
    }

    /// A further step.
    #[must_use]
    pub fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Sends frames.
    #[must_use]
    pub fn send(self, frames: impl IntoIterator<Item = Frame>) -> Self {
        let sender = self.sender();
        self.step(Step::Send(
            frames
                .into_iter()
                .map(|frame| frame.encode(sender))
                .collect(),
        ))
    }

    /// Sends bytes.
    #[must_use]
    pub fn send_bytes(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.step(Step::Send(vec![bytes.into()]))
    }

    /// Expects text back.
    #[must_use]
    pub fn expect_text(self, text: impl Into<Vec<u8>>) -> Self {
        self.step(Step::Expect {
            opcode: TEXT,
            payload: text.into(),
        })
    }

    /// Expects binary back.
    #[must_use]
    pub fn expect_binary(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.step(Step::Expect {
            opcode: BINARY,
            payload: bytes.into(),
        })
    }

    /// Expects each of these back, as binary.
    #[must_use]
    pub fn expect_all(self, payloads: impl IntoIterator<Item = Vec<u8>>) -> Self {
        payloads.into_iter().fold(self, Self::expect_binary)
    }

    /// Expects a pong.
    #[must_use]
    pub fn expect_pong(self, payload: impl Into<Vec<u8>>) -> Self {
        self.step(Step::Expect {
            opcode: PONG,
            payload: payload.into(),
        })
    }

    /// Expects nothing (more) to have come.
    #[must_use]
    pub fn expect_silence(self) -> Self {
        self.step(Step::ExpectSilence)
    }

    /// Expects that the endpoint fails the connection with `code` (§7.1.7).
    #[must_use]
    pub fn expect_fail(self, code: u16) -> Self {
        self.step(Step::ExpectClose {
            codes: vec![Some(code)],
            tcp: Closer::Endpoint,
        })
    }

    /// Expects the answer to a close frame (§5.5.1): the same code, "typically", or 1000.
    #[must_use]
    pub fn expect_close_answer(self, code: Option<u16>) -> Self {
        // §7.1.1: the server closes TCP first; a client waits for it.
        let tcp = match self.role {
            Role::Server => Closer::Endpoint,
            Role::Client => Closer::Peer,
        };
        self.step(Step::ExpectClose {
            codes: vec![code, Some(1000)],
            tcp,
        })
    }

    /// Closes properly, which proves that the connection still works.
    #[must_use]
    pub fn then_close(self) -> Self {
        self.send([Frame::close(1000, "")])
            .expect_close_answer(Some(1000))
    }

    /// Sends `bytes`, which must fail the connection with `code` at exactly the `at`-th byte.
    ///
    /// With `at` past the end, it is the last byte.
    #[must_use]
    pub fn fails_at(self, bytes: &[u8], at: usize, code: u16) -> Self {
        let at = at.clamp(1, bytes.len());
        let case = if at > 1 {
            self.send_bytes(&bytes[..at - 1]).expect_silence()
        } else {
            self
        };
        case.send_bytes(&bytes[at - 1..at]).expect_fail(code)
    }

    /// Bytes of all its sends.
    #[must_use]
    pub fn bytes_total(&self) -> usize {
        self.steps
            .iter()
            .map(|step| match step {
                Step::Send(parts) => parts.iter().map(Vec::len).sum(),
                _ => 0,
            })
            .sum()
    }
}

/// Every case of the catalogue, ids unique.
#[must_use]
pub fn all() -> Vec<Case> {
    Group::ALL.into_iter().flat_map(group).collect()
}

/// The cases of one group, both roles.
#[must_use]
pub fn group(group: Group) -> Vec<Case> {
    let both = |cases: fn(Role) -> Vec<Case>| [cases(Role::Server), cases(Role::Client)].concat();
    match group {
        Group::Handshake => [
            handshake::cases(),
            handshake_head::cases(),
            handshake_client::cases(),
        ]
        .concat(),
        Group::Framing => both(framing::cases),
        Group::Control => both(control::cases),
        Group::Close => both(close::cases),
        Group::Utf8 => both(utf8::cases),
    }
}
