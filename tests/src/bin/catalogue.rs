//! Runs the conformance catalogue and prints a table: `catalogue [--live] [--seed N] [--json FILE]
//! [ID-PART]`. Without `--live` against the codec alone, with it against the daemon too.
//!
//! Never: decides what a failure is (see `report.rs`).
#![allow(clippy::print_stdout, reason = "a command prints")]

use fanfare_tests::catalogue;
use fanfare_tests::drivers::{codec, live_server};
use std::process::ExitCode;

const USAGE: &str = "usage: catalogue [--live] [--seed N] [--json FILE] [ID-PART]";

#[derive(Default)]
struct Args {
    live: bool,
    seed: u64,
    json: Option<String>,
    part: String,
}

fn args() -> Option<Args> {
    let mut args = Args::default();
    let mut rest = std::env::args().skip(1);
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--live" => args.live = true,
            "--seed" => args.seed = rest.next()?.parse().ok()?,
            "--json" => args.json = Some(rest.next()?),
            flag if flag.starts_with('-') => return None,
            part => part.clone_into(&mut args.part),
        }
    }
    Some(args)
}

fn main() -> ExitCode {
    let Some(args) = args() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let mut cases = catalogue::all();
    cases.retain(|case| case.id.contains(&args.part));
    let mut reports = vec![codec::run_all(&cases, args.seed)];
    if args.live {
        match live_server::run_all(&cases, args.seed) {
            Ok(report) => reports.push(report),
            Err(error) => {
                eprintln!("the daemon: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    for report in &reports {
        println!("{}", report.table());
        for failed in report.first_failures() {
            println!("{failed}");
        }
    }
    if let Some(path) = &args.json {
        let json: Vec<_> = reports
            .iter()
            .map(fanfare_tests::report::Report::json)
            .collect();
        if let Err(error) = std::fs::write(path, format!("{:#}\n", serde_json::Value::from(json))) {
            eprintln!("{path}: {error}");
            return ExitCode::FAILURE;
        }
    }
    if reports.iter().all(fanfare_tests::report::Report::holds) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
