//! A worker's part, with a real engine and no sockets. In: subscribes, publishes. Out: what would be sent.
//!
//! Never: opens a socket.

use std::sync::Arc;

use arc_swap::ArcSwap;
use fanfare_codec::Message;
use fanfare_codec::deflate::{Deflaters, DirectionTerms, FreshWindow, WindowBits};
use fanfare_hub::{
    CatchUp, ChannelOptions, ClientId, Delivery, InboxLimits, MemoryConfig, MemoryEngine,
    Namespaces, Origins, PresenceStats, Since, Target, UserId, Wake,
};

use super::segment::Cohort;
use super::segment::tests::deflaters;
use super::*;
use crate::config::Live;
use crate::limits::SEGMENT_BYTES_MAX;
use crate::slab::Slab;

#[derive(Debug)]
struct NobodySleeps;

impl Wake for NobodySleeps {
    fn wake(&self) {}
}

/// What a connection was told: the frames, and which allocation they came from.
type Told = (ConnId, Vec<u8>, *const Segment);

struct World {
    workers: Vec<Push>,
    conns: Slab<()>,
    now: Time,
}

impl World {
    fn new(workers: u64, limits: InboxLimits) -> Self {
        let mut namespaces = Namespaces::default();
        let open = ChannelOptions {
            allow_publish_for_subscriber: true,
            allow_publish_for_anonymous: true,
            presence: true,
            ..ChannelOptions::default()
        };
        namespaces.set_unnamed(open.clone()).unwrap();
        let kept = ChannelOptions {
            history_size: 10,
            history_ttl: std::time::Duration::from_secs(60),
            history_meta_ttl: std::time::Duration::from_secs(60),
            ..open
        };
        namespaces.add("kept", kept).unwrap();
        namespaces.add("quiet", ChannelOptions::default()).unwrap();
        let live: SharedLive = Arc::new(ArcSwap::from_pointee(Live {
            namespaces,
            publication_bytes_max: 100_000,
            ..Live::closed()
        }));
        let mut origins = Origins::default();
        let inbox = |_| Arc::new(Inbox::new(limits, NobodySleeps));
        let inboxes: Vec<Arc<Inbox>> = (0..workers).map(inbox).collect();
        let posts: Vec<_> = inboxes
            .into_iter()
            .map(|inbox| (origins.add_worker(Arc::clone(&inbox)), inbox))
            .collect();
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new(MemoryConfig::new(1), origins));
        let tokens = Tokens::start(&live).unwrap();
        let worker = |(number, (origin, inbox))| {
            Push::new(Link {
                engine: Arc::clone(&engine),
                origin,
                inbox,
                live: Arc::clone(&live),
                clock: Clock::start(),
                client_ids: ClientIds::new(1, number),
                gateway: Gateway::closed(),
                tokens: tokens.clone(),
                hooks: Hooks::closed(),
                returns: Arc::new(Returns::new(NobodySleeps)),
                census: Arc::default(),
                metrics: Arc::default(),
                channels_max: 16,
                has_echo: false,
            })
        };
        Self {
            workers: (0..).zip(posts).map(worker).collect(),
            conns: Slab::new(),
            now: Time::from_millis(1),
        }
    }

    fn options(&self, channel: &Channel) -> Arc<ChannelOptions> {
        let live = self.workers[0].link.live.load_full();
        Arc::clone(live.namespaces.resolve(channel).unwrap())
    }

    /// Requests a subscription of a new connection.
    fn ask(
        &mut self,
        worker: usize,
        channel: &str,
        variant: impl Into<Variant>,
        catch_up: CatchUp,
    ) -> ConnId {
        let conn = self.conns.insert(());
        let channel = Channel::parse(channel).unwrap();
        let options = self.options(&channel);
        let push = &mut self.workers[worker];
        let wish = Wish {
            channel: &channel,
            options: &options,
            terms: Terms::plain(options.presence),
            catch_up,
            info: push.link.client_ids.info(conn),
        };
        assert_eq!(push.subscribe(conn, variant, wish, self.now), Ok(()));
        conn
    }

    fn subscribe(&mut self, worker: usize, channel: &str, variant: impl Into<Variant>) -> ConnId {
        let conn = self.ask(worker, channel, variant, CatchUp::Now);
        let (_, news) = self.turn(worker);
        assert!(matches!(news[..], [News::Welcome(who, _)] if who == conn));
        conn
    }

    fn publish(&mut self, worker: usize, conn: ConnId, text: &str) {
        let message = Message::Text(text);
        assert_eq!(
            self.workers[worker].publish(conn, None, message, self.now),
            Ok(())
        );
    }

    /// A worker's turn: what subscribers are told, and the news.
    fn turn(&mut self, worker: usize) -> (Vec<Told>, Vec<News>) {
        let push = &mut self.workers[worker];
        let (mut told, mut news) = (Vec::new(), Vec::new());
        let mut batch = Batch::default();
        while push.drain(&mut batch) {
            for delivery in &mut batch {
                match push.take(delivery, self.now) {
                    Some(News::TickIsFull) => fan_out(push, &mut told),
                    other => news.extend(other),
                }
            }
            fan_out(push, &mut told);
        }
        (told, news)
    }
}

