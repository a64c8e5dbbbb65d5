//! From flags to runs. In: the arguments of a subcommand. Out: its scenario and what the report calls
//! it, handed to [`run`].
//!
//! Never: measures, prints.

mod churn;
mod fanout;
mod hold;
mod slow;

use crate::cli::{EchoArgs, MessageArgs, Usage};
use crate::payload::Corpus;
use crate::report::{Headline, Subject};
use crate::scenario::echo::{Carrier, Echo};
use crate::{Failure, run, timing};
pub(crate) use churn::{churn, storm};
pub(crate) use fanout::fanout;
pub(crate) use hold::{idle, ping, receive};
pub(crate) use slow::slow;

/// `loadgen echo`.
pub(crate) fn echo(args: &EchoArgs) -> Result<bool, Failure> {
    let corpus = corpus(&args.message, args.compare_one_in)?;
    let (load, timeout) = (&args.load, args.run.timeout);
    load.check_in_flight(&args.message, timeout, corpus.size_max())?;
    let (loop_kind, when) = load.loop_kind();
    let scenario = Echo {
        corpus,
        carrier: Carrier::Messages,
        loop_kind,
        timing: timing(&args.run),
    };
    let subject = Subject {
        scenario: "echo",
        url: &args.url,
        connections: args.connections as usize,
        threads: args.run.threads as usize,
        detail: format!("{when}, {}", args.message.describe()),
        rate_per_second: load.rate,
        headline: Headline::Messages,
        slow_connections: None,
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
