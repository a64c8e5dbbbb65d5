//! What a child process writes to its stderr. In: the pipe. Out: its lines, as they come.
//!
//! Never: lets the pipe fill up.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use crate::client::PATIENCE;

#[derive(Debug, Default)]
struct Lines {
    lines: Mutex<(Vec<String>, bool)>,
    changed: Condvar,
}

/// The lines so far, read by a thread of their own until the pipe ends.
#[derive(Clone, Debug)]
pub struct Log(Arc<Lines>);

impl Log {
    /// Reads `pipe` to its end. Each line is shown with the output of the test that called this.
    pub fn follow(pipe: impl Read + Send + 'static) -> Self {
        let log = Self(Arc::default());
        let lines = log.0.clone();
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                eprintln!("{line}");
                lines.lines.lock().unwrap().0.push(line);
                lines.changed.notify_all();
            }
            lines.lines.lock().unwrap().1 = true;
            lines.changed.notify_all();
        });
        log
    }

    /// How many lines there are now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.lines.lock().unwrap().0.len()
    }

    /// The lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.lines.lock().unwrap().0.clone()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first line after the first `from` that `fits`, once it is there.
    #[track_caller]
    #[must_use]
    pub fn wait_for(&self, what: &str, from: usize, fits: impl Fn(&str) -> bool) -> String {
        let found = |lines: &[String]| {
            let line = lines.iter().skip(from).find(|line| fits(line));
            line.cloned()
        };
        let lines = self.0.lines.lock().unwrap();
        let (lines, _) = self
            .0
            .changed
            .wait_timeout_while(lines, PATIENCE, |(lines, ended)| {
                !*ended && found(lines).is_none()
            })
            .unwrap();
        found(&lines.0).unwrap_or_else(|| panic!("no {what} in {:#?}", lines.0))
    }
}
