//! Many calls at once: what is bounded, and who waits for whom.
//!
//! Never: counts on how fast the machine is.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::fixture::*;
use super::*;
use crate::returns::Return;

/// How many are being answered at once, and the most of them.
#[derive(Clone, Default)]
struct AtOnce(Arc<[AtomicUsize; 2]>);

impl AtOnce {
    async fn answer(self) -> axum::response::Response {
        let now = self.0[0].fetch_add(1, Ordering::Relaxed) + 1;
        self.0[1].fetch_max(now, Ordering::Relaxed);
        sleep(Duration::from_millis(20)).await;
        self.0[0].fetch_sub(1, Ordering::Relaxed);
        json(r#"{"result":{}}"#)
    }

    fn most(&self) -> usize {
        self.0[1].load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn so_many_are_asked_at_once_and_each_is_answered_once() {
    locally(async {
        let at_once = AtOnce::default();
        let counted = at_once.clone();
        let backend = TestBackend::start(move || counted.clone().answer()).await;
        let patient = [("FANFARE_HOOKS__TIMEOUT", "20")];
        let worker = Worker::asking_with(&backend.url(), &patient, 4, Client::new());
        for number in 0..50 {
            worker.ask(number, rpc("1")).unwrap();
        }
        let findings = worker.findings(50).await;
        let mut numbers: Vec<u32> = findings.iter().map(|f| f.number.0).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..50).collect::<Vec<_>>());
        let answered = |f: &Return| matches!(f.finding, Finding::Hooked(Ok(_)));
        assert!(findings.iter().all(answered));
        assert_eq!(at_once.most(), 4);
        // Who finds its connection taken begins another, and may get the first after all.
        assert!(backend.connections() <= 8, "{}", backend.connections());
    })
    .await;
}

#[tokio::test]
async fn a_kind_that_hangs_holds_up_no_other() {
    locally(async {
        let hangs = TestBackend::start(std::future::pending).await;
        let answers = TestBackend::start(|| async { json(r#"{"result":{}}"#) }).await;
        let others = [
            ("FANFARE_HOOKS__RPC", &*hangs.url()),
            ("FANFARE_HOOKS__TIMEOUT", "20"),
        ];
        let worker = Worker::asking_with(&answers.url(), &others, 2, Client::new());
        for number in 0..10 {
            worker.ask(100 + number, rpc("1")).unwrap();
        }
        for _ in 0..10 {
            assert!(worker.hooked(connect()).await.is_ok());
        }
    })
    .await;
}

#[tokio::test]
async fn whoever_waits_too_long_for_its_turn_is_not_asked() {
    locally(async {
        let hangs = TestBackend::start(std::future::pending).await;
        let brief = [("FANFARE_HOOKS__TIMEOUT", "0.3")];
        let worker = Worker::asking_with(&hangs.url(), &brief, 1, Client::new());
        for number in 0..20 {
            worker.ask(number, rpc("1")).unwrap();
        }
        let findings = worker.findings(20).await;
        let failed = |f: &Return| matches!(f.finding, Finding::Hooked(Err(HookFailed)));
        assert!(findings.iter().all(failed));
        assert!(
            hangs.seen().len() <= 2,
            "the first, and one that came into its turn"
        );
    })
    .await;
}

#[tokio::test]
async fn calls_past_the_caps_are_busy_and_change_nothing() {
    locally(async {
        let worker = Worker::asking("http://127.0.0.1:1/", &[]);
        let (hooks, asking) = new(1, Client::new());
        let worker = Worker { hooks, ..worker };
        // Calls, of one kind.
        let mut taken = 0;
        while worker.ask(0, call(HookEvent::Refresh)).is_ok() {
            taken += 1;
        }
        assert_eq!(taken, HOOKS_WAITING_MAX);
        assert!(worker.ask(0, rpc("1")).is_ok());
        // Bytes, of all.
        let large = vec![b'1'; 1 << 20];
        let mut large_taken = 0;
        while worker.ask(0, rpc(large.clone())).is_ok() {
            large_taken += 1;
        }
        assert!((40..64).contains(&large_taken), "{large_taken}");
        drop(asking);
        worker.findings(taken + large_taken + 1).await;
        // A single one always fits.
        let giant = vec![b'1'; HOOK_CALLS_BYTES_MAX + 1];
        assert!(worker.ask(0, rpc(giant)).is_ok());
    })
    .await;
}
