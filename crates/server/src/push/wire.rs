//! How a session's client wants to speak. In: its upgrade. Out: an encoding, and which pings.
//!
//! Never: refuses: a client that names nothing speaks JSON.

use fanfare_codec::handshake::Upgrade;
use fanfare_protocol::{Encoding, PingKind};

/// How a session's client wants to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wire {
    pub(super) encoding: Encoding,
    pub(super) pings: PingKind,
    /// It offered the subprotocol.
    is_negotiated: bool,
}

impl Wire {
    /// The first subprotocol that is one of ours decides, then the query.
    pub(super) fn of(query: &str, upgrade: &Upgrade<'_>) -> Self {
        let mut wire = Self {
            encoding: Encoding::Json,
            pings: PingKind::Protocol,
            is_negotiated: false,
        };
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match (&*key, &*value) {
                ("cf_protocol", "protobuf") => wire.encoding = Encoding::Protobuf,
                ("cf_ws_frame_ping_pong", "true") => wire.pings = PingKind::WebSocket,
                _ => {}
            }
        }
        let ours = |name: &str| match name {
            SUBPROTOCOL_JSON => Some(Encoding::Json),
            SUBPROTOCOL_PROTOBUF => Some(Encoding::Protobuf),
            _ => None,
        };
        if let Some(encoding) = upgrade.protocols().find_map(ours) {
            wire.encoding = encoding;
            wire.is_negotiated = true;
        }
        wire
    }

    /// The subprotocol that the client offered and gets.
    pub(super) fn subprotocol(self) -> Option<&'static str> {
        self.is_negotiated.then_some(match self.encoding {
            Encoding::Json => SUBPROTOCOL_JSON,
            Encoding::Protobuf => SUBPROTOCOL_PROTOBUF,
        })
    }
}

const SUBPROTOCOL_JSON: &str = "centrifuge-json";
const SUBPROTOCOL_PROTOBUF: &str = "centrifuge-protobuf";
