//! From flags to runs. In: the arguments of a subcommand. Out: its scenario and what the report calls
//! it, handed to [`run`](crate::run).
//!
//! Never: measures, prints.

mod fanout;

use crate::cli::{EchoArgs, MessageArgs, Usage};
use crate::payload::Corpus;
use crate::report::Subject;
use crate::scenario::echo::{Arrivals, Echo, Loop};
use crate::{Failure, run, timing};
pub(crate) use fanout::fanout;

/// `loadgen echo`.
pub(crate) fn echo(args: &EchoArgs) -> Result<bool, Failure> {
    let corpus = corpus(&args.message, args.compare_one_in)?;
    args.check_in_flight(corpus.size_max())?;
    let (loop_kind, when) = match args.rate {
        None => {
            let depth = args.depth as usize;
            (Loop::Closed { depth }, format!("depth {depth}"))
        }
        Some(per_second) => {
            let (arrivals, name) = if args.poisson {
                (Arrivals::Poisson, "Poisson")
            } else {
                (Arrivals::Constant, "constant")
            };
            let open = Loop::Open {
                arrivals,
                per_second,
            };
            (open, format!("{per_second} messages/s, {name}"))
        }
    };
    let scenario = Echo {
        corpus,
        loop_kind,
        timing: timing(&args.run),
    };
    let subject = Subject {
        scenario: "echo",
        url: &args.url,
        connections: args.connections as usize,
        threads: args.run.threads as usize,
        detail: format!("{when}, {}", args.message.describe()),
        rate_per_second: args.rate,
        compared_one_in: args.compare_one_in,
    };
    run(&scenario, subject, &args.dial, &args.run, &args.output)
}

/// The messages that the flags ask for.
fn corpus(args: &MessageArgs, compared_one_in: u32) -> Result<Corpus, Failure> {
    let mut random = crate::scenario::os_seeded()?;
    let sizes = args
        .size
        .table(&mut random)
        .map_err(|error| Usage(format!("--size: {error}")))?;
    let one_in = u64::from(compared_one_in);
    Ok(Corpus::new(args.alphabet(), sizes, one_in, &mut random))
}
