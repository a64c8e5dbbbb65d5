//! The API as the engine's caller. In: requests. Out: their answers, from the API's inbox.
//!
//! Each request has a number, its ticket; whoever waits for the answer is found by it. An answer that
//! nobody waits for any more is dropped.
//!
//! Never: blocks; waits longer than [`ENGINE_TIME_MAX`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use fanfare_hub::{
    Answer, Batch, Delivery, Engine, EngineError, Inbox, InboxLimits, OriginId, Request, Response,
    Ticket, Wake,
};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::error::ApiError;
use crate::clock::Clock;
use crate::limits::ENGINE_TIME_MAX;

/// Where the engine's answers to the API arrive.
pub(crate) struct Mailbox {
    inbox: Arc<Inbox>,
    news: Arc<Notify>,
}

/// Wakes the HTTP thread.
#[derive(Debug)]
struct Bell(Arc<Notify>);

impl Wake for Bell {
    fn wake(&self) {
        self.0.notify_one();
    }
}

impl Mailbox {
    /// An empty one. Its inbox becomes a caller of the engine's ([`Origins`](fanfare_hub::Origins)).
    pub(crate) fn new(limits: InboxLimits) -> Self {
        let news = Arc::new(Notify::new());
        Self {
            inbox: Arc::new(Inbox::new(limits, Bell(Arc::clone(&news)))),
            news,
        }
    }

    pub(crate) fn inbox(&self) -> Arc<Inbox> {
        Arc::clone(&self.inbox)
    }
}

type Outcome = Result<Response, EngineError>;

/// Whoever waits for an answer, by ticket.
#[derive(Debug, Default)]
struct Waiting(Mutex<Tickets>);

#[derive(Debug, Default)]
struct Tickets {
    last: u64,
    open: HashMap<u64, oneshot::Sender<Outcome>>,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Tickets> {
        self.0
            .lock()
            .expect("nothing under this lock panics but for want of memory")
    }
}

/// Somebody who waits; no longer once it is dropped.
struct Waiter {
    waiting: Arc<Waiting>,
    number: u64,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.waiting.lock().open.remove(&self.number);
    }
}

/// Asks the engine.
#[derive(Debug)]
pub(super) struct Caller {
    engine: Arc<dyn Engine>,
    origin: OriginId,
    clock: Clock,
    waiting: Arc<Waiting>,
}

impl Caller {
    /// A caller, and what brings it the answers in `mailbox` as long as it is polled.
    pub(super) fn new(
        mailbox: Mailbox,
        engine: Arc<dyn Engine>,
        origin: OriginId,
        clock: Clock,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let waiting = Arc::new(Waiting::default());
        let caller = Self {
            engine,
            origin,
            clock,
            waiting: Arc::clone(&waiting),
        };
        (caller, deliver(mailbox, waiting))
    }

    pub(super) const fn clock(&self) -> Clock {
        self.clock
    }

    /// Asks at once, polled or not; the answer is waited for.
    ///
    /// # Errors
    ///
    /// What the engine refuses, [`ApiError::TooManyRequests`] if it has too many requests of the API
    /// open, [`ApiError::Internal`] if it does not answer. The request may take effect all the same.
    pub(super) fn ask(
        &self,
        request: Request,
    ) -> impl Future<Output = Result<Response, ApiError>> + Send + use<> {
        let (answered, answer) = oneshot::channel();
        let answer = timeout(ENGINE_TIME_MAX, answer); // from now, not from when it is polled
        let waiter = self.enter(answered);
        let ticket = Ticket {
            token: waiter.number,
            generation: 0,
        };
        let now = self.clock.for_hub_exactly(self.clock.moment());
        let asked = self.engine.request(now, self.origin, Some(ticket), request);
        async move {
            let _waiter = waiter;
            asked?;
            match answer.await {
                Ok(Ok(outcome)) => Ok(outcome?),
                Ok(Err(_)) | Err(_) => {
                    tracing::warn!("the engine has not answered the API");
                    Err(ApiError::Internal)
                }
            }
        }
    }

    fn enter(&self, answered: oneshot::Sender<Outcome>) -> Waiter {
        let mut tickets = self.waiting.lock();
        tickets.last += 1;
        let number = tickets.last;
        tickets.open.insert(number, answered);
        Waiter {
            waiting: Arc::clone(&self.waiting),
            number,
        }
    }
}

/// An answer to another question than was asked.
pub(super) fn unexpected(response: &Response) -> ApiError {
    debug_assert!(false, "an engine answers what it was asked: {response:?}");
    ApiError::Internal
}

