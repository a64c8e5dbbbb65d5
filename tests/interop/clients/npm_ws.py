"""npm's `ws` under Node.js, in a process of its own. In: a URL. Out: a `Socket`.

Never: adds anything to what `npm_ws.js` reports.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from ..case import Broken
from . import Client, Close, Closed, Message, Refused, Serving, Socket, Terms, awaited
from .node import Script, Told, running

SCRIPT = Path(__file__).with_suffix(".js")


def encoded(message: Message) -> dict[str, str]:
    """A message as the script takes it."""
    if isinstance(message, str):
        return {"text": message}
    return {"base64": b64encode(message).decode()}


class NpmSocket(Socket):
    """A connection of `ws`."""

    def __init__(self, client: NpmWs, number: int) -> None:
        self._client = client
        self._number = number
        self._close: Close | None = None
        self._failure = ""
        self.messages: asyncio.Queue[Told] = asyncio.Queue()
        self.pings: asyncio.Queue[Told] = asyncio.Queue()
        self.pongs: asyncio.Queue[Told] = asyncio.Queue()

    def note(self, event: Told) -> None:
        """Sorts an event."""
        kind = event["event"]
        queues = {"ping": self.pings, "pong": self.pongs}
        queues.get(kind, self.messages).put_nowait(event)

    async def opened(self) -> None:
        """Waits for the answer to the upgrade."""
        event = await awaited("answer", self.messages.get())
        if event["event"] == "refused":
            raise Refused(event["status"], event["body"])
        if event["event"] != "open":
            raise Broken(f"ws: {event.get('why', event)}")
        headers: dict[str, list[str]] = {}
        flat = event["headers"]
        for name, value in zip(flat[::2], flat[1::2], strict=True):
            headers.setdefault(name.lower(), []).append(value)
        self.headers = headers
        self.subprotocol = event["subprotocol"] or None

    async def receive(self) -> Message:
        if self._close:
            raise Closed(self._close)
        event = await awaited("message", self.messages.get())
        if event["event"] == "close":
            self._close = Close(event["code"], event["reason"])
            raise Closed(self._close)
        if event["event"] == "failed":
            raise Broken(f"ws: {event['why']}")
        text: str | None = event.get("text")
        return b64decode(event["base64"]) if text is None else text

    async def send_bad_text(self, payload: bytes) -> None:
        self._tell("bad", base64=b64encode(payload).decode())

    async def send(self, message: Message) -> None:
        self._tell("send", fragments=[encoded(message)])

    async def send_fragments(self, fragments: Sequence[str] | Sequence[bytes]) -> None:
        self._tell("send", fragments=[encoded(fragment) for fragment in fragments])

    async def ping(self, payload: bytes) -> None:
        self._tell("ping", base64=b64encode(payload).decode())
        pong = await awaited("pong", self.pongs.get())
        if b64decode(pong["base64"]) != payload:
            raise Broken(f"a pong of {pong['base64']} for {payload!r}")

    async def pinged(self) -> bytes:
        return b64decode((await awaited("ping", self.pings.get()))["base64"])

    async def closed(self) -> Close:
        while True:
            try:
                await self.receive()
            except Closed as closed:
                return closed.close

    async def close(self, code: int = 1000, reason: str = "") -> Close:
        self._tell("close", code=code, reason=reason)
        return await self.closed()

    async def close_without_code(self) -> Close:
        self._tell("close")
        return await self.closed()

    async def abort(self) -> None:
        self._tell("terminate")

    def _tell(self, order: str, **fields: Any) -> None:
        self._client.tell(self._number, order, **fields)


class NpmWs(Client):
    """The library, and the process that it runs in."""

    name = "ws"
    insists_on_subprotocol = True

    def __init__(self, script: Script) -> None:
        self._script = script
        self._sockets: list[NpmSocket] = []

    def tell(self, number: int, order: str, **fields: Any) -> None:
        """Gives an order to a socket."""
        self._script.tell({"id": number, "order": order, **fields})

    def note(self, told: Told) -> None:
        """Passes an event on to its socket."""
        self._sockets[told["id"]].note(told)

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
        number = len(self._sockets)
        socket = NpmSocket(self, number)
        self._sockets.append(socket)
        options: dict[str, Any] = {
            "perMessageDeflate": deflated(terms) if terms else offers_compression,
            "headers": {**(headers or {}), **({"Host": host} if host else {})},
            "maxPayload": 0,
        }
        if origin:
            options["origin"] = origin
        self.tell(number, "open", url=url, subprotocols=list(subprotocols), options=options)
        await socket.opened()
        return socket


    @asynccontextmanager
    async def serving(self, terms: Terms, subprotocol: str) -> AsyncIterator[Serving]:
        number = len(self._sockets)
        socket = NpmSocket(self, number)
        self._sockets.append(socket)
        options = {"perMessageDeflate": deflated(terms), "maxPayload": 0}
        self.tell(number, "listen", options=options, subprotocol=subprotocol)
        listening = await awaited("port", socket.messages.get())

        async def opened() -> NpmSocket:
            await socket.opened()
            return socket

        try:
            yield Serving(f"ws://127.0.0.1:{listening['port']}/", opened)
        finally:
            self.tell(number, "unlisten")


def deflated(terms: Terms) -> dict[str, Any] | bool:
    """How the library is told of compression."""
    if terms.compression is None:
        return False
    names = {
        "server_max_window_bits": "serverMaxWindowBits",
        "client_max_window_bits": "clientMaxWindowBits",
        "server_no_context_takeover": "serverNoContextTakeover",
        "client_no_context_takeover": "clientNoContextTakeover",
    }
    # Short messages go as they are.
    return {"threshold": 100, **{names[name]: value for name, value in terms.compression.items()}}


def npm_ws(modules: Path) -> AbstractAsyncContextManager[NpmWs]:
    """The client, with `ws` from the folder `modules`; its process ends with the block."""
    return running(SCRIPT, modules, NpmWs)
