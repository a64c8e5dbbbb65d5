//! What several targets do alike. In: an input, a frame, or data of a client. Out: the input's parts, the frame's
//! commands, or whether others get the data as JSON.
//!
//! Never: reads with what has written.

use std::sync::Arc;

use bytes::Bytes;
use fanfare_hub::{ClientInfo, PayloadKind, Publication, Tags, Time};
use fanfare_protocol::{Command, Commands, Encoding, Malformed, Outcome, Push, Reply, data};
use serde::de::IgnoredAny;

/// A byte of options, up to 15 places to cut at, of two bytes each, and what is to be cut; none: the input is too short.
#[must_use]
pub fn options_and_cuts(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [options, cuts, rest @ ..] = input else {
        return None;
    };
    let (cuts, rest) = rest.split_at_checked(usize::from(cuts % 16) * 2)?;
    Some((*options, cuts, rest))
}

/// The commands of a frame, up to an error if it has one: the same from every place where it can be left.
///
/// # Panics
///
/// If they are not the same, or if the frame is not consumed from its front to its end.
#[must_use]
pub fn commands(encoding: Encoding, frame: &[u8]) -> Vec<Command> {
    let mut commands = Commands::new(encoding, frame);
    let mut taken = Vec::new();
    loop {
        let rest = commands.rest();
        assert!(frame.ends_with(rest));
        let Some(command) = commands.next() else {
            assert!(rest.is_empty());
            return taken;
        };
        assert!(commands.rest().len() < rest.len());
        if command != Err(Malformed::TooManyCommands) {
            assert_eq!(
                Commands::new(encoding, rest).next(),
                Some(command.clone()),
                "taken up"
            );
        }
        match command {
            Ok(command) => taken.push(command),
            Err(_) => {
                assert!(commands.rest().is_empty() && commands.next().is_none());
                return taken;
            }
        }
    }
}

/// Whether others get `given` as JSON.
///
/// # Panics
///
/// If it is told as anything but one line of JSON: as a publication, as what is known of a client, or as
/// what a backend answered. If its bytes change on the Protobuf wire though it is no JSON.
pub fn check_data(given: &Bytes) -> bool {
    let payload = data::payload(given.clone());
    let kind = payload.kind();
    if kind == PayloadKind::Binary {
        assert_eq!(payload.bytes(), given);
    }
    let publication = Publication {
        payload,
        position: None,
        info: Some(Arc::new(ClientInfo {
            user: String::from_utf8_lossy(given).as_ref().into(),
            client: "\"".into(),
            connection_info: Some(given.clone()),
            channel_info: None,
        })),
        tags: Tags::default(),
        time: Time::default(),
    };
    let push = Push::Publication {
        channel: "\\",
        publication: &publication,
    };
    let reply = Reply {
        id: 1,
        outcome: Ok(Outcome::Rpc { data: given }),
    };
    let mut frame = Vec::new();
    push.append_to(&mut frame, Encoding::Json);
    frame.push(b'\n');
    reply.append_to(&mut frame, Encoding::Json);
    let lines: Vec<&[u8]> = frame.split(|byte| matches!(byte, b'\n' | b'\r')).collect();
    assert_eq!(lines.len(), 2);
    for line in lines {
        let json = serde_json::from_slice::<IgnoredAny>(line);
        json.unwrap_or_else(|error| panic!("{error}: {}", line.escape_ascii()));
    }
    kind == PayloadKind::Json
}
