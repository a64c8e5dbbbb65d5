//! A subscription of whatever origin, from the engine's being asked to the first thing that the subscriber learns.
//! In: what is wanted and granted, the engine's answer. Out: what was agreed, the answer.
//!
//! Never: decides who may subscribe.

use std::sync::Arc;

use bytes::Bytes;
use fanfare_hub::{
    Asker, CatchUp, Channel, ChannelOptions, ClientInfo, EngineError, OpenError, Position,
    Publication, Recovery, RecoveryMode, Since, Subscribed, Time,
};

use super::expiry::ttl;
use super::pending::Waits;
use super::terms::{Origin, Terms};
use super::{Host, NotSubscribed, Number, Rules, Session, Stage, Wish, answer, client_error};
use crate::codes::{ClientError, Disconnect, Unsubscribed};
use crate::command::Subscribe;
use crate::limits::PAST_BYTES_MAX;
use crate::message::{Expiry, Outcome, Push, Subscription, SubscriptionResult};
use crate::token::Overrides;

/// Who is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A subscribe command.
    Command,
    /// The connect command, which waits for it.
    Connect,
    /// Nobody: the API wants it.
    Order,
}

/// What a subscriber asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wants {
    positioned: bool,
    recoverable: bool,
    join_leave: bool,
    /// Where it was, if it wants what it has missed.
    since: Option<Since>,
}

impl Wants {
    pub(super) fn of(command: &Subscribe) -> Self {
        Self {
            positioned: command.positioned,
            recoverable: command.recoverable,
            join_leave: command.join_leave,
            since: command.recover.then(|| Since::from(&command.since)),
        }
    }

    /// Whether it asks for what it has missed.
    pub(super) const fn recovers(self) -> bool {
        self.since.is_some()
    }

    pub(super) fn since(since: Option<Since>) -> Self {
        Self {
            since,
            ..Self::default()
        }
    }
}

/// A subscription before the engine is asked.
pub(super) struct Plan<'p> {
    pub(super) channel: Channel,
    /// Its namespace's.
    pub(super) options: &'p ChannelOptions,
    /// What a token or the backend changes of them.
    pub(super) overrides: Overrides,
    pub(super) wants: Wants,
    pub(super) origin: Origin,
    pub(super) wanted: Wanted,
    /// An error if it can't recover.
    pub(super) refuses_unrecovered: bool,
    /// What others learn of it in this channel.
    pub(super) channel_info: Option<Bytes>,
    pub(super) ends_at: Option<Time>,
    /// Whether the client is to bring a token when its time runs out.
    pub(super) tells_expiry: bool,
    /// What the subscriber learns from the backend.
    pub(super) data: Bytes,
    /// It has ended before it began.
    pub(super) ended: Option<Unsubscribed>,
}

/// A subscription that the engine is asked for.
#[derive(Debug)]
pub(super) struct Joining {
    pub(super) channel: Channel,
    terms: Terms,
    pub(super) wanted: Wanted,
    since: Option<Since>,
    refuses_unrecovered: bool,
    tells_expiry: bool,
    data: Bytes,
    /// Why it ends as soon as it is answered.
    pub(super) ended: Option<Unsubscribed>,
}

impl Joining {
    /// Whether it wants what it has missed.
    pub(super) const fn recovers(&self) -> bool {
        self.since.is_some()
    }

    /// Whether a subscribe command waits for it.
    pub(super) fn is_commanded(&self) -> bool {
        self.wanted == Wanted::Command
    }

