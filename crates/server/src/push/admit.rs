//! Who a raw client is, and whether it may subscribe, in front of its upgrade. In: its request, what tokens and
//! the backend say of it. Out: a verdict; questions for other threads.
//!
//! ```text
//! token? ── verified ──┐                        a token or the backend grants the channel
//! none: connect hook ──┼── who it is ──┬───────────────────────────────────────────────── engine
//! neither: anonymous ──┘               ├── subscribe hook of the namespace ───────────────── engine
//!                                      └── what the namespace allows ─────────────────────── engine
//! ```
//!
//! Never: upgrades: whoever may not come in is told so by a status.

use std::fmt::Display;
use std::sync::Arc;

use bytes::Bytes;
use fanfare_codec::deflate::FreshWindow;
use fanfare_codec::handshake::{Response, Status};
use fanfare_hub::{Asker, CatchUp, Channel, ChannelOptions, ClientInfo, UserId};
use fanfare_protocol::hook::{Granted, HookAnswer, HookCall, HookEvent, HookFailed};
use fanfare_protocol::token::{Claims, Grant, Overrides, TokenError};
use fanfare_protocol::{Number, Terms, Wish};

use super::Push;
use super::raw::Wishes;
use crate::clock::Time;
use crate::config::Live;
use crate::echo;
use crate::http::hooks::{ClientHeaders, Decision, Entry};
use crate::returns::{Finding, ReturnAddress};
use crate::service::Verdict;
use crate::slab::ConnId;

/// A raw client of which something is still to be found out.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// What it is answered if it may come in.
    response: Response,
    channel: Channel,
    wishes: Wishes,
    /// How it is told, if that is compressed.
    window: Option<FreshWindow>,
    identity: Identity,
    headers: ClientHeaders,
}

/// A raw client that is not anonymous.
#[derive(Debug)]
pub(crate) struct Who {
    pub(crate) info: Arc<ClientInfo>,
    /// Its connection ends then.
    pub(crate) ends_at: Time,
}

/// What is known of a candidate.
#[derive(Debug, Default)]
struct Identity {
    user: String,
    info: Option<Bytes>,
    ends_at: Option<fanfare_hub::Time>,
    meta: Option<Bytes>,
    /// Of the channel that it asks for: nobody else is asked.
    grant: Option<Grant>,
}

impl Candidate {
    pub(super) fn new(
        response: Response,
        channel: Channel,
        (wishes, window): (Wishes, Option<FreshWindow>),
        headers: ClientHeaders,
    ) -> Self {
        Self {
            response,
            channel,
            wishes,
            window,
            identity: Identity::default(),
            headers,
        }
    }

    fn call(&self, client: &str, event: HookEvent) -> HookCall {
        HookCall {
            client: client.to_owned(),
            user: self.identity.user.clone(),
            encoding: None,
            meta: self.identity.meta.clone(),
            event,
        }
    }

    /// Who it is, as a token says; false: it is for another channel.
    fn is_told_by(&mut self, claims: Claims) -> bool {
        let ends_at = claims.ends_at();
        let grant = if claims.channel.is_empty() {
            let name = self.channel.as_str();
            let is_listed = claims.channels.iter().any(|channel| channel == name);
            let granted = claims.subs.get(name).cloned();
            granted.or_else(|| is_listed.then(Grant::default))
        } else if claims.channel == self.channel.as_str() && claims.client.is_none() {
            Some(Grant {
                info: claims.info.clone(),
                data: None,
                options: claims.options,
            })
        } else {
            return false;
        };
        self.identity = Identity {
            user: claims.user,
            info: claims.info.filter(|_| claims.channel.is_empty()),
            ends_at,
            meta: claims.meta,
            grant,
        };
        true
    }

    /// Who it is, as the backend says.
    fn is_known_to_backend(&mut self, granted: Granted) {
        let name = self.channel.as_str();
        let is_listed = granted.channels.iter().any(|channel| channel == name);
        let of_subs = granted.subs.get(name).cloned();
        self.identity = Identity {
            user: granted.user,
            info: granted.info,
            ends_at: granted.expire_at,
            meta: granted.meta,
            grant: of_subs.or_else(|| is_listed.then(Grant::default)),
        };
    }
}