/// Gives each answer to whoever waits for it.
async fn deliver(mailbox: Mailbox, waiting: Arc<Waiting>) {
    let mut batch = Batch::default();
    loop {
        while mailbox.inbox.drain(&mut batch) {
            for delivery in &mut batch {
                // Nothing else comes: the API subscribes to nothing, and orders are for workers.
                if let Delivery::Answer(answer) = delivery {
                    let Answer { ticket, outcome } = *answer;
                    if let Some(waits) = waiting.lock().open.remove(&ticket.token) {
                        let _ = waits.send(outcome); // it may have gone just now
                    }
                }
            }
        }
        mailbox.news.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use fanfare_hub::{
        Busy, Channel, MemoryConfig, MemoryEngine, Origins, Time as HubTime, Upkeep,
    };

    use super::*;

    /// Takes requests and answers when it is told to.
    #[derive(Debug)]
    struct Sluggish {
        inbox: Arc<Inbox>,
        asked: Mutex<Vec<Ticket>>,
        is_dead: AtomicBool,
    }

    impl Engine for Sluggish {
        fn request(
            &self,
            _now: HubTime,
            _origin: OriginId,
            ticket: Option<Ticket>,
            _request: Request,
        ) -> Result<(), Busy> {
            self.inbox.begin_request()?;
            self.asked.lock().unwrap().extend(ticket);
            Ok(())
        }

        fn tick(&self, _now: HubTime) -> Upkeep {
            Upkeep::Done
        }
    }

    impl Sluggish {
        fn answer_last_first(&self) {
            if self.is_dead.load(Ordering::Relaxed) {
                return;
            }
            for ticket in self.asked.lock().unwrap().drain(..).rev() {
                let outcome = if ticket.token.is_multiple_of(2) {
                    Ok(Response::HistoryRemoved)
                } else {
                    Err(EngineError::Unavailable)
                };
                let _ = self.inbox.push_answer(Answer { ticket, outcome });
            }
            self.inbox.wake();
        }
    }

    fn sluggish(requests_max: usize) -> (Arc<Sluggish>, Caller) {
        let mailbox = Mailbox::new(InboxLimits {
            requests_max,
            ..InboxLimits::default()
        });
        let origin = Origins::default().add_caller(mailbox.inbox());
        let engine = Arc::new(Sluggish {
            inbox: mailbox.inbox(),
            asked: Mutex::default(),
            is_dead: AtomicBool::new(false),
        });
        let (caller, delivery) =
            Caller::new(mailbox, Arc::clone(&engine) as _, origin, Clock::start());
        tokio::spawn(delivery);
        (engine, caller)
    }

    fn request() -> Request {
        Request::HistoryRemove(Channel::parse("a").unwrap())
    }

    #[tokio::test]
    async fn answers_reach_whoever_asked_in_any_order() {
        let (engine, caller) = sluggish(8);
        let asked: Vec<_> = (0..8).map(|_| caller.ask(request())).collect();
        engine.answer_last_first();
        for (number, answer) in (1..).zip(asked) {
            match answer.await {
                Ok(Response::HistoryRemoved) => assert_eq!(number % 2, 0),
                Err(ApiError::Internal) => assert_eq!(number % 2, 1),
                other => panic!("{number}: {other:?}"),
            }
        }
        assert!(caller.waiting.lock().open.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_is_dead_is_not_waited_for() {
        let (engine, caller) = sluggish(2);
        engine.is_dead.store(true, Ordering::Relaxed);
        let answers = [caller.ask(request()), caller.ask(request())];
        let busy = caller.ask(request()).await;
        assert_eq!(busy.unwrap_err(), ApiError::TooManyRequests);
        for answer in answers {
            assert_eq!(answer.await.unwrap_err(), ApiError::Internal);
        }
        assert!(caller.waiting.lock().open.is_empty(), "nobody waits");
    }

    #[tokio::test]
    async fn an_answer_that_nobody_waits_for_is_dropped() {
        let (engine, caller) = sluggish(1);
        drop(caller.ask(request()));
        assert!(caller.waiting.lock().open.is_empty());
        engine.answer_last_first();
        tokio::task::yield_now().await;
        let next = caller.ask(request());
        engine.answer_last_first();
        assert!(matches!(next.await, Ok(Response::HistoryRemoved)));
    }

    #[tokio::test]
    async fn the_engine_in_memory_answers_at_once() {
        let mailbox = Mailbox::new(InboxLimits::default());
        let mut origins = Origins::default();
        let origin = origins.add_caller(mailbox.inbox());
        let engine = Arc::new(MemoryEngine::new(MemoryConfig::new(1), origins));
        let (caller, delivery) = Caller::new(mailbox, engine, origin, Clock::start());
        tokio::spawn(delivery);
        for _ in 0..3 {
            let answer = caller.ask(Request::Info).await;
            assert!(matches!(answer, Ok(Response::Info(_))), "{answer:?}");
        }
    }
}
