//! What waits for a worker: one FIFO for publications, answers and orders. In: deliveries of an engine.
//! Out: batches, and one wake-up for each sleep.
//!
//! An engine fills it under the channel's lock, so that what it holds of a channel is in the channel's
//! order, and wakes its owner when the lock is free. Publications are bounded by number
//! and bytes. One that does not fit leaves a [`Missed`] in its place: it says that whoever was subscribed
//! there, and follows the offsets, has missed something, and it says nothing of those whose answer stands
//! behind it. Answers always fit: their number is bounded by the requests that the owner may have open.
//!
//! Never: blocks on its owner; drops a publication without a mark.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::channel::Channel;
use crate::engine::{Answer, Busy, EngineError, Response};
use crate::limits::{
    INBOX_BYTES_MAX, INBOX_DELIVERIES_MAX, INBOX_EVENTS_MAX, INBOX_MARKS_MAX, INBOX_ORDERS_MAX,
    INBOX_REQUESTS_MAX,
};
use crate::order::Order;
use crate::presence::ClientInfo;
use crate::publication::Publication;

/// A queue that once was longer than this gives its memory back.
const CAPACITY_KEPT: usize = 4096;

/// Something that waits for a worker.
#[derive(Debug)]
pub enum Delivery {
    /// Published to a channel.
    Publication {
        /// The channel.
        channel: Channel,
        /// What.
        publication: Arc<Publication>,
    },
    /// Here something did not fit.
    Missed(Missed),
    /// Somebody came.
    Join {
        /// The channel.
        channel: Channel,
        /// Who.
        info: Arc<ClientInfo>,
    },
    /// Somebody went.
    Leave {
        /// The channel.
        channel: Channel,
        /// Who.
        info: Arc<ClientInfo>,
    },
    /// What came of a request.
    Answer(Box<Answer>),
    /// What the API wants done.
    Order(Arc<Order>),
}

/// Whose publications did not fit, at this place or behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missed {
    /// This channel's.
    Channel(Channel),
    /// Those of so many channels that they are not named: any.
    Any,
}

/// Wakes the owner of an inbox, from any thread. The server's is a `mio::Waker`.
pub trait Wake: Send + Sync + fmt::Debug {
    /// Makes the owner drain its inbox soon.
    fn wake(&self);
}

/// The caps of an inbox.
#[derive(Clone, Copy, Debug)]
pub struct InboxLimits {
    /// Publications that wait.
    pub deliveries_max: usize,
    /// Their payload bytes. One publication always fits if no other waits.
    pub bytes_max: usize,
    /// Requests whose answers the owner has not taken.
    pub requests_max: usize,
    /// Joins and leaves that wait: their number is no reason to miss a publication.
    pub events_max: usize,
    /// Orders that wait.
    pub orders_max: usize,
    /// Channels that are marked by name.
    pub marks_max: usize,
}

impl Default for InboxLimits {
    fn default() -> Self {
        Self {
            deliveries_max: INBOX_DELIVERIES_MAX,
            events_max: INBOX_EVENTS_MAX,
            bytes_max: INBOX_BYTES_MAX,
            requests_max: INBOX_REQUESTS_MAX,
            orders_max: INBOX_ORDERS_MAX,
            marks_max: INBOX_MARKS_MAX,
        }
    }
}

/// Whether the owner of an inbox must be woken, once the locks are free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an owner that sleeps would not see it"]
pub enum Owner {
    /// It drains before it sleeps, or somebody wakes it already.
    Awake,
    /// [`Inbox::wake`] it.
    Asleep,
}

/// What an owner has taken from its inbox: [`drain`](Inbox::drain) fills it, iterating empties it.
#[derive(Debug, Default)]
pub struct Batch {
    deliveries: VecDeque<Delivery>,
    events_lost: u64,
}

impl Batch {
    /// Joins and leaves that did not fit since the batch was made: nothing in the protocol tells a
    /// subscriber, so count them.
    #[must_use]
    pub const fn events_lost(&self) -> u64 {
        self.events_lost
    }
}

impl Iterator for Batch {
    type Item = Delivery;

    fn next(&mut self) -> Option<Delivery> {
        self.deliveries.pop_front()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.deliveries.iter().size_hint()
    }
}

impl ExactSizeIterator for Batch {}

#[derive(Debug, Default)]
struct Queue {
    deliveries: VecDeque<Delivery>,
    publications: usize,
    events: usize,
    bytes: usize,
    answers: usize,
    orders: usize,
    marked: HashSet<Channel>,
    all_marked: bool,
    events_lost: u64,
    is_asleep: bool,
}