impl Push {
    /// Begins with a candidate: its token, else the backend, else it is anonymous.
    pub(super) fn receive(
        &mut self,
        live: &Live,
        mut candidate: Candidate,
        token: Option<String>,
        conn: ConnId,
        now: Time,
    ) -> Verdict {
        let hub_now = self.link.clock.for_hub(now);
        if let Some(token) = token {
            let Some(verified) = self.link.tokens.verify_now(None, &token, hub_now) else {
                let to = self.address(conn);
                let asked = self.link.tokens.verify(None, token, hub_now, to);
                return asked.map_or_else(|_| busy(), |()| Verdict::Wait(Box::new(candidate)));
            };
            let verified = verified.map(|(_, claims)| claims);
            return self.verified(live, candidate, verified, conn, now);
        }
        if !live.client.has_connect_hook {
            return self.known(live, candidate, conn, now);
        }
        let client = self.link.client_ids.id(conn);
        let event = HookEvent::Connect {
            data: Bytes::new(),
            name: String::new(),
            version: String::new(),
            headers: Default::default(),
            channels: vec![candidate.channel.as_str().to_owned()],
        };
        let call = candidate.call(client.as_str(), event);
        let to = self.address(conn);
        let headers = &mut candidate.headers;
        let asked = self.link.hooks.admit(&live.hooks, call, headers, to);
        asked.map_or_else(|_| busy(), |()| Verdict::Wait(Box::new(candidate)))
    }

    /// Goes on with a candidate: something was found out.
    pub(crate) fn decide(
        &mut self,
        mut candidate: Candidate,
        finding: Finding,
        conn: ConnId,
        now: Time,
    ) -> Verdict {
        let live = self.link.live.load_full();
        match finding {
            Finding::Verified(verified) => self.verified(&live, candidate, verified, conn, now),
            Finding::Admitted(Ok(entry)) => self.admitted(&live, candidate, entry, conn, now),
            Finding::Admitted(Err(HookFailed)) | Finding::Hooked(Err(HookFailed)) => {
                Verdict::Refuse(echo::unavailable(&"the backend can't be asked"))
            }
            Finding::Hooked(Ok(HookAnswer::Granted(granted))) => {
                candidate.identity.ends_at = match (candidate.identity.ends_at, granted.expire_at) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
                candidate.identity.grant = Some(Grant {
                    info: granted.info,
                    data: None,
                    options: granted.options,
                });
                self.known(&live, candidate, conn, now)
            }
            Finding::Hooked(Ok(refusal)) => refused_by_backend(&refusal),
        }
    }

    fn verified(
        &mut self,
        live: &Live,
        mut candidate: Candidate,
        verified: Result<Claims, TokenError>,
        conn: ConnId,
        now: Time,
    ) -> Verdict {
        match verified {
            Ok(claims) => {
                if candidate.is_told_by(claims) {
                    self.known(live, candidate, conn, now)
                } else {
                    forbidden(&"the token is for another channel, or client")
                }
            }
            Err(TokenError::Unavailable) => {
                Verdict::Refuse(echo::unavailable(&TokenError::Unavailable))
            }
            Err(error) => refuse(Status(401), &error),
        }
    }

    fn admitted(
        &mut self,
        live: &Live,
        mut candidate: Candidate,
        entry: Entry,
        conn: ConnId,
        now: Time,
    ) -> Verdict {
        let Entry { decision, headers } = entry;
        match decision {
            Decision::Answered(HookAnswer::Granted(granted)) => {
                candidate.response = with_headers(candidate.response, &headers);
                candidate.is_known_to_backend(granted);
                self.known(live, candidate, conn, now)
            }
            Decision::Answered(refusal) => refused_by_backend(&refusal),
            Decision::Refused(status) => {
                let response = Response::refusal(status, &"the backend says so");
                Verdict::Refuse(with_headers(response, &headers))
            }
        }
    }

    /// It is known who it is: may it subscribe?
    fn known(&mut self, live: &Live, mut candidate: Candidate, conn: ConnId, now: Time) -> Verdict {
        let hub_now = self.link.clock.for_hub(now);
        let Candidate {
            channel, identity, ..
        } = &candidate;
        if identity.ends_at.is_some_and(|at| at <= hub_now) {
            return refuse(Status(401), &TokenError::Expired);
        }
        let options = match live.namespaces.resolve(channel) {
            Ok(options) => options,
            Err(error) => return refuse(Status::NOT_FOUND, &error),
        };
        if identity.grant.is_none() {
            if channel.is_private() {
                return forbidden(&"the channel is private: it needs a token for it");
            }
            if !channel.is_for_user(&identity.user) {
                return forbidden(&"the channel is for certain users");
            }
            if live.hooks.has_subscribe(channel) {
                let client = self.link.client_ids.id(conn);
                let event = HookEvent::Subscribe {
                    channel: channel.clone(),
                    data: Bytes::new(),
                };
                let call = candidate.call(client.as_str(), event);
                let to = self.address(conn);
                let headers = &mut candidate.headers;
                let asked = self.link.hooks.call(&live.hooks, call, headers, to);
                return asked.map_or_else(|_| busy(), |()| Verdict::Wait(Box::new(candidate)));
            }
        }
        let grant = identity.grant.as_ref();
        let changes = grant.map_or_else(Overrides::default, |grant| grant.options);
        let options = changes.applied_to(options);
        let asker = Asker {
            is_anonymous: identity.user.is_empty(),
            is_subscribed: true,
        };
        if let Err((status, why)) = check(&options, asker, grant.is_some(), candidate.wishes) {
            return refuse(status, &why);
        }
        self.begin(candidate, &options, conn, now)
    }

