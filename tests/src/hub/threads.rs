//! One engine under real threads: publishers that are acknowledged, workers that sleep until they are woken.
//! In: how many, and how tight the inboxes are. Out: what each reader got, what was acknowledged.
//!
//! Never: gives a thread a reason to go on but the engine's wake-up.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use fanfare_hub::{
    Activation, Batch, CatchUp, Channel, ConnToken, Delivery, Engine, Inbox, InboxLimits,
    MemoryConfig, MemoryEngine, OriginId, Origins, Payload, Position, Publication, Publish,
    Recovery, Request, Response, Retention, Since, Subscribe, Subscriptions, Tags, Ticket, Time,
    Unsubscribe, Wake,
};

use crate::clock;

/// A sleeper that nobody wakes for so long is forgotten.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Threads that publish.
    pub publishers: usize,
    /// Publications of each.
    pub publications: usize,
    /// Threads that read, each with one reader a channel and one that comes and goes.
    pub workers: usize,
    /// Channels.
    pub channels: usize,
    /// Publications that an inbox holds.
    pub deliveries_max: usize,
}

/// What a reader got of its channel.
#[derive(Debug, Default)]
pub struct Reader {
    /// The channel's number.
    pub channel: usize,
    /// Offsets and payloads.
    pub got: Vec<(u64, String)>,
    /// Where it was when it was told that it can't have what comes next, and where it went on.
    pub told: Vec<(u64, u64)>,
    /// How often it came back.
    pub resumed: usize,
    last: u64,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// The acknowledged publications of each channel, by offset.
    pub acknowledged: Vec<HashMap<u64, String>>,
    /// Every reader.
    pub readers: Vec<Reader>,
}

const RETENTION: Retention = Retention {
    size: 100_000,
    ttl: Duration::from_secs(3600),
    meta_ttl: Duration::from_secs(3600),
};
const NOW: Time = Time::from_millis(1_000_000);

#[derive(Clone, Debug, Default)]
struct Sleeper(Arc<OnceLock<Thread>>);

impl Wake for Sleeper {
    fn wake(&self) {
        if let Some(thread) = self.0.get() {
            thread.unpark();
        }
    }
}

