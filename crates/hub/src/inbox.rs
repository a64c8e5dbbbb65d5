//! What waits for a worker: one FIFO for publications, answers and orders. In: deliveries of an engine.
//! Out: batches, and one wake-up for each sleep.
//!
//! An engine fills it under the channel's lock, so that what it holds of a channel is in the channel's
//! order, and wakes its owner when the lock is free. Publications, joins and leaves are bounded by number
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
use crate::engine::{Answer, Busy, EngineError, OriginId, Response};
use crate::limits::{
    INBOX_BYTES_MAX, INBOX_DELIVERIES_MAX, INBOX_MARKS_MAX, INBOX_ORDERS_MAX, INBOX_REQUESTS_MAX,
    ORIGINS_MAX,
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
    /// Publications, joins and leaves that wait.
    pub deliveries_max: usize,
    /// Their payload bytes. One publication always fits if no other waits.
    pub bytes_max: usize,
    /// Requests whose answers the owner has not taken.
    pub requests_max: usize,
    /// Orders that wait.
    pub orders_max: usize,
    /// Channels that are marked by name.
    pub marks_max: usize,
}

impl Default for InboxLimits {
    fn default() -> Self {
        Self {
            deliveries_max: INBOX_DELIVERIES_MAX,
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
}

#[derive(Debug, Default)]
struct Queue {
    deliveries: VecDeque<Delivery>,
    /// Of them publications, joins and leaves.
    bounded: usize,
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
        self.bounded < limits.deliveries_max && bytes_fit
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
        queue.bounded = 0;
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
        queue.bounded += 1;
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
        if !queue.takes(0, &self.limits) {
            queue.events_lost += 1;
            return Owner::Awake;
        }
        queue.bounded += 1;
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

/// Everyone who may ask an engine, each with its inbox.
#[derive(Debug, Default)]
pub struct Origins {
    inboxes: Vec<Arc<Inbox>>,
    workers: Vec<OriginId>,
}

impl Origins {
    /// A worker: it gets orders.
    ///
    /// # Panics
    ///
    /// Past [`ORIGINS_MAX`].
    pub fn add_worker(&mut self, inbox: Arc<Inbox>) -> OriginId {
        let origin = self.add_caller(inbox);
        self.workers.push(origin);
        origin
    }

    /// Another caller, say the API: it gets answers, and publications if it subscribes, but no orders.
    ///
    /// # Panics
    ///
    /// Past [`ORIGINS_MAX`].
    pub fn add_caller(&mut self, inbox: Arc<Inbox>) -> OriginId {
        assert!(self.inboxes.len() < ORIGINS_MAX, "too many origins");
        let number = u16::try_from(self.inboxes.len()).expect("ORIGINS_MAX fits");
        self.inboxes.push(inbox);
        OriginId(number)
    }

    /// The inbox of `origin`.
    ///
    /// # Panics
    ///
    /// If another [`Origins`] has numbered it.
    #[must_use]
    pub fn inbox(&self, origin: OriginId) -> &Inbox {
        &self.inboxes[usize::from(origin.0)]
    }

    /// Those who get orders.
    #[must_use]
    pub fn workers(&self) -> &[OriginId] {
        &self.workers
    }

    /// Wakes everyone in `wakes`. No lock is held.
    pub fn wake(&self, wakes: &WakeSet) {
        for (word, mut bits) in wakes.0.iter().copied().enumerate() {
            while bits != 0 {
                let index = word * 64 + bits.trailing_zeros() as usize;
                self.inboxes[index].wake();
                bits &= bits - 1;
            }
        }
    }
}

/// Owners to wake once the locks are free.
#[derive(Clone, Copy, Debug, Default)]
pub struct WakeSet([u64; ORIGINS_MAX / 64]);

impl WakeSet {
    /// Notes what a push said of its owner.
    pub const fn note(&mut self, origin: OriginId, owner: Owner) {
        if matches!(owner, Owner::Asleep) {
            self.0[origin.0 as usize / 64] |= 1 << (origin.0 % 64);
        }
    }
}
