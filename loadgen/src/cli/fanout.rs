//! The flags of `loadgen fanout`.
//!
//! Never: opens a socket or a file.

use clap::Args;

use super::DialArgs;
use super::Usage;
use super::args::{OutputArgs, RunArgs, count, rate};
use crate::payload::{SERIES_MAX, STAMP_BYTES, Sizes};

/// Publishes to the channels of a server that broadcasts, and follows every publication to every
/// subscriber
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  loadgen fanout ws://127.0.0.1:9001/{channel} --subscribers 20 --rate 100 --duration 1 --warmup 0.3
  loadgen fanout ws://127.0.0.1:9001/{channel} --subscribers 20 --channels 4 --publishers 4 --threads 2 --rate 100 --poisson --duration 1 --warmup 0.3

With a push server that publishes over HTTP (/connection is the server's WebSocket):
  $ loadgen fanout ws://HOST/connection/{channel} --channels 10 --publish-http http://HOST/api/publish \\
      --publish-header 'X-API-Key: KEY' --publish-json '{\"channel\":\"{channel}\",\"data\":\"{payload}\"}'

The URL is the subscription: each subscriber gets what is published to the channel in its URL.
Publishers are WebSockets of the same URL, each on one channel, beside the subscribers; what the
server sends back to them is not looked at. With --publish-http they are HTTP clients, each with one
connection, that reach every channel.

Open loop: publications have their times, whatever the server does. The latency of a delivery runs
from there to just after the receive call of the subscriber. For each publication that reached all
subscribers of its channel, the first, the median, the 99th percentile and the last of its deliveries
are told; printed is the median over the publications. The first publication leaves 0.2 s after the
last connection is open, or at the end of the warm-up: some servers subscribe after the upgrade.

A run that lost anything exits 1. What can be lost, each counted once, in the whole run:
  gap                  a subscriber did not get a publication before --timeout was over
  duplicate            a subscriber got a publication once more
  disorder             a subscriber got a publication behind a later one of its publisher
  mismatch             a subscriber got something that was not published as it came
  refused              the HTTP endpoint did not take a publication; nobody is to get it then
  connect, handshake   connections that were not made, or not upgraded
  protocol, closed     connections that broke RFC 6455, or that the server ended: what is published
                       after that is no gap")]
pub(crate) struct FanoutArgs {
    /// Where the server is: ws://HOST:PORT/PATH, in which {channel} stands for the channel
    #[arg(value_name = "URL")]
    pub(crate) url: String,

    /// Subscribers, spread evenly over the channels
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = count(1_000_000))]
    pub(crate) subscribers: u32,

    /// Channels
    #[arg(long, value_name = "C", default_value_t = 1, value_parser = count(SERIES_MAX as i64))]
    pub(crate) channels: u32,

    /// Channels are called PREFIX0, PREFIX1 and so on
    #[arg(long, value_name = "PREFIX", default_value = "loadgen-")]
    pub(crate) channel_prefix: String,

    /// Publishers, spread evenly over the channels; without it one a channel, and 1 over HTTP
    #[arg(long, value_name = "P", value_parser = count(SERIES_MAX as i64))]
    publishers: Option<u32>,

    /// Publications a second, of all publishers together, at equal distances
    #[arg(long, value_name = "R", default_value = "10", value_parser = rate)]
    pub(crate) rate: f64,

    /// Draw the distances between publications at random (Poisson arrivals)
    #[arg(long)]
    pub(crate) poisson: bool,

    /// Payload bytes of each publication, 24 at least: 64, 24..1024 (uniform), lognormal:MEDIAN,SIGMA
    /// or @FILE (a size a line); all of it is letters, digits, - and _
    #[arg(long, value_name = "BYTES", default_value = "64", value_parser = str::parse::<Sizes>)]
    pub(crate) size: Sizes,

    /// Publish binary messages instead of text
    #[arg(long)]
    pub(crate) binary: bool,

    /// Publish with POST requests to this URL: http://HOST:PORT/PATH, {channel} stands for the channel
    #[arg(long, value_name = "URL")]
    pub(crate) publish_http: Option<String>,

    /// Add a header to these requests
    #[arg(long, value_name = "NAME: VALUE", requires = "publish_http")]
    publish_header: Vec<String>,

    /// Send this body, in which {channel} and {payload} stand for both, instead of the payload
    #[arg(
        long,
        value_name = "TEMPLATE",
        requires = "publish_http",
        conflicts_with = "binary"
    )]
    pub(crate) publish_json: Option<String>,

    #[command(flatten)]
    pub(crate) dial: DialArgs,

    #[command(flatten)]
    pub(crate) run: RunArgs,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Publishers over HTTP are threads.
