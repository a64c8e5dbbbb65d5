//! Which requests open a WebSocket of the push server. In: a request. Out: a verdict, and for a subscriber a
//! request to the engine.
//!
//! Everything is decided in front of the upgrade, where a status can say why (RFC 6455 §4.2.2, §10.2).
//!
//! Never: answers plain HTTP but where a WebSocket endpoint is.

use std::fmt::Display;

use fanfare_codec::deflate::{DeflateAnswer, FreshWindow};
use fanfare_codec::handshake::{Response, Status, Upgrade};
use fanfare_hub::Channel;
use fanfare_protocol::{Encoding, PingKind, Rules, Session};
use percent_encoding::percent_decode_str;

use super::Push;
use super::admit::Candidate;
use super::credentials::credentials;
use super::raw::Wishes;
use super::wire::Wire;
use crate::admission::Admitted;
use crate::clock::Time;
use crate::config::Live;
use crate::echo;
use crate::http::hooks::ClientHeaders;
use crate::service::{Asked, Verdict};
use crate::slab::ConnId;

/// Where raw subscribers connect; their channel's name follows.
const RAW: &str = "/raw/";
const ECHO: &str = "/echo";
/// Where sessions of the Centrifuge protocol connect.
const SESSION: &str = "/connection/websocket";

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint<'r> {
    Echo,
    Raw { channel: &'r str },
    Session,
}

/// What a session starts with.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) session: Session,
    pub(crate) encoding: Encoding,
    /// Of the upgrade, for the backend.
    pub(crate) headers: ClientHeaders,
    /// How what it is told is compressed, if it is.
    pub(crate) window: Option<FreshWindow>,
    /// It asked for WebSocket pings in the place of the protocol's.
    pub(crate) frame_pings: bool,
    pub(crate) deadline: Time,
}

impl Push {
    /// Judges a request.
    pub(crate) fn judge(&mut self, asked: Asked<'_>, conn: ConnId, now: Time) -> Verdict {
        let Asked {
            request,
            admitted,
            client,
            deflate,
        } = asked;
        let Some(endpoint) = self.endpoint(request.path()) else {
            return if request.wants_websocket() {
                refuse(Status::NOT_FOUND, &"no such endpoint")
            } else {
                Verdict::HandOver
            };
        };
        let upgrade = match request.upgrade() {
            Ok(upgrade) => upgrade,
            Err(error) => return Verdict::Refuse(Response::from(&error)),
        };
        if let Admitted::Refused(exceeded) = admitted {
            return Verdict::Refuse(echo::unavailable(&exceeded.why()));
        }
        let live = self.link.live.load_full();
        if !is_welcome(&live, &upgrade) {
            return refuse(Status::FORBIDDEN, &"pages of this origin may not connect");
        }
        let deflate = match deflate {
            Ok(answer) => answer,
            Err(error) => return Verdict::Refuse(Response::from(&error)),
        };
        let query = request.query().unwrap_or_default();
        let headers = ClientHeaders::of_upgrade(&live.hooks, upgrade.headers(), client);
        match endpoint {
            Endpoint::Echo => Verdict::Echo(accept(&live, &upgrade, None, deflate)),
            Endpoint::Session => {
                let wire = Wire::of(query, &upgrade);
                let response = accept(&live, &upgrade, wire.subprotocol(), deflate);
                let mut start = self.start(&live, wire, (&upgrade, headers), conn, now);
                start.window = window_of(deflate);
                Verdict::Session(Box::new((response, start)))
            }
            Endpoint::Raw { channel } => {
                let request = (query, &upgrade, headers, deflate);
                self.receive_raw(&live, channel, request, conn, now)
                    .unwrap_or_else(Verdict::Refuse)
            }
        }
    }

