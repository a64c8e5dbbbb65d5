//! Rounds in which everything that is compared runs once, in an order drawn anew each time. In:
//! closures that do the same work over and over. Out: nanoseconds a message, one sample a round each.
//!
//! A machine that slows down for a while slows down all of a round; nobody always runs behind the
//! same neighbour. What is timed is the thread's CPU time: these loops never wait, and what other
//! processes take is not theirs.
//!
//! Never: knows what is raced, drops a sample.

use std::time::Duration;

use fanfare_benches::clock;

/// One who runs.
pub(crate) struct Runner {
    /// One pass over its bytes.
    pub(crate) run: Box<dyn FnMut()>,
    /// Messages a pass.
    pub(crate) messages: usize,
    /// The runner whose time in the same round is no work of this one's: its place in the list.
    pub(crate) less: Option<usize>,
}

impl Runner {
    pub(crate) fn new(messages: usize, run: impl FnMut() + 'static) -> Self {
        Self {
            run: Box::new(run),
            messages,
            less: None,
        }
    }

    pub(crate) fn less(mut self, other: usize) -> Self {
        self.less = Some(other);
        self
    }
}

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    pub(crate) rounds: usize,
    /// Each runner is timed for about this long a round: passes are repeated to fill it.
    pub(crate) lap: Duration,
}

/// Nanoseconds a message, for each runner one sample a round; the other runner's are taken off.
pub(crate) fn race(runners: &mut [Runner], course: Course, seed: u64) -> Vec<Vec<f64>> {
    let passes: Vec<u32> = runners
        .iter_mut()
        .map(|runner| passes(runner, course.lap))
        .collect();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut order: Vec<usize> = (0..runners.len()).collect();
    let mut samples = vec![Vec::with_capacity(course.rounds); runners.len()];
    for _ in 0..course.rounds {
        random.shuffle(&mut order);
        for &at in &order {
            let runner = &mut runners[at];
            let time = timed(&mut runner.run, passes[at]);
            let messages = f64::from(passes[at]) * runner.messages as f64;
            samples[at].push(time.as_secs_f64() * 1e9 / messages);
        }
        net(runners, &mut samples);
    }
    samples
}

/// Takes off the last round's samples what is not the runners' own.
fn net(runners: &[Runner], samples: &mut [Vec<f64>]) {
    let gross: Vec<Option<f64>> = samples.iter().map(|of| of.last().copied()).collect();
    for (runner, own) in runners.iter().zip(samples) {
        if let (Some(last), Some(Some(other))) = (own.last_mut(), runner.less.map(|at| gross[at])) {
            *last -= other;
        }
    }
}

/// How many passes fill a lap; warms the runner up on the way.
fn passes(runner: &mut Runner, lap: Duration) -> u32 {
    let mut passes = 1;
    loop {
        let time = timed(&mut runner.run, passes);
        if time * 4 >= lap || passes >= 1 << 24 {
            let wanted = f64::from(passes) * lap.as_secs_f64() / time.as_secs_f64().max(1e-9);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates, and a lap is at least one pass"
            )]
            return (wanted.round() as u32).max(1);
        }
        passes *= 2;
    }
}

fn timed(run: &mut dyn FnMut(), passes: u32) -> Duration {
    let start = clock::thread_cpu();
    for _ in 0..passes {
        run();
    }
    clock::thread_cpu() - start
}