    /// Asks the engine for its subscription.
    fn begin(
        &mut self,
        candidate: Candidate,
        options: &ChannelOptions,
        conn: ConnId,
        now: Time,
    ) -> Verdict {
        let Candidate {
            response,
            channel,
            wishes,
            window,
            identity,
            ..
        } = candidate;
        let info = Arc::new(ClientInfo {
            user: UserId::from(identity.user.as_str()),
            client: self.link.client_ids.id(conn),
            connection_info: identity.info,
            channel_info: identity.grant.and_then(|grant| grant.info),
        });
        let is_plain = info.user.is_anonymous()
            && info.connection_info.is_none()
            && info.channel_info.is_none()
            && identity.ends_at.is_none();
        if !self.enter(conn, &info) {
            return refuse(Status(429), &"the user has too many connections");
        }
        let wish = Wish {
            channel: &channel,
            options,
            terms: Terms::plain(options.presence || options.join_leave),
            catch_up: wishes.catch_up,
            info: Arc::clone(&info),
        };
        if self
            .subscribe(conn, wishes.cohort.told(window), wish, now)
            .is_err()
        {
            self.leave(conn, Some(&info), now);
            return busy();
        }
        let clock = self.link.clock;
        let ends_at = identity.ends_at;
        let who = (!is_plain).then(|| {
            Box::new(Who {
                info,
                ends_at: ends_at.map_or(Time::NEVER, |at| clock.of_hub(at)),
            })
        });
        Verdict::Subscribe(Box::new((response, who)))
    }

    fn address(&self, conn: ConnId) -> ReturnAddress {
        ReturnAddress {
            returns: Arc::clone(&self.link.returns),
            conn,
            number: Number(0),
        }
    }
}

/// Whether a client may subscribe as it wishes. `is_granted`: a token or the backend has said that it may
/// subscribe.
fn check(
    options: &ChannelOptions,
    asker: Asker,
    is_granted: bool,
    wishes: Wishes,
) -> Result<(), (Status, &'static str)> {
    let forbidden = |why| Err((Status::FORBIDDEN, why));
    if !is_granted && !options.allows_subscribe(asker) {
        return forbidden(if asker.is_anonymous {
            "the channel is not for anonymous clients"
        } else {
            "the channel is not for clients"
        });
    }
    if wishes.need_history() && !options.has_history() {
        return Err((
            Status::BAD_REQUEST,
            "since, history, meta: the channel keeps no history",
        ));
    }
    let reads_history = options.allows_history(asker);
    match wishes.catch_up {
        CatchUp::Last(_) if !reads_history => {
            forbidden("history: not for such clients of the channel")
        }
        CatchUp::Since(_) if !reads_history && !options.force_recovery => {
            forbidden("since: not for such clients of the channel")
        }
        CatchUp::Now | CatchUp::Since(_) | CatchUp::Last(_) => Ok(()),
    }
}

fn with_headers(response: Response, headers: &[(&'static str, String)]) -> Response {
    headers.iter().fold(response, |response, (name, value)| {
        response
            .header(name, value)
            .expect("the backend's headers were checked")
    })
}

fn refused_by_backend(answer: &HookAnswer) -> Verdict {
    match answer {
        HookAnswer::Error(error) => forbidden(&error.message),
        HookAnswer::Disconnect(disconnect) => forbidden(&disconnect.reason),
        HookAnswer::Granted(_) => forbidden(&"the backend says so"),
    }
}

fn forbidden(why: &dyn Display) -> Verdict {
    refuse(Status::FORBIDDEN, why)
}

fn refuse(status: Status, why: &dyn Display) -> Verdict {
    Verdict::Refuse(Response::refusal(status, why))
}

fn busy() -> Verdict {
    Verdict::Refuse(echo::unavailable(&"too many requests are under way"))
}
