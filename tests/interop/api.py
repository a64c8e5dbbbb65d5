"""The HTTP API as a program of someone's backend would use it: Python's own `http.client`.

In: a port and a key. Out: answers.

Never: retries.
"""

from __future__ import annotations

import asyncio
import http.client
import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from .case import Broken, brief

ANSWER_S_MAX = 15


@dataclass(frozen=True)
class Answer:
    """An answer of an HTTP server; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body, if it is text."""
        return self.body.decode()


class Connection:
    """A connection that is used again as long as the server keeps it."""

    def __init__(self, port: int) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S_MAX)

    async def request(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> Answer:
        """Asks. In names of headers, `_` is `-`."""
        return await asyncio.to_thread(self._request, method, path, body, headers)

    def _request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._http.request(method, path, body, named)
        response = self._http.getresponse()
        lower = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, lower, response.read())

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()


async def request(
    port: int, method: str, path: str, body: bytes | None = None, **headers: str
) -> Answer:
    """Asks over a connection of its own."""
    with Connection(port) as connection:
        return await connection.request(method, path, body, **headers)


@dataclass(frozen=True)
class Api:
    """The API behind a port. `connection`: the one to use; without it, one for each call."""

    port: int
    key: str
    connection: Connection | None = None

    async def post(self, method: str, body: bytes, **headers: str) -> Answer:
        """Posts a body as it is."""
        headers = {"X-API-Key": self.key, "Content-Type": "application/json", **headers}
        path = f"/api/{method}"
        if self.connection:
            return await self.connection.request("POST", path, body, **headers)
        return await request(self.port, "POST", path, body, **headers)

    async def call(self, method: str, **fields: Any) -> dict[str, Any]:
        """The result of a method; anything else breaks the case."""
        answer = await self.post(method, json.dumps(fields).encode())
        if answer.status != 200:
            raise Broken(f"api/{method}: {answer.status} {brief(answer.text)}")
        reply = json.loads(answer.body)
        if set(reply) != {"result"}:
            raise Broken(f"api/{method} {brief(fields)}: {brief(reply)}")
        result: dict[str, Any] = reply["result"]
        return result

    async def publish(self, channel: str, data: Any, **fields: Any) -> str:
        """Publishes JSON, or bytes as they are, and gives the position, `offset:epoch`."""
        payload = (
            {"b64data": b64encode(data).decode()} if isinstance(data, bytes) else {"data": data}
        )
        result = await self.call("publish", channel=channel, **payload, **fields)
        return f"{result['offset']}:{result['epoch']}" if result else ""
