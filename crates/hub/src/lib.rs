//! Fan-out without I/O: channels with history and positions, who is in them, and who is to be told.
//!
//! Nothing here knows a socket or a clock. Time is an argument, randomness a seed, so that all of it
//! replays. Threads meet in one place only: an [`Engine`] is shared by the workers and the API, and each
//! of them has an [`Inbox`].
//!
//! | want | take |
//! |---|---|
//! | to know what a channel may and keeps | [`Channel`], [`Namespaces`], [`ChannelOptions`] |
//! | to publish, read, join, ask | [`Engine::request`] with a [`Request`] |
//! | what came of it, and what others published | [`Inbox::drain`] gives [`Delivery`]s |
//! | who of a worker's connections gets it | [`Subscriptions`] |
//!
//! # A worker's turn
//!
//! ```text
//! poll returns → inbox.rouse()
//!   a connection subscribes   table.open     → engine.request(Subscribe)
//!   it leaves or is closed    table.close    → engine.request(Unsubscribe), without a ticket
//!   it publishes                             → engine.request(Publish)
//! then while inbox.drain(&mut batch):
//!   Publication  table.accept → encode once, note the channel as dirty
//!   Answer       table.activate → reply; if the channel is dirty, note where its suffix begins
//!   Missed       table.miss
//!   Join, Leave  table.channel_id → encode once
//!   Order        for the connections that its target matches
//!   and after the batch:
//!   table.next_insufficient → tell (2500, 3010), close
//!   for each dirty channel: table.channel_mut → a slice of its segment for each subscriber that takes it
//! drain gave false → poll may block: the next delivery wakes
//! ```
//!
//! A worker that lets other work in between two batches polls without waiting until `drain` gives false.
//!
//! Requests of one worker for one channel take effect in order, so nothing waits for an answer but
//! whoever needs what is in it. A connection may go while its subscription is pending: close it in the
//! table, request the unsubscribe, and the late answer finds nothing ([`Activation::Superseded`]).
//! An answer that is an error: close the subscription, and request the unsubscribe with what remains; it
//! does no harm if the engine never knew it. [`Busy`] on a subscribe: close it, and that is all; the engine
//! has not heard of it.
//!
//! # Positions
//!
//! On a channel with history every publication has an offset. A subscriber that is positioned gets every
//! offset in order, once, or [`Subscriptions::next_insufficient`] says that it missed some. What can make
//! it miss some: its worker's inbox was full ([`Missed`]), or the stream began again (another
//! [`Epoch`]). It then subscribes again from where it was, with [`CatchUp::Since`].
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use fanfare_hub::*;
//!
//! #[derive(Debug)]
//! struct NobodySleeps;
//! impl Wake for NobodySleeps {
//!     fn wake(&self) {}
//! }
//!
//! let inbox = Arc::new(Inbox::new(InboxLimits::default(), NobodySleeps));
//! let mut origins = Origins::default();
//! let worker = origins.add_worker(Arc::clone(&inbox));
//! let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new(MemoryConfig::new(42), origins));
//! let mut table = Subscriptions::<(), ()>::new(limits::CHANNELS_PER_CONNECTION_MAX);
//!
//! let now = Time::from_millis(1_700_000_000_000);
//! let channel = Channel::parse("chat:room")?;
//! let retention = Some(Retention {
//!     size: 100,
//!     ttl: std::time::Duration::from_secs(300),
//!     meta_ttl: std::time::Duration::from_secs(3600),
//! });
//!
//! // A connection subscribes …
//! let conn = ConnToken(7);
//! let opened = table.open(conn, &channel, ())?;
//! let ticket = Ticket { token: conn.0, generation: opened.id.generation() };
//! engine.request(now, worker, Some(ticket), Request::Subscribe(Subscribe {
//!     channel: channel.clone(),
//!     subscribers: opened.subscribers,
//!     retention,
//!     catch_up: CatchUp::Now,
//!     member: None,
//! }))?;
//! // … and somebody publishes, without waiting for what comes of it.
//! engine.request(now, worker, None, Request::Publish(Publish {
//!     channel,
//!     payload: Payload::text("hello".to_owned()),
//!     tags: Tags::default(),
//!     info: None,
//!     retention,
//!     idempotency_key: None,
//! }))?;
//!
//! let mut batch = Batch::default();
//! let mut got = Vec::new();
//! while inbox.drain(&mut batch) {
//!     for delivery in &mut batch {
//!         match delivery {
//!             Delivery::Answer(answer) => {
//!                 let Response::Subscribed(subscribed) = answer.outcome? else { unreachable!() };
//!                 let activation = table.activate(answer.ticket, subscribed.position, true);
//!                 assert!(matches!(activation, Activation::Live { id, .. } if id == opened.id));
//!             }
//!             Delivery::Publication { channel, publication } => {
//!                 let Some(id) = table.accept(&channel, &publication) else { continue };
//!                 let (_, _, subscribers) = table.channel_mut(id).expect("it was just accepted");
//!                 for subscriber in subscribers.iter().filter(|s| s.takes(&publication)) {
//!                     got.push((subscriber.conn(), publication.position.map(|p| p.offset)));
//!                 }
//!             }
//!             other => panic!("{other:?}"),
//!         }
//!     }
//! }
//! assert_eq!(got, [(conn, Some(1))]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Never: opens a socket, reads a clock, draws a random number, starts a thread.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod channel;
mod engine;
mod history;
mod idempotency;
mod inbox;
pub mod limits;
mod memory;
mod namespace;
mod order;
mod origins;
mod pattern;
mod position;
mod presence;
mod publication;
mod slots;
mod subscriptions;
mod time;

pub use channel::{Channel, ChannelError};
pub use engine::{
    Answer, Busy, CatchUp, ChannelSummary, Engine, EngineError, EngineInfo, History, OriginId,
    Publish, Recovery, Request, Response, Subscribe, Subscribed, Ticket, Unsubscribe, Upkeep,
};
pub use history::{HistoryQuery, HistoryRead, Retention};
pub use idempotency::{BadKey, IdempotencyKey};
pub use inbox::{Batch, Delivery, Inbox, InboxLimits, Missed, Owner, Wake};
pub use memory::{MemoryConfig, MemoryEngine};
pub use namespace::{
    Asker, ChannelOptions, NamespaceError, Namespaces, OptionsError, RecoveryMode, SlowReader,
    UnknownNamespace,
};
pub use order::{Action, Order, Target};
pub use origins::{Origins, WakeSet};
pub use pattern::{ChannelPattern, PatternTooLong};
pub use position::{Epoch, EpochSource, Position, Since};
pub use presence::{ClientId, ClientInfo, Member, PresenceStats, Roster, UserId};
pub use publication::{Payload, PayloadKind, Publication, Tags, TooManyTags};
pub use subscriptions::{
    Activation, ChannelId, Closed, ConnToken, Holders, OpenError, Opened, Subscriber,
    SubscriptionId, Subscriptions,
};
pub use time::Time;
