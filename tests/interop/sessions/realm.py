"""Where sessions live: a daemon with a namespace for each purpose, the backend that it asks, a relay that can be
cut. In: settings. Out: clients, channels, users.

Never: judges.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from .. import tokens
from ..api import Api, Connection
from ..backend import Backend, backing
from ..case import expect
from ..clients.sdk import Peer, Sdk
from ..daemon import Process, Settings, serving
from ..nginx import proxying
from ..relay import Relay, counting
from ..stack import HISTORY_SIZE, KEY, PUBLISH, READ_HISTORY, SHORT_HISTORY_SIZE, SUBSCRIBE, merged

PATH = "/connection/websocket"
PUBLICATION_BYTES_MAX = 64 << 10
HISTORY = {"history_size": HISTORY_SIZE, "history_ttl": 300}
PRESENCE = {
    "presence": True,
    "allow_presence_for_subscriber": True,
    "allow_presence_for_anonymous": True,
}

SETTINGS: Settings = {
    "workers": 2,
    "publication": {"max_bytes": PUBLICATION_BYTES_MAX},
    "api": {"keys": [KEY]},
    "client": {"allow_anonymous": True},
    "token": {"algorithm": "HS256", "hmac_key": tokens.KEY},
    "default_namespace": {**SUBSCRIBE, **PUBLISH},
    "namespaces": {
        # Everything, and every subscription recovers.
        "open": {
            **SUBSCRIBE,
            **PUBLISH,
            **HISTORY,
            **READ_HISTORY,
            **PRESENCE,
            "force_recovery": True,
        },
        # Holds few.
        "short": {
            **SUBSCRIBE,
            **HISTORY,
            **READ_HISTORY,
            "force_recovery": True,
            "history_size": SHORT_HISTORY_SIZE,
        },
        # Holds the state of something: the latest publication is all of it.
        "state": {
            **SUBSCRIBE,
            **HISTORY,
            "force_recovery": True,
            "force_recovery_mode": "cache",
        },
        # Recovers for who asks.
        "asked": {**SUBSCRIBE, **HISTORY, **READ_HISTORY},
        # Positions for all, recovery for nobody.
        "placed": {**SUBSCRIBE, **HISTORY, "force_positioning": True},
        # Keeps nothing, has no presence: whoever asks gets 108.
        "live": {**SUBSCRIBE, **PUBLISH},
        # Has everything, and lets nobody ask.
        "mute": {**SUBSCRIBE, **HISTORY, "presence": True},
        # For clients with a user.
        "members": {"allow_subscribe_for_client": True, "allow_publish_for_client": True},
        # For nobody without a token.
        "closed": {**HISTORY, "presence": True, "force_recovery": True},
        # Its history is for everybody.
        "library": {
            **SUBSCRIBE,
            **HISTORY,
            "presence": True,
            "allow_presence_for_client": True,
            "allow_presence_for_anonymous": True,
            "allow_history_for_client": True,
            "allow_history_for_anonymous": True,
        },
        # Tells who comes and goes: whoever asks; everybody.
        "rooms": {**SUBSCRIBE, **PRESENCE, "join_leave": True},
        "lobby": {**SUBSCRIBE, **PRESENCE, "join_leave": True, "force_push_join_leave": True},
    },
}

numbers = itertools.count(1)


@dataclass(frozen=True)
class Realm:
    """A daemon and what belongs to it. `main`: its own port, which the relay leads to."""

    daemon: Process
    settings: Settings
    main: int
    api: Api
    relay: Relay
    backend: Backend
    is_proxied: bool

    @property
    def url(self) -> str:
        """Where SDKs connect to."""
        return f"ws://127.0.0.1:{self.relay.port}{PATH}"

    @staticmethod
    def channel(namespace: str = "open", prefix: str = "") -> str:
        """A channel that nobody has used; with the prefix `$` it is private."""
        name = f"room-{next(numbers)}"
        return prefix + (f"{namespace}:{name}" if namespace else name)

    @staticmethod
    def user() -> str:
        """A user that nobody has been."""
        return f"user-{next(numbers)}"

    @asynccontextmanager
    async def peer(self, sdk: Sdk, **options: Any) -> AsyncIterator[Peer]:
        """A client that is not connected, and disconnects with the block."""
        peer = sdk.peer(self.url, **options)
        try:
            yield peer
        finally:
            await peer.disconnect()

    @asynccontextmanager
    async def connected(self, sdk: Sdk, user: str = "", **options: Any) -> AsyncIterator[Peer]:
        """A client that is connected: as this user, or as nobody."""
        if user:
            options = {"token": tokens.connection(user), **options}
        async with self.peer(sdk, **options) as peer:
            await peer.connected()
            yield peer

    async def settled(self, peer: Peer) -> None:
        """Waits till the server has done what this client asked for: it answers in order."""
        await peer.history(self.channel("library"))

    async def cut(self, *peers: Peer, server_side: Collection[str] = ()) -> None:
        """Cuts all connections, and waits till these clients know.

        Each is told of its server-side subscriptions, too: in front of it or behind, that is the SDK's.
        """
        self.relay.cut()
        for peer in peers:
            told = [
                await peer.events.any("connecting", "subscribing")
                for _ in range(1 + len(server_side))
            ]
            channels = sorted(event["channel"] for event in told if event.kind == "subscribing")
            expect("server-side subscriptions that are cut", channels, sorted(server_side))

    async def publish(self, channel: str, *values: object) -> None:
        """Publishes by the API, in this order."""
        with Connection(self.main) as connection:
            api = replace(self.api, connection=connection)
            for value in values:
                await api.publish(channel, value)

    async def restore(self, *peers: Peer) -> None:
        """Lets them connect again, and waits till they are."""
        self.relay.restore()
        for peer in peers:
            peer.id = (await peer.events.until("connected"))["client"]

    @asynccontextmanager
    async def another(self, changes: Settings) -> AsyncIterator[Realm]:
        """One of the same build with other settings, and the same backend."""
        settings = merged(self.settings, changes)
        async with standing(settings, self.backend, is_proxied=self.is_proxied) as realm:
            yield realm


@asynccontextmanager
async def standing(
    settings: Settings, backend: Backend | None = None, *, is_proxied: bool = False
) -> AsyncIterator[Realm]:
    """A realm that stands as long as the block; `is_proxied`: with nginx behind the relay."""
    async with AsyncExitStack() as stack:
        backend = backend or stack.enter_context(backing())
        daemon, ports = await stack.enter_async_context(serving(settings))
        main = target = ports[0]
        if is_proxied:
            target = (await stack.enter_async_context(proxying(main, main))).http_host
        relay = await stack.enter_async_context(counting(target))
        yield Realm(daemon, settings, main, Api(main, KEY), relay, backend, is_proxied)


Case = Callable[[Realm, Sdk], Awaitable[None]]


def collected(cases: list[Case]) -> Callable[[Case], Case]:
    """What adds a case to the list."""

    def add(body: Case) -> Case:
        cases.append(body)
        return body

    return add