const POSTERS_MAX: u32 = 1024;

impl FanoutArgs {
    /// How many publishers.
    pub(crate) fn publishers(&self) -> u32 {
        let default = if self.publish_http.is_some() {
            1
        } else {
            self.channels
        };
        self.publishers.unwrap_or(default)
    }

    /// The headers of POST requests, names and values.
    pub(crate) fn publish_headers(&self) -> Vec<(String, String)> {
        let mut headers: Vec<(String, String)> = self
            .publish_header
            .iter()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        let is_type = |(name, _): &(String, String)| name.eq_ignore_ascii_case("content-type");
        if !headers.iter().any(is_type) {
            let value = match (&self.publish_json, self.binary) {
                (Some(_), _) => "application/json",
                (None, true) => "application/octet-stream",
                (None, false) => "text/plain",
            };
            headers.push(("Content-Type".to_owned(), value.to_owned()));
        }
        headers
    }

    /// Rules that more than one flag can break.
    pub(super) fn check(&self) -> Result<(), Usage> {
        let (channels, subscribers) = (self.channels, self.subscribers);
        if channels > subscribers {
            return Err(Usage(format!(
                "--subscribers {subscribers} is less than --channels {channels}: some would have none"
            )));
        }
        if channels > 1 && !self.url.contains("{channel}") {
            return Err(Usage(format!(
                "<URL>: without {{channel}} in it there is one channel, not --channels {channels}"
            )));
        }
        let is_safe = |c: char| c.is_ascii_alphanumeric() || "-._~:".contains(c);
        if !self.channel_prefix.chars().all(is_safe) {
            return Err(Usage(
                "--channel-prefix may have letters, digits and - . _ ~ : only".to_owned(),
            ));
        }
        if let Sizes::Fixed(size) | Sizes::Uniform(size, _) = self.size {
            check_size_min(size)?;
        }
        self.run.check_backlog("--rate", self.rate)?;
        match &self.publish_http {
            Some(url) => self.check_http(url)?,
            None if self.publishers() < channels => {
                return Err(Usage(format!(
                    "--publishers {} is less than --channels {channels}: a publisher is on one \
                     channel, and some would have none",
                    self.publishers()
                )));
            }
            None => {}
        }
        let connections = match self.publish_http {
            Some(_) => subscribers,
            None => subscribers + self.publishers(),
        };
        self.run
            .check("--subscribers and --publishers", connections)
    }

    fn check_http(&self, url: &str) -> Result<(), Usage> {
        let wrong = |why: &dyn std::fmt::Display| Usage(format!("--publish-http '{url}': {why}"));
        let plain = url.replace("{channel}", "channel");
        let uri: ureq::http::Uri = plain.parse().map_err(|error| wrong(&error))?;
        if uri.scheme_str() != Some("http") || uri.host().is_none_or(str::is_empty) {
            return Err(wrong(&"it must be http://HOST:PORT/PATH"));
        }
        let template = self.publish_json.as_deref();
        let names_channel = |text: &str| text.contains("{channel}");
        if self.channels > 1 && !names_channel(url) && !template.is_some_and(names_channel) {
            return Err(wrong(&format_args!(
                "with --channels {} it or --publish-json must have {{channel}} in it",
                self.channels
            )));
        }
        if self.publishers() > POSTERS_MAX {
            return Err(Usage(format!(
                "--publishers {} over HTTP: {POSTERS_MAX} at most",
                self.publishers()
            )));
        }
        if template.is_some_and(|text| text.matches("{payload}").count() != 1) {
            return Err(Usage(
                "--publish-json must have {payload} in it, once".to_owned(),
            ));
        }
        for line in &self.publish_header {
            let is_header = line.split_once(':').is_some_and(|(name, value)| {
                ureq::http::HeaderName::from_bytes(name.trim().as_bytes()).is_ok()
                    && ureq::http::HeaderValue::from_str(value.trim()).is_ok()
            });
            if !is_header {
                return Err(Usage(format!(
                    "--publish-header '{line}' is no NAME: VALUE"
                )));
            }
        }
        Ok(())
    }
}

/// The rule for the smallest publication, which of some distributions is known late.
///
/// # Errors
///
/// [`Usage`] when it could not carry its stamp.
pub(crate) fn check_size_min(size: u32) -> Result<(), Usage> {
    if (size as usize) < STAMP_BYTES {
        return Err(Usage(format!(
            "--size: a publication of {size} bytes has no room for its {STAMP_BYTES} bytes of time, \
             sequence and check"
        )));
    }
    Ok(())
}
