"""Clients that misbehave, by the thousand. In: which abuse, a port, for how long. Out: how many there were, and how
each of them ended.

An abuse keeps so many connections open and makes a new one for each that ends. They come from many addresses, and
run only where nobody else wants to (SCHED_IDLE): they would be elsewhere, and what is measured shares the machine.

Never: leaves the loopback; reads what its abuse does not read.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import select
import socket
import struct
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

ADDRESSES = [f"127.7.0.{n}" for n in range(1, 251)]
PROCESSES = 2
# Connections that are begun before those that are open get their turn.
CONNECTS_AT_ONCE = 32
NO_PORT_YET = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)
BLOCK_BYTES = 64 << 10
POLL_S = 0.02

END = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
REQUEST = (
    "GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
)
RAW, SESSION = "/raw/open:abused", "/connection/websocket"


def upgrade(target: str = RAW, more: str = "") -> bytes:
    """A request for an upgrade."""
    return REQUEST.format(target=target, more=more).encode()


def frame(opcode: int, payload: bytes = b"", final: bool = True) -> bytes:
    """A short frame, masked with zeros."""
    return bytes([opcode | (0x80 if final else 0), 0x80 | len(payload)]) + bytes(4) + payload


def block(*frames: bytes) -> bytes:
    """Copies of these, back to back."""
    together = b"".join(frames)
    return together * (BLOCK_BYTES // len(together))


class Peer:
    """One connection: an upgrade, and nothing behind it."""

    reads = True
    # Small segments and a small window: the kernel takes little for it, and what it is sent waits at the server.
    narrow = False

    def __init__(self, nth: int) -> None:
        self.nth = nth
        self.is_open = False
        self.received = b""
        self.outbox = memoryview(self.first())

    def first(self) -> bytes:
        """What it says before it is answered."""
        return upgrade()

    def opened(self) -> bool:
        """It has its 101. False: it has what it wanted."""
        return True

    def more(self) -> bytes:
        """What it says next, when all that it has said has left; nothing: it waits."""
        return b""

    def is_reset(self) -> bool:
        """Whether it ends with a reset, if it ends by itself."""
        return False

    def end(self) -> str | None:
        """What the server has said in the end, as far as it was read."""
        if not self.is_open:
            return self.received[9:12].decode("latin-1") if len(self.received) >= 12 else None
        at = 0
        while len(self.received) >= at + 2:
            opcode, length = self.received[at] & 15, self.received[at + 1]
            header = {126: 4, 127: 10}.get(length, 2)
            if header > 2:
                length = int.from_bytes(self.received[at + 2 : at + header], "big")
            if opcode == 8:
                code = self.received[at + header : at + header + 2]
                return str(int.from_bytes(code, "big")) if len(code) == 2 else None
            at += header + length
        return None


class Loris(Peer):
    """Sends its request a byte at a time, and would for ever."""

    BYTES = upgrade(more="X-Slow: " + "z" * 4000)

    def __init__(self, nth: int) -> None:
        super().__init__(nth)
        self.said = 0

    def first(self) -> bytes:
        return b""

    def tick(self) -> None:
        self.outbox = memoryview(self.BYTES[self.said : self.said + 1])
        self.said += 1


class Handshake(Peer):
    """Asks with a large head, and leaves once it is answered."""

    HEADERS = "".join(f"X-Padding-{n}: {'p' * 100}\r\n" for n in range(60))

    def first(self) -> bytes:
        return upgrade(RAW if self.nth % 2 else SESSION, self.HEADERS)

    def opened(self) -> bool:
        return False


class Churn(Handshake):
    """Connects, upgrades and leaves: with a FIN, with a reset."""

    HEADERS = ""

    def is_reset(self) -> bool:
        return self.nth % 4 < 2


class Ping(Peer):
    """Pings, and pongs that nobody has asked for, without an end; never reads."""

    reads = False
    BLOCKS = (block(frame(9)), block(frame(10)), block(frame(9, b"p" * 125)), block(frame(10, b"p" * 125)))

    def first(self) -> bytes:
        return upgrade(RAW if self.nth % 8 < 4 else SESSION)

    def more(self) -> bytes:
        return self.BLOCKS[self.nth % 4]


class Fragment(Peer):
    """One message, in pieces of one byte or none; pings between them, which are no fragments, if `nth` says so."""

    BLOCKS = (
        block(frame(0, final=False)),
        block(frame(0, b" ", final=False)),
        # As many fragments as a message may have are reached late.
        block(frame(0, final=False), *[frame(10)] * 200),
    )

    def first(self) -> bytes:
        return upgrade(RAW if self.nth % 2 else SESSION)

    def opened(self) -> bool:
        self.outbox = memoryview(frame(1, final=False))
        return True

    def more(self) -> bytes:
        return self.BLOCKS[self.nth % 3]


class Deaf(Peer):
    """Subscribes and never reads."""

    reads = False
    narrow = True

    def first(self) -> bytes:
        return upgrade(f"/raw/{deaf_channel(self.nth)}")


class Garbage(Peer):
    """Bytes that mean nothing, in the place of a request or behind one."""

    NOISE = random.Random(1).randbytes(BLOCK_BYTES)

    def noise(self) -> bytes:
        return self.NOISE[self.nth * 37 % (BLOCK_BYTES // 2) :]

    def first(self) -> bytes:
        return upgrade(RAW if self.nth % 4 else SESSION) if self.nth % 2 else self.noise()

    def more(self) -> bytes:
        return self.noise()


@dataclass(frozen=True)
class Abuse:
    """Who does what, and how many at once."""

    peer: type[Peer]
    connections: int
    # Between two bytes of one that sends them one by one.
    byte_s: float = 0


ABUSES = {
    "loris": Abuse(Loris, 5000, byte_s=1),
    "handshakes": Abuse(Handshake, 200),
    "pings": Abuse(Ping, 100),
    "fragments": Abuse(Fragment, 100),
    "deaf": Abuse(Deaf, 100),
    "churn": Abuse(Churn, 200),
    "garbage": Abuse(Garbage, 200),
}


def deaf_channel(nth: int) -> str:
    """The channel of one that never reads; no other is on it."""
    return f"open:deaf-{nth % ABUSES['deaf'].connections}"


@dataclass
class Tally:
    """What came of an abuse."""

    connections: int = 0
    sent_bytes: int = 0
    ends: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Both together."""
        self.connections += other.connections
        self.sent_bytes += other.sent_bytes
        self.ends.update(other.ends)