fn fan_out(push: &mut Push, told: &mut Vec<Told>) {
    fan_out_with(push, &mut deflaters(), told);
}

fn fan_out_with(push: &mut Push, deflaters: &mut Deflaters, told: &mut Vec<Told>) {
    push.fan_out(deflaters, |conn, share| {
        let Share { segment, range, .. } = share;
        let bytes = &segment.bytes()[range.start as usize..range.end as usize];
        told.push((conn, bytes.to_vec(), Arc::as_ptr(segment)));
    });
}

#[test]
fn a_tick_is_encoded_once_for_each_worker_and_cohort() {
    let mut world = World::new(2, InboxLimits::default());
    let a = world.subscribe(0, "kept:x", Cohort::Bare);
    let b = world.subscribe(0, "kept:x", Cohort::Bare);
    let c = world.subscribe(0, "kept:x", Cohort::Positioned);
    let d = world.subscribe(1, "kept:x", Cohort::Bare);
    for text in ["1", "22"] {
        world.publish(1, d, text);
    }
    let (told, _) = world.turn(0);
    let bare = b"\x81\x011\x81\x0222".to_vec();
    let frames = |who| &told.iter().find(|told| told.0 == who).unwrap().1;
    assert_eq!((frames(a), frames(b)), (&bare, &bare));
    let positioned = frames(c);
    assert!(positioned.ends_with(b" 22") && positioned.starts_with(b"\x81"));
    let segment = |who| told.iter().find(|told| told.0 == who).unwrap().2;
    assert_eq!(segment(a), segment(b));
    assert_ne!(segment(a), segment(c));
    let (told, _) = world.turn(1);
    assert_eq!(told.len(), 1, "each once: {told:?}");
    assert_eq!((told[0].0, &told[0].1), (d, &bare));
}

#[test]
fn who_joins_within_a_tick_gets_what_comes_behind_its_answer() {
    for channel in ["x", "kept:x"] {
        let mut world = World::new(1, InboxLimits::default());
        let first = world.subscribe(0, channel, Cohort::Bare);
        world.publish(0, first, "1");
        let late = world.ask(0, channel, Cohort::Bare, CatchUp::Now);
        world.publish(0, first, "2");
        let (told, news) = world.turn(0);
        let welcomed = news
            .iter()
            .any(|n| matches!(n, News::Welcome(who, _) if *who == late));
        assert!(welcomed, "{news:?}");
        let frames = |who| {
            told.iter()
                .find(|told| told.0 == who)
                .map(|told| &told.1[..])
        };
        assert_eq!(frames(first), Some(&b"\x81\x011\x81\x012"[..]));
        assert_eq!(frames(late), Some(&b"\x81\x012"[..]));
        // In the next tick it is like any other.
        world.publish(0, first, "3");
        let (told, _) = world.turn(0);
        assert_eq!(told.len(), 2);
        assert!(told.iter().all(|told| told.1 == b"\x81\x013"));
    }
}

