//! The flags of `loadgen fanout`.
//!
//! Never: opens a socket or a file.

use std::str::FromStr;

use clap::Args;

use super::DialArgs;
use super::Usage;
use super::args::{OutputArgs, RunArgs, count, rate};
use super::cuts::CutArgs;
use super::dialect::DialectArgs;
use super::publish::PublishArgs;
use crate::payload::{Envelope, SERIES_MAX, STAMP_BYTES, Sizes};
use crate::scenario::fanout::Layout;

/// Publishes to the channels of a server that broadcasts, and follows every publication to every
/// subscriber
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  loadgen fanout ws://127.0.0.1:9001/{channel} --subscribers 20 --rate 100 --duration 1 --warmup 0.3
  loadgen fanout ws://127.0.0.1:9001/{channel} --subscribers 20 --channels 4 --publishers 4 --threads 2 --rate 100 --poisson --duration 1 --warmup 0.3
  loadgen fanout 'ws://127.0.0.1:9001/{channel}?meta=1' --delivery '{position} {payload}' --burst 5 --subscribers 20 --rate 100 --duration 1 --warmup 0.3
  loadgen fanout ws://127.0.0.1:9001/{channel} --cut-rate 20 --cut-pause 0.1 --subscribers 20 --rate 100 --duration 1 --warmup 0.3
  loadgen fanout 'ws://127.0.0.1:9001/{channel}?meta=1' --delivery '{position} {payload}' --cut-rate 20 --resume 'since={position}' --subscribers 20 --rate 100 --duration 1 --warmup 0.3
  loadgen fanout ws://127.0.0.1:9001/{channel} --stalled 10% --subscribers 20 --rate 100 --duration 1 --warmup 0.3

With the Centrifuge protocol, as `fanfare serve --dev` speaks it:
  loadgen fanout ws://127.0.0.1:8000/connection/websocket --dialect centrifuge-json --subscribers 20 --channels 4 --rate 100 --duration 1 --warmup 0.3
  loadgen fanout ws://127.0.0.1:8000/connection/websocket --dialect centrifuge-protobuf --cut-rate 20 --cut-pause 0.1 --subscribers 20 --rate 100 --duration 1 --warmup 0.3

With a push server that publishes over HTTP (/connection is the server's WebSocket):
  $ loadgen fanout ws://HOST/connection/{channel} --channels 10 --publish-http http://HOST/api/publish \\
      --publish-header 'X-API-Key: KEY' --publish-json '{\"channel\":\"{channel}\",\"data\":\"{payload}\"}'

  Where it takes base64 (b64data) and gives bytes: --publish-json '{\"channel\":\"{channel}\",\"b64data\":\"{b64payload}\"}'

The URL is the subscription: each subscriber gets what is published to the channel in its URL.
Publishers are WebSockets of the same URL, each on one channel, beside the subscribers; what the
server sends back to them is not looked at. With --publish-http they are HTTP clients, each with one
connection, that reach every channel.

With --dialect centrifuge-json or centrifuge-protobuf the URL is the server's, and each connection says
who it is and subscribes to its channel in its first message; publishers publish with commands. Epoch and
offset are followed where the server says that they hold: offsets have to rise by one. After a cut a
subscriber asks for what is behind its offset; what the answer brings are deliveries. --delivery says what
stands in the data of a publication, by itself '\"{payload}\"', a JSON string.

With --delivery the server may tell more than the payload: '\"{payload}\"' is a payload that is told as a
JSON string. '{position} {payload}' also tells where in the channel a publication stands; a position, of
64 bytes at most, ends where the text behind it begins. A message that is a position alone, as servers
greet with, is no fault.

Open loop: publications have their times, whatever the server does. The latency of a delivery runs
from there to just after the receive call of the subscriber. For each publication that reached all
subscribers of its channel, the first, the median, the 99th percentile and the last of its deliveries
are told; printed is the median over the publications. The first publication leaves 0.2 s after the
last connection is open, or at the end of the warm-up: some servers subscribe after the upgrade.

With --cut-rate subscribers are cut, by a reset or without a close frame, while the load is on. With
--resume one that knows its position comes back there and is owed all that was published across the cut,
once and in order; what it had not read before the cut has to come again. The latency of what it gets late
has the time in it that it was away. Else it comes back as a new one, and is owed what is published from
its 101 on. Told is how long it took from when it was to connect again to its 101. At the end those that
are on their way back are waited for, --timeout at most.

A server that cannot bring all may end the connection with a code of --told, at any time. That is counted
as told and is no fault; what was to come is no gap, what was left out before a later one is. The
subscriber comes back as a new one. With the Centrifuge protocol it may end the subscription instead, and
the subscriber comes back to where it stood: it is owed all until it hears that this is not recovered,
which is counted as told, too, and makes it a new one.

With --stalled some subscribers, spread evenly over the channels, connect with a small receive buffer and
never read: what is published to them has to wait at the server. They count for nothing; that the server
ends them is no fault, and is told with the close codes. In the end they read what is there, for 0.2 s,
since a close may wait behind it.

A run that lost anything exits 1. What can be lost, each counted once, in the whole run:
  gap                  a subscriber did not get a publication before --timeout was over
  duplicate            a subscriber got a publication once more
  disorder             a subscriber got a publication behind a later one of its publisher, or offset
  mismatch             a subscriber got something that was not published as it came
  refused              the server did not take a publication, or did not say so; nobody is to get it then
  connect, handshake   connections that were not made, or not upgraded; a connect or subscribe refused
  protocol, closed     connections that broke RFC 6455, or that the server ended: what is published
                       after that is no gap; a subscriber that cannot connect again stays away
  timeout              a cut subscriber was not back, or a connect or subscribe not answered, when
                       --timeout was over; it has no gaps beside that")]
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

    /// Publications at each arrival, back to back: one send of so many messages, or so many POSTs; the
    /// rate stays that of publications
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count(1 << 16))]
    pub(crate) burst: u32,

    /// Payload bytes of each publication, 24 at least: 64, 24..1024 (uniform), lognormal:MEDIAN,SIGMA
    /// or @FILE (a size a line); all of it is letters, digits, - and _
    #[arg(long, value_name = "BYTES", default_value = "64", value_parser = str::parse::<Sizes>)]
    pub(crate) size: Sizes,

    /// Publish binary messages instead of text
    #[arg(long)]
    pub(crate) binary: bool,

    /// How the server tells a publication to a subscriber: a text with {payload} in it once, and in front
    /// of that once {position} if the server says where in the channel it stands. With the Centrifuge
    /// protocol it is the data of a publication [default: {payload}, Centrifuge: "{payload}"]
    #[arg(long, value_name = "TEMPLATE", value_parser = envelope)]
    delivery: Option<Envelope>,

    /// So many of the subscribers, or N% of them, connect and never read
    #[arg(long, value_name = "N", default_value = "0", value_parser = str::parse::<Stalled>)]
    stalled: Stalled,

    #[command(flatten)]
    pub(crate) dialect: DialectArgs,

    #[command(flatten)]
    pub(crate) publish: PublishArgs,

    #[command(flatten)]
    pub(crate) cuts: CutArgs,

    #[command(flatten)]
    pub(crate) dial: DialArgs,

    #[command(flatten)]
    pub(crate) run: RunArgs,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// What one burst may hold of payload.
