//! Runs that hold their connections: `idle`, `ping`, `receive`.
//!
//! Never: measures, prints.

use std::time::Duration;

use crate::cli::{IdleArgs, PingArgs, ReceiveArgs, RunArgs};
use crate::payload::{Alphabet, Corpus};
use crate::report::{Headline, Subject};
use crate::scenario::echo::{Arrivals, Carrier, Echo, Loop};
use crate::scenario::os_seeded;
use crate::scenario::ping::Ping;
use crate::scenario::receive::Receive;
use crate::{Failure, run, timing};

/// Payload bytes of a heartbeat.
const HEARTBEAT_BYTES: u32 = 8;

/// `loadgen idle`.
pub(crate) fn idle(args: &IdleArgs) -> Result<bool, Failure> {
    let connections = args.connections as usize;
    let subject = Subject {
        scenario: "idle",
        url: &args.url,
        connections,
        threads: args.run.threads as usize,
        detail: match args.heartbeat {
            None => "no heartbeat".to_owned(),
            Some(interval) => format!("a heartbeat every {} s", interval.as_secs_f64()),
        },
        rate_per_second: args.heartbeat.map(|every| spread(connections, every)),
        headline: Headline::Held,
        slow_connections: None,
        compared_one_in: 1,
    };
    let (dial, run_args, output) = (&args.dial, &args.run, &args.output);
    match subject.rate_per_second {
        None => {
            // What the server pushes, if it does, is only looked through.
            let scenario = Receive { subscription: None };
            run(&scenario, subject, dial, run_args, output)
        }
        Some(per_second) => {
            let scenario = pings(at(per_second), HEARTBEAT_BYTES, run_args)?;
            run(&scenario, subject, dial, run_args, output)
        }
    }
}

/// `loadgen ping`.
pub(crate) fn ping(args: &PingArgs) -> Result<bool, Failure> {
    let connections = args.connections as usize;
    let interval = args.interval.map(|every| spread(connections, every));
    let per_second = args.rate.or(interval);
    let loop_kind = per_second.map_or(Loop::Closed { depth: 1 }, at);
    let when = match per_second {
        None => "one at a time".to_owned(),
        Some(per_second) => format!("{per_second} pings/s"),
    };
    let subject = Subject {
        scenario: "ping",
        url: &args.url,
        connections,
        threads: args.run.threads as usize,
        detail: format!("{when}, {} B", args.size),
        rate_per_second: per_second,
        headline: Headline::Pings,
        slow_connections: None,
        compared_one_in: 1,
    };
    let scenario = pings(loop_kind, args.size, &args.run)?;
    run(&scenario, subject, &args.dial, &args.run, &args.output)
}

/// `loadgen receive`.
pub(crate) fn receive(args: &ReceiveArgs) -> Result<bool, Failure> {
    let subject = Subject {
        scenario: "receive",
        url: &args.url,
        connections: args.connections as usize,
        threads: args.run.threads as usize,
        detail: "only listening".to_owned(),
        rate_per_second: None,
        headline: Headline::Received,
        slow_connections: None,
        compared_one_in: 1,
    };
    let subscription = args.subscribe.clone();
    let scenario = Receive { subscription };
    run(&scenario, subject, &args.dial, &args.run, &args.output)
}

fn pings(loop_kind: Loop, size: u32, run: &RunArgs) -> Result<Ping, Failure> {
    Ok(Ping(Echo {
        corpus: Corpus::new(Alphabet::Binary, vec![size], 1, &mut os_seeded()?),
        carrier: Carrier::Pings,
        loop_kind,
        timing: timing(run),
    }))
}

/// So many a second, on all connections in turn.
const fn at(per_second: f64) -> Loop {
    Loop::Open {
        arrivals: Arrivals::Constant,
        per_second,
    }
}

/// The rate at which each of the connections has its turn once in `interval`.
fn spread(connections: usize, interval: Duration) -> f64 {
    connections as f64 / interval.as_secs_f64()
}
