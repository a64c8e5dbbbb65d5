"""The operator's backend: what the server's hooks ask. In: answers, by path. Out: an HTTP server, and what it
was asked.

Never: knows a client but by what the server says of it.
"""

from __future__ import annotations

import asyncio
import json
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .clients import awaited

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """A request of the server. Names of headers are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: Body

    def payload(self, name: str = "data") -> Any:
        """A payload, in whichever of its two forms it came."""
        if f"b64{name}" in self.body:
            return json.loads(b64decode(self.body[f"b64{name}"]))
        return self.body.get(name)


# What is answered: a status, and a body.
Reply = tuple[int, Body | bytes]
Answering = Callable[[Asked], Reply]


def result(**fields: Any) -> Reply:
    """A grant."""
    return 200, {"result": fields}


def error(code: int, message: str, **fields: Any) -> Reply:
    """An error for the client."""
    return 200, {"error": {"code": code, "message": message, **fields}}


def disconnect(code: int, reason: str) -> Reply:
    """A close."""
    return 200, {"disconnect": {"code": code, "reason": reason}}


def missing(asked: Asked) -> Reply:
    """What nobody has an answer for."""
    return 404, {}


class Backend:
    """Answers as it is told; what nobody has an answer for gets 404."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._answers: dict[str, Answering] = {}
        self._asked: dict[str, asyncio.Queue[Asked]] = {}
        self.port = 0

    def url(self, path: str) -> str:
        """Where a hook finds it."""
        return f"http://127.0.0.1:{self.port}{path}"

    @contextmanager
    def answering(self, path: str, reply: Reply | Answering) -> Iterator[None]:
        """Answers so on this path as long as the block, and behind it as before."""
        before = self._answers.get(path, missing)
        self._answers[path] = reply if callable(reply) else lambda asked: reply
        try:
            yield
        finally:
            self._answers[path] = before

    async def asked(self, path: str) -> Asked:
        """The next request on this path."""
        return await awaited(f"request to {path}", self._queue(path).get())

    def forget(self) -> None:
        """Forgets what was asked before."""
        self._asked.clear()

    def _queue(self, path: str) -> asyncio.Queue[Asked]:
        return self._asked.setdefault(path, asyncio.Queue())

    def answer(self, asked: Asked) -> Reply:
        """Called on a thread of the HTTP server."""
        self._loop.call_soon_threadsafe(lambda: self._queue(asked.path).put_nowait(asked))
        return self._answers.get(asked.path, missing)(asked)


def handler(backend: Backend) -> type[BaseHTTPRequestHandler]:
    """What serves a connection."""

    class Handler(BaseHTTPRequestHandler):
        """Keeps its connection, as a backend's server would."""

        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet

        def do_POST(self) -> None:
            """Reads, asks, writes."""
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, reply = backend.answer(Asked(self.path, headers, json.loads(body)))
            sent = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    return Handler


@contextmanager
def backing() -> Iterator[Backend]:
    """A backend on a free port, as long as the block. Called in a running event loop."""
    backend = Backend(asyncio.get_running_loop())
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(backend))
    server.daemon_threads = True
    backend.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield backend
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
