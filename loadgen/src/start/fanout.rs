//! `loadgen fanout`: from its flags to its run.
//!
//! Never: measures, prints.

use fanfare_codec::MessageKind;

use crate::cli::{DialArgs, FanoutArgs, Speech, Usage, check_burst, check_size_min};
use crate::client::load_tokens;
use crate::payload::{SERIES_MAX, Stamps};
use crate::report::{Headline, Subject, plural};
use crate::scenario::echo::Arrivals;
use crate::scenario::fanout::{Dialect, Fanout, Plan, Post};
use crate::scenario::os_seeded;
use crate::{Failure, descriptors, run, timing};

/// `loadgen fanout`.
pub(crate) fn fanout(args: &FanoutArgs) -> Result<bool, Failure> {
    let layout = args.layout();
    let (arrivals, name) = if args.poisson {
        (Arrivals::Poisson, "Poisson")
    } else {
        (Arrivals::Constant, "constant")
    };
    let (kind, kind_name) = if args.binary {
        (MessageKind::Binary, "binary")
    } else {
        (MessageKind::Text, "text")
    };
    // HTTP publishers have connections too.
    let connections = layout.subscribers + layout.publishers;
    let flags = "--subscribers and --publishers";
    descriptors::reserve(flags, connections, args.run.threads as usize)?;
    let timing = timing(&args.run);
    let mut dial = args.dial.clone();
    let dialect = dialect(args, &mut dial)?;
    let scenario = Fanout::new(Plan {
        layout,
        channels: (0..layout.channels)
            .map(|number| format!("{}{number}", args.channel_prefix))
            .collect(),
        stamps: stamps(args)?,
        kind,
        arrivals,
        per_second: args.rate,
        burst: args.burst,
        delivery: args.delivery(),
        cuts: args.cuts.plan(),
        dialect,
        post: args.publish.publish_http.as_ref().map(|url| Post {
            url: url.clone(),
            headers: args.publish.headers(args.binary),
            template: args.publish.publish_json.clone(),
            timeout: timing.timeout,
        }),
        threads: args.run.threads as usize,
        timing,
    });
    let subject = Subject {
        scenario: "fanout",
        url: &args.url,
        connections: layout.connections(),
        threads: args.run.threads as usize,
        detail: format!(
            "{}, {}, {}{}, {} publications/s, {name}{}, {} {kind_name}{}{}",
            match layout.stalled {
                0 => plural(layout.subscribers, "subscriber"),
                stalled => format!(
                    "{} ({stalled} stalled)",
                    plural(layout.subscribers, "subscriber")
                ),
            },
            plural(layout.channels, "channel"),
            plural(layout.publishers, "publisher"),
            if layout.is_posting { " over HTTP" } else { "" },
            args.rate,
            match args.burst {
                1 => String::new(),
                burst => format!(" bursts of {burst}"),
            },
            args.size,
            args.cuts.describe(),
            match args.dialect.speech {
                Speech::Raw => String::new(),
                speech => format!(", {}", speech.name()),
            },
        ),
        headline: Headline::Deliveries {
            burst: args.burst,
            stalled: layout.stalled,
        },
        slow_connections: None,
        rate_per_second: Some(args.rate),
        compared_one_in: 1,
    };
    run(&scenario, subject, &dial, &args.run, &args.output)
}

/// What connections speak; what that takes of how they are made is changed in `dial`.
fn dialect(args: &FanoutArgs, dial: &mut DialArgs) -> Result<Option<Dialect>, Failure> {
    let Some(encoding) = args.dialect.speech.encoding() else {
        return Ok(None);
    };
    if let Some(subprotocol) = encoding.subprotocol() {
        dial.offer(subprotocol);
    }
    let (token, tokens_file) = dial.take_tokens();
    let tokens = load_tokens(token, tokens_file.as_deref());
    Ok(Some(Dialect {
        encoding,
        delivery: args.delivery(),
        tokens: tokens.map_err(|error| Usage(error.to_string()))?,
        positions: args.dialect.positions(args.cuts.cut_rate.is_some()),
    }))
}

/// The publications that the flags ask for.
fn stamps(args: &FanoutArgs) -> Result<Stamps, Failure> {
    const { assert!(SERIES_MAX <= u32::MAX as usize) };
    let mut random = os_seeded()?;
    let sizes = args
        .size
        .table(&mut random)
        .map_err(|error| Usage(format!("--size: {error}")))?;
    check_size_min(sizes.iter().copied().min().unwrap_or_default())?;
    check_burst(args.burst, sizes.iter().copied().max().unwrap_or_default())?;
    Ok(Stamps::new(sizes, &mut random))
}