impl Queue {
    /// Puts it at the end. Says whether the owner must be woken, which then is done.
    fn push(&mut self, delivery: Delivery) -> Owner {
        self.deliveries.push_back(delivery);
        if std::mem::replace(&mut self.is_asleep, false) {
            Owner::Asleep
        } else {
            Owner::Awake
        }
    }

    fn takes(&self, bytes: usize, limits: &InboxLimits) -> bool {
        let bytes_fit = self.bytes == 0 || self.bytes.saturating_add(bytes) <= limits.bytes_max;
        self.publications < limits.deliveries_max && bytes_fit
    }

    /// Marks `channel` here, unless a mark already stands behind everyone who is subscribed.
    fn mark(&mut self, channel: &Channel, limits: &InboxLimits) -> Owner {
        if self.all_marked || self.marked.contains(channel) {
            return Owner::Awake; // whoever put the mark there has woken the owner
        }
        if self.marked.len() < limits.marks_max {
            self.marked.insert(channel.clone());
            self.push(Delivery::Missed(Missed::Channel(channel.clone())))
        } else {
            self.all_marked = true;
            self.push(Delivery::Missed(Missed::Any))
        }
    }

    /// Somebody subscribes here: the marks in front do not count for it.
    fn unmark(&mut self, channel: &Channel) {
        self.marked.remove(channel);
        self.all_marked = false;
    }
}

/// A bounded FIFO with one owner, which drains it, and engines, which fill it.
#[derive(Debug)]
pub struct Inbox {
    queue: Mutex<Queue>,
    /// Requests with a ticket whose answers the owner has not taken.
    requests: AtomicUsize,
    limits: InboxLimits,
    wake: Box<dyn Wake>,
}

impl Inbox {
    /// An empty inbox whose owner is awake.
    pub fn new(limits: InboxLimits, wake: impl Wake + 'static) -> Self {
        Self {
            queue: Mutex::default(),
            requests: AtomicUsize::new(0),
            limits,
            wake: Box::new(wake),
        }
    }

    /// The owner's: takes all that waits. False: there was nothing, and the owner now counts as asleep:
    /// the next delivery wakes it. After true it drains again before it sleeps.
    pub fn drain(&self, batch: &mut Batch) -> bool {
        let mut queue = self.lock();
        batch.events_lost += std::mem::take(&mut queue.events_lost);
        if queue.deliveries.is_empty() {
            queue.is_asleep = true;
            return false;
        }
        if batch.deliveries.is_empty() {
            std::mem::swap(&mut batch.deliveries, &mut queue.deliveries);
            queue.deliveries.shrink_to(CAPACITY_KEPT);
        } else {
            batch.deliveries.append(&mut queue.deliveries);
        }
        let answers = std::mem::take(&mut queue.answers);
        queue.publications = 0;
        queue.events = 0;
        queue.bytes = 0;
        queue.orders = 0;
        if !queue.marked.is_empty() {
            queue.marked = HashSet::new(); // its memory goes, too
        }
        queue.all_marked = false;
        drop(queue);
        self.requests.fetch_sub(answers, Ordering::Relaxed);
        true
    }

    /// The owner's: it is up for another reason and drains before it sleeps. Until then nobody needs to
    /// wake it.
    pub fn rouse(&self) {
        self.lock().is_asleep = false;
    }

