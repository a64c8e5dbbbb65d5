//! The codec against its peers. In: flags. Out: a table, targets, JSON.
//!
//! `cases` says what is run, `decoding`, `masking` and `encoding` who runs, `race` measures,
//! `statistics` and `field` say what it came to, `targets` judges, `report` prints.
//!
//! Never: compares figures of different rounds.

#![allow(clippy::print_stdout, reason = "the table is what it is for")]

mod cases;
mod cli;
mod decoding;
mod encoding;
mod field;
mod heap;
mod masking;
mod race;
mod report;
mod statistics;
mod targets;

use std::process::ExitCode;

use clap::Parser;
use fanfare_benches::limit::Limit;
use fanfare_codec::Kernel;

use cases::{COLD, Case, fits};
use cli::Cli;
use field::Outcome;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(all_met) if all_met || !cli.check => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("versus: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether every target was met.
fn run(cli: &Cli) -> Result<bool, Box<dyn std::error::Error>> {
    if let Some(kernel) = cli.kernel {
        kernel.force()?.use_everywhere();
    }
    let isa = Kernel::detect().isa();
    let cases = chosen(cli)?;
    if cli.list {
        for case in &cases {
            println!("{}", case.name);
        }
        return Ok(true);
    }
    heap::from_huge_pages()?;
    let course = cli.course();
    println!(
        "fanfare on {isa:?}, bound by {}, {} rounds of random order, about {} µs each a round\n{}\n",
        Limit::detect().name(),
        course.rounds,
        course.lap.as_micros(),
        report::LEGEND,
    );
    println!("{}", report::head());
    let mut outcomes: Vec<Outcome> = Vec::new();
    for case in &cases {
        let outcome = case.field().race(cli.course_of(case), cli.seed);
        println!("{}", report::row(&outcome));
        if !cli.brief {
            print!("{}", report::peers(&outcome));
        }
        outcomes.push(outcome);
    }
    let verdicts: Vec<_> = outcomes
        .iter()
        .flat_map(|outcome| targets::judge(outcome, isa))
        .collect();
    if !verdicts.is_empty() {
        println!("\ntargets");
    }
    for verdict in &verdicts {
        println!("{}", report::verdict(verdict));
    }
    if let Some(file) = &cli.json {
        std::fs::write(file, report::json(&outcomes)?)
            .map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(verdicts.iter().all(targets::Verdict::is_met))
}

fn chosen(cli: &Cli) -> Result<Vec<Case>, String> {
    let wants_cold = cli.cold || cli.case.iter().any(|pattern| pattern.ends_with(COLD));
    let mut cases = Case::all(wants_cold);
    if !cli.case.is_empty() {
        for pattern in &cli.case {
            if !cases.iter().any(|case| fits(&case.name, pattern)) {
                return Err(format!("no case fits {pattern}; --list names them all"));
            }
        }
        cases.retain(|case| cli.case.iter().any(|pattern| fits(&case.name, pattern)));
    }
    Ok(cases)
}
