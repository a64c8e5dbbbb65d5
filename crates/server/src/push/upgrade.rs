//! Which requests open a WebSocket of the push server. In: a request. Out: a verdict, and for a subscriber a
//! request to the engine.
//!
//! Everything is decided in front of the upgrade, where a status can say why (RFC 6455 §4.2.2, §10.2).
//!
//! Never: answers plain HTTP but where a WebSocket endpoint is.

use std::fmt::Display;

use fanfare_codec::handshake::{Request, Response, Status, Upgrade};
use fanfare_hub::{Asker, CatchUp, Channel, ChannelOptions};
use fanfare_protocol::{Encoding, PingKind, Rules, Session, Terms, Wish};
use percent_encoding::percent_decode_str;

use super::credentials::credentials;
use super::raw::Wishes;
use super::wire::Wire;
use super::{Push, UpgradeHeaders};
use crate::clock::Time;
use crate::config::Live;
use crate::conn::Admitted;
use crate::echo;
use crate::service::Verdict;
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
    /// Of the upgrade, for the backend; none if it wants none.
    pub(crate) headers: Option<UpgradeHeaders>,
    /// It asked for WebSocket pings in the place of the protocol's.
    pub(crate) frame_pings: bool,
    pub(crate) deadline: Time,
}

/// A client without credentials, once it is subscribed.
const ANONYMOUS: Asker = Asker {
    is_anonymous: true,
    is_subscribed: true,
};

impl Push {
    /// Judges a request.
    pub(crate) fn judge(
        &mut self,
        request: &Request<'_>,
        admitted: Admitted,
        conn: ConnId,
        now: Time,
    ) -> Verdict {
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
        if admitted == Admitted::Refused {
            return Verdict::Refuse(echo::unavailable(&"too many connections"));
        }
        let live = self.link.live.load_full();
        if !is_welcome(&live, &upgrade) {
            return refuse(Status::FORBIDDEN, &"pages of this origin may not connect");
        }
        let response = accept(&live, &upgrade);
        let query = request.query().unwrap_or_default();
        match endpoint {
            Endpoint::Echo => Verdict::Echo(response),
            Endpoint::Session => {
                let wire = Wire::of(query, &upgrade);
                let response = wire.accept(response);
                let start = self.start(&live, wire, &upgrade, conn, now);
                Verdict::Session(Box::new((response, start)))
            }
            Endpoint::Raw { channel } => match self.begin(&live, channel, query, conn, now) {
                Ok(()) => Verdict::Subscribe(Box::new(response)),
                Err(refusal) => Verdict::Refuse(refusal),
            },
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
        upgrade: &Upgrade<'_>,
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
            deadline: clock.from_hub(session.deadline()),
            session,
            encoding: wire.encoding,
            headers: None,
            frame_pings: wire.pings == PingKind::WebSocket,
        }
    }

    /// Asks the engine for the subscription that the URL names.
    fn begin(
        &mut self,
        live: &Live,
        channel: &str,
        query: &str,
        conn: ConnId,
        now: Time,
    ) -> Result<(), Response> {
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
        let options = live.namespaces.resolve(&channel);
        let options = options.map_err(|error| Response::refusal(Status::NOT_FOUND, &error))?;
        check(&channel, options, wishes)
            .map_err(|(status, why)| Response::refusal(status, &why))?;
        let wish = Wish {
            channel: &channel,
            options,
            terms: Terms::plain(options.presence || options.join_leave),
            catch_up: wishes.catch_up,
            info: self.link.client_ids.info(conn),
        };
        self.subscribe(conn, wishes.cohort, wish, now)
            .map_err(|_| echo::unavailable(&"too many subscriptions are under way"))
    }
}

/// Whether every `%` stands in front of two hexadecimal digits (RFC 3986 §2.1).
fn is_encoded_whole(text: &str) -> bool {
    let is_hex = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
    let mut encoded = text.split('%').skip(1);
    encoded.all(|rest| rest.as_bytes().get(..2).is_some_and(is_hex))
}

/// Whether a client without credentials may subscribe as it wishes.
fn check(
    channel: &Channel,
    options: &ChannelOptions,
    wishes: Wishes,
) -> Result<(), (Status, &'static str)> {
    let forbidden = |why| Err((Status::FORBIDDEN, why));
    if channel.is_private() {
        return forbidden("the channel is private: it needs a token");
    }
    if !channel.is_for_user("") {
        return forbidden("the channel is for certain users");
    }
    if !options.allows_subscribe(ANONYMOUS) {
        return forbidden("the channel is not for anonymous clients");
    }
    if wishes.need_history() && !options.has_history() {
        return Err((
            Status::BAD_REQUEST,
            "since, history, meta: the channel keeps no history",
        ));
    }
    let reads_history = options.allows_history(ANONYMOUS);
    match wishes.catch_up {
        CatchUp::Last(_) if !reads_history => {
            forbidden("history: not for anonymous clients of the channel")
        }
        CatchUp::Since(_) if !reads_history && !options.force_recovery => {
            forbidden("since: not for anonymous clients of the channel")
        }
        CatchUp::Now | CatchUp::Since(_) | CatchUp::Last(_) => Ok(()),
    }
}

/// Whether the page that a browser's script came from may connect; whoever names none is no browser.
fn is_welcome(live: &Live, upgrade: &Upgrade<'_>) -> bool {
    let headers = upgrade.headers();
    let host = headers.first("Host").unwrap_or_default();
    // A browser sends one at most: of several, nobody can say which is true.
    let mut origins = headers.all("Origin");
    origins.all(|origin| live.origins.admits(origin, host))
}

/// The 101, with what the config adds to it.
fn accept(live: &Live, upgrade: &Upgrade<'_>) -> Response {
    let mut response = Response::switching_protocols(upgrade);
    let is_known = |offered: &&str| live.subprotocols.iter().any(|known| known == offered);
    if let Some(protocol) = upgrade.protocols().find(is_known) {
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
