//! Flags. In: a command line. Out: what is to be run.
//!
//! Never: runs anything.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use fanfare_codec::{Isa, IsaNotDetected, Kernel};

use crate::cases::Case;
use crate::race::Course;

const COLD_ROUNDS_MAX: usize = 7;

/// Runs the codec and every serious Rust peer over the same bytes, in rounds of random order.
#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:
  versus --quick
  versus --case 'text_*' --case chat_mix --json versus.json
  versus --kernel avx2 --check

Exit code: 0 fine, 1 a target is missed and --check was given, 2 bad usage.")]
pub(crate) struct Cli {
    /// Fewer and shorter rounds: done within 40 s, medians less steady
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only cases of this name; `*` stands for anything; may be given more than once
    #[arg(long, value_name = "NAME")]
    pub(crate) case: Vec<String>,
    /// Cases past the last cache too
    #[arg(long)]
    pub(crate) cold: bool,
    /// The kernel that ours uses, instead of the fastest this CPU has
    #[arg(long, value_name = "KERNEL")]
    pub(crate) kernel: Option<KernelName>,
    /// Write the outcomes as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Exit 1 if a target is missed
    #[arg(long)]
    pub(crate) check: bool,
    /// Rounds, whatever the cases
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: Option<u32>,
    /// Starts the order of the rounds
    #[arg(long, value_name = "N", default_value_t = 6455)]
    pub(crate) seed: u64,
    /// Name the cases and end
    #[arg(long)]
    pub(crate) list: bool,
    /// The best peer of each case alone, without the others
    #[arg(long)]
    pub(crate) brief: bool,
}

/// A kernel by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KernelName {
    Portable,
    Avx2,
    Avx512,
}

impl KernelName {
    /// The kernel, if this CPU has it.
    pub(crate) fn force(self) -> Result<Kernel, IsaNotDetected> {
        Kernel::force(match self {
            Self::Portable => Isa::Portable,
            Self::Avx2 => Isa::Avx2,
            Self::Avx512 => Isa::Avx512,
        })
    }
}

impl Cli {
    /// Rounds and laps.
    pub(crate) fn course(&self) -> Course {
        let (rounds, lap) = if self.quick {
            (41, Duration::from_micros(400))
        } else {
            (101, Duration::from_micros(800))
        };
        Course {
            rounds: self.rounds.map_or(rounds, |rounds| rounds as usize),
            lap,
        }
    }

    /// The same for one case: a lap of a cold one is a whole pass, and those are long.
    pub(crate) fn course_of(&self, case: &Case) -> Course {
        let course = self.course();
        Course {
            rounds: if case.is_cold() {
                course.rounds.min(COLD_ROUNDS_MAX)
            } else {
                course.rounds
            },
            ..course
        }
    }
}
