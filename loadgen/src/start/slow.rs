//! Runs of which a part reads slowly: `slow`.
//!
//! Never: measures, prints.

use super::corpus;
use crate::cli::SlowArgs;
use crate::payload::Corpus;
use crate::report::{Headline, Subject};
use crate::scenario::echo::{Carrier, Echo, Loop};
use crate::scenario::os_seeded;
use crate::scenario::receive::Receive;
use crate::scenario::slow::Slow;
use crate::{Failure, run, timing};

/// Payload bytes of what slow connections send, at least: many bytes then cost this process little, so
/// that it is the server that the healthy ones feel.
const SLOW_BYTES_MIN: u32 = 8 << 10;

/// `loadgen slow`.
pub(crate) fn slow(args: &SlowArgs) -> Result<bool, Failure> {
    let slow_connections = args.slow_connections();
    let reading = match args.read_rate {
        0 => "never read".to_owned(),
        rate => format!("read {rate} B/s"),
    };
    let subject = |detail, headline| Subject {
        scenario: "slow",
        url: &args.url,
        connections: args.connections as usize,
        threads: args.run.threads as usize,
        detail: format!("{slow_connections} of them {reading}, {detail}"),
        rate_per_second: args.load.rate,
        headline,
        slow_connections: Some(slow_connections),
        compared_one_in: 1,
    };
    let (dial, run_args, output) = (&args.dial, &args.run, &args.output);
    if args.receive {
        let listen = || Receive {
            subscription: args.subscribe.clone(),
        };
        let scenario = with_share(args, listen(), listen());
        let subject = subject("only listening".to_owned(), Headline::Received);
        return run(&scenario, subject, dial, run_args, output);
    }
    let echo = |corpus, loop_kind| Echo {
        corpus,
        carrier: Carrier::Messages,
        loop_kind,
        timing: timing(run_args),
    };
    let (loop_kind, when) = args.load.loop_kind();
    let healthy = echo(corpus(&args.message, 1)?, loop_kind);
    let size_max = healthy.corpus.size_max();
    let alphabet = args.message.alphabet();
    let sizes = vec![u32::try_from(size_max).map_or(SLOW_BYTES_MIN, |max| max.max(SLOW_BYTES_MIN))];
    let pressing = Corpus::new(alphabet, sizes, 1, &mut os_seeded()?);
    args.load
        .check_in_flight(&args.message, run_args.timeout, size_max)?;
    let scenario = with_share(args, healthy, echo(pressing, Loop::Pressed));
    let detail = format!("{when}, {}", args.message.describe());
    let subject = subject(detail, Headline::Messages);
    run(&scenario, subject, dial, run_args, output)
}

/// `slow` for the share of the connections that the flags ask for.
const fn with_share<S>(args: &SlowArgs, healthy: S, slow: S) -> Slow<S> {
    Slow {
        healthy,
        slow,
        share: args.slow_share,
        bytes_per_second: args.read_rate,
    }
}