/// Everything that a thread needs.
#[derive(Clone, Debug)]
struct Shared {
    engine: Arc<MemoryEngine>,
    channels: Arc<[Channel]>,
    start: Arc<Barrier>,
    is_over: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Post {
    origin: OriginId,
    inbox: Arc<Inbox>,
    sleeper: Sleeper,
}

impl Load {
    /// Runs it.
    ///
    /// # Panics
    ///
    /// If the engine refuses something, or forgets to wake somebody.
    #[must_use]
    pub fn run(self) -> Outcome {
        let mut origins = Origins::default();
        let limits = InboxLimits {
            deliveries_max: self.deliveries_max,
            ..InboxLimits::default()
        };
        let post = |origins: &mut Origins| {
            let sleeper = Sleeper::default();
            let inbox = Arc::new(Inbox::new(limits, sleeper.clone()));
            Post {
                origin: origins.add_worker(Arc::clone(&inbox)),
                inbox,
                sleeper,
            }
        };
        let workers: Vec<Post> = (0..self.workers).map(|_| post(&mut origins)).collect();
        let publishers: Vec<Post> = (0..self.publishers).map(|_| post(&mut origins)).collect();
        let inboxes: Vec<Arc<Inbox>> = workers.iter().map(|w| Arc::clone(&w.inbox)).collect();
        let name = |n: usize| Channel::parse(&format!("c{n}")).expect("it is legal");
        let shared = Shared {
            engine: Arc::new(MemoryEngine::new(MemoryConfig::new(1), origins)),
            channels: (0..self.channels).map(name).collect(),
            start: Arc::new(Barrier::new(self.workers + self.publishers)),
            is_over: Arc::default(),
        };
        thread::scope(|scope| {
            let reading: Vec<_> = workers
                .into_iter()
                .map(|post| scope.spawn(|| Worker::new(post, shared.clone()).run()))
                .collect();
            let publishing: Vec<_> = publishers
                .into_iter()
                .enumerate()
                .map(|(n, post)| {
                    let shared = shared.clone();
                    scope.spawn(move || publish(n, self.publications, &post, &shared))
                })
                .collect();
            let mut acknowledged = vec![HashMap::new(); self.channels];
            for thread in publishing {
                for (channel, offset, text) in thread.join().expect("a publisher failed") {
                    let before = acknowledged[channel].insert(offset, text);
                    assert_eq!(before, None, "offset {offset} was given twice");
                }
            }
            shared.is_over.store(true, Ordering::SeqCst);
            for inbox in inboxes {
                inbox.wake();
            }
            let readers = reading.into_iter();
            let readers = readers.flat_map(|thread| thread.join().expect("a worker failed"));
            Outcome {
                acknowledged,
                readers: readers.collect(),
            }
        })
    }
}

/// Publishes to one channel after the other; every publication is acknowledged before the next.
fn publish(number: usize, count: usize, post: &Post, shared: &Shared) -> Vec<(usize, u64, String)> {
    let mut batch = Batch::default();
    shared.start.wait();
    (0..count)
        .map(|n| {
            let channel = (n * 7 + number) % shared.channels.len();
            let text = format!("{number}.{n}");
            let ticket = Ticket {
                token: 0,
                generation: n as u64,
            };
            let request = Request::Publish(Publish {
                channel: shared.channels[channel].clone(),
                payload: Payload::text(text.clone()),
                tags: Tags::default(),
                info: None,
                retention: Some(RETENTION),
                idempotency_key: None,
            });
            let asked = shared
                .engine
                .request(NOW, post.origin, Some(ticket), request);
            asked.expect("one request is open");
            assert!(
                post.inbox.drain(&mut batch),
                "an engine in memory answers at once"
            );
            let Some(Delivery::Answer(answer)) = batch.next() else {
                panic!("a publisher subscribes to nothing");
            };
            assert_eq!(answer.ticket, ticket);
            let Ok(Response::Published(Some(Position { offset, .. }))) = answer.outcome else {
                panic!("{answer:?}");
            };
            (channel, offset, text)
        })
        .collect()
}

#[derive(Debug)]
struct Worker {
    post: Post,
    shared: Shared,
    table: Subscriptions<(), ()>,
    readers: Vec<Reader>,
    turns: usize,
}

impl Worker {
    fn new(post: Post, shared: Shared) -> Self {
        let channels = shared.channels.len();
        let reader = |n: usize| Reader {
            channel: n % channels,
            ..Reader::default()
        };
        Self {
            post,
            shared,
            table: Subscriptions::new(1),
            readers: (0..2 * channels).map(reader).collect(),
            turns: 0,
        }
    }

    fn run(mut self) -> Vec<Reader> {
        let thread = thread::current();
        assert!(self.post.sleeper.0.set(thread).is_ok(), "one thread a post");
        for reader in 0..self.readers.len() {
            self.subscribe(reader);
        }
        self.shared.start.wait();
        let mut batch = Batch::default();
        loop {
            let is_over = self.shared.is_over.load(Ordering::SeqCst);
            if self.post.inbox.drain(&mut batch) {
                self.turn(&mut batch);
            } else if is_over {
                return self.readers;
            } else {
                let slept_from = clock::now();
                thread::park_timeout(SLEEP_MAX);
                let slept = clock::now().saturating_duration_since(slept_from);
                assert!(slept < SLEEP_MAX, "nobody woke a worker");
            }
        }
    }

