//! `channels` and `info`. In: a pattern. Out: channels with subscribers; sums over this node.
//!
//! Never: lists a channel without subscribers.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use fanfare_hub::{ChannelPattern, ChannelSummary, Request, Response};
use serde::{Deserialize, Serialize, Serializer};
use tokio::sync::Semaphore;

use super::super::caller::unexpected;
use super::{ApiError, Call, Success};
use crate::admission::Admission;
use crate::clock::Clock;
use crate::limits::HANDOVERS_SERVED_MAX;
use crate::push::Census;
use crate::reactor::Crew;

/// `channels`: those that have subscribers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Channels {
    /// None: all.
    pattern: Option<String>,
}

/// `info`: sums.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Info {}

impl Channels {
    pub(super) async fn execute(self, call: &Call<'_>) -> Result<Success, ApiError> {
        let pattern = ChannelPattern::parse(self.pattern.as_deref().unwrap_or_default())
            .map_err(|error| ApiError::bad_request("pattern", error))?;
        match call.api.caller.ask(Request::Channels(pattern)).await? {
            Response::Channels(found) => Ok(Success::Channels(Listed {
                channels: Summaries(found),
            })),
            other => Err(unexpected(&other)),
        }
    }
}

impl Info {
    pub(super) async fn execute(self, call: &Call<'_>) -> Result<Success, ApiError> {
        let sums = match call.api.caller.ask(Request::Info).await? {
            Response::Info(sums) => sums,
            other => return Err(unexpected(&other)),
        };
        let node = &call.api.node;
        Ok(Success::Info(Nodes {
            nodes: [NodeInfo {
                uid: node.uid.clone(),
                name: node.name.clone(),
                version: env!("CARGO_PKG_VERSION"),
                num_workers: node.crew.loads().len(),
                clients_by_worker: node.crew.loads(),
                num_clients: node.clients(),
                num_users: node.census.len(),
                num_channels: sums.channels,
                num_subs: sums.subscribers,
                uptime: node.uptime_seconds(call.api.caller.clock()),
            }],
        }))
    }
}

/// What this process knows of itself.
#[derive(Debug)]
pub(in super::super) struct Node {
    uid: String,
    name: String,
    crew: Arc<Crew>,
    admission: Arc<Admission>,
    census: Arc<Census>,
    /// Of [`HANDOVERS_SERVED_MAX`], those that are free.
    handovers: Arc<Semaphore>,
}

impl Node {
    pub(in super::super) fn new(
        crew: Arc<Crew>,
        admission: Arc<Admission>,
        census: Arc<Census>,
        handovers: Arc<Semaphore>,
    ) -> Self {
        let host = rustix::system::uname();
        Self {
            // Another one in each process, which is all that it is for.
            uid: format!("{:016x}", RandomState::new().hash_one(())),
            name: host.nodename().to_string_lossy().into_owned(),
            crew,
            admission,
            census,
            handovers,
        }
    }

    /// Connections that are open, but for those whose request is one like this.
    fn clients(&self) -> usize {
        let handed_over = HANDOVERS_SERVED_MAX.saturating_sub(self.handovers.available_permits());
        self.admission.open().saturating_sub(handed_over)
    }

    /// Users with connections.
    pub(in super::super) fn users(&self) -> usize {
        self.census.len()
    }

    fn uptime_seconds(&self, clock: Clock) -> u64 {
        clock.read().as_millis() / 1000
    }
}

/// Channels by name.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    channels: Summaries,
}

#[derive(Debug)]
struct Summaries(Vec<ChannelSummary>);

#[derive(Serialize)]
struct Summary {
    num_clients: u64,
}

impl Serialize for Summaries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|found| {
            let num_clients = found.subscribers;
            (found.channel.as_str(), Summary { num_clients })
        }))
    }
}

/// The nodes that share the engine; in memory that is this one.
#[derive(Debug, Serialize)]
pub(super) struct Nodes {
    nodes: [NodeInfo; 1],
}

#[derive(Debug, Serialize)]
struct NodeInfo {
    uid: String,
    name: String,
    version: &'static str,
    num_workers: usize,
    clients_by_worker: Vec<usize>,
    num_clients: usize,
    num_users: usize,
    num_channels: u64,
    num_subs: u64,
    uptime: u64,
}
