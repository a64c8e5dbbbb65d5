//! What clients publish. In: a message of a subscriber. Out: a request for the engine, or why there is none.
//!
//! Never: publishes to a channel that the sender is not subscribed to.

use std::sync::Arc;

use bytes::Bytes;
use fanfare_codec::{CloseCode, Message};
use fanfare_hub::{Asker, ClientInfo, Payload, Publish, Request, Tags, Ticket};

use super::{PUBLISH, Push, token};
use crate::clock::Time;
use crate::codes;
use crate::slab::ConnId;

/// Why a message was not published: what its sender is closed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotPublished {
    pub(crate) code: CloseCode,
    pub(crate) reason: &'static str,
}

impl NotPublished {
    const NOT_ALLOWED: Self = Self {
        code: codes::PERMISSION_DENIED,
        reason: "permission denied: the channel takes no messages of clients",
    };
    const TOO_LARGE: Self = Self {
        code: CloseCode::MESSAGE_TOO_BIG,
        reason: "the message is larger than a publication may be",
    };
    const TOO_MANY: Self = Self {
        code: codes::TOO_MANY_REQUESTS,
        reason: "too many requests wait for the engine",
    };
}

impl Push {
    pub(crate) fn publication_bytes_max(&self) -> u64 {
        self.link.live.load().publication_bytes_max as u64
    }

    /// Publishes a data message of `conn` to its channel; without `info` it is anonymous. [`News::Failed`](super::News::Failed) comes if the
    /// engine can't.
    pub(crate) fn publish(
        &mut self,
        conn: ConnId,
        info: Option<&Arc<ClientInfo>>,
        message: Message<'_>,
        now: Time,
    ) -> Result<(), NotPublished> {
        let subscription = self.table.any_of(token(conn));
        let Some((channel, _)) = subscription.and_then(|id| self.table.subscription(id)) else {
            return Err(NotPublished::NOT_ALLOWED);
        };
        let live = self.link.live.load();
        let asker = Asker {
            is_anonymous: info.is_none_or(|info| info.user.is_anonymous()),
            is_subscribed: true,
        };
        let Ok(options) = live.namespaces.resolve(channel) else {
            return Err(NotPublished::NOT_ALLOWED); // a reload took the namespace away
        };
        // The backend is to be asked, which a client that gets no answers can't wait for.
        if !options.allows_publish(asker) || live.hooks.has_publish(channel) {
            return Err(NotPublished::NOT_ALLOWED);
        }
        let (len, payload) = match message {
            Message::Text(text) => (text.len(), Payload::text(text.to_owned())),
            Message::Binary(bytes) => (bytes.len(), Payload::binary(Bytes::copy_from_slice(bytes))),
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => return Ok(()),
        };
        if len > live.publication_bytes_max {
            return Err(NotPublished::TOO_LARGE);
        }
        let info = info.map_or_else(|| self.link.client_ids.info(conn), Arc::clone);
        let request = Request::Publish(Publish {
            channel: channel.clone(),
            payload,
            tags: Tags::default(),
            info: Some(info),
            retention: options.retention(),
            idempotency_key: None,
        });
        let ticket = Ticket {
            token: token(conn).0,
            generation: PUBLISH,
        };
        self.count_publish(len);
        let busy = self.request(Some(ticket), request, now);
        busy.map_err(|_| NotPublished::TOO_MANY)
    }
}