    fn turn(&mut self, batch: &mut Batch) {
        let mut is_news = false;
        for delivery in batch {
            match delivery {
                Delivery::Publication {
                    channel,
                    publication,
                } => {
                    is_news = true;
                    self.hand_out(&channel, &publication);
                }
                Delivery::Missed(missed) => self.table.miss(&missed),
                Delivery::Answer(answer) => {
                    let Ok(Response::Subscribed(subscribed)) = answer.outcome else {
                        panic!("{answer:?}");
                    };
                    let position = subscribed.position.expect("there is history");
                    let reader = self.reader_of(ConnToken(answer.ticket.token));
                    match self.table.activate(answer.ticket, Some(position), true) {
                        Activation::Live { .. } => {
                            self.readers[reader].resume(position, subscribed.recovery);
                        }
                        Activation::Superseded => {}
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        while let Some(id) = self.table.next_insufficient() {
            let (_, subscriber) = self.table.subscription(id).expect("it is open");
            let reader = self.reader_of(subscriber.conn());
            self.resubscribe(reader);
        }
        if !is_news {
            return; // or it would never end: every coming is answered
        }
        // The second half of the readers comes and goes, once before its answer is there.
        self.turns += 1;
        let half = self.readers.len() / 2;
        self.resubscribe(half + self.turns % half);
        if self.turns.is_multiple_of(3) {
            self.resubscribe(half + self.turns % half);
        }
    }

    fn hand_out(&mut self, channel: &Channel, publication: &Publication) {
        let Some(id) = self.table.accept(channel, publication) else {
            return;
        };
        let (_, (), subscribers) = self.table.channel_mut(id).expect("just accepted");
        let takers = subscribers.iter().filter(|s| s.takes(publication));
        let takers: Vec<ConnToken> = takers.map(|s| s.conn()).collect();
        for conn in takers {
            let reader = self.reader_of(conn);
            self.readers[reader].take(publication);
        }
    }

    fn reader_of(&self, conn: ConnToken) -> usize {
        let reader = usize::try_from(conn.0).expect("readers are few");
        assert!(reader < self.readers.len());
        reader
    }

    fn subscribe(&mut self, reader: usize) {
        let channel = self.shared.channels[self.readers[reader].channel].clone();
        let conn = ConnToken(reader as u64);
        let opened = self.table.open(conn, &channel, ()).expect("it has none");
        let ticket = Ticket {
            token: conn.0,
            generation: opened.id.generation(),
        };
        self.ask(
            Some(ticket),
            Request::Subscribe(Subscribe {
                channel,
                subscribers: opened.subscribers,
                retention: Some(RETENTION),
                catch_up: CatchUp::Since(Since {
                    offset: self.readers[reader].last,
                    epoch: None,
                }),
                member: None,
            }),
        );
    }

    fn resubscribe(&mut self, reader: usize) {
        let id = self.table.any_of(ConnToken(reader as u64));
        let closed = self.table.close(id.expect("it is subscribed"));
        let closed = closed.expect("it is open");
        self.ask(
            None,
            Request::Unsubscribe(Unsubscribe {
                channel: closed.channel,
                subscribers: closed.subscribers,
                client: None,
            }),
        );
        self.subscribe(reader);
    }

    fn ask(&self, ticket: Option<Ticket>, request: Request) {
        let asked = self
            .shared
            .engine
            .request(NOW, self.post.origin, ticket, request);
        asked.expect("few requests are open");
    }
}

impl Reader {
    fn resume(&mut self, position: Position, recovery: Recovery) {
        self.resumed += 1;
        match recovery {
            Recovery::Recovered(publications) => {
                for publication in publications {
                    self.take(&publication);
                }
                assert_eq!(self.last, position.offset, "recovery ends at the top");
            }
            Recovery::NotRecovered => self.told.push((self.last, position.offset)),
            other => panic!("{other:?}"),
        }
        self.last = position.offset;
    }

    fn take(&mut self, publication: &Publication) {
        let offset = publication.position.expect("there is history").offset;
        let text = publication.payload.as_text().expect("all are texts");
        self.got.push((offset, text.to_owned()));
        self.last = offset;
    }
}