const BURST_BYTES_MAX: u64 = 1 << 28;

fn envelope(template: &str) -> Result<Envelope, String> {
    Envelope::parse(template).map_err(|error| error.to_string())
}

/// How many subscribers never read.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stalled {
    Count(u32),
    /// Of all subscribers, 0 to 1.
    Share(f64),
}

impl FromStr for Stalled {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(percent) = text.strip_suffix('%') else {
            let count = text.parse().map(Self::Count);
            return count.map_err(|_| "neither a number nor one with %".to_owned());
        };
        match percent.parse::<f64>() {
            Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Self::Share(percent / 100.0)),
            Ok(_) => Err("must be from 0% to 100%".to_owned()),
            Err(_) => Err("not a number before the %".to_owned()),
        }
    }
}

impl Stalled {
    /// Of so many.
    const fn of(self, subscribers: u32) -> usize {
        match self {
            Self::Count(count) => count as usize,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "from 0 to the number of subscribers"
            )]
            Self::Share(share) => (share * subscribers as f64).round() as usize,
        }
    }
}

impl FanoutArgs {
    /// How many there are of everything.
    pub(crate) fn layout(&self) -> Layout {
        Layout {
            subscribers: self.subscribers as usize,
            stalled: self.stalled.of(self.subscribers),
            channels: self.channels as usize,
            publishers: self.publishers() as usize,
            is_posting: self.publish.publish_http.is_some(),
        }
    }

    /// How a publication is told to a subscriber.
    pub(crate) fn delivery(&self) -> Envelope {
        self.delivery.clone().unwrap_or_else(|| {
            let template = self.dialect.default_delivery(self.binary);
            Envelope::parse(template).expect("it has a payload")
        })
    }

    /// How many publishers.
    pub(crate) fn publishers(&self) -> u32 {
        let default = if self.publish.publish_http.is_some() {
            1
        } else {
            self.channels
        };
        self.publishers.unwrap_or(default)
    }

    /// Rules that more than one flag can break.
    pub(super) fn check(&self) -> Result<(), Usage> {
        let (channels, subscribers) = (self.channels, self.subscribers);
        if channels > subscribers {
            return Err(Usage(format!(
                "--subscribers {subscribers} is less than --channels {channels}: some would have none"
            )));
        }
        let layout = self.layout();
        if layout.stalled > layout.subscribers || layout.deaf_channel().is_some() {
            return Err(Usage(format!(
                "--stalled {} of --subscribers {subscribers} leaves a channel of {channels} with nobody \
                 who reads",
                layout.stalled
            )));
        }
        let is_raw = self.dialect.speech.encoding().is_none();
        if is_raw && channels > 1 && !self.url.contains("{channel}") {
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
        let delivery = self.delivery();
        let resumes = self.cuts.resumes();
        self.dialect.check(&delivery, self.binary, resumes)?;
        self.cuts.check(&delivery)?;
        match &self.publish.publish_http {
            Some(url) => self.publish.check(url, channels, self.publishers())?,
            None if self.publishers() < channels => {
                return Err(Usage(format!(
                    "--publishers {} is less than --channels {channels}: a publisher is on one \
                     channel, and some would have none",
                    self.publishers()
                )));
            }
            None => {}
        }
        let connections = match self.publish.publish_http {
            Some(_) => subscribers,
            None => subscribers + self.publishers(),
        };
        self.run
            .check("--subscribers and --publishers", connections)
    }
}

/// The rule for the largest publication, which is known late, too.
///
/// # Errors
///
/// [`Usage`] when a burst of them would be more than this process should hold.
pub(crate) fn check_burst(burst: u32, size_max: u32) -> Result<(), Usage> {
    if u64::from(burst) * u64::from(size_max) > BURST_BYTES_MAX {
        return Err(Usage(format!(
            "--burst {burst} times --size {size_max} is more than {} MiB",
            BURST_BYTES_MAX >> 20
        )));
    }
    Ok(())
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
