//! The echo run. In: a [`Plan`]. Out: a [`Report`].
//!
//! Every connection sends a burst, counts the bytes that come back, and once they are as many
//! as the burst's echo has, sends the next. The first second is warm-up and left out.
//!
//! Never: looks into the bytes, opens a thread, prints.

use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::time::Timespec;

use super::{Burst, Failure, Target, upgrade};
use crate::{clock, cpu_time};

const WARM_UP: Duration = Duration::from_secs(1);
const RECV_BYTES_MAX: usize = 1 << 20;
const EVENTS_MAX: usize = 1024;

/// How long `epoll_wait` may sleep: a dead server must not keep the run from ending.
const WAIT_MAX: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// What to do to the server.
#[derive(Debug)]
pub struct Plan {
    /// The server.
    pub target: Target,
    /// Connections, all opened before the first message.
    pub connections: usize,
    /// What each sends.
    pub burst: Burst,
    /// Messages in a burst.
    pub depth: usize,
    /// Payload bytes of a message.
    pub size: usize,
    /// How long to measure, after the warm-up.
    pub duration: Duration,
    /// The process whose CPU time is the server's.
    pub server_pid: Option<u32>,
}

/// What was counted between the end of the warm-up and the end of the run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report {
    /// Messages answered.
    pub messages: u64,
    /// When counting began and ended, by [`clock::machine_seconds`].
    pub counted_seconds: [f64; 2],
    /// Messages answered a second.
    pub messages_per_second: f64,
    /// Their payload, one way, in bytes a second.
    pub payload_bytes_per_second: f64,
    /// CPU time of this process a message, in nanoseconds.
    pub client_cpu_ns_per_message: f64,
    /// CPU time of the server a message, in nanoseconds, if its pid was given.
    pub server_cpu_ns_per_message: Option<f64>,
}

/// Runs the plan.
///
/// # Errors
/// Any [`Failure`]; the run has no result then, and every connection is closed.
pub fn run(plan: &Plan) -> Result<Report, Failure> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
        .map_err(|e| Failure::Io("epoll_create", e.into()))?;
    let mut flows = Vec::with_capacity(plan.connections);
    for index in 0..plan.connections {
        let flow = Flow::new(upgrade::open(&plan.target, index)?);
        epoll::add(&epoll, &flow.socket, key(index), EventFlags::IN)
            .map_err(|e| Failure::Io("epoll_ctl", e.into()))?;
        flows.push(flow);
    }
    let mut client = Client {
        epoll,
        flows,
        buf: vec![0; RECV_BYTES_MAX].into_boxed_slice(),
    };
    client.measure(plan)
}

#[derive(Debug)]
struct Flow {
    socket: OwnedFd,
    /// Bytes of the burst under way that the socket has taken.
    sent_bytes: usize,
    /// Bytes of its echo that have come.
    received_bytes: usize,
    /// Bursts answered since the end of the warm-up.
    bursts: u64,
    /// A send fell short: the socket is watched for room, too.
    wants_room: bool,
}

#[derive(Debug)]
struct Client {
    epoll: OwnedFd,
    flows: Vec<Flow>,
    buf: Box<[u8]>,
}

/// Where the clocks stood when the warm-up ended.
#[derive(Debug)]
struct Start {
    time: Instant,
    machine_seconds: f64,
    client_ns: u64,
    server_ns: Option<u64>,
}

impl Start {
    fn take(server_pid: Option<u32>) -> Result<Self, Failure> {
        Ok(Self {
            time: clock::now(),
            machine_seconds: clock::machine_seconds(),
            client_ns: client_cpu_ns()?,
            server_ns: server_pid.map(server_cpu_ns).transpose()?,
        })
    }
}

fn client_cpu_ns() -> Result<u64, Failure> {
    cpu_time::process_ns(std::process::id()).map_err(|e| Failure::Io("own CPU time", e))
}

fn server_cpu_ns(pid: u32) -> Result<u64, Failure> {
    cpu_time::process_ns(pid).map_err(|e| Failure::ServerPid(pid, e))
}

fn key(index: usize) -> EventData {
    EventData::new_u64(index as u64)
}