#[test]
fn a_full_tick_is_told_before_the_next_delivery() {
    let mut world = World::new(1, InboxLimits::default());
    let conn = world.subscribe(0, "x", Cohort::Bare);
    let text = "x".repeat(SEGMENT_BYTES_MAX / 2);
    for _ in 0..5 {
        world.publish(0, conn, &text);
    }
    let (told, _) = world.turn(0);
    let lens: Vec<usize> = told.iter().map(|told| told.1.len() / text.len()).collect();
    assert_eq!(lens, [2, 2, 1]);
}

#[test]
fn who_comes_back_gets_what_it_missed_or_is_told() {
    let mut world = World::new(1, InboxLimits::default());
    let first = world.subscribe(0, "kept:x", Cohort::Bare);
    for text in ["1", "2", "3"] {
        world.publish(0, first, text);
    }
    let _ = world.turn(0);
    let mut back = |offset| {
        let since = Since {
            offset,
            epoch: None,
        };
        world.ask(0, "kept:x", Cohort::Bare, CatchUp::Since(since));
        let (_, mut news) = world.turn(0);
        let Some(News::Welcome(_, welcome)) = news.pop() else {
            panic!("no welcome");
        };
        welcome
    };
    assert!(back(9).is_insufficient());
    let welcome = back(1);
    assert_eq!(welcome.position().unwrap().offset, 3);
    let (mut replies, mut outbound) = (Vec::new(), crate::outbound::Outbound::default());
    welcome.queue(&mut replies, &mut outbound, &mut deflaters());
    assert_eq!(replies, b"\x81\x012\x81\x013");
}

#[test]
fn an_inbox_that_overflows_tells_those_who_follow_positions() {
    let limits = InboxLimits {
        deliveries_max: 2,
        ..InboxLimits::default()
    };
    let mut world = World::new(1, limits);
    let kept = world.subscribe(0, "kept:x", Cohort::Bare);
    let bare = world.subscribe(0, "x", Cohort::Bare);
    for conn in [kept, bare] {
        for text in ["1", "2", "3"] {
            world.publish(0, conn, text);
        }
    }
    let (told, _) = world.turn(0);
    assert!(
        told.iter().all(|told| told.0 != kept || told.1.is_empty()),
        "{told:?}"
    );
    let push = &mut world.workers[0];
    let missed = push.next_insufficient(world.now).unwrap();
    assert_eq!((missed.conn, missed.channel.as_str()), (kept, "kept:x"));
    assert!(push.next_insufficient(world.now).is_none());
}

#[test]
fn a_publication_that_never_came_is_found_out() {
    let mut world = World::new(1, InboxLimits::default());
    let conn = world.subscribe(0, "kept:x", Cohort::Bare);
    let _bare = world.subscribe(0, "x", Cohort::Bare);
    let checked = |world: &mut World| {
        // Each call asks about a part of the channels.
        for _ in 0..40 {
            world.workers[0].check_positions(world.now);
        }
        let (told, news) = world.turn(0);
        assert!(told.is_empty() && news.is_empty(), "{told:?} {news:?}");
        let missed = world.workers[0].next_insufficient(world.now);
        missed.map(|missed| missed.conn)
    };
    world.publish(0, conn, "1");
    assert_eq!(world.turn(0).0.len(), 1);
    assert_eq!(checked(&mut world), None, "nothing is missing");
    world.publish(0, conn, "2");
    let mut lost = Batch::default();
    assert!(world.workers[0].drain(&mut lost));
    drop(lost); // and no mark in its place
    assert_eq!(checked(&mut world), Some(conn));
}