    fn endpoint<'r>(&self, path: &'r str) -> Option<Endpoint<'r>> {
        match path {
            SESSION => Some(Endpoint::Session),
            ECHO => self.link.has_echo.then_some(Endpoint::Echo),
            _ => {
                let channel = path.strip_prefix(RAW)?;
                Some(Endpoint::Raw { channel })
            }
        }
    }

    /// A session that waits for its connect.
    fn start(
        &self,
        live: &Live,
        wire: Wire,
        (upgrade, headers): (&Upgrade<'_>, ClientHeaders),
        conn: ConnId,
        now: Time,
    ) -> Start {
        let clock = self.link.clock;
        let rules = Rules {
            namespaces: &live.namespaces,
            client: &live.client,
            now: clock.for_hub(now),
        };
        let token = credentials(live.token_cookie.as_deref(), upgrade);
        let client = self.link.client_ids.id(conn);
        let session = Session::new(client, wire.encoding, token, wire.pings, &rules);
        Start {
            deadline: clock.of_hub(session.deadline()),
            session,
            encoding: wire.encoding,
            headers,
            window: None,
            frame_pings: wire.pings == PingKind::WebSocket,
        }
    }

    /// Receives a raw client, if its URL makes sense.
    fn receive_raw(
        &mut self,
        live: &Live,
        channel: &str,
        request: (&str, &Upgrade<'_>, ClientHeaders, Option<DeflateAnswer>),
        conn: ConnId,
        now: Time,
    ) -> Result<Verdict, Response> {
        let (query, upgrade, headers, deflate) = request;
        let bad = |why: &dyn Display| Response::refusal(Status::BAD_REQUEST, why);
        if !is_encoded_whole(channel) {
            return Err(bad(
                &"a % in a URL stands in front of two hexadecimal digits",
            ));
        }
        let name = percent_decode_str(channel).decode_utf8();
        let name = name.map_err(|_| bad(&"a channel name is printable ASCII"))?;
        let channel = Channel::parse(&name).map_err(|error| bad(&error))?;
        let wishes = Wishes::parse(query).map_err(|error| bad(&error))?;
        let token = match (token_of(query), live.client.has_tokens) {
            (Some(_), false) => {
                return Err(Response::refusal(Status(401), &"no token is known here"));
            }
            (Some(token), true) => Some(token),
            (None, true) => credentials(live.token_cookie.as_deref(), upgrade).map(String::from),
            // A cookie of that name may be somebody else's as long as no tokens are expected.
            (None, false) => None,
        };
        let response = accept(live, upgrade, None, deflate);
        let window = window_of(deflate);
        let candidate = Candidate::new(response, channel, (wishes, window), headers);
        Ok(self.receive(live, candidate, token, conn, now))
    }
}

/// `?token=`, for those that can't set a header.
fn token_of(query: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let token = pairs.find(|(key, value)| key == "token" && !value.is_empty());
    token.map(|(_, token)| token.into_owned())
}

/// Whether every `%` stands in front of two hexadecimal digits (RFC 3986 §2.1).
fn is_encoded_whole(text: &str) -> bool {
    let is_hex = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
    let mut encoded = text.split('%').skip(1);
    encoded.all(|rest| rest.as_bytes().get(..2).is_some_and(is_hex))
}

/// Whether the page that a browser's script came from may connect; whoever names none is no browser.
fn is_welcome(live: &Live, upgrade: &Upgrade<'_>) -> bool {
    let headers = upgrade.headers();
    let host = headers.first("Host").unwrap_or_default();
    // A browser sends one at most: of several, nobody can say which is true.
    let mut origins = headers.all("Origin");
    origins.all(|origin| live.origins.admits(origin, host))
}

/// How a client is told what others are told, too.
fn window_of(deflate: Option<DeflateAnswer>) -> Option<FreshWindow> {
    FreshWindow::of(deflate?.terms().server)
}

/// The 101, with what the config adds to it; `chosen`: the endpoint's subprotocol, if the client offered it.
fn accept(
    live: &Live,
    upgrade: &Upgrade<'_>,
    chosen: Option<&str>,
    deflate: Option<DeflateAnswer>,
) -> Response {
    let mut response = Response::switching_protocols(upgrade);
    if let Some(answer) = deflate {
        response = response.deflate(&answer);
    }
    let is_known = |offered: &&str| live.subprotocols.iter().any(|known| known == offered);
    if let Some(protocol) = chosen.or_else(|| upgrade.protocols().find(is_known)) {
        response = response
            .subprotocol(protocol)
            .expect("an upgrade offers tokens");
    }
    for (name, value) in &live.response_headers {
        response = response
            .header(name, value)
            .expect("the config was checked");
    }
    response
}

fn refuse(status: Status, why: &dyn Display) -> Verdict {
    Verdict::Refuse(Response::refusal(status, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3986_2_1_a_percent_sign_stands_in_front_of_two_digits() {
        for whole in ["", "a", "%3A", "a%3ab%2F", "%41%41"] {
            assert!(is_encoded_whole(whole), "{whole}");
        }
        for cut in ["%", "a%4", "%zz", "%%41", "%4g", "%41%"] {
            assert!(!is_encoded_whole(cut), "{cut}");
        }
    }
}
