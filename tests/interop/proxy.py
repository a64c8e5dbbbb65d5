"""What a proxy with a pool of connections could break. In: settings. Out: nothing, or a broken case.

A connection that nginx has pooled behind an API call must never get an upgrade for which nobody waits
there, and an upgrade must never take a connection that the API goes on using.

Never: tests nginx.
"""

from __future__ import annotations

import asyncio
import json
import signal
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from .api import Api, Connection, request
from .case import expect, expect_that
from .clients import Client, Refused, Socket
from .daemon import serving
from .nginx import Nginx, proxying
from .relay import counting
from .stack import (
    API_SETTINGS,
    KEY,
    LISTED_ORIGIN,
    PUBLICATION_BYTES_MAX,
    SETTINGS,
    Stack,
    merged,
    stacked,
)

Case = Callable[[Stack, Client], Awaitable[None]]
CASES: list[Case] = []

PUBLISHES = 50
UPGRADES = 20
FORWARDED = {
    "Forwarded": "for=203.0.113.7;host=evil.example;proto=https",
    "X-Forwarded-For": "203.0.113.7, 198.51.100.2",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "443",
    "X-Forwarded-Proto": "https",
    "X-Real-IP": "203.0.113.7",
}


def case(body: Case) -> Case:
    """Adds a case to the list."""
    CASES.append(body)
    return body


@case
async def api_calls_and_upgrades_interleave(at: Stack, client: Client) -> None:
    channel = at.channel()
    async with AsyncExitStack() as stack:
        # Each with how much was published before it came.
        sockets: list[tuple[int, Socket]] = []
        for n in range(PUBLISHES):
            if n * UPGRADES // PUBLISHES != (n - 1) * UPGRADES // PUBLISHES:
                opened = at.following(client, channel, "?meta=1")
                sockets.append((n, await stack.enter_async_context(opened)))
            await at.api.publish(channel, n)
        expect("how many upgrades", len(sockets), UPGRADES)
        for before, socket in sockets:
            greeting = str(await socket.receive())
            place = greeting.split(":")[1]
            expect("the first message", greeting, f"{before}:{place}")
            wanted = [f"{n + 1}:{place} {n}" for n in range(before, PUBLISHES)]
            expect(f"behind {before}", [await socket.receive() for _ in wanted], wanted)


@case
async def api_calls_and_upgrades_at_once(at: Stack, client: Client) -> None:
    channel = at.channel()
    async with AsyncExitStack() as stack:

        async def follow() -> Socket:
            return await stack.enter_async_context(at.following(client, channel, "?since=0"))

        # since=0: whoever comes late gets all the same.
        await at.api.publish(channel, "first")
        publishes = [at.api.publish(channel, n) for n in range(PUBLISHES)]
        upgrades = [follow() for _ in range(UPGRADES)]
        positions, sockets = await asyncio.gather(
            asyncio.gather(*publishes), asyncio.gather(*upgrades)
        )
        expect(
            "offsets", sorted(int(p.split(":")[0]) for p in positions), [*range(2, PUBLISHES + 2)]
        )
        for socket in sockets:
            messages = [str(await socket.receive()) for _ in range(PUBLISHES + 1)]
            expect("the first message", messages[0], '"first"')
            expect("the others", sorted(map(int, messages[1:])), [*range(PUBLISHES)])


@case
async def an_upgrade_right_behind_an_api_call_is_not_swallowed(at: Stack, client: Client) -> None:
    channel = at.channel()
    with Connection(at.port) as connection:
        api = at.over(connection)
        for n in range(UPGRADES):
            position = await api.publish(channel, n)
            async with at.following(client, channel, "?meta=1") as socket:
                expect("the first message", await socket.receive(), position)
                position = await api.publish(channel, "live")
                expect("a message", await socket.receive(), f'{position} "live"')