class Crowd:
    """The connections of one process."""

    def __init__(self, abuse: Abuse, port: int, nth: int) -> None:
        self.abuse, self.port = abuse, port
        self.numbers = iter(range(nth, 1 << 62, PROCESSES))
        self.wanted = -(-abuse.connections // PROCESSES)
        self.epoll = select.epoll()
        self.peers: dict[int, tuple[socket.socket, Peer]] = {}
        self.slow: deque[int] = deque()
        self.tally = Tally()

    def run(self, ends_at: float) -> Tally:
        """Abuses until then."""
        ticked_at = time.monotonic()
        while (now := time.monotonic()) < ends_at:
            for _ in range(min(CONNECTS_AT_ONCE, self.wanted - len(self.peers))):
                self.connect()
            full = len(self.peers) >= self.wanted
            for fd, events in self.epoll.poll(POLL_S if full else 0, 256):
                self.event(fd, events)
            if self.abuse.byte_s:
                due = int(len(self.slow) * (now - ticked_at) / self.abuse.byte_s)
                if due:
                    self.tick(min(due, len(self.slow)))
                    ticked_at = now
        return self.tally

    def connect(self) -> None:
        """One more."""
        nth = next(self.numbers)
        peer = self.abuse.peer(nth)
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_IP, NO_PORT_YET, 1)
        if peer.narrow:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        sock.bind((random.choice(ADDRESSES), 0))
        sock.connect_ex(("127.0.0.1", self.port))
        self.peers[sock.fileno()] = sock, peer
        self.tally.connections += 1
        if self.abuse.byte_s:
            self.slow.append(sock.fileno())
        self.epoll.register(sock.fileno(), select.EPOLLIN | select.EPOLLOUT | END)

    def event(self, fd: int, events: int) -> None:
        """The kernel has news of one."""
        sock, peer = self.peers[fd]
        try:
            if events & select.EPOLLIN and (peer.reads or not peer.is_open):
                data = sock.recv(BLOCK_BYTES)
                peer.received += data
                if not data:
                    return self.leave(fd, peer.end() or "end")
                if not peer.is_open and not self.answered(fd, peer):
                    return None
            elif events & END:
                return self.leave(fd, self.last_word(sock, peer))
            if events & select.EPOLLOUT:
                self.write(fd, sock, peer)
        except BlockingIOError:
            pass
        except OSError:
            self.leave(fd, peer.end() or "reset")
        return None

    def answered(self, fd: int, peer: Peer) -> bool:
        """It has an answer, or a part of it. False: it has left."""
        head, found, rest = peer.received.partition(b"\r\n\r\n")
        if not found or not head.startswith(b"HTTP/1.1 101"):
            return True  # the end comes behind it
        peer.is_open, peer.received = True, rest
        if not peer.opened():
            self.leave(fd, "101", peer.is_reset())
            return False
        events = END | select.EPOLLOUT | (select.EPOLLIN if peer.reads else 0)
        self.epoll.modify(fd, events)
        return True

    def write(self, fd: int, sock: socket.socket, peer: Peer) -> None:
        """Sends as much as the kernel takes of what it says now."""
        if not peer.outbox and (peer.is_open or isinstance(peer, Garbage) and not peer.nth % 2):
            peer.outbox = memoryview(peer.more())
        if peer.outbox:
            sent = sock.send(peer.outbox)
            self.tally.sent_bytes += sent
            peer.outbox = peer.outbox[sent:]
        else:
            self.epoll.modify(fd, END | (select.EPOLLIN if peer.reads or not peer.is_open else 0))

    def tick(self, count: int) -> None:
        """So many of the slow ones send their next byte."""
        for _ in range(count):
            fd = self.slow[0]
            self.slow.rotate(-1)
            sock, peer = self.peers[fd]
            if isinstance(peer, Loris):
                peer.tick()
                try:
                    self.write(fd, sock, peer)
                except BlockingIOError:
                    pass
                except OSError:
                    self.leave(fd, peer.end() or "reset")

    def last_word(self, sock: socket.socket, peer: Peer) -> str:
        """How one ended that does not read: what has arrived is looked at now."""
        try:
            while data := sock.recv(BLOCK_BYTES):
                peer.received += data
        except OSError:
            return peer.end() or "reset"
        return peer.end() or "end"

    def leave(self, fd: int, how: str, reset: bool = False) -> None:
        """One has ended."""
        sock, _ = self.peers.pop(fd)
        if self.abuse.byte_s:
            self.slow.remove(fd)
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        self.tally.ends[how] += 1


def process(abuse: Abuse, port: int, nth: int, seconds: float, pipe: Any) -> None:
    """One process of an abuse; says what came of it."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    pipe.send(Crowd(abuse, port, nth).run(time.monotonic() + seconds))


@contextmanager
def abusing(name: str, port: int, seconds: float) -> Iterator[Tally]:
    """An abuse for so long; at the end of the block it is over, and the tally is filled in."""
    tally = Tally()
    fork = multiprocessing.get_context("fork")
    running = []
    for nth in range(PROCESSES):
        ours, theirs = fork.Pipe(duplex=False)
        child = fork.Process(target=process, args=(ABUSES[name], port, nth, seconds, theirs), daemon=True)
        child.start()
        theirs.close()
        running.append((child, ours))
    try:
        yield tally
        for _, ours in running:
            tally.add(ours.recv())
    finally:
        for child, _ in running:
            child.join(seconds if tally.connections else 0)
            child.kill()
            child.join()
