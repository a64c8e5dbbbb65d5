"""A daemon, with or without nginx in front, as its clients see it. In: settings. Out: addresses.

Never: judges.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from .api import Api, Connection
from .clients import Client, Socket
from .daemon import Process, Settings, serving
from .nginx import Nginx, proxying

KEY = "interop-key-0"
LISTED_ORIGIN = "https://app.example.com"
SUBPROTOCOL = "v1.interop"
COOKIES = ("lb=1; HttpOnly", "session=2; Path=/; Secure")
HISTORY_SIZE = 300
SHORT_HISTORY_SIZE = 5
PUBLICATION_BYTES_MAX = 1 << 20
MESSAGE_BYTES_MAX = 2 << 20

SUBSCRIBE = {"allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True}
PUBLISH = {"allow_publish_for_subscriber": True, "allow_publish_for_anonymous": True}
READ_HISTORY = {"allow_history_for_subscriber": True, "allow_history_for_anonymous": True}
HISTORY = {
    "history_size": HISTORY_SIZE,
    "history_ttl": 300,
    "force_recovery": True,
    **READ_HISTORY,
}

SETTINGS: Settings = {
    "workers": 2,
    "echo": True,
    "websocket": {
        "allowed_origins": [LISTED_ORIGIN],
        "subprotocols": ["v2.interop", SUBPROTOCOL],
        "response_headers": [f"Set-Cookie: {cookie}" for cookie in COOKIES],
        "max_message_bytes": MESSAGE_BYTES_MAX,
    },
    "publication": {"max_bytes": PUBLICATION_BYTES_MAX},
    "api": {"keys": [KEY]},
    "default_namespace": {**SUBSCRIBE, **PUBLISH, **HISTORY},
    "namespaces": {
        "open": {**SUBSCRIBE, **PUBLISH, **HISTORY, "presence": True},
        "short": {**SUBSCRIBE, **HISTORY, "history_size": SHORT_HISTORY_SIZE},
        "live": {**SUBSCRIBE, **PUBLISH},
        "quiet": {**SUBSCRIBE, "history_size": 10, "history_ttl": 300},
        "users": {"allow_subscribe_for_client": True},
    },
}
API_SETTINGS: Settings = {"api": {"keys": [KEY], "listen": "127.0.0.1:0"}}


def merged(settings: Settings, changes: Settings) -> dict[str, Any]:
    """Settings with others laid over them, table by table."""
    both = dict(settings)
    for key, value in changes.items():
        old = both.get(key)
        is_table = isinstance(value, Mapping) and isinstance(old, Mapping)
        both[key] = merged(old, value) if is_table else value  # type: ignore[arg-type]
    return both


names = itertools.count(1)


@dataclass(frozen=True)
class Stack:
    """What is under test. `port`: where clients connect to, be it the daemon's or nginx's.

    `main` and `api_port` are the daemon's own; they are one without `api.listen`.
    """

    daemon: Process
    settings: Settings
    main: int
    api_port: int
    port: int
    api: Api
    nginx: Nginx | None = None

    def url(self, path: str, port: int | None = None) -> str:
        """A WebSocket URL."""
        return f"ws://127.0.0.1:{port or self.port}{path}"

    @staticmethod
    def channel(namespace: str = "open") -> str:
        """A channel that nobody has used."""
        name = f"room-{next(names)}"
        return f"{namespace}:{name}" if namespace else name

    @asynccontextmanager
    async def following(
        self, client: Client, channel: str, query: str = "", **options: Any
    ) -> AsyncIterator[Socket]:
        """A subscriber, closed with the block."""
        socket = await client.open(self.url(f"/raw/{channel}{query}"), **options)
        try:
            yield socket
        finally:
            await socket.close()

    @property
    def has_api_port(self) -> bool:
        """Whether the API has a port of its own."""
        return self.api_port != self.main

    def over(self, connection: Connection) -> Api:
        """The API over one connection."""
        return replace(self.api, connection=connection)

    @asynccontextmanager
    async def another(self, changes: Settings) -> AsyncIterator[Stack]:
        """One of the same build with other settings."""
        async with stacked(merged(self.settings, changes), is_proxied=bool(self.nginx)) as stack:
            yield stack


@asynccontextmanager
async def stacked(settings: Settings, *, is_proxied: bool) -> AsyncIterator[Stack]:
    """A stack that stands as long as the block."""
    async with serving(settings) as (daemon, ports):
        main, api = ports[0], ports[-1]
        if not is_proxied:
            yield Stack(daemon, settings, main, api, main, Api(api, KEY))
            return
        async with proxying(main, api) as nginx:
            port = nginx.http_host
            yield Stack(daemon, settings, main, api, port, Api(port, KEY), nginx)
