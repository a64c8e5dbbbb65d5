//! A frame's commands, one after the other (PROTOCOL.md, "Transport"). In: a frame. Out: commands, and what
//! of the frame is not decoded yet.
//!
//! Never: keeps a byte of the frame in a command; decodes what nobody has asked for.

use std::fmt;
use std::iter::FusedIterator;

use crate::codes::Disconnect;
use crate::command::{Command, Method};
use crate::limits::{COMMANDS_PER_FRAME_MAX, CONNECT_HEADERS_MAX, CONNECT_SUBS_MAX};
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
        let command = self.decode().and_then(within_limits);
        if command.is_err() {
            self.rest = &[];
        }
        Some(command)
    }
}

impl FusedIterator for Commands<'_> {}

/// What is kept of a connect until it is known who it is from has to be little.
fn within_limits(command: Command) -> Result<Command, Malformed> {
    match &command.method {
        Method::Connect(connect)
            if connect.subs.len() > CONNECT_SUBS_MAX
                || connect.headers.len() > CONNECT_HEADERS_MAX =>
        {
            Err(Malformed::Command)
        }
        _ => Ok(command),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &[u8] = b"\n{\"id\":1,\"publish\":{\"channel\":\"c\",\"data\":[1]}}\n \r\n{}\n\
        {\"send\":{\"data\":\"\\n\"}}\r\n{\"id\":300}";
    const PROTOBUF: &[u8] =
        b"\x0a\x08\x01:\x06\x0a\x01c\x12\x01\xff\x00\x05b\x03\x0a\x01\x0a\x03\x08\xac\x02";

    fn all(encoding: Encoding, frame: &[u8]) -> Vec<Result<Command, Malformed>> {
        Commands::new(encoding, frame).collect()
    }

    #[test]
    fn a_frame_goes_on_where_it_was_left() {
        for (encoding, frame) in [(Encoding::Json, JSON), (Encoding::Protobuf, PROTOBUF)] {
            let whole = all(encoding, frame);
            assert_eq!(whole.len(), 4);
            for taken in 0..=whole.len() {
                let mut commands = Commands::new(encoding, frame);
                let first: Vec<_> = commands.by_ref().take(taken).collect();
                assert_eq!(first, whole[..taken]);
                let rest = all(encoding, commands.rest());
                assert_eq!(rest, whole[taken..], "{encoding:?} {taken}");
                assert_eq!(commands.rest().is_empty(), taken == whole.len());
            }
        }
    }

    #[test]
    fn a_frame_of_nothing_has_no_command() {
        for frame in ["", "\n", " \r\n\t\n", "\n\n\n"] {
            assert_eq!(all(Encoding::Json, frame.as_bytes()), []);
            let commands = Commands::new(Encoding::Json, frame.as_bytes());
            assert!(commands.rest().is_empty());
        }
        assert_eq!(all(Encoding::Protobuf, b""), []);
    }

    #[test]
    fn an_error_is_the_last_item() {
        let pong = Ok(Command {
            id: 0,
            method: Method::Pong,
        });
        let cases: [(Encoding, &[u8]); 3] = [
            (Encoding::Json, b"{}\nx\n{}"),
            (Encoding::Json, b"{}\n{}{}\n{}"),
            (Encoding::Protobuf, b"\0\x01\xff\0"),
        ];
        for (encoding, frame) in cases {
            let mut commands = Commands::new(encoding, frame);
            let given: Vec<_> = commands.by_ref().collect();
            assert_eq!(given, [pong.clone(), Err(Malformed::Command)]);
            assert!(commands.rest().is_empty() && commands.next().is_none());
        }
    }

    #[test]
    fn a_frame_has_so_many_commands_and_no_more() {
        for (encoding, command) in [(Encoding::Json, "{}\n"), (Encoding::Protobuf, "\0")] {
            let most = command.repeat(COMMANDS_PER_FRAME_MAX);
            let given = all(encoding, most.as_bytes());
            assert_eq!(given.len(), COMMANDS_PER_FRAME_MAX);
            assert!(given.iter().all(Result::is_ok));
            let given = all(encoding, (most + command).as_bytes());
            assert_eq!(given.len(), COMMANDS_PER_FRAME_MAX + 1);
            assert_eq!(given.last(), Some(&Err(Malformed::TooManyCommands)));
        }
    }

    #[test]
    fn a_connect_names_so_many_subscriptions_and_headers_and_no_more() {
        for (field, value, tag, max) in [
            ("subs", "{}", 0x1a, CONNECT_SUBS_MAX),
            ("headers", "\"\"", 0x32, CONNECT_HEADERS_MAX),
        ] {
            for (count, is_taken) in [(max, true), (max + 1, false)] {
                let keys = (0..count).map(|n| format!("{n:04}"));
                let fields: Vec<_> = keys.clone().map(|k| format!("\"{k}\":{value}")).collect();
                let fields = fields.join(",");
                let json = format!("{{\"id\":1,\"connect\":{{\"{field}\":{{{fields}}}}}}}");
                let mut connect = Vec::new();
                for key in keys {
                    connect.extend_from_slice(&[tag, 6, 0x0a, 4]);
                    connect.extend_from_slice(key.as_bytes());
                }
                let mut command = vec![8, 1, 0x22];
                prost::encoding::encode_varint(connect.len() as u64, &mut command);
                command.extend_from_slice(&connect);
                let mut protobuf = Vec::new();
                prost::encoding::encode_varint(command.len() as u64, &mut protobuf);
                protobuf.extend_from_slice(&command);
                for (encoding, frame) in [
                    (Encoding::Json, json.as_bytes()),
                    (Encoding::Protobuf, &protobuf),
                ] {
                    let given = all(encoding, frame);
                    assert_eq!(given.len(), 1);
                    assert_eq!(given[0].is_ok(), is_taken, "{encoding:?} {field} {count}");
                }
            }
        }
    }

    /// What is cut off, or changed in a place or two, ends in commands or in an error.
    #[test]
    fn no_bytes_do_harm() {
        for (encoding, frame) in [(Encoding::Json, JSON), (Encoding::Protobuf, PROTOBUF)] {
            for end in 0..frame.len() {
                check_progress(encoding, &frame[..end]);
            }
            let mut random = fastrand::Rng::with_seed(6);
            for _ in 0..20_000 {
                let mut bytes = frame.to_vec();
                for _ in 0..random.usize(1..4) {
                    let at = random.usize(0..bytes.len());
                    bytes[at] = random.u8(..);
                }
                check_progress(encoding, &bytes);
            }
        }
    }

    fn check_progress(encoding: Encoding, frame: &[u8]) {
        let mut commands = Commands::new(encoding, frame);
        let mut rest = commands.rest().len();
        while let Some(command) = commands.next() {
            assert!(commands.rest().len() < rest);
            rest = commands.rest().len();
            assert!(command.is_ok() || rest == 0);
        }
        assert_eq!(rest, 0);
    }
}
