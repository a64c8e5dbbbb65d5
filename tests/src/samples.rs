//! What a push server counts. In: a running one with an API of its own. Out: its samples, and a wait for them to move.
//!
//! Never: knows what a sample means.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock;
use crate::http::{Http, Response};
use crate::push::Push;

/// What `/metrics` answers.
#[track_caller]
#[must_use]
pub fn scrape(push: &Push) -> Response {
    let response = Http::connect(push.daemon().api()).request("GET /metrics", &[], b"");
    assert_eq!(response.status(), 200, "{}", response.text());
    response
}

/// Samples, by name and labels as they are written.
#[derive(Debug)]
pub struct Samples(BTreeMap<String, f64>);

impl Samples {
    /// Those of now.
    #[track_caller]
    #[must_use]
    pub fn of(push: &Push) -> Self {
        let text = scrape(push).text();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let samples = samples.map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        });
        Self(samples.collect())
    }

    /// 0 if there is no such sample.
    #[must_use]
    pub fn get(&self, sample: &str) -> f64 {
        self.0.get(sample).copied().unwrap_or_default()
    }
}

/// Waits until these samples have moved by so much since `before`: a worker counts when its turn ends.
#[track_caller]
pub fn expect_moved(push: &Push, before: &Samples, moves: &[(&str, f64)]) {
    let mut last = String::new();
    let deadline = clock::now() + Duration::from_secs(10);
    while clock::now() < deadline {
        let now = Samples::of(push);
        let wrong: Vec<String> = moves
            .iter()
            .map(|(sample, by)| (sample, by, now.get(sample) - before.get(sample)))
            .filter(|(_, by, moved)| (*by - moved).abs() > 1e-9)
            .map(|(sample, by, moved)| format!("{sample} moved by {moved}, not {by}"))
            .collect();
        if wrong.is_empty() {
            return;
        }
        last = wrong.join("\n");
        std::thread::sleep(Duration::from_millis(20)); // sums of the engine are kept for a while
    }
    panic!("{last}");
}
