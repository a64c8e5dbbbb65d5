//! The line that shows how far a run is. In: its [`Progress`]. Out: one line on a terminal, rewritten.
//!
//! Never: writes to something that is no terminal, or to standard output.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::text::thousands;
use crate::scenario::{Phase, Progress, Timing};

/// A progress line on standard error, or nothing.
#[derive(Debug)]
pub(crate) struct ProgressLine {
    bar: Option<ProgressBar>,
    timing: Timing,
    connections: usize,
    /// What is counted.
    unit: &'static str,
    phase: Phase,
    last: Option<(Duration, u64)>,
}

impl ProgressLine {
    /// For a run with this many connections; a line only if it is `wanted` and there is a terminal.
    pub(crate) fn new(
        wanted: bool,
        connections: usize,
        timing: Timing,
        unit: &'static str,
    ) -> Self {
        let bar = (wanted && stderr().is_terminal()).then(|| {
            let target = ProgressDrawTarget::stderr_with_hz(10);
            let style = ProgressStyle::with_template("{prefix:>10} {bar:30} {msg}")
                .expect("the template is a constant");
            ProgressBar::with_draw_target(Some(0), target).with_style(style)
        });
        Self {
            bar,
            timing,
            connections,
            unit,
            phase: Phase::Opening,
            last: None,
        }
    }

    /// Shows how far the run is.
    pub(crate) fn show(&mut self, progress: &Progress) {
        if progress.phase != self.phase {
            (self.phase, self.last) = (progress.phase, None);
        }
        let rate = self.rate(progress);
        let (name, done, of) = match progress.phase {
            Phase::Opening => ("connecting", progress.open, self.connections),
            Phase::WarmingUp => share("warm-up", progress, self.timing.warmup),
            Phase::Measuring => share("measuring", progress, self.timing.duration),
            Phase::Draining => ("draining", 1, 1),
        };
        let Some(bar) = &self.bar else { return };
        bar.set_prefix(name);
        bar.set_length(of as u64);
        bar.set_position(done.min(of) as u64);
        bar.set_message(format!(
            "{} open  {} {}s/s  {} lost",
            thousands(progress.open as f64),
            thousands(rate),
            self.unit,
            thousands(progress.faults as f64)
        ));
    }

    /// Messages a second since it was last shown.
    fn rate(&mut self, progress: &Progress) -> f64 {
        let (at, messages) = self.last.unwrap_or_default();
        let elapsed = progress.elapsed.saturating_sub(at).as_secs_f64();
        self.last = Some((progress.elapsed, progress.messages));
        if elapsed > 0.0 {
            progress.messages.saturating_sub(messages) as f64 / elapsed
        } else {
            0.0
        }
    }

    /// Takes the line away.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// In milliseconds.
fn share(name: &'static str, progress: &Progress, of: Duration) -> (&'static str, usize, usize) {
    let millis = |duration: Duration| usize::try_from(duration.as_millis()).unwrap_or(usize::MAX);
    (name, millis(progress.elapsed), millis(of))
}
