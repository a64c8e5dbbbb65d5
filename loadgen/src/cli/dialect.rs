//! The flags of `loadgen fanout` that say which protocol connections speak.
//!
//! Never: opens a socket or a file.

use clap::{Args, ValueEnum};

use super::Usage;
use crate::centrifuge::Encoding;
use crate::payload::Envelope;
use crate::scenario::fanout::Positions;

/// A payload and nothing else.
const BARE: &str = "{payload}";

/// A payload as a JSON string.
const QUOTED: &str = "\"{payload}\"";

/// What is said on connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Speech {
    /// A message is a publication, and the URL the subscription
    Raw,
    /// The Centrifuge protocol v2 in JSON
    CentrifugeJson,
    /// The Centrifuge protocol v2 in Protobuf
    CentrifugeProtobuf,
}

/// Which protocol connections speak.
#[derive(Args, Debug)]
#[command(next_help_heading = "Protocol")]
pub(crate) struct DialectArgs {
    /// What connections speak; with the Centrifuge protocol --token and --tokens-file go into `connect`
    #[arg(long = "dialect", value_name = "NAME", value_enum, default_value_t = Speech::Raw)]
    pub(crate) speech: Speech,

    /// Centrifuge: ask for positions; a subscription without them is a fault. With --cut-rate they are
    /// asked for anyway, and who was not given any comes back as a new one
    #[arg(long)]
    positioned: bool,
}

impl Speech {
    /// How the protocol is written; `None` if there is none.
    pub(crate) const fn encoding(self) -> Option<Encoding> {
        match self {
            Self::Raw => None,
            Self::CentrifugeJson => Some(Encoding::Json),
            Self::CentrifugeProtobuf => Some(Encoding::Protobuf),
        }
    }

    /// As the flag has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::CentrifugeJson => "centrifuge-json",
            Self::CentrifugeProtobuf => "centrifuge-protobuf",
        }
    }
}

impl DialectArgs {
    /// How a publication is told where no flag says it.
    pub(super) const fn default_delivery(&self, is_binary: bool) -> &'static str {
        match self.speech {
            Speech::Raw => BARE,
            Speech::CentrifugeProtobuf if is_binary => BARE,
            Speech::CentrifugeJson | Speech::CentrifugeProtobuf => QUOTED,
        }
    }

    /// What subscribers ask for; `are_cut`: they come back.
    pub(crate) const fn positions(&self, are_cut: bool) -> Positions {
        match (self.positioned, are_cut) {
            (true, _) => Positions::Required,
            (false, true) => Positions::Asked,
            (false, false) => Positions::Unasked,
        }
    }

    /// Rules that more than one flag can break; `delivery` is how publications are told.
    pub(super) fn check(
        &self,
        delivery: &Envelope,
        is_binary: bool,
        resumes: bool,
    ) -> Result<(), Usage> {
        let name = self.speech.name();
        let Some(encoding) = self.speech.encoding() else {
            if self.positioned {
                return Err(Usage(
                    "--positioned: only with --dialect centrifuge-…".to_owned(),
                ));
            }
            return Ok(());
        };
        if resumes {
            return Err(Usage(format!(
                "--resume: with --dialect {name} subscribers come back to their positions anyway"
            )));
        }
        if delivery.has_position() {
            return Err(Usage(format!(
                "--delivery: with --dialect {name} {{position}} has no place, positions are the protocol's"
            )));
        }
        if encoding == Encoding::Protobuf {
            return Ok(());
        }
        if is_binary {
            return Err(Usage(format!("--binary: --dialect {name} has text only")));
        }
        let (before, behind) = delivery.around();
        let filled = [before, b"0-_aZ", behind].concat();
        let has_newline = filled.iter().any(|byte| b"\r\n".contains(byte));
        if has_newline || serde_json::from_slice::<serde::de::IgnoredAny>(&filled).is_err() {
            return Err(Usage(format!(
                "--delivery: with --dialect {name} it must be JSON on one line, like '\"{{payload}}\"'"
            )));
        }
        Ok(())
    }
}