#[test]
fn joins_are_told_to_whoever_wants_them_from_where_it_starts() {
    let session = |joins| Cohort::Session {
        encoding: fanfare_protocol::Encoding::Json,
        joins,
    };
    let mut world = World::new(1, InboxLimits::default());
    let subscribe = |world: &mut World, joins| {
        let conn = world.conns.insert(());
        let channel = Channel::parse("x").unwrap();
        let options = ChannelOptions {
            join_leave: true,
            ..(*world.options(&channel)).clone()
        };
        let push = &mut world.workers[0];
        let wish = Wish {
            channel: &channel,
            options: &options,
            terms: Terms::plain(true),
            catch_up: CatchUp::Now,
            info: push.link.client_ids.info(conn),
        };
        assert_eq!(
            push.subscribe(conn, session(joins), wish, world.now),
            Ok(())
        );
        conn
    };
    let told_to = |told: &[Told], who| {
        let told = told.iter().find(|told| told.0 == who);
        let text = told.map(|told| String::from_utf8_lossy(&told.1).into_owned());
        let text = text.unwrap_or_default();
        (
            text.matches("\"join\"").count(),
            text.matches("\"pub\"").count(),
        )
    };
    let wants = subscribe(&mut world, true);
    let not = subscribe(&mut world, false);
    let _ = world.turn(0);
    // Only joins in a tick, and joins around a publication.
    let (a, b) = (subscribe(&mut world, true), subscribe(&mut world, false));
    let (told, _) = world.turn(0);
    let of = [wants, not, a, b].map(|who| told_to(&told, who));
    assert_eq!(of[..2], [(2, 0), (0, 0)]);
    assert_eq!(of[3], (0, 0));
    let _ = subscribe(&mut world, false);
    world.publish(0, wants, "1");
    let _ = subscribe(&mut world, false);
    let (told, _) = world.turn(0);
    assert_eq!(told_to(&told, wants), (2, 1));
    assert_eq!(told_to(&told, not), (0, 1));
}

