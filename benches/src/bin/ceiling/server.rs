//! The loop under every mode: bare edge-triggered epoll. In: an address, a mode. Out: connections, each
//! event's one to the mode, which reads and sends.
//!
//! Never: receives or sends beyond the answer to the upgrade, whose request must arrive in one piece.

use std::convert::Infallible;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;

use fanfare_codec::handshake::{HeadLimits, RequestDecoder, Response};
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{
    self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, sockopt,
};

/// The most one `recv` takes.
pub(crate) const READ_BYTES_MAX: usize = 1 << 19;

const BACKLOG: i32 = 4096;
const EVENTS_MAX: usize = 1024;
const LISTENER: u64 = u64::MAX;

const READ_EDGES: EventFlags = EventFlags::IN
    .union(EventFlags::RDHUP)
    .union(EventFlags::ET);

/// What is done with what arrives.
pub(crate) trait Mode {
    /// What it keeps of a connection beside the socket.
    type State: Default;

    /// Serves the connection in `slot`, which is there.
    ///
    /// # Errors
    ///
    /// What ends the server: a refusal of epoll.
    fn serve(
        &mut self,
        slot: usize,
        flags: EventFlags,
        table: &mut Table<Self::State>,
    ) -> io::Result<Next>;
}

/// What to do with a connection after an event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The next edge will come by itself.
    Wait,
    /// No edge may come for what is left to read or to send: ask the kernel to look again.
    Rearm(Interest),
    Close,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    /// Something is owed, too.
    ReadAndWrite,
}

impl Interest {
    /// The interest of a connection that owes something, or not.
    #[inline]
    pub(crate) const fn of(is_owing: bool) -> Self {
        if is_owing {
            Self::ReadAndWrite
        } else {
            Self::Read
        }
    }
}

/// A socket and what the mode keeps of it.
#[derive(Debug)]
pub(crate) struct Connection<S> {
    pub(crate) socket: OwnedFd,
    pub(crate) state: S,
}

/// The connections.
#[derive(Debug)]
pub(crate) struct Table<S> {
    epoll: OwnedFd,
    slots: Vec<Option<Connection<S>>>,
    free: Vec<usize>,
}

impl<S: Default> Table<S> {
    /// One past the last slot that was ever taken.
    pub(crate) const fn end(&self) -> usize {
        self.slots.len()
    }

    /// The connection in a slot.
    #[inline]
    pub(crate) fn get_mut(&mut self, slot: usize) -> Option<&mut Connection<S>> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// Waits for something, and asks the kernel to look whether it is there already.
    pub(crate) fn rearm(&self, slot: usize, interest: Interest) -> io::Result<()> {
        let edges = match interest {
            Interest::Read => READ_EDGES,
            Interest::ReadAndWrite => READ_EDGES | EventFlags::OUT,
        };
        let Some(Some(connection)) = self.slots.get(slot) else {
            return Ok(());
        };
        let data = EventData::new_u64(slot as u64);
        Ok(epoll::modify(&self.epoll, &connection.socket, data, edges)?)
    }

    fn insert(&mut self, socket: OwnedFd) -> io::Result<()> {
        let slot = self.free.pop().unwrap_or(self.slots.len());
        let data = EventData::new_u64(slot as u64);
        epoll::add(&self.epoll, &socket, data, READ_EDGES)?;
        let state = S::default();
        let connection = Some(Connection { socket, state });
        match self.slots.get_mut(slot) {
            Some(place) => *place = connection,
            None => self.slots.push(connection),
        }
        Ok(())
    }

    fn close(&mut self, slot: usize) {
        self.slots[slot] = None;
        self.free.push(slot);
    }
}

/// A listener, its connections and what is done with them.
#[derive(Debug)]
pub(crate) struct Server<M: Mode> {
    listener: OwnedFd,
    table: Table<M::State>,
    mode: M,
}

impl<M: Mode> Server<M> {
    /// Listens, and says so on stderr.
    pub(crate) fn bind(addr: SocketAddr, mode: M) -> io::Result<Self> {
        let family = match addr {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let listener = net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
        sockopt::set_socket_reuseaddr(&listener, true)?;
        net::bind(&listener, &addr)?;
        net::listen(&listener, BACKLOG)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let data = EventData::new_u64(LISTENER);
        epoll::add(&epoll, &listener, data, EventFlags::IN)?;
        let bound: SocketAddr = net::getsockname(&listener)?.try_into()?;
        eprintln!("ceiling: listening on {bound}");
        let table = Table {
            epoll,
            slots: Vec::new(),
            free: Vec::new(),
        };
        Ok(Self {
            listener,
            table,
            mode,
        })
    }

    pub(crate) fn run(&mut self) -> io::Result<Infallible> {
        let mut events = [MaybeUninit::<Event>::uninit(); EVENTS_MAX];
        loop {
            let ready = match epoll::wait(&self.table.epoll, &mut events, None) {
                Ok((ready, _)) => ready,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for event in ready {
                match event.data.u64() {
                    LISTENER => self.accept_all()?,
                    slot => self.serve(slot, event.flags)?,
                }
            }
        }
    }

    fn accept_all(&mut self) -> io::Result<()> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        loop {
            let socket = match net::accept_with(&self.listener, flags) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(error) => return Err(error.into()),
            };
            sockopt::set_tcp_nodelay(&socket, true)?;
            self.table.insert(socket)?;
        }
    }

    #[inline]
    fn serve(&mut self, slot: u64, flags: EventFlags) -> io::Result<()> {
        let slot = usize::try_from(slot).expect("a slot was a usize when it was registered");
        if self.table.get_mut(slot).is_none() {
            return Ok(());
        }
        match self.mode.serve(slot, flags, &mut self.table)? {
            Next::Wait => {}
            Next::Rearm(interest) => self.table.rearm(slot, interest)?,
            Next::Close => self.table.close(slot),
        }
        Ok(())
    }
}

/// Receives once; 0 bytes when there are none now, `None` when the connection is over.
#[inline]
pub(crate) fn receive(socket: &OwnedFd, buf: &mut [u8]) -> Option<usize> {
    match net::recv(socket, buf, RecvFlags::empty()) {
        Ok((_, 0)) => None,
        Ok((_, received)) => Some(received),
        Err(Errno::AGAIN) => Some(0),
        Err(_) => None,
    }
}

/// Answers the request at the front of `bytes` with a 101, and gives the length of its head; `None` when
/// it is no whole upgrade request.
pub(crate) fn upgrade(socket: &OwnedFd, bytes: &[u8]) -> Option<usize> {
    let mut decoder = RequestDecoder::new(HeadLimits::default());
    let request = decoder.decode(bytes).ok()??;
    let mut response = Vec::new();
    Response::switching_protocols(&request.upgrade().ok()?).encode(&mut response);
    // A socket that has sent nothing yet takes 130 bytes.
    let sent = net::send(socket, &response, SendFlags::NOSIGNAL);
    (sent == Ok(response.len())).then(|| request.head_len())
}
