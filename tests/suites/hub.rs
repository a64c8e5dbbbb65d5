//! The hub as a whole: simulated worlds by seed, and real threads on one engine.
//!
//! A failure prints its seed; `FANFARE_SEED=n cargo test -p fanfare-tests --test hub` runs that one alone.
//!
//! Never: sleeps.

use std::collections::HashMap;

use fanfare_tests::hub::threads::{Load, Outcome};
use fanfare_tests::hub::{Events, World};

/// Tells which world it was.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("world {0} breaks a rule: FANFARE_SEED={0}", self.0);
        }
    }
}

fn run(seed: u64, steps: usize) -> Events {
    let seed = Seed(seed);
    World::new(seed.0).run(steps)
}

/// DESIGN.md, "Invariants": an acknowledged publication has an offset; a positioned subscriber gets every
/// offset in order, once, or is told that it has missed some; no answer reaches a subscription that was
/// superseded; nothing leaks.
#[test]
fn any_world_keeps_the_rules() {
    if let Ok(seed) = std::env::var("FANFARE_SEED") {
        let _ = run(seed.parse().expect("a number"), 1500);
        return;
    }
    let mut all = Events::new();
    for seed in 0..400 {
        for (event, count) in run(seed, 1500) {
            *all.entry(event).or_default() += count;
        }
    }
    // What was not met was not tested.
    for event in [
        "busy",
        "epochs_lost",
        "events_lost",
        "handed",
        "joins_and_leaves",
        "lost",
        "not_recovered",
        "overtaken",
        "published",
        "published_bare",
        "reads",
        "recovered",
        "recovered_nothing",
        "repeated",
        "slow",
        "superseded",
        "told",
    ] {
        let count = all.get(event).copied().unwrap_or_default();
        assert!(count >= 100, "{event} only {count} times");
    }
}

#[test]
fn a_seed_is_the_same_world_again() {
    for seed in 0..5 {
        assert_eq!(run(seed, 800), run(seed, 800), "seed {seed}");
    }
}

/// Every reader has every acknowledged publication once and in order, but for what it was told of.
fn assert_complete(outcome: &Outcome) {
    for reader in &outcome.readers {
        let acknowledged = &outcome.acknowledged[reader.channel];
        let top = acknowledged.len() as u64;
        let mut told = reader.told.iter();
        let mut last = 0;
        let mut gap = told.next();
        // A told gap may be empty at its end: the reader was told, and nothing came after.
        let mut skip = |last: &mut u64| {
            while let Some((from, to)) = gap.filter(|(from, _)| from == last) {
                assert!(from < to, "told that it missed nothing");
                *last = *to;
                gap = told.next();
            }
        };
        for (offset, text) in &reader.got {
            skip(&mut last);
            assert_eq!(*offset, last + 1, "channel {}", reader.channel);
            assert_eq!(acknowledged.get(offset), Some(text));
            last = *offset;
        }
        skip(&mut last);
        assert_eq!(last, top, "the end is missing, untold");
    }
}

const LOAD: Load = Load {
    publishers: 3,
    publications: 6_000,
    workers: 3,
    channels: 4,
    deliveries_max: 1 << 16,
};

#[test]
fn threads_agree_on_the_order() {
    let outcome = LOAD.run();
    assert_complete(&outcome);
    let published: usize = outcome.acknowledged.iter().map(HashMap::len).sum();
    assert_eq!(published, LOAD.publishers * LOAD.publications);
    let resumed: usize = outcome.readers.iter().map(|reader| reader.resumed).sum();
    assert!(resumed > outcome.readers.len(), "some came and went");
}

#[test]
fn threads_with_tight_inboxes_recover_or_are_told() {
    let outcome = Load {
        deliveries_max: 3,
        ..LOAD
    }
    .run();
    assert_complete(&outcome);
}