    /// What the subscriber learns.
    fn into_subscription(self, subscribed: Subscribed, now: Time) -> Subscription {
        let top = subscribed.position;
        let missed = match (subscribed.recovery, self.since) {
            (Recovery::Recovered(missed), Some(since)) => Some((missed, since.offset)),
            (Recovery::Last(latest), Some(since)) => {
                cached(latest, since, top).map(|latest| (latest, since.offset))
            }
            _ => None,
        };
        let missed = missed.filter(|(publications, _)| fits(publications));
        let is_recovered = missed.is_some();
        let (publications, position) = match missed {
            // In front of the publications: an SDK moves on with each of them.
            Some((publications, offset)) => {
                (publications, top.map(|top| Position { offset, ..top }))
            }
            None => (Vec::new(), top),
        };
        let ends_at = self.terms.expire_at().filter(|_| self.tells_expiry);
        Subscription {
            channel: self.channel,
            terms: self.terms,
            position: position.filter(|_| self.terms.is_positioned),
            was_recovering: self.since.is_some(),
            recovered: is_recovered,
            publications,
            expiry: Expiry(ends_at.map(|at| ttl(at, now))),
            data: self.data,
        }
    }
}

/// Cache mode: the latest publication, or nothing for whoever has it. None: it is gone.
fn cached(
    latest: Vec<Arc<Publication>>,
    since: Since,
    top: Option<Position>,
) -> Option<Vec<Arc<Publication>>> {
    let has_it = top.is_some_and(|top| {
        since.offset > 0 && since.offset == top.offset && since.epoch == Some(top.epoch)
    });
    if has_it {
        return Some(Vec::new());
    }
    let is_there = latest.last().is_some_and(|last| last.position == top);
    is_there.then_some(latest)
}

fn fits(publications: &[Arc<Publication>]) -> bool {
    bytes(publications) <= PAST_BYTES_MAX
}

fn bytes(publications: &[Arc<Publication>]) -> usize {
    let lens = publications.iter().map(|p| p.payload.bytes().len());
    lens.sum()
}

impl Session {
    /// Asks for a subscription. Its answer is [`joined`](Self::joined) or [`not_joined`](Self::not_joined).
    pub(super) fn join(
        &mut self,
        id: u32,
        plan: Plan<'_>,
        host: &mut impl Host,
    ) -> Result<(), ClientError> {
        let Some(info) = &self.info else {
            return Err(ClientError::UNAUTHORIZED);
        };
        let changed;
        let options = if plan.overrides == Overrides::default() {
            plan.options
        } else {
            changed = plan.overrides.applied_to(plan.options);
            &changed
        };
        let info = match plan.channel_info {
            None => Arc::clone(info),
            Some(channel_info) => Arc::new(ClientInfo {
                channel_info: Some(channel_info),
                ..(**info).clone()
            }),
        };
        let number = self.pending.next_number();
        let mut terms = agree(options, plan.wants, info.user.is_anonymous());
        terms.number = number;
        terms.origin = plan.origin;
        terms.set_expire_at(plan.ends_at);
        let since = plan.wants.since.filter(|_| terms.is_recoverable);
        let catch_up = match (since, options.force_recovery_mode) {
            (None, _) => CatchUp::Now,
            (Some(since), RecoveryMode::Stream) => CatchUp::Since(since),
            (Some(_), RecoveryMode::Cache) => CatchUp::Last(1),
        };
        let wish = Wish {
            channel: &plan.channel,
            options,
            terms,
            catch_up,
            info,
        };
        host.subscribe(wish).map_err(|not| match not {
            NotSubscribed::Refused(OpenError::AlreadySubscribed) => ClientError::ALREADY_SUBSCRIBED,
            NotSubscribed::Refused(OpenError::TooManyChannels) => ClientError::LIMIT_EXCEEDED,
            // The worker is full, or slow: nothing that the client could change.
            NotSubscribed::Refused(_) | NotSubscribed::Busy => ClientError::INTERNAL,
        })?;
        let joining = Joining {
            channel: plan.channel,
            terms,
            wanted: plan.wanted,
            since,
            refuses_unrecovered: plan.refuses_unrecovered,
            tells_expiry: plan.tells_expiry,
            data: plan.data,
            ended: plan.ended,
        };
        self.pending
            .insert(number, id, Waits::Joined(Box::new(joining)));
        Ok(())
    }

