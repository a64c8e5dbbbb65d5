"""What every Centrifuge SDK here can do. In: an endpoint and options. Out: events in their order, results,
or `Failed` with the server's code.

Each SDK is somebody's library behind these classes, so that the same cases meet all of them. Payloads are
values as JSON has them; on the Protobuf wire they travel as the bytes of their JSON, and `bytes` as they
are.

Never: hides what the SDK saw, or does what the SDK is to do: reconnect, resubscribe, refresh.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..case import Broken, brief
from . import awaited

Info = dict[str, Any]
Fields = Mapping[str, Any]
# Gives a token for a channel; for "", one for the connection.
TokenSource = Callable[[str], Awaitable[str]]
# Gives a position, offset and epoch, that an app has in a channel.
StateSource = Callable[[str], Awaitable[tuple[int, str]]]

# How soon an SDK tries again. Theirs is half a second, and up to twenty.
RETRY_S = 0.05


class Failed(Exception):
    """The server answered a command with an error."""

    def __init__(self, code: int, message: str, temporary: bool) -> None:
        super().__init__(f"error {code} {message!r}{', temporary' if temporary else ''}")
        self.code = code
        self.message = message
        self.temporary = temporary


@dataclass(frozen=True)
class Publication:
    """A publication. `offset`: 0 without history; `info`: who published, if it was a client."""

    data: Any
    offset: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)
    info: Info | None = None


@dataclass(frozen=True)
class History:
    """A page of history, and where the stream stands."""

    publications: list[Publication]
    offset: int
    epoch: str


@dataclass(frozen=True)
class Event:
    """Something that an SDK tells its application."""

    kind: str
    fields: Fields

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def __str__(self) -> str:
        return brief({"event": self.kind, **self.fields})

    def misses(self, kind: str, wanted: Fields) -> bool:
        """Whether it is another one, or says something else."""
        return self.kind != kind or any(self.fields.get(n) != v for n, v in wanted.items())


class Events:
    """The events of one connection, or of one subscription, in the order in which the SDK told them."""

    def __init__(self, whose: str) -> None:
        self._whose = whose
        self._queue: asyncio.Queue[Event] = asyncio.Queue()

    def note(self, kind: str, **fields: Any) -> None:
        """Adds one."""
        self._queue.put_nowait(Event(kind, fields))

    async def next(self, kind: str, **wanted: Any) -> Event:
        """The next event, which must be of this kind and say this."""
        event = await awaited(f"{kind} of {self._whose}", self._queue.get())
        if event.misses(kind, wanted):
            wish = brief({"event": kind, **wanted})
            raise Broken(f"{self._whose}: found {event}, wanted {wish}")
        return event

    async def any(self, *kinds: str) -> Event:
        """The next event, which must be of one of these kinds."""
        event = await awaited(f"{' or '.join(kinds)} of {self._whose}", self._queue.get())
        if event.kind not in kinds:
            raise Broken(f"{self._whose}: found {event}, wanted {' or '.join(kinds)}")
        return event

    async def until(self, kind: str, **wanted: Any) -> Event:
        """The first event that is so; others in front of it are dropped."""
        dropped: list[str] = []
        while True:
            try:
                event = await awaited(f"{kind} of {self._whose}", self._queue.get())
            except Broken as error:
                raise Broken(f"{error}; it told {', '.join(dropped) or 'nothing'}") from None
            if not event.misses(kind, wanted):
                return event
            dropped.append(str(event))

    def rest(self) -> list[str]:
        """What has come and was not looked at."""
        return [str(self._queue.get_nowait()) for _ in range(self._queue.qsize())]


class Subscription(ABC):
    """A subscription that the client asks for.

    Events: `subscribing` and `unsubscribed` (code, reason), `subscribed` (see `SUBSCRIBED`), `publication`
    (publication), `join` and `leave` (info), `error` (code).
    """

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self.events = Events(f"the subscription to {channel}")

    @abstractmethod
    async def subscribe(self) -> None:
        """Wants to be subscribed; waits for nothing."""

    @abstractmethod
    async def unsubscribe(self) -> None:
        """Does not want to any more."""

    async def subscribed(self, **wanted: Any) -> Event:
        """Subscribes for the first time, and waits till it is done."""
        await self.subscribe()
        await self.events.next("subscribing")
        return await self.events.next("subscribed", **wanted)

    async def refused(self, code: int) -> Event:
        """Subscribes for the first time, and is refused for good."""
        await self.subscribe()
        await self.events.next("subscribing")
        return await self.events.next("unsubscribed", code=code)

    async def data(self, *wanted: Any) -> None:
        """The next events are publications of this."""
        for one in wanted:
            event = await self.events.next("publication")
            if event["publication"].data != one:
                found = brief(event["publication"].data)
                raise Broken(f"{self.channel}: found {found}, wanted {brief(one)}")


# What `subscribed` says. `offset` and `epoch` are there if it is positioned or recoverable.
SUBSCRIBED = ("positioned", "recoverable", "was_recovering", "recovered", "offset", "epoch", "data")


class Peer(ABC):
    """A client of the SDK.

    Events: `connecting` and `disconnected` (code, reason), `connected` (client, data), `error` (code),
    `message` (data); those of server-side subscriptions, with their channel: `subscribed`, `subscribing`,
    `unsubscribed`, `publication`, `join`, `leave`.
    """

    def __init__(self, name: str) -> None:
        self.events = Events(name)
        self.id = ""

    @abstractmethod
    async def connect(self) -> None:
        """Wants to be connected; waits for nothing."""

    @abstractmethod
    async def disconnect(self) -> None:
        """Does not want to any more."""

    @abstractmethod
    def subscription(
        self,
        channel: str,
        *,
        token: str = "",
        get_token: TokenSource | None = None,
        get_state: StateSource | None = None,
        data: Any = None,
        positioned: bool = False,
        recoverable: bool = False,
        join_leave: bool = False,
    ) -> Subscription:
        """A subscription that does not subscribe yet."""

    @abstractmethod
    async def publish(self, channel: str, data: Any) -> None:
        """Publishes."""

    @abstractmethod
    async def history(
        self,
        channel: str,
        limit: int = 0,
        since: tuple[int, str] | None = None,
        reverse: bool = False,
    ) -> History:
        """Publications of the past; `since`: offset and epoch."""

    @abstractmethod
    async def presence(self, channel: str) -> dict[str, Info]:
        """Who is there, by client."""

    @abstractmethod
    async def presence_stats(self, channel: str) -> dict[str, int]:
        """How many clients and users are there."""

    @abstractmethod
    async def rpc(self, method: str, data: Any) -> Any:
        """Calls the backend."""

    async def send(self, data: Any) -> None:
        """Sends a message that nobody answers."""
        raise NotImplementedError

    async def connected(self, **wanted: Any) -> Event:
        """Connects for the first time, and waits till it is done."""
        await self.connect()
        await self.events.next("connecting", code=0)
        event = await self.events.next("connected", **wanted)
        self.id = event["client"]
        return event

    async def refused(self, code: int) -> Event:
        """Connects for the first time, and is disconnected for good."""
        await self.connect()
        await self.events.next("connecting", code=0)
        return await self.events.next("disconnected", code=code)


class Sdk(ABC):
    """A library on one of its wires."""

    name: str
    is_protobuf: bool
    # Whether its peers can `send`.
    sends: bool
    # Whether it can put headers into its connect command, for pages that can't put them into an upgrade.
    emulates_headers: bool

    @abstractmethod
    def faults(self) -> list[str]:
        """What went wrong inside the SDK since it was asked last: replies that it could not take."""

    @abstractmethod
    def peer(
        self,
        url: str,
        *,
        token: str = "",
        get_token: TokenSource | None = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        emulated_headers: Mapping[str, str] | None = None,
    ) -> Peer:
        """A client that does not connect yet. `headers` are those of its upgrade."""

    @property
    def protocol(self) -> str:
        """The wire's name, as a backend gets it."""
        return "protobuf" if self.is_protobuf else "json"


def encoded(data: Any) -> bytes:
    """A payload for the Protobuf wire."""
    return data if isinstance(data, bytes) else json.dumps(data).encode()


def decoded(data: bytes | None) -> Any:
    """A payload of the Protobuf wire: the value, if it is JSON; nothing, if it is empty."""
    if not data:
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return data


def info_of(info: Mapping[str, Any], payload: Callable[[Any], Any]) -> Info:
    """Who a client is; what is not said of it is left out."""
    said = {name: payload(info.get(name)) for name in ("conn_info", "chan_info")}
    known = {name: value for name, value in said.items() if value is not None}
    return {"client": info["client"], "user": info["user"], **known}
