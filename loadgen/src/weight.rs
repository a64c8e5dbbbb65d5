//! What a connection weighs. In: memory, again and again, while connections are made and held. Out:
//! bytes a connection.
//!
//! The server's memory and the kernel's are slopes, by least squares over all samples, the first of
//! them without a connection: so what is there anyway does not count. This process has a place ready
//! for each connection before the first is made, which a slope would miss: its own figure is all that
//! it has grown by, fixed parts included, and means something from about a thousand connections on.
//!
//! The kernel's figure is the growth of the whole machine's `Slab` (`/proc/meminfo`: sockets, files,
//! polls) and of the pages of TCP buffers (`/proc/net/sockstat`). With both ends on one machine it is of
//! both together, and what else the machine does is in it.
//!
//! Never: guesses; what cannot be read is `None`.

use crate::observe::{Server, kernel_bytes};
use crate::scenario::{Phase, Progress};

/// Bytes a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weight {
    /// Of this process.
    pub(crate) client: Option<f64>,
    /// Of the server's process.
    pub(crate) server: Option<f64>,
    /// Of the kernel, for the ends that are on this machine.
    pub(crate) kernel: Option<f64>,
}

/// Takes the samples.
#[derive(Debug)]
pub(crate) struct Scale {
    server: Option<Server>,
    client_before: Option<u64>,
    /// Of the latest sample with connections.
    client: Option<f64>,
    server_line: Line,
    kernel_line: Line,
}

impl Scale {
    /// Takes the sample without connections.
    pub(crate) fn new(server: Option<Server>) -> Self {
        let mut scale = Self {
            server,
            client_before: Server::own().anonymous_bytes(),
            client: None,
            server_line: Line::default(),
            kernel_line: Line::default(),
        };
        scale.sample(0);
        scale
    }

    /// Takes a sample, unless connections are being closed.
    pub(crate) fn look(&mut self, progress: &Progress) {
        if progress.phase == Phase::Draining || progress.open == 0 {
            return;
        }
        self.sample(progress.open);
        let after = Server::own().anonymous_bytes();
        if let (Some(before), Some(after)) = (self.client_before, after) {
            self.client = Some(after.saturating_sub(before) as f64 / progress.open as f64);
        }
    }

    fn sample(&mut self, connections: usize) {
        let connections = connections as f64;
        if let Some(bytes) = self.server.as_ref().and_then(Server::anonymous_bytes) {
            self.server_line.add(connections, bytes as f64);
        }
        if let Some(bytes) = kernel_bytes() {
            self.kernel_line.add(connections, bytes as f64);
        }
    }

    /// What the samples come to.
    pub(crate) fn weight(&self) -> Weight {
        Weight {
            client: self.client,
            server: self.server_line.slope(),
            // Without the server's pid nobody says that its end is here.
            kernel: self.server.as_ref().and_then(|_| self.kernel_line.slope()),
        }
    }
}

/// A straight line through points, which are not kept: sums, relative to the first point.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    origin: Option<(f64, f64)>,
    count: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
}

impl Line {
    fn add(&mut self, x: f64, y: f64) {
        let (x0, y0) = *self.origin.get_or_insert((x, y));
        let (x, y) = (x - x0, y - y0);
        self.count += 1.0;
        self.x += x;
        self.y += y;
        self.xx += x * x;
        self.xy += x * y;
    }

    /// The slope of the line with the least squares; `None` when all points have one `x`.
    fn slope(&self) -> Option<f64> {
        let spread = self.count * self.xx - self.x * self.x;
        (spread > 0.0).then(|| (self.count * self.xy - self.x * self.y) / spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slope(points: &[(f64, f64)]) -> Option<f64> {
        let mut line = Line::default();
        points.iter().for_each(|&(x, y)| line.add(x, y));
        line.slope()
    }

    #[test]
    fn the_slope_is_the_least_squares_and_leaves_the_start_out() {
        let exact = [(0.0, 5e9), (100.0, 5e9 + 2e4), (300.0, 5e9 + 6e4)];
        let got = slope(&exact).expect("there are three points");
        assert!((got - 200.0).abs() < 1e-6, "{got}");
        let noisy = [(0.0, 0.0), (1.0, 3.0), (2.0, 3.0)];
        let got = slope(&noisy).expect("there are three points");
        assert!((got - 1.5).abs() < 1e-12, "{got}");
    }

    #[test]
    fn one_place_has_no_slope() {
        assert_eq!(slope(&[]), None);
        assert_eq!(slope(&[(7.0, 1.0), (7.0, 2.0)]), None);
    }
}