impl Client {
    fn measure(&mut self, plan: &Plan) -> Result<Report, Failure> {
        for index in 0..self.flows.len() {
            self.send(index, &plan.burst)?;
        }
        let warm_at = clock::now() + WARM_UP;
        self.press(&plan.burst, warm_at)?;
        for flow in &mut self.flows {
            flow.bursts = 0;
        }
        let start = Start::take(plan.server_pid)?;
        self.press(&plan.burst, start.time + plan.duration)?;
        let end = Start::take(plan.server_pid)?;
        let silent = self.flows.iter().filter(|flow| flow.bursts == 0).count();
        if silent > 0 {
            return Err(Failure::Silent(silent));
        }
        let bursts: u64 = self.flows.iter().map(|flow| flow.bursts).sum();
        Ok(report(plan, bursts * plan.depth as u64, &start, &end))
    }

    /// Keeps every connection busy until `end`.
    fn press(&mut self, burst: &Burst, end: Instant) -> Result<(), Failure> {
        let mut events = [MaybeUninit::<Event>::uninit(); EVENTS_MAX];
        while clock::now() < end {
            let ready = match epoll::wait(&self.epoll, &mut events, Some(&WAIT_MAX)) {
                Ok((ready, _)) => ready,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(Failure::Io("epoll_wait", error.into())),
            };
            for event in ready {
                let index = usize::try_from(event.data.u64()).expect("a flow's index is a usize");
                self.flows[index].receive(burst, &mut self.buf)?;
                self.send(index, burst)?;
            }
        }
        Ok(())
    }

    /// Sends what a flow has to send; watches it for room as long as something is left.
    #[inline]
    fn send(&mut self, index: usize, burst: &Burst) -> Result<(), Failure> {
        let flow = &mut self.flows[index];
        let wants_room = flow.pump(burst)?;
        if wants_room == flow.wants_room {
            return Ok(());
        }
        flow.wants_room = wants_room;
        let flags = if wants_room {
            EventFlags::IN | EventFlags::OUT
        } else {
            EventFlags::IN
        };
        epoll::modify(&self.epoll, &flow.socket, key(index), flags)
            .map_err(|e| Failure::Io("epoll_ctl", e.into()))
    }
}

impl Flow {
    fn new(stream: TcpStream) -> Self {
        Self {
            socket: stream.into(),
            sent_bytes: 0,
            received_bytes: 0,
            bursts: 0,
            wants_room: false,
        }
    }

    #[inline]
    fn receive(&mut self, burst: &Burst, buf: &mut [u8]) -> Result<(), Failure> {
        match recv(&self.socket, buf, RecvFlags::empty()) {
            Ok((_, 0)) => return Err(Failure::Closed(1)),
            Ok((_, received)) => self.received_bytes += received,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::CONNRESET) => return Err(Failure::Closed(1)),
            Err(error) => return Err(Failure::Io("recv", error.into())),
        }
        if self.received_bytes > burst.reply_bytes {
            return Err(Failure::TooMuch);
        }
        Ok(())
    }

    /// Counts an answered burst and sends what is left of the one under way; says whether
    /// something of it is left still.
    #[inline]
    fn pump(&mut self, burst: &Burst) -> Result<bool, Failure> {
        if self.received_bytes == burst.reply_bytes && self.sent_bytes == burst.bytes.len() {
            self.bursts += 1;
            self.received_bytes = 0;
            self.sent_bytes = 0;
        }
        let left = &burst.bytes[self.sent_bytes..];
        if left.is_empty() {
            return Ok(false);
        }
        match send(&self.socket, left, SendFlags::NOSIGNAL) {
            Ok(sent) => self.sent_bytes += sent,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::CONNRESET | Errno::PIPE) => return Err(Failure::Closed(1)),
            Err(error) => return Err(Failure::Io("send", error.into())),
        }
        Ok(self.sent_bytes < burst.bytes.len())
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts and times far below 2^53"
)]
fn report(plan: &Plan, messages: u64, start: &Start, end: &Start) -> Report {
    let seconds = (end.time - start.time).as_secs_f64();
    let per_message = |from: u64, to: u64| to.saturating_sub(from) as f64 / messages as f64;
    let messages_per_second = messages as f64 / seconds;
    Report {
        messages,
        counted_seconds: [start.machine_seconds, end.machine_seconds],
        messages_per_second,
        payload_bytes_per_second: messages_per_second * plan.size as f64,
        client_cpu_ns_per_message: per_message(start.client_ns, end.client_ns),
        server_cpu_ns_per_message: start
            .server_ns
            .zip(end.server_ns)
            .map(|(from, to)| per_message(from, to)),
    }
}
