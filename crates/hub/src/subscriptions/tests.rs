//! The table against what is obvious: a list that is searched.
//!
//! Never: looks at positions, which are tested where they are kept.

use std::collections::HashSet;

use super::*;
use crate::history::tests::publication_at;

type Table = Subscriptions<(), u32>;

fn channel(name: &str) -> Channel {
    Channel::parse(name).unwrap()
}

const fn ticket(conn: ConnToken, id: SubscriptionId) -> Ticket {
    Ticket {
        token: conn.0,
        generation: id.generation(),
    }
}

#[test]
fn an_answer_reaches_its_own_subscription_only() {
    let mut table = Table::new(8);
    let (conn, name) = (ConnToken(1), channel("a"));
    let first = table.open(conn, &name, 1).unwrap();
    assert_eq!(first.subscribers, 1);
    table.close(first.id).unwrap();
    let second = table.open(conn, &name, 2).unwrap();
    assert_ne!(first.id, second.id);
    let late = table.activate(ticket(conn, first.id), None, false);
    assert_eq!(late, Activation::Superseded, "its subscription has ended");
    let strange = table.activate(ticket(ConnToken(2), second.id), None, false);
    assert_eq!(strange, Activation::Superseded, "another connection's");
    assert!(!table.subscription(second.id).unwrap().1.is_live());
    let own = table.activate(ticket(conn, second.id), None, false);
    assert!(matches!(own, Activation::Live { id, .. } if id == second.id));
    let again = table.activate(ticket(conn, second.id), None, false);
    assert_eq!(again, Activation::Superseded, "answered already");
}

#[test]
fn a_channel_is_held_once_and_so_many() {
    let mut table = Table::new(2);
    let conn = ConnToken(1);
    let first = table.open(conn, &channel("a"), 0).unwrap();
    let again = table.open(conn, &channel("a"), 0);
    assert_eq!(again, Err(OpenError::AlreadySubscribed));
    table.open(conn, &channel("b"), 0).unwrap();
    let third = table.open(conn, &channel("c"), 0);
    assert_eq!(third, Err(OpenError::TooManyChannels));
    table.open(ConnToken(2), &channel("c"), 0).unwrap();
    assert_eq!(table.close(first.id).unwrap().subscribers, 0);
    table.open(conn, &channel("c"), 0).unwrap();
    assert_eq!((table.len(), table.connections()), (3, 2));
}

#[test]
fn who_has_several_channels_is_known_as_long_as_it_has() {
    let mut table = Table::new(8);
    let (one, two) = (ConnToken(1), ConnToken(2));
    table.open(one, &channel("a"), 0).unwrap();
    let opened = table.open(two, &channel("a"), 0).unwrap();
    let id = table.channel_id(&channel("a")).unwrap();
    let several = |table: &mut Table| {
        let (.., holders) = table.channel_and_holders_mut(id).unwrap();
        [one, two, ConnToken(3)].map(|conn| holders.has_several(conn))
    };
    assert_eq!(several(&mut table), [false; 3]);
    table.open(two, &channel("b"), 0).unwrap();
    assert_eq!(several(&mut table), [false, true, false]);
    table.close(opened.id).unwrap();
    assert_eq!(several(&mut table), [false; 3]);
}

#[test]
fn channels_that_are_followed_have_places_to_be_checked_at() {
    let mut table = Table::new(8);
    let position = publication_at(None).position; // none
    let mut opened = Vec::new();
    for (n, name) in ["a", "b", "c"].into_iter().enumerate() {
        let conn = ConnToken(n as u64);
        let id = table.open(conn, &channel(name), 0).unwrap().id;
        opened.push((conn, id));
    }
    let epoch = crate::position::EpochSource::new(1).next_epoch();
    let at = Some(Position { epoch, offset: 5 });
    let (conn, id) = opened[1];
    let _ = table.activate(ticket(conn, id), at, true);
    let (conn, id) = opened[2];
    let _ = table.activate(ticket(conn, id), position, true);
    let places = 0..table.channel_places();
    let followed: Vec<_> = places
        .filter_map(|place| table.followed_at(place))
        .collect();
    let [(followed, name)] = followed[..] else {
        panic!("{followed:?}");
    };
    assert_eq!(name.as_str(), "b");
    assert_eq!(ChannelId::from_bits(followed.to_bits()), followed);
    assert_eq!(table.channel_name(followed).unwrap().as_str(), "b");
    table.check(followed, Some(Position { epoch, offset: 6 }));
    assert_eq!(table.next_insufficient(), Some(opened[1].1));
    // Its place has another tenant: a late answer does nothing.
    table.close(opened[1].1).unwrap();
    let id = table.open(ConnToken(9), &channel("d"), 0).unwrap().id;
    let _ = table.activate(ticket(ConnToken(9), id), at, true);
    table.check(followed, None);
    assert_eq!(table.next_insufficient(), None);
}

#[test]
fn whoever_missed_something_is_named_once_unless_it_has_gone() {
    let mut table = Table::new(8);
    let name = channel("a");
    let position = Some(Position {
        epoch: crate::position::EpochSource::new(1).next_epoch(),
        offset: 3,
    });
    let mut ids = Vec::new();
    for n in 0..3 {
        let conn = ConnToken(n);
        let id = table.open(conn, &name, 0).unwrap().id;
        let activation = table.activate(ticket(conn, id), position, true);
        assert!(matches!(activation, Activation::Live { .. }));
        ids.push(id);
    }
    assert!(ids.iter().all(|id| table.position(*id) == position));
    table.miss(&Missed::Channel(channel("b")));
    assert_eq!(table.next_insufficient(), None);
    table.miss(&Missed::Channel(name.clone()));
    table.miss(&Missed::Any);
    table.close(ids[1]);
    let mut named = HashSet::new();
    while let Some(id) = table.next_insufficient() {
        assert!(named.insert(id), "named twice");
        assert_eq!(table.position(id), None);
        assert!(
            !table
                .subscription(id)
                .unwrap()
                .1
                .takes(&publication_at(None))
        );
    }
    assert_eq!(named, HashSet::from([ids[0], ids[2]]));
}

