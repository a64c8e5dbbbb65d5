//! Runs whose connections come and go: `churn`, `storm`.
//!
//! Never: measures, prints.

use super::corpus;
use crate::cli::{ChurnArgs, StormArgs};
use crate::report::{Headline, Subject};
use crate::scenario::churn::Churn;
use crate::scenario::echo::{Carrier, Echo, Loop};
use crate::scenario::storm::{Storm, StormPlan};
use crate::{Failure, run, timing};

/// `loadgen churn`.
pub(crate) fn churn(args: &ChurnArgs) -> Result<bool, Failure> {
    let when = match args.rate {
        None => "as fast as it goes".to_owned(),
        Some(per_second) => format!("{per_second} connections/s"),
    };
    let what = match args.messages {
        0 => "no messages".to_owned(),
        count => format!("{count} messages each, {}", args.message.describe()),
    };
    let subject = Subject {
        scenario: "churn",
        url: &args.url,
        connections: args.connections as usize,
        threads: args.run.threads as usize,
        detail: format!("{when}, {what}"),
        rate_per_second: args.rate,
        headline: Headline::Handshakes,
        slow_connections: None,
        compared_one_in: 1,
    };
    let scenario = Churn {
        echo: Echo {
            corpus: corpus(&args.message, 1)?,
            carrier: Carrier::Messages,
            loop_kind: Loop::Closed { depth: 1 },
            timing: timing(&args.run),
        },
        messages: u64::from(args.messages),
        per_second: args.rate,
    };
    run(&scenario, subject, &args.dial, &args.run, &args.output)
}

/// `loadgen storm`.
pub(crate) fn storm(args: &StormArgs) -> Result<bool, Failure> {
    let connections = args.connections as usize;
    let plan = StormPlan {
        rounds: args.rounds as usize,
        jitter: args.jitter,
        pause: args.pause,
        backoff: args.backoff,
        is_polite: args.close,
    };
    let how = if plan.is_polite { "closed" } else { "cut" };
    let when = if plan.jitter.is_zero() {
        "back at once".to_owned()
    } else {
        format!("back over {} s", plan.jitter.as_secs_f64())
    };
    let subject = Subject {
        scenario: "storm",
        url: &args.url,
        connections,
        threads: args.run.threads as usize,
        detail: format!("rounds: {}, {how}, {when}", plan.rounds),
        rate_per_second: None,
        headline: Headline::Returns {
            rounds: plan.rounds,
        },
        slow_connections: None,
        compared_one_in: 1,
    };
    let scenario = Storm::new(plan, connections);
    run(&scenario, subject, &args.dial, &args.run, &args.output)
}