    /// An engine's: counts a request that will be answered.
    ///
    /// # Errors
    ///
    /// [`Busy`]: the owner has too many open.
    pub fn begin_request(&self) -> Result<(), Busy> {
        let open = |count: usize| (count < self.limits.requests_max).then_some(count + 1);
        match self
            .requests
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, open)
        {
            Ok(_) => Ok(()),
            Err(_) => Err(Busy),
        }
    }

    /// An engine's: answers a request that was counted.
    pub fn push_answer(&self, answer: Answer) -> Owner {
        let mut queue = self.lock();
        queue.answers += 1;
        if let Ok(Response::Subscribed(subscribed)) = &answer.outcome {
            queue.unmark(&subscribed.channel);
        }
        queue.push(Delivery::Answer(Box::new(answer)))
    }

    /// An engine's: a publication, or a mark in its place.
    pub fn push_publication(&self, channel: &Channel, publication: &Arc<Publication>) -> Owner {
        let bytes = publication.payload.bytes().len();
        let mut queue = self.lock();
        if !queue.takes(bytes, &self.limits) {
            return queue.mark(channel, &self.limits);
        }
        queue.publications += 1;
        queue.bytes += bytes;
        queue.push(Delivery::Publication {
            channel: channel.clone(),
            publication: Arc::clone(publication),
        })
    }

    /// An engine's: a join or leave; one that does not fit is counted.
    pub fn push_event(&self, event: Delivery) -> Owner {
        debug_assert!(matches!(
            event,
            Delivery::Join { .. } | Delivery::Leave { .. }
        ));
        let mut queue = self.lock();
        if queue.events >= self.limits.events_max {
            queue.events_lost += 1;
            return Owner::Awake;
        }
        queue.events += 1;
        queue.push(event)
    }

    /// An engine's: an order.
    ///
    /// # Errors
    ///
    /// [`EngineError::Overloaded`].
    pub fn push_order(&self, order: &Arc<Order>) -> Result<Owner, EngineError> {
        let mut queue = self.lock();
        if queue.orders >= self.limits.orders_max {
            return Err(EngineError::Overloaded);
        }
        queue.orders += 1;
        Ok(queue.push(Delivery::Order(Arc::clone(order))))
    }

    /// An engine's, without any lock: wakes an owner that was [`Owner::Asleep`].
    pub fn wake(&self) {
        self.wake.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue
            .lock()
            .expect("nothing under this lock panics but for want of memory")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Recovery, Subscribed, Ticket};
    use crate::history::tests::publication;
    use crate::order::{Action, Target};
    use crate::presence::{ClientId, UserId};

    #[derive(Debug)]
    struct Nobody;

    impl Wake for Nobody {
        fn wake(&self) {}
    }

    fn inbox(change: impl FnOnce(&mut InboxLimits)) -> Inbox {
        let mut limits = InboxLimits::default();
        change(&mut limits);
        Inbox::new(limits, Nobody)
    }

    fn channel(name: &str) -> Channel {
        Channel::parse(name).unwrap()
    }

    fn publish(inbox: &Inbox, name: &str, bytes: usize) -> Owner {
        inbox.push_publication(&channel(name), &Arc::new(publication(bytes)))
    }

    fn answer(inbox: &Inbox, outcome: Result<Response, EngineError>) -> Owner {
        let ticket = Ticket {
            token: 1,
            generation: 2,
        };
        inbox.push_answer(Answer { ticket, outcome })
    }

    fn subscribed(inbox: &Inbox, name: &str) -> Owner {
        let subscribed = Subscribed {
            channel: channel(name),
            position: None,
            recovery: Recovery::NotAsked,
        };
        answer(inbox, Ok(Response::Subscribed(subscribed)))
    }

    fn event(name: &str, is_join: bool) -> Delivery {
        let channel = channel(name);
        let info = Arc::new(ClientInfo {
            user: UserId::from("u"),
            client: ClientId::from("c"),
            connection_info: None,
            channel_info: None,
        });
        if is_join {
            Delivery::Join { channel, info }
        } else {
            Delivery::Leave { channel, info }
        }
    }

    /// What waits, a word each.
    fn taken(inbox: &Inbox) -> Vec<String> {
        let mut batch = Batch::default();
        inbox.drain(&mut batch);
        let word = |delivery: Delivery| match delivery {
            Delivery::Publication { channel, .. } => format!("{channel}"),
            Delivery::Missed(Missed::Channel(channel)) => format!("missed {channel}"),
            Delivery::Missed(Missed::Any) => "missed any".to_owned(),
            Delivery::Join { channel, .. } => format!("join {channel}"),
            Delivery::Leave { channel, .. } => format!("leave {channel}"),
            Delivery::Answer(_) => "answer".to_owned(),
            Delivery::Order(_) => "order".to_owned(),
        };
        batch.map(word).collect()
    }

    fn push(inbox: &Inbox, names: &str) {
        for name in names.split(' ') {
            let _ = publish(inbox, name, 1);
        }
    }

    #[test]
    fn an_owner_is_woken_once_a_sleep_and_only_then() {
        let inbox = inbox(|_| {});
        let mut batch = Batch::default();
        assert_eq!(publish(&inbox, "a", 1), Owner::Awake, "it begins awake");
        assert!(inbox.drain(&mut batch));
        assert_eq!(publish(&inbox, "a", 1), Owner::Awake, "it drains once more");
        assert!(inbox.drain(&mut batch));
        assert!(!inbox.drain(&mut batch));
        assert_eq!(batch.len(), 2, "batches add up");
        assert_eq!(batch.by_ref().count(), 2);
        assert_eq!(publish(&inbox, "a", 1), Owner::Asleep);
        assert_eq!(subscribed(&inbox, "a"), Owner::Awake, "it is being woken");
        assert!(inbox.drain(&mut batch));
        assert!(!inbox.drain(&mut batch));
        inbox.rouse();
        assert_eq!(publish(&inbox, "a", 1), Owner::Awake, "it got up by itself");
    }

    #[test]
    fn everything_wakes_and_a_mark_does_too() {
        let pushes: [fn(&Inbox) -> Owner; 4] = [
            |inbox| publish(inbox, "a", 1),
            |inbox| subscribed(inbox, "a"),
            |inbox| inbox.push_event(event("a", true)),
            |inbox| inbox.push_order(&order()).unwrap(),
        ];
        for (n, push) in pushes.iter().enumerate() {
            let inbox = inbox(|_| {});
            assert!(!inbox.drain(&mut Batch::default()));
            assert_eq!(push(&inbox), Owner::Asleep, "push {n}");
        }
        let inbox = inbox(|limits| limits.deliveries_max = 0);
        assert!(!inbox.drain(&mut Batch::default()));
        assert_eq!(publish(&inbox, "a", 1), Owner::Asleep);
        assert_eq!(taken(&inbox), ["missed a"]);
    }

    #[test]
    fn what_does_not_fit_leaves_one_mark_in_its_place() {
        let inbox = inbox(|limits| limits.deliveries_max = 2);
        push(&inbox, "a b a a c");
        let _ = answer(&inbox, Ok(Response::Unsubscribed));
        push(&inbox, "a c");
        assert_eq!(taken(&inbox), ["a", "b", "missed a", "missed c", "answer"]);
        push(&inbox, "a b a");
        assert_eq!(
            taken(&inbox),
            ["a", "b", "missed a"],
            "room again, and marks again"
        );
    }

    #[test]
    fn who_subscribes_behind_a_mark_gets_a_mark_of_its_own() {
        let inbox = inbox(|limits| limits.deliveries_max = 1);
        push(&inbox, "a a b");
        let _ = subscribed(&inbox, "a");
        push(&inbox, "b a a");
        let expected = ["a", "missed a", "missed b", "answer", "missed a"];
        assert_eq!(taken(&inbox), expected);
    }

    #[test]
    fn past_the_cap_of_marks_one_stands_for_all() {
        let inbox = inbox(|limits| {
            limits.deliveries_max = 0;
            limits.marks_max = 2;
        });
        push(&inbox, "a b c d");
        let _ = subscribed(&inbox, "d");
        push(&inbox, "e d a");
        let expected = ["missed a", "missed b", "missed any", "answer", "missed any"];
        assert_eq!(taken(&inbox), expected);
        push(&inbox, "e");
        assert_eq!(taken(&inbox), ["missed e"], "marks again");
    }

    #[test]
    fn bytes_have_a_cap_but_a_single_publication_always_fits() {
        let inbox = inbox(|limits| limits.bytes_max = 10);
        let _ = publish(&inbox, "huge", 1000);
        let _ = publish(&inbox, "a", 1);
        assert_eq!(taken(&inbox), ["huge", "missed a"]);
        let _ = publish(&inbox, "a", 4);
        let _ = publish(&inbox, "b", 6);
        let _ = publish(&inbox, "c", 1);
        let _ = publish(&inbox, "d", 0);
        assert_eq!(taken(&inbox), ["a", "b", "missed c", "d"]);
    }

    #[test]
    fn events_that_do_not_fit_are_counted() {
        let inbox = inbox(|limits| {
            limits.events_max = 2;
            limits.deliveries_max = 0; // is not theirs
        });
        for is_join in [true, false, true] {
            let _ = inbox.push_event(event("a", is_join));
        }
        let mut batch = Batch::default();
        assert!(inbox.drain(&mut batch));
        assert_eq!((batch.by_ref().count(), batch.events_lost()), (2, 1));
        let _ = inbox.push_event(event("a", true));
        assert_eq!(taken(&inbox), ["join a"]);
    }

    #[test]
    fn requests_are_open_until_their_answers_are_taken() {
        let inbox = inbox(|limits| limits.requests_max = 2);
        for _ in 0..2 {
            inbox.begin_request().unwrap();
        }
        assert_eq!(inbox.begin_request(), Err(Busy));
        let _ = answer(&inbox, Err(EngineError::Unavailable));
        assert_eq!(inbox.begin_request(), Err(Busy), "not taken yet");
        assert_eq!(taken(&inbox), ["answer"]);
        inbox.begin_request().unwrap();
        assert_eq!(inbox.begin_request(), Err(Busy));
    }

    #[test]
    fn orders_have_a_cap_of_their_own() {
        let inbox = inbox(|limits| {
            limits.orders_max = 1;
            limits.deliveries_max = 0;
        });
        assert!(inbox.push_order(&order()).is_ok());
        assert_eq!(inbox.push_order(&order()), Err(EngineError::Overloaded));
        assert_eq!(taken(&inbox), ["order"]);
        assert!(inbox.push_order(&order()).is_ok());
    }

    fn order() -> Arc<Order> {
        Arc::new(Order {
            target: Target {
                user: UserId::from("u"),
                client: None,
            },
            action: Action::Refresh { expire_at: None },
        })
    }
}
