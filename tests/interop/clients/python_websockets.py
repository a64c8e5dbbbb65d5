"""Python's `websockets`, its asyncio client. In: a URL. Out: a `Socket`.

Never: pings by itself, nor limits what it receives: the server's doings are looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, cast
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)
from websockets.frames import Frame, Opcode
from websockets.typing import Origin, Subprotocol

from . import Client, Close, Closed, Message, Refused, Serving, Socket, Terms, awaited


class Telling:
    """What makes a connection tell of pings, which the library answers without a word."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pings: asyncio.Queue[bytes] = asyncio.Queue()

    def process_event(self, event: Any) -> None:
        if isinstance(event, Frame) and event.opcode is Opcode.PING:
            self.pings.put_nowait(bytes(event.data))
        super().process_event(event)  # type: ignore[misc]


class Watched(Telling, ClientConnection):
    """A client's."""


class WatchedServer(Telling, ServerConnection):
    """A server's."""


class PythonSocket(Socket):
    """A connection of `websockets`."""

    def __init__(self, connection: Watched | WatchedServer) -> None:
        self._connection = connection
        assert connection.response
        headers: dict[str, list[str]] = {}
        for name, value in connection.response.headers.raw_items():
            headers.setdefault(name.lower(), []).append(value)
        self.headers = headers
        self.subprotocol = connection.subprotocol

    async def receive(self) -> Message:
        try:
            return await awaited("message", self._connection.recv())
        except ConnectionClosed as closed:
            raise Closed(received(closed)) from None

    async def send(self, message: Message) -> None:
        with suppress(ConnectionClosed):  # whoever receives is told
            await self._connection.send(message)

    async def send_fragments(self, fragments: Sequence[str] | Sequence[bytes]) -> None:
        await self._connection.send(fragments)

    async def ping(self, payload: bytes) -> None:
        pong = await self._connection.ping(payload)
        await awaited("pong", pong)

    async def pinged(self) -> bytes:
        return await awaited("ping", self._connection.pings.get())

    async def send_bad_text(self, payload: bytes) -> None:
        await self._connection.send(payload, text=True)

    async def closed(self) -> Close:
        while True:
            try:
                await self.receive()
            except Closed as closed:
                return closed.close

    async def close(self, code: int = 1000, reason: str = "") -> Close:
        # The library aborts a transport that has closed meanwhile, and Python 3.11's can't be any more.
        with suppress(AttributeError):
            await self._connection.close(code, reason)
        return await self.closed()


    async def close_without_code(self) -> Close:
        # Of the asyncio interface only what is below it can.
        async with self._connection.send_context():
            self._connection.protocol.send_close()
        return await self.closed()

    async def abort(self) -> None:
        self._connection.transport.abort()


def received(closed: ConnectionClosed) -> Close:
    """The server's close frame; 1006 without one (RFC 6455 §7.1.5)."""
    return Close(closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else Close(1006, "")


class PythonWebsockets(Client):
    """The library."""

    name = "websockets"
    insists_on_subprotocol = False

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
        given = terms.compression if terms else None
        there = urlsplit(url)
        try:
            connection = await connect(
                there._replace(netloc=host or there.netloc).geturl(),
                host=there.hostname,
                port=there.port,
                origin=Origin(origin) if origin else None,
                subprotocols=[Subprotocol(name) for name in subprotocols] or None,
                compression="deflate" if offers_compression and not terms else None,
                extensions=[ClientPerMessageDeflateFactory(**given)] if given is not None else None,
                additional_headers=dict(headers or {}),
                proxy=None,
                ping_interval=None,
                max_size=None,
                create_connection=Watched,
            )
        except InvalidStatus as refused:
            body = bytes(refused.response.body or b"").decode()
            raise Refused(refused.response.status_code, body) from None
        return PythonSocket(cast(Watched, connection))

    @asynccontextmanager
    async def serving(self, terms: Terms, subprotocol: str) -> AsyncIterator[Serving]:
        opened: asyncio.Queue[WatchedServer] = asyncio.Queue()

        async def keep(connection: ServerConnection) -> None:
            opened.put_nowait(cast(WatchedServer, connection))
            await connection.wait_closed()

        given = terms.compression
        async with serve(
            keep,
            "127.0.0.1",
            0,
            subprotocols=[Subprotocol(subprotocol)],
            # Whoever offers none of them may come, too.
            select_subprotocol=lambda _, offered: (
                Subprotocol(subprotocol) if subprotocol in offered else None
            ),
            compression=None,
            extensions=[ServerPerMessageDeflateFactory(**given)] if given is not None else None,
            ping_interval=None,
            max_size=None,
            create_connection=WatchedServer,
        ) as server:
            port = next(iter(server.sockets)).getsockname()[1]

            async def socket() -> PythonSocket:
                return PythonSocket(await awaited("client", opened.get()))

            yield Serving(f"ws://127.0.0.1:{port}/", socket)
