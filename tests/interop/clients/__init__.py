"""What every WebSocket client here can do. In: a URL. Out: a socket, or a refusal with its status.

Each client is somebody's library behind these two classes, so that the same cases meet all of them.

Never: hides what the library saw: headers, extensions, close codes are what it reports.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

from ..case import Broken

WAIT_S_MAX = 10

Message = str | bytes
T = TypeVar("T")


async def awaited(what: str, awaitable: Awaitable[T]) -> T:
    """Waits for something, but not for ever."""
    try:
        return await asyncio.wait_for(awaitable, WAIT_S_MAX)
    except TimeoutError:
        raise Broken(f"no {what} within {WAIT_S_MAX} s") from None


class Refused(Exception):
    """The upgrade was answered with another status than 101."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"refused: {status} {body.strip()}")
        self.status = status
        self.body = body


@dataclass(frozen=True)
class Close:
    """The close frame that the client received."""

    code: int
    reason: str


class Closed(Exception):
    """The connection was closed while something else was waited for."""

    def __init__(self, close: Close) -> None:
        super().__init__(f"closed: {close.code} {close.reason}".rstrip())
        self.close = close


class Socket(ABC):
    """An open connection.

    `headers` are those of the 101, names in lower case, every value of a name in its order.
    """

    headers: Mapping[str, Sequence[str]]
    subprotocol: str | None

    def header(self, name: str) -> str | None:
        """The only value of a header; None without it."""
        values = self.headers.get(name, ())
        return values[0] if len(values) == 1 else None

    @abstractmethod
    async def receive(self) -> Message:
        """The next message; raises `Closed` behind the last."""

    @abstractmethod
    async def send(self, message: Message) -> None:
        """Sends a message in one frame; if the connection is closed meanwhile, as much as can be."""

    @abstractmethod
    async def send_fragments(self, fragments: Sequence[str] | Sequence[bytes]) -> None:
        """Sends one message in so many frames."""

    @abstractmethod
    async def ping(self, payload: bytes) -> None:
        """Pings, and waits for the pong with this payload."""

    @abstractmethod
    async def pinged(self) -> bytes:
        """Waits for a ping of the other end, which the library answers by itself; gives its payload."""

    @abstractmethod
    async def send_bad_text(self, payload: bytes) -> None:
        """Sends a text of bytes that need not be UTF-8."""

    @abstractmethod
    async def closed(self) -> Close:
        """Waits for the end and drops messages in front of it."""

    @abstractmethod
    async def close(self, code: int = 1000, reason: str = "") -> Close:
        """Closes and waits for the server's answer; gives what it says."""

    @abstractmethod
    async def close_without_code(self) -> Close:
        """The same without a code, which is 1005 where it is received."""

    @abstractmethod
    async def abort(self) -> None:
        """Ends the connection without a close."""


@dataclass(frozen=True)
class Terms:
    """What is offered of permessage-deflate, or agreed to: its parameters by their names (RFC 7692); None: nothing."""

    compression: Mapping[str, Any] | None


@dataclass(frozen=True)
class Serving:
    """The library as a server, for one client: where, and its socket once it has come."""

    url: str
    socket: Callable[[], Awaitable[Socket]]


class Client(ABC):
    """A library."""

    name: str
    # Whether it ends a connection for which none of the subprotocols it offered was chosen.
    insists_on_subprotocol: bool

    @abstractmethod
    async def open(
        self,
        url: str,
        *,
        origin: str | None = None,
        subprotocols: Sequence[str] = (),
        offers_compression: bool = True,
        headers: Mapping[str, str] | None = None,
        host: str | None = None,
        terms: Terms | None = None,
    ) -> Socket:
        """Connects; raises `Refused` if the answer is no 101.

        `host`: what it calls the server, wherever the URL leads. `terms` are instead of `offers_compression`.
        """

    @abstractmethod
    def serving(self, terms: Terms, subprotocol: str) -> AbstractAsyncContextManager[Serving]:
        """Listens for one client, with one subprotocol that it may ask for."""
