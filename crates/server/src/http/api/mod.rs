//! The API (PROTOCOL.md, "Server HTTP API"). In: `POST /api/{method}` with a JSON object. Out: what the
//! engine says to it.
//!
//! A request is looked at in this order: is there such a method, is it a POST, may the caller, is the body
//! what the method takes, does it mean something. Up to the body it is refused with a status; from there on
//! an error is an answer.
//!
//! Never: knows a connection; waits for the engine longer than it may.

mod batch;
mod channel;
mod connections;
mod history;
mod node;
mod presence;
mod publish;
mod subscribe;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use fanfare_hub::{Channel, ChannelOptions};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::access;
use super::body::Bodies;
use super::caller::Caller;
use super::error::{ApiError, Refusal};
use super::json::{self, Object};
use crate::config::{Live, SharedLive};
use crate::limits::{ANSWER_BYTES_MAX, BODIES_BYTES_MAX, CALL_TIME_MAX};
use crate::metrics::Metrics;

pub(super) use node::Node;

/// Where the methods are.
pub(super) const PREFIX: &str = "/api/";

/// Everything that a call needs.
#[derive(Debug)]
pub(super) struct Api {
    caller: Caller,
    live: SharedLive,
    node: Node,
    metrics: Arc<Metrics>,
    bodies: Bodies,
    body_bytes_max: usize,
}

impl Api {
    pub(super) fn new(
        caller: Caller,
        live: SharedLive,
        node: Node,
        metrics: Arc<Metrics>,
        body_bytes_max: usize,
    ) -> Self {
        Self {
            caller,
            live,
            node,
            metrics,
            bodies: Bodies::new(BODIES_BYTES_MAX),
            body_bytes_max,
        }
    }

    pub(super) const fn caller(&self) -> &Caller {
        &self.caller
    }

    pub(super) fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    pub(super) const fn node(&self) -> &Node {
        &self.node
    }

    async fn call(&self, request: Request) -> Result<Response, Refusal> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let method = path.strip_prefix(PREFIX).ok_or(Refusal::NotFound)?;
        if !METHODS.contains(&method) {
            return Err(Refusal::NotFound);
        }
        if head.method != Method::POST {
            return Err(Refusal::NotAllowed { allow: "POST" });
        }
        let live = self.live.load_full();
        access::check(&live, &head.headers)?;
        let received = self.bodies.receive(body, self.body_bytes_max).await?;
        let call = Call { api: self, live };
        let answering = call.answer(method, received.bytes());
        match timeout(CALL_TIME_MAX, answering).await {
            Ok(answer) => answer,
            Err(_) => Err(Refusal::Unanswered),
        }
    }
}

/// Answers whatever is under [`PREFIX`].
pub(super) async fn serve(State(api): State<Arc<Api>>, request: Request) -> Response {
    match api.call(request).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    }
}

/// One request. It ends with the settings that it began with.
struct Call<'a> {
    api: &'a Api,
    live: Arc<Live>,
}

impl Call<'_> {
    async fn answer(&self, method: &str, body: &[u8]) -> Result<Response, Refusal> {
        let text = if method == batch::NAME {
            match batch::parse(body)?.execute(self).await {
                Ok(replies) => json::write(&replies, ANSWER_BYTES_MAX),
                Err(error) => Err(error),
            }
        } else {
            let command = Command::parse(method, body)?;
            let reply = Reply::from(command.execute(self).await);
            json::write(&reply, ANSWER_BYTES_MAX)
        };
        let text = text.or_else(|error| json::write(&Reply::Error(error), ANSWER_BYTES_MAX));
        let text = text.expect("an error is short and JSON");
        Ok((
            [(header::CONTENT_TYPE, "application/json")],
            Body::from(text),
        )
            .into_response())
    }

    /// A channel that exists.
    fn resolve(&self, name: &str) -> Result<(Channel, Arc<ChannelOptions>), ApiError> {
        let channel = Channel::parse(name)?;
        let options = Arc::clone(self.live.namespaces.resolve(&channel)?);
        Ok((channel, options))
    }
}