/// Who is in channel `x`, as the engine says.
fn present(world: &mut World) -> u64 {
    let push = &world.workers[0];
    let ticket = Ticket {
        token: 0,
        generation: 0,
    };
    let request = Request::PresenceStats(Channel::parse("x").unwrap());
    push.request(Some(ticket), request, world.now).unwrap();
    let mut batch = Batch::default();
    assert!(world.workers[0].drain(&mut batch));
    match batch.last() {
        Some(Delivery::Answer(answer)) => match answer.outcome.unwrap() {
            Response::PresenceStats(PresenceStats { clients, .. }) => clients,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_leaves_is_told_nothing_and_is_present_no_more() {
    let mut world = World::new(1, InboxLimits::default());
    let (a, b) = (
        world.subscribe(0, "x", Cohort::Bare),
        world.subscribe(0, "x", Cohort::Bare),
    );
    assert_eq!(present(&mut world), 2);
    world.workers[0].leave(a, None, world.now);
    world.publish(0, b, "1");
    let (told, _) = world.turn(0);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].0, b);
    assert_eq!(present(&mut world), 1);
    world.workers[0].leave(b, None, world.now);
    assert!(world.workers[0].table.is_empty());
}

#[test]
fn who_was_present_leaves_even_if_a_reload_has_taken_presence_away() {
    let mut world = World::new(1, InboxLimits::default());
    let a = world.subscribe(0, "x", Cohort::Bare);
    world.workers[0].link.live.store(Arc::new(Live::closed()));
    world.workers[0].leave(a, None, world.now);
    assert_eq!(present(&mut world), 0);
}

#[test]
fn a_flood_of_a_workers_own_connections_makes_it_crowded() {
    let mut world = World::new(1, InboxLimits::default());
    let conn = world.subscribe(0, "x", Cohort::Bare);
    for (text, most) in [("", PUBLISHES_PER_TICK_MAX), (&"x".repeat(100_000), 42)] {
        assert!(!world.workers[0].is_crowded());
        let mut published = 0;
        while !world.workers[0].is_crowded() {
            world.publish(0, conn, text);
            published += 1;
        }
        assert_eq!(published, most);
        let _ = world.turn(0);
    }
}

#[test]
fn only_subscribers_publish_and_only_where_they_may() {
    let mut world = World::new(1, InboxLimits::default());
    let stranger = world.conns.insert(());
    let conn = world.subscribe(0, "x", Cohort::Bare);
    let quiet = world.subscribe(0, "quiet:x", Cohort::Bare);
    let push = &mut world.workers[0];
    let long = "x".repeat(100_001);
    let mut code = |conn, text: &str| {
        let refused = push.publish(conn, None, Message::Text(text), world.now);
        refused.map_err(|refused| refused.code.0)
    };
    assert_eq!(code(conn, &long[1..]), Ok(()));
    assert_eq!(code(conn, &long), Err(1009));
    assert_eq!(code(quiet, "a"), Err(3507));
    assert_eq!(code(stranger, "a"), Err(3507));
}

#[test]
fn orders_are_for_anonymous_clients_or_one_of_them() {
    let mut world = World::new(1, InboxLimits::default());
    let (a, b) = (
        world.subscribe(0, "x", Cohort::Bare),
        world.subscribe(0, "y", Cohort::Bare),
    );
    let push = &world.workers[0];
    let meant = |user: &str, client| {
        push.meant(&Target {
            user: UserId::from(user),
            client,
        })
    };
    let nobody = || Meant::These(Vec::new());
    assert_eq!(meant("", None), Meant::Anonymous);
    assert_eq!(meant("u", None), nobody());
    let only_b = Some(push.link.client_ids.id(b));
    assert_eq!(meant("", only_b), Meant::These(vec![b]));
    assert_eq!(meant("", Some(ClientId::from("b"))), nobody());
    let channel = Channel::parse("x").unwrap();
    assert!(push.is_subscribed(a, Some(&channel)) && !push.is_subscribed(b, Some(&channel)));
    assert!(push.is_subscribed(b, None));
}

#[test]
fn a_publication_is_compressed_once_for_all_with_a_window_of_one_size() {
    let mut world = World::new(1, InboxLimits::default());
    let told = |bits| {
        let window = FreshWindow::of(DirectionTerms {
            takeover: false,
            window_bits: WindowBits::new(bits).unwrap(),
        });
        Cohort::Bare.told(window)
    };
    let plain = world.subscribe(0, "x", Cohort::Bare);
    let large: Vec<_> = (0..100)
        .map(|_| world.subscribe(0, "x", told(15)))
        .collect();
    let small: Vec<_> = (0..100).map(|_| world.subscribe(0, "x", told(9))).collect();
    world.publish(0, plain, &"again and ".repeat(50));

    let push = &mut world.workers[0];
    let (mut deflaters, mut told) = (deflaters(), Vec::new());
    let mut batch = Batch::default();
    while push.drain(&mut batch) {
        for delivery in &mut batch {
            assert!(push.take(delivery, world.now).is_none());
        }
        fan_out_with(push, &mut deflaters, &mut told);
    }
    assert_eq!(told.len(), 201);
    assert_eq!(deflaters.deflated(), 2);
    let segment_of = |conn: ConnId| told.iter().find(|(who, ..)| *who == conn).unwrap().2;
    assert!(
        large
            .iter()
            .all(|conn| segment_of(*conn) == segment_of(large[0]))
    );
    assert!(
        small
            .iter()
            .all(|conn| segment_of(*conn) == segment_of(small[0]))
    );
    let bytes = |conn: ConnId| &told.iter().find(|(who, ..)| *who == conn).unwrap().1;
    assert!(bytes(large[0]).len() < bytes(plain).len() / 10);
}
