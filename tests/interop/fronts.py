"""HAProxy and nginx in front, as crates/server/deploy configures them. In: those files. Out: nothing, or a broken
case.

Who comes is at 127.0.0.2, and the proxies are at 127.0.0.1: the backend is told which of them it was.

Never: changes more of a file than where its sockets and folders are.
"""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from measuring.servers import ROOT, free_port

from .api import Api, request
from .backend import Backend, backing, result
from .case import Broken, expect
from .clients import Client
from .daemon import Settings, serving, started
from .stack import KEY, PUBLISH, SUBSCRIBE

DEPLOY = ROOT / "crates" / "server" / "deploy"
CLIENT = "127.0.0.2"
UPGRADES = 20
WAIT_S_MAX = 10


@dataclass(frozen=True)
class Front:
    """A proxy on `port`, in front of a daemon whose API is at `api`."""

    port: int
    api: Api
    backend: Backend


def replaced(name: str, replacements: Mapping[str, str]) -> str:
    """A file of `deploy` with these lines' places changed; each must be there."""
    text = (DEPLOY / name).read_text()
    for old, new in replacements.items():
        if old not in text:
            raise Broken(f"{name} has no {old!r}")
        text = text.replace(old, new)
    return text


def settings(
    listen: Sequence[str], trusted: str, proxied: Sequence[str], backend: Backend
) -> Settings:
    """Of a daemon that asks `backend` who comes."""
    return {
        "workers": 2,
        "listen": listen,
        "unix_socket_mode": 0o666,
        "trusted_proxies": [trusted],
        "proxy_protocol": proxied,
        "api": {"keys": [KEY]},
        "hooks": {"connect": backend.url("/connect"), "headers": ["X-Forwarded-For"]},
        "default_namespace": {**SUBSCRIBE, **PUBLISH},
    }


@asynccontextmanager
async def behind_haproxy() -> AsyncIterator[Front]:
    """The daemon behind HAProxy, which speaks the PROXY protocol to it."""
    main, proxied = free_port(), free_port()
    place = f"127.0.0.1:{proxied}"
    with tempfile.TemporaryDirectory(prefix="fanfare-haproxy-") as folder, backing() as backend:
        listen = [f"127.0.0.1:{main}", place]

        def command(ports: Sequence[int]) -> Sequence[str | Path]:
            config = Path(folder) / "haproxy.cfg"
            replacements = {
                "bind :80\n": f"bind 127.0.0.1:{ports[0]}\n",
                "    bind [::]:80 v6only\n": "",
                "maxconn 200000": "maxconn 1000",
                "127.0.0.1:8000 ": f"{place} ",
            }
            text = replaced("haproxy.cfg", replacements)
            config.write_text(text)
            return ["haproxy", "-db", "-f", str(config)]

        async with serving(settings(listen, "127.0.0.1", [place], backend), [main]):
            async with started(command, 1) as (_, ports):
                yield Front(ports[0], Api(main, KEY), backend)


@asynccontextmanager
async def behind_nginx() -> AsyncIterator[Front]:
    """The daemon behind nginx, over a socket file."""
    main = free_port()
    with tempfile.TemporaryDirectory(prefix="fanfare-nginx-") as folder, backing() as backend:
        path = f"{folder}/fanfare.sock"

        def command(ports: Sequence[int]) -> Sequence[str | Path]:
            config = Path(folder) / "nginx.conf"
            parts = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            folders = "".join(f"    {part}_temp_path {folder}/{part};\n" for part in parts)
            replacements = {
                "listen 80;": f"listen 127.0.0.1:{ports[0]};",
                "        listen [::]:80;\n": "",
                "worker_rlimit_nofile 200000;\n": "",
                "worker_connections 100000;": "worker_connections 1000;",
                "unix:/run/fanfare/fanfare.sock;": f"unix:{path};",
                "http {\n": f"http {{\n    access_log off;\n{folders}",
            }
            config.write_text(replaced("nginx.conf", replacements))
            # As root its workers would be somebody else, who may not enter the folder.
            user = "user root; " if os.geteuid() == 0 else ""
            own = f"{user}daemon off; pid {folder}/nginx.pid; error_log stderr;"
            return ["nginx", "-p", folder, "-e", "stderr", "-c", str(config), "-g", own]

        listen = [f"127.0.0.1:{main}", f"unix:{path}"]
        async with serving(settings(listen, "unix", [], backend), [main]):
            async with started(command, 1) as (_, ports):
                yield Front(ports[0], Api(main, KEY), backend)


def asked_from(address: str, port: int, path: str) -> bytes:
    """The start of the answer to an upgrade of `path` that this address asks for."""
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        "X-Forwarded-For: 203.0.113.7",
    ]
    source = (address, 0)
    with socket.create_connection(("127.0.0.1", port), WAIT_S_MAX, source) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return connection.recv(1024)


async def messages_pass_both_ways(front: Front, client: Client) -> None:
    url = f"ws://127.0.0.1:{front.port}/raw/room"
    with front.backend.answering("/connect", result(user="ada")):
        sockets = [await client.open(url) for _ in range(UPGRADES)]
        await front.api.publish("room", "hello")
        for one in sockets:
            expect("what the API publishes", await one.receive(), '"hello"')
        await sockets[0].send("world")
        for one in sockets:
            expect("what a client publishes", await one.receive(), "world")
            await one.close()


async def the_backend_is_told_where_a_client_is(front: Front, client: Client) -> None:
    front.backend.forget()
    with front.backend.answering("/connect", result(user="ada")):
        answer = await asyncio.to_thread(asked_from, CLIENT, front.port, "/raw/room")
        expect("the status line", answer.split(b"\r\n")[0], b"HTTP/1.1 101 Switching Protocols")
        asked = await front.backend.asked("/connect")
    expect("X-Forwarded-For", asked.headers.get("x-forwarded-for"), CLIENT)


async def plain_http_is_answered_but_the_api_is_not_there(front: Front, client: Client) -> None:
    for path, status in [("/health", 200), ("/ready", 200), ("/api/info", 404)]:
        expect(path, (await request(front.port, "GET", path)).status, status)


Case = Callable[[Front, Client], Awaitable[None]]
CASES: list[Case] = [
    messages_pass_both_ways,
    the_backend_is_told_where_a_client_is,
    plain_http_is_answered_but_the_api_is_not_there,
]
