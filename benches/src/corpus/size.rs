//! How long messages are. In: a shape and how many bytes in all. Out: sizes, the same ones each time.
//!
//! Never: measures.

use super::text::SEED;

/// Payload sizes: small ones, the edges of the length forms (RFC 6455 §5.2), large ones.
pub const SIZES: [usize; 11] = [
    0,
    20,
    125,
    126,
    127,
    1024,
    16 << 10,
    65_535,
    65_536,
    256 << 10,
    1 << 20,
];

/// Sizes at which a mask kernel changes its way: lanes, vectors, cache lines, caches.
pub const MASK_SIZES: [usize; 19] = [
    1, 2, 3, 4, 7, 8, 15, 16, 20, 31, 32, 63, 64, 125, 1024, 4096, 16_384, 65_536, 1_048_576,
];

/// A shape of traffic.
///
/// Fixed sizes flatter the branch predictor: servers see these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// All alike.
    Fixed(usize),
    /// What people type: log-normal, half of them under 60 bytes, at most 4 KiB.
    Chat,
    /// Prices: 60–180 bytes, each length as likely as the next.
    Ticker,
    /// Nine small ones (10–200 bytes) to one of 16 KiB.
    Mixed,
    /// 1–63 bytes, each length as likely as the next.
    Short,
}

impl Shape {
    /// Sizes that come to at least `total` bytes.
    #[must_use]
    pub fn sizes(self, total: usize) -> Vec<usize> {
        let mut random = fastrand::Rng::with_seed(SEED);
        let mut sizes = Vec::new();
        let mut sum = 0;
        while sum < total {
            let size = self.draw(&mut random);
            sum += size.max(1);
            sizes.push(size);
        }
        sizes
    }

    fn draw(self, random: &mut fastrand::Rng) -> usize {
        match self {
            Self::Fixed(size) => size,
            Self::Chat => log_normal(random, 60.0, 1.0).clamp(1, 4096),
            Self::Ticker => random.usize(60..=180),
            Self::Mixed if random.u8(..10) == 0 => 16 << 10,
            Self::Mixed => random.usize(10..=200),
            Self::Short => random.usize(1..=63),
        }
    }
}

/// By the method of Box and Muller.
fn log_normal(random: &mut fastrand::Rng, median: f64, sigma: f64) -> usize {
    let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
    let normal = radius * (std::f64::consts::TAU * random.f64()).cos();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates, and the caller clamps"
    )]
    let size = (median * (sigma * normal).exp()) as usize;
    size
}
