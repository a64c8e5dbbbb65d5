//! A frame's commands, one after the other (PROTOCOL.md, "Transport"). In: a frame. Out: commands, and what
//! of the frame is not decoded yet.
//!
//! Never: keeps a byte of the frame in a command; decodes what nobody has asked for.

use std::fmt;
use std::iter::FusedIterator;

use crate::codes::Disconnect;
use crate::command::Command;
use crate::limits::COMMANDS_PER_FRAME_MAX;
use crate::message::Encoding;
use crate::{json, protobuf};

/// What is wrong with a frame. Whoever sent it is closed: [`Disconnect::BAD_REQUEST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// Something in it is no command of this encoding, or is cut off.
    Command,
    /// More than [`COMMANDS_PER_FRAME_MAX`].
    TooManyCommands,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command => f.write_str("no command of this encoding"),
            Self::TooManyCommands => {
                write!(f, "more than {COMMANDS_PER_FRAME_MAX} commands in a frame")
            }
        }
    }
}

impl std::error::Error for Malformed {}

impl From<Malformed> for Disconnect {
    fn from(_: Malformed) -> Self {
        Self::BAD_REQUEST
    }
}

/// The commands of a frame, decoded as they are asked for. An error is the last item.
///
/// JSON: objects, each on a line of its own; empty lines are skipped. Protobuf: messages, each behind its
/// length as a varint.
///
/// ```
/// use fanfare_protocol::{Commands, Encoding, Method};
///
/// let frame = b"{\"id\":1,\"unsubscribe\":{\"channel\":\"a\"}}\n{}\n";
/// let mut commands = Commands::new(Encoding::Json, frame);
/// assert_eq!(commands.next().unwrap()?.id, 1);
/// let kept = commands.rest(); // a session takes no more for now: this is where it goes on
/// let mut commands = Commands::new(Encoding::Json, kept);
/// assert_eq!(commands.next().unwrap()?.method, Method::Pong);
/// assert!(commands.rest().is_empty() && commands.next().is_none());
/// # Ok::<(), fanfare_protocol::Malformed>(())
/// ```
#[derive(Clone, Debug)]
pub struct Commands<'b> {
    encoding: Encoding,
    rest: &'b [u8],
    taken: usize,
}

impl<'b> Commands<'b> {
    /// The commands of `bytes`: a frame, or what [`rest`](Self::rest) gave of one. The count of
    /// [`COMMANDS_PER_FRAME_MAX`] begins anew.
    #[must_use]
    pub fn new(encoding: Encoding, bytes: &'b [u8]) -> Self {
        let mut commands = Self {
            encoding,
            rest: bytes,
            taken: 0,
        };
        commands.skip_empty_lines();
        commands
    }

    /// From the next command on to the end; empty: there is none, or the last one was an error.
    ///
    /// Ask in front of [`next`](Self::next) to be able to give that command again.
    #[must_use]
    pub const fn rest(&self) -> &'b [u8] {
        self.rest
    }

    fn skip_empty_lines(&mut self) {
        if self.encoding == Encoding::Json {
            let is_space = |byte: &u8| matches!(byte, b'\n' | b'\r' | b'\t' | b' ');
            let spaces = self.rest.iter().take_while(|byte| is_space(byte)).count();
            self.rest = &self.rest[spaces..];
        }
    }

    fn decode(&mut self) -> Result<Command, Malformed> {
        if self.taken == COMMANDS_PER_FRAME_MAX {
            return Err(Malformed::TooManyCommands);
        }
        self.taken += 1;
        match self.encoding {
            Encoding::Json => {
                let end = memchr::memchr(b'\n', self.rest).unwrap_or(self.rest.len());
                let (line, rest) = self.rest.split_at(end);
                self.rest = rest;
                self.skip_empty_lines();
                json::decode_command(line)
            }
            Encoding::Protobuf => {
                let (message, rest) = protobuf::split_first(self.rest)?;
                self.rest = rest;
                protobuf::decode_command(message)
            }
        }
    }
}

impl Iterator for Commands<'_> {
    type Item = Result<Command, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let command = self.decode();
        if command.is_err() {
            self.rest = &[];
        }
        Some(command)
    }
}

impl FusedIterator for Commands<'_> {}
