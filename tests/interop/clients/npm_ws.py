"""npm's `ws` under Node.js, in a process of its own. In: a URL. Out: a `Socket`.

Never: adds anything to what `npm_ws.js` reports.
"""

from __future__ import annotations

import asyncio
import json
import os
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ..case import Broken
from . import Client, Close, Closed, Message, Refused, Socket, awaited

SCRIPT = Path(__file__).with_suffix(".js")
LINE_BYTES_MAX = 32 << 20
END_S_MAX = 5

Event = dict[str, Any]


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
        self.messages: asyncio.Queue[Event] = asyncio.Queue()
        self.pings: asyncio.Queue[Event] = asyncio.Queue()
        self.pongs: asyncio.Queue[Event] = asyncio.Queue()

    def note(self, event: Event) -> None:
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

    async def send(self, message: Message) -> None:
        self._tell("send", fragments=[encoded(message)])

    async def send_fragments(self, fragments: Sequence[str] | Sequence[bytes]) -> None:
        self._tell("send", fragments=[encoded(fragment) for fragment in fragments])

    async def ping(self, payload: bytes) -> None:
        self._tell("ping", base64=b64encode(payload).decode())
        pong = await awaited("pong", self.pongs.get())
        if b64decode(pong["base64"]) != payload:
            raise Broken(f"a pong of {pong['base64']} for {payload!r}")

    async def pinged(self) -> None:
        await awaited("ping", self.pings.get())

    async def closed(self) -> Close:
        while True:
            try:
                await self.receive()
            except Closed as closed:
                return closed.close

    async def close(self, code: int = 1000, reason: str = "") -> Close:
        self._tell("close", code=code, reason=reason)
        return await self.closed()

    def _tell(self, order: str, **fields: Any) -> None:
        self._client.tell(self._number, order, **fields)


class NpmWs(Client):
    """The library, and the process that it runs in."""

    name = "ws"
    insists_on_subprotocol = True

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._sockets: list[NpmSocket] = []

    def tell(self, number: int, order: str, **fields: Any) -> None:
        """Gives an order to a socket."""
        assert self._process.stdin
        line = json.dumps({"id": number, "order": order, **fields})
        self._process.stdin.write(line.encode() + b"\n")

    async def pass_events(self) -> None:
        """Passes events on to their sockets till the process ends."""
        assert self._process.stdout
        while line := await self._process.stdout.readline():
            event = json.loads(line)
            self._sockets[event["id"]].note(event)

    async def open(
        self,
        url: str,
        *,
        origin: str | None = None,
        subprotocols: Sequence[str] = (),
        offers_compression: bool = True,
        headers: Mapping[str, str] | None = None,
        host: str | None = None,
    ) -> Socket:
        number = len(self._sockets)
        socket = NpmSocket(self, number)
        self._sockets.append(socket)
        options: dict[str, Any] = {
            "perMessageDeflate": offers_compression,
            "headers": {**(headers or {}), **({"Host": host} if host else {})},
            "maxPayload": 0,
        }
        if origin:
            options["origin"] = origin
        self.tell(number, "open", url=url, subprotocols=list(subprotocols), options=options)
        await socket.opened()
        return socket


@asynccontextmanager
async def npm_ws(modules: Path) -> AsyncIterator[NpmWs]:
    """The client, with `ws` from the folder `modules`; its process ends with the block."""
    process = await asyncio.create_subprocess_exec(
        "node",
        str(SCRIPT),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "NODE_PATH": str(modules)},
        limit=LINE_BYTES_MAX,
    )
    client = NpmWs(process)
    events = asyncio.create_task(client.pass_events())
    try:
        yield client
    finally:
        assert process.stdin
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), END_S_MAX)
        except TimeoutError:
            process.kill()
            await process.wait()
        await events