/// The methods but for `batch`, each under its name.
macro_rules! methods {
    ($($(#[$attribute:meta])* $variant:ident($shape:ty) = $name:literal;)*) => {
        /// Every method.
        const METHODS: &[&str] = &[$($name,)* batch::NAME];

        /// What one call asks for; in a batch it stands under its method's name.
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Command<'b> {
            $($(#[$attribute])* $variant(Object<$shape>),)*
        }

        impl<'b> Command<'b> {
            /// Reads the command of `method` from a body of its own.
            fn parse(method: &str, body: &'b [u8]) -> Result<Self, Refusal> {
                let command = match method {
                    $($name => Self::$variant(json::parse(body)?),)*
                    _ => return Err(Refusal::NotFound),
                };
                command.check().map_err(|why| Refusal::malformed(&why))?;
                Ok(command)
            }

            const fn method(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }
        }
    };
}

methods! {
    #[serde(borrow)]
    Publish(publish::Publish<'b>) = "publish";
    #[serde(borrow)]
    Broadcast(publish::Broadcast<'b>) = "broadcast";
    History(history::History) = "history";
    HistoryRemove(channel::OfChannel) = "history_remove";
    Presence(channel::OfChannel) = "presence";
    PresenceStats(channel::OfChannel) = "presence_stats";
    Channels(node::Channels) = "channels";
    Info(node::Info) = "info";
    Disconnect(connections::Disconnect) = "disconnect";
    Unsubscribe(connections::Unsubscribe) = "unsubscribe";
    #[serde(borrow)]
    Subscribe(subscribe::Subscribe<'b>) = "subscribe";
    Refresh(connections::Refresh) = "refresh";
}

impl Command<'_> {
    /// What the types of the fields can't say.
    fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Publish(Object(publish)) => publish.check(),
            Self::Broadcast(Object(broadcast)) => broadcast.check(),
            _ => Ok(()),
        }
    }

    async fn execute(self, call: &Call<'_>) -> Result<Success, ApiError> {
        match self {
            Self::Publish(Object(publish)) => publish.execute(call).await,
            Self::Broadcast(Object(broadcast)) => broadcast.execute(call).await,
            Self::History(Object(history)) => history.execute(call).await,
            Self::HistoryRemove(Object(of)) => history::remove(&of, call).await,
            Self::Presence(Object(of)) => presence::list(&of, call).await,
            Self::PresenceStats(Object(of)) => presence::count(&of, call).await,
            Self::Channels(Object(channels)) => channels.execute(call).await,
            Self::Info(Object(info)) => info.execute(call).await,
            Self::Disconnect(Object(disconnect)) => disconnect.execute(call).await,
            Self::Unsubscribe(Object(unsubscribe)) => unsubscribe.execute(call).await,
            Self::Subscribe(Object(subscribe)) => subscribe.execute(call).await,
            Self::Refresh(Object(refresh)) => refresh.execute(call).await,
        }
    }
}

/// What a method answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Success {
    Published(publish::Published),
    Broadcast(publish::Responses),
    History(history::Page),
    Presence(presence::Present),
    PresenceStats(presence::Stats),
    Channels(node::Listed),
    Info(node::Nodes),
    Done(Done),
}

/// It is done, and there is nothing to say of it.
#[derive(Debug, Serialize)]
struct Done {}

/// `{"result": …}` or `{"error": …}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    Result(Success),
    Error(ApiError),
}

impl From<Result<Success, ApiError>> for Reply {
    fn from(outcome: Result<Success, ApiError>) -> Self {
        match outcome {
            Ok(success) => Self::Result(success),
            Err(error) => Self::Error(error),
        }
    }
}

#[cfg(test)]
mod tests;