    /// The subscription is live.
    pub(super) fn joined(
        &mut self,
        number: Number,
        subscribed: Subscribed,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        let is_it = |waits: &Waits| matches!(waits, Waits::Joined(joining) if joining.channel == subscribed.channel);
        let Some((id, Waits::Joined(mut joining))) = self.pending.take(number, is_it) else {
            return Ok(());
        };
        let ended = joining.ended.take();
        let top = subscribed.position;
        let (wanted, refuses_unrecovered) = (joining.wanted, joining.refuses_unrecovered);
        let mut subscription = joining.into_subscription(subscribed, rules.now);
        let channel = subscription.channel.clone();
        if refuses_unrecovered && subscription.was_recovering && !subscription.recovered {
            host.unsubscribe(channel.as_str());
            return self.fail(id, &ClientError::UNRECOVERABLE_POSITION, rules, host);
        }
        if let Some(at) = subscription.terms.expire_at() {
            self.subscriptions_end_at = self.subscriptions_end_at.min(at);
        }
        match (wanted, &mut self.stage) {
            (Wanted::Command, _) => {
                let result = SubscriptionResult(&subscription);
                answer(id, Outcome::Subscribe(result), host);
            }
            (_, Stage::Connecting(connecting)) => {
                // All of them stand in one reply.
                let past_bytes = connecting.past_bytes + bytes(&subscription.publications);
                if past_bytes <= PAST_BYTES_MAX {
                    connecting.past_bytes = past_bytes;
                } else {
                    subscription.recovered = false;
                    subscription.publications = Vec::new();
                    subscription.position = top.filter(|_| subscription.terms.is_positioned);
                }
                connecting.subs.push(subscription);
                self.connect_if_joined(rules, host);
            }
            (_, _) => {
                // A subscribe push has no publications (`Subscribe` of the protocol's schema); they follow it.
                let publications = std::mem::take(&mut subscription.publications);
                host.push(&Push::Subscribe(SubscriptionResult(&subscription)));
                for publication in &publications {
                    host.push(&Push::Publication {
                        channel: channel.as_str(),
                        publication,
                    });
                }
            }
        }
        if let Some(why) = ended {
            host.unsubscribe(channel.as_str());
            host.push(&Push::Unsubscribe {
                channel: channel.as_str(),
                why: &why,
            });
        }
        Ok(())
    }

    /// The engine has refused it.
    pub(super) fn not_joined(
        &mut self,
        id: u32,
        joining: &Joining,
        error: EngineError,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        match joining.wanted {
            Wanted::Command => self.fail(id, &client_error(error), rules, host),
            // Whatever it is, the client can only try again.
            Wanted::Connect => self.refuse(&ClientError::INTERNAL, rules, host),
            Wanted::Order => Ok(()), // the API has had its answer
        }
    }
}

/// What a subscription is to be (PROTOCOL.md, "Subscribe and recover").
fn agree(options: &ChannelOptions, wants: Wants, is_anonymous: bool) -> Terms {
    let asker = Asker {
        is_anonymous,
        is_subscribed: true,
    };
    // Whoever recovers reads history.
    let reads = options.allows_history(asker);
    let may_recover = options.has_history() && (reads || options.force_recovery);
    let may_follow = options.has_history() && (reads || options.forces_positions());
    let wants_past = wants.recoverable || wants.since.is_some();
    let is_recoverable = may_recover && (options.force_recovery || wants_past);
    let is_positioned = may_follow && (options.forces_positions() || wants.positioned);
    let mut terms = Terms::default();
    // Recovery starts from a position: whoever does not follow it has none.
    terms.is_positioned = is_positioned || is_recoverable;
    terms.is_recoverable = is_recoverable;
    terms.gets_join_leave =
        options.join_leave && (options.force_push_join_leave || wants.join_leave);
    terms.is_member = options.presence || options.join_leave;
    terms
}
