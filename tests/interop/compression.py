"""permessage-deflate with clients that have it from elsewhere. In: a stack and a client. Out: nothing, or a broken
case.

All cases of subscribers, sessions and the page run with it, too: here is what only compression has.

Never: looks at compressed bytes: the libraries do.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from .api import request
from .case import expect, expect_that
from .clients import Client, Message
from .daemon import Settings
from .stack import SETTINGS, Stack, merged
from .subscribers import expect_messages

Case = Callable[[Stack, Client], Awaitable[None]]

EXTENSIONS = "sec-websocket-extensions"
# Everything that may become smaller is compressed, and clients keep their windows.
DEFLATE: Settings = {
    "websocket": {
        "deflate": {"enabled": True, "threshold_bytes": 1, "allow_client_takeover": True}
    }
}
SETTINGS_WITH_DEFLATE = merged(SETTINGS, DEFLATE)


def news(number: int) -> str:
    """Text that becomes much smaller."""
    return json.dumps({"number": number, "text": f"again and {number}, " * 100})


async def deflated(at: Stack) -> float:
    """How many messages the daemon has compressed."""
    answer = await request(at.main, "GET", "/metrics", X_API_Key=at.api.key)
    lines = answer.text.splitlines()
    counts = [line for line in lines if line.startswith("fanfare_deflate_messages_total ")]
    return float(counts[0].split()[1])


async def compression_is_offered_and_not_negotiated(at: Stack, client: Client) -> None:
    channel = at.channel()
    async with at.following(client, channel, offers_compression=True) as socket:
        expect("extensions", socket.headers.get(EXTENSIONS), None)
        await socket.send("x" * 5000)
        await expect_messages("a message worth compressing", socket, ["x" * 5000])


async def it_is_negotiated_with_whoever_offers_it(at: Stack, client: Client) -> None:
    for path in ["/raw/" + at.channel(), "/echo", "/connection/websocket"]:
        socket = await client.open(at.url(path), offers_compression=True)
        said = socket.header(EXTENSIONS) or ""
        expect_that(said.startswith("permessage-deflate; server_no_context_takeover"), said)
        await socket.close()
        socket = await client.open(at.url(path), offers_compression=False)
        expect(f"extensions on {path}", socket.headers.get(EXTENSIONS), None)
        await socket.close()


async def an_echo_is_compressed_both_ways(at: Stack, client: Client) -> None:
    before = await deflated(at)
    socket = await client.open(at.url("/echo"))
    sent: list[Message] = [news(n % 3) for n in range(50)]
    sent += ["", b"", bytes(range(256)) * 40, "\U0001f3ba" * 3000, "x"]
    for message in sent:
        await socket.send(message)
    await expect_messages("echo", socket, sent)
    await socket.send_fragments([news(1)[:10], news(1)[10:500], news(1)[500:]])
    await expect_messages("fragments", socket, [news(1)])
    await socket.close()
    expect_that(await deflated(at) >= before + 50, "the answers were compressed")


async def many_get_what_was_compressed_once(at: Stack, client: Client) -> None:
    channel = at.channel("live")
    before = await deflated(at)
    sockets = [await client.open(at.url(f"/raw/{channel}")) for _ in range(10)]
    plain = await client.open(at.url(f"/raw/{channel}"), offers_compression=False)
    sent: list[Message] = [news(n) for n in range(20)]
    for message in sent:
        await plain.send(message)
    for socket in [*sockets, plain]:
        await expect_messages("publications", socket, sent)
        await socket.close()
    compressed = await deflated(at) - before
    # One window size, and two workers that may have subscribers.
    expect_that(20 <= compressed <= 40, f"{compressed} compressions of 20 publications")


async def a_bomb_is_closed_with_1009(at: Stack, client: Client) -> None:
    for path in ["/raw/" + at.channel(), "/echo"]:
        socket = await client.open(at.url(path))
        await socket.send("0" * (16 << 20))
        expect(f"the close on {path}", (await socket.closed()).code, 1009)


WITHOUT: list[Case] = [compression_is_offered_and_not_negotiated]
CASES: list[Case] = [
    it_is_negotiated_with_whoever_offers_it,
    an_echo_is_compressed_both_ways,
    many_get_what_was_compressed_once,
    a_bomb_is_closed_with_1009,
]
