//! Thousands of subscribers on one thread, up to their close. In: subscribers that are connected. Out: what each has
//! seen.
//!
//! Never: reads one while it has nothing; drops a message without having looked at it.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::client::Client;
use crate::clock;
use crate::read::read;
use crate::session::{Came, Session};
use crate::wire::{CLOSE, Frame, Received, Sender, TEXT, read_frame};

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;

/// One that follows offsets.
#[derive(Debug)]
pub enum Member {
    /// Of `/raw`, with `meta=1`.
    Raw(Client),
    /// With one subscription.
    Session(Session),
}

/// What a subscriber has seen of its end.
#[derive(Debug)]
pub struct Seen {
    /// Of its publications, in their order.
    pub offsets: Vec<u64>,
    /// Of the close frame.
    pub code: u16,
    /// When that was read.
    pub closed_at: Instant,
    /// Which kind it was.
    pub is_session: bool,
}

/// A member, and what it has seen.
struct Place {
    member: Member,
    offsets: Vec<u64>,
    closed: Option<(u16, Instant)>,
}

/// Lets this process, and those that it starts, have as many descriptors as that.
///
/// # Panics
///
/// When the hard limit is lower; says how to raise it.
pub fn reserve_descriptors(needed: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return;
    }
    let raised = Rlimit {
        current: Some(needed),
        maximum: limit.maximum,
    };
    let raised = setrlimit(Resource::Nofile, raised);
    assert!(
        raised.is_ok(),
        "this test needs {needed} file descriptors and may have {:?}; raise that with: \
         sudo prlimit --pid $$ --nofile={needed}:{needed}",
        limit.maximum
    );
}

/// Reads all of them until each has been closed and ended; what they have seen, in no order.
#[must_use]
pub fn to_their_closes(members: Vec<Member>, patience: Duration) -> Vec<Seen> {
    let epoll = epoll::create(CreateFlags::CLOEXEC).unwrap();
    let mut places: Vec<Option<Place>> = members.into_iter().map(Place::at).map(Some).collect();
    for (n, place) in places.iter_mut().enumerate() {
        let place = place.as_mut().expect("all are there");
        place.take_frames(); // what came before there was an epoll
        register(&epoll, place, n as u64);
    }
    let deadline = clock::now() + patience;
    let mut seen = Vec::new();
    let mut events = Vec::with_capacity(EVENTS_MAX);
    while seen.len() < places.len() {
        assert!(
            clock::now() < deadline,
            "{} of {} have ended",
            seen.len(),
            places.len()
        );
        wait(&epoll, &mut events);
        for event in events.drain(..) {
            let n = usize::try_from(event.data.u64()).expect("an index");
            let place = places[n].as_mut().expect("no event comes after the end");
            if place.read_on() {
                seen.extend(places[n].take().map(Place::into_seen)); // its socket closes here
            }
        }
    }
    seen
}

fn register(epoll: &OwnedFd, place: &Place, n: u64) {
    epoll::add(epoll, place.socket(), EventData::new_u64(n), EventFlags::IN).unwrap();
}

fn wait(epoll: &OwnedFd, events: &mut Vec<epoll::Event>) {
    let a_while = Timespec {
        tv_sec: 0,
        tv_nsec: 100_000_000,
    };
    let spare = rustix::buffer::spare_capacity(events);
    match epoll::wait(epoll, spare, Some(&a_while)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => panic!("{error}"),
    }
}

impl Place {
    fn at(member: Member) -> Self {
        let place = Self {
            member,
            offsets: Vec::new(),
            closed: None,
        };
        place.socket().set_nonblocking(true).unwrap();
        place
    }

    const fn client(&self) -> &Client {
        match &self.member {
            Member::Raw(client) => client,
            Member::Session(session) => &session.socket,
        }
    }

    const fn client_mut(&mut self) -> &mut Client {
        match &mut self.member {
            Member::Raw(client) => client,
            Member::Session(session) => &mut session.socket,
        }
    }

    const fn socket(&self) -> &std::net::TcpStream {
        &self.client().socket
    }

    /// Reads once; whether that was the end.
    fn read_on(&mut self) -> bool {
        let mut buffer = [0; 16 << 10];
        let client = self.client_mut();
        match read(&mut client.socket, &mut buffer) {
            Ok(0) => {
                assert!(self.closed.is_some(), "a close comes before the end");
                assert!(self.client().received.is_empty(), "a frame was cut");
                true
            }
            Ok(len) => {
                client.received.extend_from_slice(&buffer[..len]);
                self.take_frames();
                false
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => panic!("after {:?}: {error}", self.closed),
        }
    }

    fn take_frames(&mut self) {
        while let Some((frame, len)) = read_frame(&self.client().received, Sender::Server).unwrap()
        {
            assert!(self.closed.is_none(), "behind the close: {frame:?}");
            self.client_mut().received.drain(..len);
            self.take(frame);
        }
    }

    fn take(&mut self, frame: Received) {
        if frame.opcode == CLOSE {
            let code = u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
            self.closed = Some((code, clock::now()));
            self.client_mut().say(&Frame::close(code, ""));
            return;
        }
        match &mut self.member {
            Member::Raw(_) => {
                assert_eq!(frame.opcode, TEXT);
                let text = String::from_utf8(frame.payload).unwrap();
                let (offset, _) = text.split_once(':').unwrap();
                self.offsets.push(offset.parse().unwrap());
            }
            Member::Session(session) => {
                for came in session.objects(&frame) {
                    match came {
                        Came::Push(push) => {
                            let offset = push["pub"]["offset"].as_u64();
                            self.offsets.push(offset.expect("an offset"));
                        }
                        Came::Ping => session.pong(),
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
    }

    fn into_seen(self) -> Seen {
        let (code, closed_at) = self.closed.expect("it was closed");
        Seen {
            offsets: self.offsets,
            code,
            closed_at,
            is_session: matches!(self.member, Member::Session(_)),
        }
    }
}
