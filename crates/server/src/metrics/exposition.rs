//! Families of numbers as text. In: names, labels, numbers. Out: what Prometheus reads.
//!
//! Never: knows what a number means.

use prometheus::TextEncoder;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram as HistogramValue, LabelPair, Metric, MetricFamily,
    MetricType,
};

use super::count::{BOUNDS_MICROS, Histogram};

/// Families, in the order in which they were added.
#[derive(Debug, Default)]
pub(super) struct Exposition(Vec<MetricFamily>);

impl Exposition {
    pub(super) fn counter(&mut self, name: &str, help: &str) -> Numbers<'_> {
        Numbers(self.family(name, help, MetricType::COUNTER))
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str) -> Numbers<'_> {
        Numbers(self.family(name, help, MetricType::GAUGE))
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str) -> Durations<'_> {
        Durations(self.family(name, help, MetricType::HISTOGRAM))
    }

    fn family(&mut self, name: &str, help: &str, kind: MetricType) -> &mut MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        self.0.push(family);
        self.0.last_mut().expect("pushed a line above")
    }

    /// A family that nobody has added a number to would be refused.
    pub(super) fn text(mut self) -> String {
        self.0.retain(|family| !family.get_metric().is_empty());
        TextEncoder::new()
            .encode_to_string(&self.0)
            .expect("families have names and numbers")
    }
}

/// A counter's numbers, or a gauge's.
pub(super) struct Numbers<'e>(&'e mut MetricFamily);

impl Numbers<'_> {
    pub(super) fn add(&mut self, labels: &[(&str, &str)], value: u64) {
        self.add_seconds(labels, value as f64);
    }

    pub(super) fn add_seconds(&mut self, labels: &[(&str, &str)], value: f64) {
        let mut metric = Metric::from_label(pairs(labels));
        if self.0.get_field_type() == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.0.mut_metric().push(metric);
    }
}

/// A histogram's durations.
pub(super) struct Durations<'e>(&'e mut MetricFamily);

impl Durations<'_> {
    pub(super) fn add(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        let cumulative = histogram.cumulative();
        let bounded = BOUNDS_MICROS.iter().zip(cumulative);
        let buckets = bounded.map(|(bound, count)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound as f64 / 1e6);
            bucket.set_cumulative_count(count);
            bucket
        });
        let mut value = HistogramValue::default();
        value.set_bucket(buckets.collect());
        value.set_sample_count(cumulative[BOUNDS_MICROS.len()]);
        value.set_sample_sum(histogram.sum_micros() as f64 / 1e6);
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_histogram(value);
        self.0.mut_metric().push(metric);
    }
}

fn pairs(labels: &[(&str, &str)]) -> Vec<LabelPair> {
    let pairs = labels.iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    });
    pairs.collect()
}