@case
async def plain_http_and_refusals_leave_nothing_behind(at: Stack, client: Client) -> None:
    # Each leaves nginx with a connection that it may pool.
    channel = at.channel()
    for n in range(10):
        expect("health", (await request(at.port, "GET", "/health")).status, 200)
        expect("426", (await request(at.port, "GET", f"/raw/{channel}")).status, 426)
        expect("404", (await request(at.port, "GET", "/nothing")).status, 404)
        for path, status in [("/raw/unknown:x", 404), (f"/raw/{channel}?meta=2", 400)]:
            try:
                await client.open(at.url(path))
            except Refused as refused:
                expect(path, refused.status, status)
        async with at.following(client, channel) as socket:
            await at.api.publish(channel, n)
            expect("a message", await socket.receive(), str(n))


@case
async def large_bodies_are_published(at: Stack, client: Client) -> None:
    channel = at.channel()
    payload = bytes(range(256)) * (PUBLICATION_BYTES_MAX // 256)
    body = json.dumps({"channel": channel, "b64data": b64encode(payload).decode()}).encode()
    async with at.following(client, channel) as socket:
        for path in (
            ["/api/publish", "/unbuffered/publish"] if at.has_api_port else ["/api/publish"]
        ):
            answer = await request(at.port, "POST", path, body, X_API_Key=KEY)
            expect(f"{path}: {answer.text[:200]}", answer.status, 200)
            expect("the message", await socket.receive(), payload)
    commands = [{"publish": json.loads(body)}] * 5
    answer = await at.api.post("batch", json.dumps({"commands": commands}).encode())
    expect(f"a batch of 5: {answer.text[:200]}", answer.status, 200)
    offsets = [reply["publish"]["offset"] for reply in json.loads(answer.body)["replies"]]
    expect_that(offsets == [*range(offsets[0], offsets[0] + 5)], f"offsets {offsets}")


@case
async def forwarded_headers_are_harmless(at: Stack, client: Client) -> None:
    channel = at.channel()
    async with at.following(client, channel, headers=FORWARDED) as socket:
        answer = await at.api.post(
            "publish", json.dumps({"channel": channel, "data": 1}).encode(), **FORWARDED
        )
        expect("status", answer.status, 200)
        expect("the message", await socket.receive(), "1")
    # They are the client's to write: they name no host whose pages may connect.
    evil = "https://evil.example"
    await expect_origin(at, client, at.port, evil, 403, headers=FORWARDED)


@case
async def the_origin_is_checked_against_the_host_that_the_proxy_names(
    at: Stack, client: Client
) -> None:
    assert at.nginx
    http_host, host = at.nginx.http_host, at.nginx.host
    name = "chat.example"
    pages = {
        f"https://{name}": 101,
        f"http://{name}": 101,
        LISTED_ORIGIN: 101,
        f"https://{name}:8443": 403,
        f"https://www.{name}": 403,
        "https://evil.example": 403,
    }
    for port in [http_host, host]:
        for page, status in pages.items():
            await expect_origin(at, client, port, page, status, host=name)
    # A page on a port of its own: $http_host keeps the port, $host loses it.
    await expect_origin(at, client, http_host, f"http://127.0.0.1:{http_host}", 101)
    await expect_origin(at, client, host, f"http://127.0.0.1:{host}", 403)


async def expect_origin(
    at: Stack,
    client: Client,
    port: int,
    origin: str,
    status: int,
    **options: Any,
) -> None:
    """The upgrade for a page of `origin` gets this status."""
    url = at.url(f"/raw/{at.channel()}", port)
    found = 101
    try:
        await (await client.open(url, origin=origin, **options)).close()
    except Refused as refused:
        found = refused.status
    assert at.nginx
    which = "$http_host" if port == at.nginx.http_host else "$host"
    expect(f"a page of {origin}, {options}, Host is {which}", found, status)


@case
async def the_servers_pings_keep_an_idle_subscriber(at: Stack, client: Client) -> None:
    settings = merged(at.settings, {"websocket": {"ping_interval": 0.3}})
    async with serving(settings) as (_, ports), proxying(ports[0], ports[-1], "1s") as nginx:
        channel = at.channel()
        api = Api(nginx.http_host, KEY)
        socket = await client.open(at.url(f"/raw/{channel}", nginx.http_host))
        for _ in range(6):  # longer than nginx waits for a word
            await socket.pinged()
        await api.publish(channel, 1)
        expect("the message", await socket.receive(), "1")
        await socket.close()


@case
async def a_restart_behind_the_pool_costs_no_call(at: Stack, client: Client) -> None:
    async with AsyncExitStack() as stack:
        first = stack.enter_async_context
        daemon, ports = await first(serving(at.settings))
        nginx = await first(proxying(ports[0], ports[-1]))
        api, channel = Api(nginx.http_host, KEY), at.channel()
        url = at.url(f"/raw/{channel}", nginx.http_host)
        before = await client.open(url)
        await asyncio.gather(*(api.publish(channel, n) for n in range(10)))
        daemon.signal(signal.SIGTERM)
        expect("close code", (await before.closed()).code, 1001)
        expect("exit code", await daemon.exit_code(), 0)
        await first(serving(at.settings, ports))
        after = await client.open(url)
        await asyncio.gather(*(api.publish(channel, n) for n in range(10)))
        messages = [str(await after.receive()) for _ in range(10)]
        expect("messages", sorted(messages, key=int), [str(n) for n in range(10)])
        await after.close()


@asynccontextmanager
async def counted(at: Stack) -> AsyncIterator[tuple[Stack, Nginx, list[Callable[[], int]]]]:
    """A stack whose connections between nginx and the daemon are counted: main port, API's port."""
    async with stacked(at.settings, is_proxied=False) as inner, AsyncExitStack() as stack:
        main = await stack.enter_async_context(counting(inner.main))
        api = main
        if inner.has_api_port:
            api = await stack.enter_async_context(counting(inner.api_port))
        nginx = await stack.enter_async_context(proxying(main.port, api.port))
        yield inner, nginx, [lambda: main.connections, lambda: api.connections]


@case
async def the_main_port_gives_each_request_a_connection(at: Stack, client: Client) -> None:
    async with counted(at) as (_, nginx, (main, _)):
        channel = at.channel()
        before = main()
        for _ in range(10):
            expect("health", (await request(nginx.http_host, "GET", "/health")).status, 200)
            await (await client.open(at.url(f"/raw/{channel}", nginx.http_host))).close()
        expect("connections for 20 requests", main() - before, 20)


async def api_connections_are_used_again(at: Stack, client: Client) -> None:
    """Of `api.listen` alone: the main port gives each request a connection of its own."""
    async with counted(at) as (_, nginx, (main, api)):
        channel = at.channel()
        through = Api(nginx.http_host, KEY)
        before_main, before_api = main(), api()
        for n in range(PUBLISHES):
            await through.publish(channel, n)
        expect(f"connections for {PUBLISHES} calls", api() - before_api, 1)
        await asyncio.gather(*(through.publish(channel, n) for n in range(PUBLISHES)))
        for n in range(PUBLISHES):
            await through.publish(channel, n)
        expect_that(
            api() - before_api <= 32, f"{api()} connections for {3 * PUBLISHES} calls, 50 at once"
        )
        expect("connections to the main port", main() - before_main, 0)


async def the_main_port_has_no_api(at: Stack, client: Client) -> None:
    """Of `api.listen` alone."""
    answer = await request(at.main, "POST", "/api/info", b"{}", X_API_Key=KEY)
    expect("the main port's status", answer.status, 404)
    answer = await request(at.api_port, "GET", "/ready")
    expect("/ready on the API's port", answer.status, 200)


WITH_API_PORT: list[Case] = [api_connections_are_used_again, the_main_port_has_no_api]
SETTINGS_WITH_API_PORT = merged(SETTINGS, API_SETTINGS)
