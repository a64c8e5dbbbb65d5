//! Who is beside those that misbehave. In: a server, and an abuse. Out: whether anything of it was noticed.
//!
//! Never: asks how long anything took.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;

use crate::push::Push;
use crate::session::{Session, WIRES};

/// Publishes numbers to `past:calm` and reads them with a positioned subscription on each wire, for as long as
/// `abuse` takes; then looks at the memory.
#[track_caller]
pub fn beside_a_bystander(push: &Push, kib_max: u64, case: &str, abuse: impl FnOnce()) {
    let mut bystanders = WIRES.map(|wire| Session::anonymous(push, wire));
    for bystander in &mut bystanders {
        bystander.subscribe("past:calm");
    }
    let mut api = push.api();
    let mut next = api.publish("past:calm", &json!("first"))["offset"]
        .as_u64()
        .unwrap();
    let before = push.daemon().resident_kib();
    let over = AtomicBool::new(false);
    let most = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let (mut most, mut rounds) = (0, 0);
            // At least once after its end, too.
            loop {
                let last = over.load(Ordering::Acquire);
                for bystander in &mut bystanders {
                    let publication = bystander.publication("past:calm");
                    assert_eq!(publication["offset"], next, "{case}: {publication}");
                }
                most = most.max(push.daemon().resident_kib().unwrap_or(0));
                rounds += 1;
                if last {
                    return (most, rounds);
                }
                let result = api.publish("past:calm", &json!(rounds));
                next += 1;
                assert_eq!(result["offset"], next, "{case}");
            }
        });
        // However it ends, the watch must, too.
        let outcome = catch_unwind(AssertUnwindSafe(abuse));
        over.store(true, Ordering::Release);
        let watched = watch.join();
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
        let (most, rounds) = watched.unwrap_or_else(|_| panic!("{case}: a bystander was moved"));
        eprintln!(
            "{case}: {rounds} rounds of the bystanders, {most} KiB at most, {before:?} before"
        );
        most
    });
    if let Some(before) = before {
        let grown = most.saturating_sub(before);
        assert!(
            grown < kib_max,
            "{case}: {grown} KiB more, of {kib_max} allowed"
        );
    }
}
