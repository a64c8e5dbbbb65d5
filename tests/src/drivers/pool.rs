//! Many runs at a time. In: cases, how to cut them and how to connect. Out: a report in their order.
//!
//! Never: cares which driver it is.

use super::{Endpoint, Failure, run};
use crate::catalogue::{Case, Chop};
use crate::clock;
use crate::report::{Failed, Report};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs every case under each of its chops, on `threads` threads, and reports in the cases' order.
pub fn run_parallel(
    driver: &'static str,
    cases: &[Case],
    threads: usize,
    chops: impl Fn(&Case) -> Vec<Chop> + Sync,
    connect: impl Fn(&Case) -> std::io::Result<Box<dyn Endpoint>> + Sync,
) -> Report {
    let start = clock::now();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(index) else {
                return done;
            };
            let chops = chops(case);
            let failed: Vec<Failed> = chops
                .iter()
                .filter_map(|&chop| {
                    let outcome = match connect(case) {
                        Ok(mut endpoint) => run(case, chop, &mut *endpoint),
                        Err(error) => Err(Failure::to_connect(&error)),
                    };
                    outcome
                        .err()
                        .map(|failure| Failed::new(case, chop, failure))
                })
                .collect();
            done.push((index, chops.len(), failed));
        }
    };
    let mut done: Vec<(usize, usize, Vec<Failed>)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("no case panics"))
            .collect()
    });
    done.sort_unstable_by_key(|&(index, ..)| index);
    let mut report = Report::new(driver);
    for (index, runs, failed) in done {
        report.add(&cases[index], runs, failed);
    }
    report.took = clock::now() - start;
    report
}

impl Failure {
    fn to_connect(error: &std::io::Error) -> Self {
        Self {
            step: 0,
            expected: "an open connection".to_owned(),
            got: error.to_string(),
        }
    }
}
