//! `batch`: many commands in one request. In: a list of commands. Out: a reply to each, in their order.
//!
//! They are carried out one after the other: `parallel` is taken and changes nothing. A caller that allows
//! any order gets the order that it wrote, and with the engine in memory nothing is to be gained.
//!
//! Never: carries anything out if one of the commands is malformed.

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::super::json::{self, Object};
use super::{ApiError, Call, Command, Refusal, Success};
use crate::limits::BATCH_COMMANDS_MAX;

pub(super) const NAME: &str = "batch";

/// The commands.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Batch<'b> {
    #[serde(borrow)]
    commands: Vec<Command<'b>>,
    #[serde(rename = "parallel")]
    _parallel: Option<bool>,
}

/// Reads a batch.
///
/// # Errors
///
/// [`Refusal::Malformed`], which names the command by its index.
pub(super) fn parse(body: &[u8]) -> Result<Batch<'_>, Refusal> {
    let Object(batch): Object<Batch<'_>> = json::parse(body)?;
    for (index, command) in batch.commands.iter().enumerate() {
        command.check().map_err(|why| {
            let method = command.method();
            Refusal::malformed(&format_args!("commands[{index}].{method}: {why}"))
        })?;
    }
    Ok(batch)
}

impl Batch<'_> {
    pub(super) async fn execute(self, call: &Call<'_>) -> Result<Replies, ApiError> {
        if self.commands.len() > BATCH_COMMANDS_MAX {
            let why = format_args!("at most {BATCH_COMMANDS_MAX} of them");
            return Err(ApiError::bad_request("commands", why));
        }
        let mut replies = Vec::with_capacity(self.commands.len());
        for command in self.commands {
            replies.push(Named {
                method: command.method(),
                outcome: command.execute(call).await,
            });
        }
        Ok(Replies { replies })
    }
}

/// What came of each command.
#[derive(Debug, Serialize)]
pub(super) struct Replies {
    replies: Vec<Named>,
}

/// `{"publish": …}` or `{"error": …}`.
#[derive(Debug)]
struct Named {
    method: &'static str,
    outcome: Result<Success, ApiError>,
}

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut reply = serializer.serialize_map(Some(1))?;
        match &self.outcome {
            Ok(success) => reply.serialize_entry(self.method, success)?,
            Err(error) => reply.serialize_entry("error", error)?,
        }
        reply.end()
    }
}
