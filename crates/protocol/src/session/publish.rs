//! publish. In: the command, the backend's answer. Out: a publication that the engine is asked for, or an error.
//!
//! Never: lets data through that others could read as more than one object.

use bytes::Bytes;
use fanfare_hub::{Channel, Request, Tags};

use super::pending::Waits;
use super::{Host, Rules, Session};
use crate::codes::{ClientError, Disconnect};
use crate::command::Publish;
use crate::data::payload;
use crate::hook::{HookAnswer, HookEvent, HookFailed};

/// A publication that the backend is asked about.
#[derive(Debug)]
pub(super) struct Publishing {
    pub(super) channel: Channel,
    data: Bytes,
}

impl Session {
    pub(super) fn publish(
        &mut self,
        id: u32,
        publish: Publish,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), ClientError> {
        let channel = Channel::parse(&publish.channel).map_err(|_| ClientError::BAD_REQUEST)?;
        let resolved = rules.namespaces.resolve(&channel);
        let options = resolved.map_err(|_| ClientError::UNKNOWN_CHANNEL)?;
        let data = publish.data;
        if data.is_empty() {
            return Err(ClientError::BAD_REQUEST);
        }
        if data.len() > rules.client.publication_bytes_max {
            return Err(ClientError::LIMIT_EXCEEDED);
        }
        let asker = self.asker(&channel, host);
        // Where the backend says who may publish, the namespace does not.
        let is_hooked = host.has_publish_hook(&channel);
        let may = is_hooked || options.allows_publish(asker);
        if !may || !self.reaches(&channel, asker) {
            return Err(ClientError::PERMISSION_DENIED);
        }
        let publishing = Publishing { channel, data };
        if is_hooked {
            let event = HookEvent::Publish {
                channel: publishing.channel.clone(),
                data: publishing.data.clone(),
            };
            return self.call(id, event, Waits::PublishHook(Box::new(publishing)), host);
        }
        self.publish_now(id, publishing, false, rules, host)
    }

    pub(super) fn publish_hooked(
        &mut self,
        id: u32,
        mut publishing: Publishing,
        result: Result<HookAnswer, HookFailed>,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        let done = match result {
            Ok(HookAnswer::Granted(granted)) => {
                if let Some(data) = granted.data {
                    publishing.data = data;
                }
                self.publish_now(id, publishing, granted.skip_history, rules, host)
            }
            Ok(HookAnswer::Error(error)) => Err(error),
            Ok(HookAnswer::Disconnect(disconnect)) => return Err(disconnect),
            Err(HookFailed) => Err(ClientError::INTERNAL),
        };
        done.or_else(|error| self.fail(id, &error, rules, host))
    }

    fn publish_now(
        &mut self,
        id: u32,
        publishing: Publishing,
        skips_history: bool,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), ClientError> {
        let resolved = rules.namespaces.resolve(&publishing.channel);
        let options = resolved.map_err(|_| ClientError::UNKNOWN_CHANNEL)?;
        let request = Request::Publish(fanfare_hub::Publish {
            channel: publishing.channel,
            payload: payload(publishing.data),
            tags: Tags::default(),
            info: self.info.clone(),
            retention: options.retention().filter(|_| !skips_history),
            idempotency_key: None,
        });
        self.request(id, request, Waits::Published, host)
    }
}
