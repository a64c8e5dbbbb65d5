//! Durations and how they are spread. In: nanoseconds, one after another. Out: quantiles, each within
//! a thousandth.
//!
//! Never: knows what the durations are of.

use std::io;

use hdrhistogram::Histogram;

/// Three significant digits: each duration is told within 0.1 %.
const SIGNIFICANT_DIGITS: u8 = 3;

/// Durations past an hour count as an hour.
const DURATION_NS_MAX: u64 = 3_600_000_000_000;

/// A histogram of durations.
#[derive(Clone, Debug)]
pub(crate) struct Spectrum {
    ns: Histogram<u64>,
}

/// Quantiles of a [`Spectrum`], in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quantiles {
    pub(crate) min: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl Spectrum {
    /// Nothing recorded.
    pub(crate) fn new() -> Self {
        Self {
            ns: Histogram::new_with_bounds(1, DURATION_NS_MAX, SIGNIFICANT_DIGITS)
                .expect("the bounds are constants that the histogram allows"),
        }
    }

    /// Records one duration.
    #[inline]
    pub(crate) fn record(&mut self, ns: u64) {
        self.ns.saturating_record(ns);
    }

    /// Adds everything that `other` has recorded.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.ns.add(&other.ns).expect("both have the same bounds");
    }

    /// How many durations were recorded.
    pub(crate) fn count(&self) -> u64 {
        self.ns.len()
    }

    /// The quantiles; `None` if nothing was recorded.
    pub(crate) fn quantiles(&self) -> Option<Quantiles> {
        let at = |quantile| micros(self.ns.value_at_quantile(quantile));
        (!self.ns.is_empty()).then(|| Quantiles {
            min: micros(self.ns.min()),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: micros(self.ns.max()),
        })
    }

    /// Writes the percentile distribution in the format of HdrHistogram's plotters (`.hgrm`):
    /// milliseconds, quantile, count up to here, 1/(1 − quantile).
    ///
    /// # Errors
    ///
    /// When `out` takes no more.
    pub(crate) fn write_hgrm(&self, out: &mut impl io::Write) -> io::Result<()> {
        const TICKS_PER_HALF_DISTANCE: u32 = 5;
        let millis = |ns: u64| ns as f64 / 1e6;
        writeln!(
            out,
            "{:>12} {:>14} {:>10} {:>14}\n",
            "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
        )?;
        let mut up_to_here = 0;
        for step in self.ns.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
            up_to_here += step.count_since_last_iteration();
            let (value, quantile) = (
                millis(step.value_iterated_to()),
                step.quantile_iterated_to(),
            );
            write!(out, "{value:>12.6} {quantile:>14.12} {up_to_here:>10}")?;
            if quantile < 1.0 {
                writeln!(out, " {:>14.2}", 1.0 / (1.0 - quantile))?;
            } else {
                writeln!(out)?;
            }
        }
        writeln!(
            out,
            "#[Mean    = {:>12.6}, StdDeviation   = {:>12.6}]",
            self.ns.mean() / 1e6,
            self.ns.stdev() / 1e6
        )?;
        writeln!(
            out,
            "#[Max     = {:>12.6}, Total count    = {:>12}]",
            millis(self.ns.max()),
            self.ns.len()
        )
    }
}

fn micros(ns: u64) -> f64 {
    ns as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_thousandth() {
        let (mut odd, mut even) = (Spectrum::new(), Spectrum::new());
        for us in (1..=100_000u64).rev() {
            if us % 2 == 0 { &mut even } else { &mut odd }.record(us * 1_000);
        }
        odd.merge(&even);
        let quantiles = odd.quantiles().expect("durations were recorded");
        for (got, want) in [
            (quantiles.min, 1.0),
            (quantiles.p50, 50_000.0),
            (quantiles.p90, 90_000.0),
            (quantiles.p99, 99_000.0),
            (quantiles.p999, 99_900.0),
            (quantiles.max, 100_000.0),
        ] {
            assert!((got - want).abs() <= want * 0.001, "{got} for {want}");
        }
    }

    #[test]
    fn nothing_recorded_has_no_quantiles() {
        assert!(Spectrum::new().quantiles().is_none());
    }

    #[test]
    fn the_distribution_ends_with_everything() {
        let mut spectrum = Spectrum::new();
        for ms in 1..=1_000u64 {
            spectrum.record(ms * 1_000_000);
        }
        let mut text = Vec::new();
        spectrum.write_hgrm(&mut text).expect("a Vec takes all");
        let text = String::from_utf8(text).expect("it is ASCII");
        let rows: Vec<Vec<f64>> = text
            .lines()
            .skip(2)
            .take_while(|line| !line.starts_with('#'))
            .map(|line| {
                line.split_ascii_whitespace()
                    .map(|word| word.parse().expect("a number"))
                    .collect()
            })
            .collect();
        let last = rows.last().expect("there are rows");
        assert_eq!(last[2], 1_000.0);
        let half = rows.iter().find(|row| row[1] >= 0.5).expect("a median");
        assert!((half[0] - 500.0).abs() < 1.0, "{half:?}");
    }
}