#[test]
fn nobody_subscribed_means_nobody_to_tell() {
    let mut table = Table::new(8);
    let name = channel("a");
    assert_eq!(table.accept(&name, &publication_at(None)), None);
    let opened = table.open(ConnToken(1), &name, 0).unwrap();
    let id = table.accept(&name, &publication_at(None)).unwrap();
    assert!(table.channel_mut(id).is_some());
    table.close(opened.id).unwrap();
    assert!(table.channel_mut(id).is_none(), "an old id finds nothing");
    assert!(table.close(opened.id).is_none(), "what has ended has ended");
    table.open(ConnToken(1), &name, 0).unwrap();
    assert!(
        table.channel_mut(id).is_none(),
        "not even the next channel of that name"
    );
}

/// What a table says must be what a list says, whatever was opened and closed before.
struct Naive {
    open: Vec<(ConnToken, Channel, SubscriptionId, u32)>,
}

impl Naive {
    fn of_channel(&self, name: &Channel) -> u32 {
        u32::try_from(self.open.iter().filter(|o| o.1 == *name).count()).unwrap()
    }

    fn assert_agrees(&self, table: &mut Table, names: &[Channel], conns: u64) {
        assert_eq!(table.len(), self.open.len());
        let holders: HashSet<ConnToken> = self.open.iter().map(|o| o.0).collect();
        assert_eq!(table.connections(), holders.len());
        for name in names {
            let open = self.open.iter().filter(|o| o.1 == *name);
            let expected: HashSet<_> = open.map(|o| (o.0, o.2, o.3)).collect();
            let id = table.channel_id(name);
            assert_eq!(id.is_some(), !expected.is_empty(), "{name}");
            let Some(id) = id else { continue };
            let (found, _, subscribers) = table.channel_mut(id).unwrap();
            assert_eq!(found, name);
            assert_eq!(subscribers.len(), expected.len(), "{name}");
            let subscribers = subscribers.iter().map(|s| (s.conn(), s.id(), *s.data()));
            assert_eq!(subscribers.collect::<HashSet<_>>(), expected, "{name}");
        }
        for conn in (0..conns).map(ConnToken) {
            let open = self.open.iter().filter(|o| o.0 == conn);
            let expected: HashSet<_> = open.map(|o| o.2).collect();
            assert_eq!(table.of(conn).collect::<HashSet<_>>(), expected, "{conn:?}");
            assert_eq!(table.any_of(conn).is_some(), !expected.is_empty());
            for name in names {
                let open = self.open.iter().find(|o| o.0 == conn && o.1 == *name);
                assert_eq!(table.find(conn, name.as_str()), open.map(|o| o.2));
            }
        }
        for (conn, name, id, data) in &self.open {
            let (found, subscriber) = table.subscription(*id).unwrap();
            assert_eq!((found, subscriber.conn()), (name, *conn));
            assert_eq!(table.data_mut(*id).copied(), Some(*data));
        }
    }
}

#[test]
fn the_table_agrees_with_a_list() {
    const CONNS: u64 = 6;
    const CHANNELS_MAX: usize = 4;
    let names: Vec<Channel> = (0..5).map(|n| channel(&format!("c{n}"))).collect();
    for seed in 0..30 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut table = Table::new(CHANNELS_MAX);
        let mut naive = Naive { open: Vec::new() };
        for step in 0..300 {
            let conn = ConnToken(rng.u64(..CONNS));
            let name = &names[rng.usize(..names.len())];
            let is_growing = (step / 50) % 2 == 0;
            if rng.u8(..10) < if is_growing { 8 } else { 3 } {
                let held = naive.open.iter().filter(|o| o.0 == conn);
                let expected = if held.clone().any(|o| o.1 == *name) {
                    Err(OpenError::AlreadySubscribed)
                } else if held.count() >= CHANNELS_MAX {
                    Err(OpenError::TooManyChannels)
                } else {
                    Ok(naive.of_channel(name) + 1)
                };
                let opened = table.open(conn, name, step);
                assert_eq!(opened.map(|o| o.subscribers), expected, "seed {seed}");
                if let Ok(opened) = opened {
                    naive.open.push((conn, name.clone(), opened.id, step));
                }
            } else if !naive.open.is_empty() {
                let (conn, name, id, data) = naive.open.swap_remove(rng.usize(..naive.open.len()));
                let closed = table.close(id).expect("it is open");
                assert_eq!(
                    (closed.conn, &closed.channel, closed.data),
                    (conn, &name, data)
                );
                assert_eq!(closed.subscribers, naive.of_channel(&name), "seed {seed}");
                assert!(table.close(id).is_none(), "seed {seed}");
            }
            naive.assert_agrees(&mut table, &names, CONNS);
        }
        while let Some((_, _, id, _)) = naive.open.pop() {
            table.close(id);
        }
        assert!(table.is_empty() && table.by_name.is_empty() && table.held.is_empty());
        assert_eq!(table.channels.len(), 0);
    }
}
