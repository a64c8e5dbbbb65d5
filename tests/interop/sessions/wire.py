"""What no SDK does by itself, said with a plain WebSocket library: each is closed with its code and a reason
(PROTOCOL.md, "Commands", "Ping").

In: a realm. Out: nothing, or a broken case.

Never: builds what is not in the protocol's words, but to see it refused.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from .. import tokens
from ..case import Broken, expect, expect_that
from ..clients import Close, Closed, Message, Socket
from ..clients.python_websockets import PythonWebsockets
from .realm import Realm

Case = Callable[[Realm], Awaitable[None]]
CASES: list[Case] = []

CONNECT = {"id": 1, "connect": {}}
PROTOBUF_CONNECT = b"\x04\x08\x01\x22\x00"
PROTOBUF_PING = b"\0"


def case(body: Case) -> Case:
    """Adds a case to the list."""
    CASES.append(body)
    return body


@asynccontextmanager
async def opened(at: Realm, query: str = "", *subprotocols: str) -> AsyncIterator[Socket]:
    """A connection, closed with the block."""
    socket = await PythonWebsockets().open(at.url + query, subprotocols=subprotocols)
    try:
        yield socket
    finally:
        await socket.close()


async def say(socket: Socket, *commands: Any) -> None:
    """Sends commands in one frame; text as it is."""
    lines = [c if isinstance(c, str) else json.dumps(c) for c in commands]
    await socket.send("\n".join(lines))


async def replies(socket: Socket, count: int) -> list[Any]:
    """So many replies, pings left out, however they are spread over frames."""
    found: list[Any] = []
    while len(found) < count:
        frame = await socket.receive()
        if not isinstance(frame, str):
            raise Broken(f"a binary frame on the JSON wire: {frame!r}")
        found += [r for r in map(json.loads, frame.split("\n")) if r]
    return found


async def expect_closed(what: str, socket: Socket, code: int) -> None:
    """The end, with this code and a reason."""
    close = await socket.closed()
    expect(f"{what}: code", close.code, code)
    expect_that(close.reason, f"{what}: a reason")


@case
async def what_is_no_protocol_is_closed_with_3501(at: Realm) -> None:
    unanswered: dict[str, list[Any]] = {
        "no connect first": [{"id": 1, "subscribe": {"channel": "open:a"}}],
        "no JSON": ["hello"],
        "no object": ["[]"],
        "half of it": ['{"id":1,"connect":{'],
        "an id that is none": [{"id": -1, "connect": {}}],
        "connect without an id": [{"connect": {}}],
        "a pong in front": ["{}"],
    }
    for what, commands in unanswered.items():
        async with opened(at) as socket:
            await say(socket, *commands)
            await expect_closed(what, socket, 3501)
    behind: dict[str, Any] = {
        "a second connect": {"id": 2, "connect": {}},
        "an unknown method": {"id": 2, "dance": {}},
        "no method": {"id": 2},
        "no id": {"publish": {"channel": "open:a", "data": 1}},
        "a pong that nobody asked for": {},
        "no JSON": "nonsense",
    }
    for what, command in behind.items():
        async with opened(at) as socket:
            await say(socket, CONNECT)
            expect_that("connect" in (await replies(socket, 1))[0], "connected")
            await say(socket, command)
            await expect_closed(f"connected, {what}", socket, 3501)


@case
async def what_is_no_protobuf_is_closed_with_3501(at: Realm) -> None:
    wrong: dict[str, Message] = {
        "cut": PROTOBUF_CONNECT[:-2],
        "a length past the frame": b"\x7f\x08\x01",
        "an endless varint": b"\xff" * 11,
        "a wrong wire type": b"\x03\x0a\x01\x01",
    }
    for what, frame in wrong.items():
        async with opened(at, "", "centrifuge-protobuf") as socket:
            await socket.send(frame)
            await expect_closed(what, socket, 3501)


@case
async def the_other_kind_of_frame_is_closed_with_3506(at: Realm) -> None:
    async with opened(at) as socket:
        await socket.send(json.dumps(CONNECT).encode())
        await expect_closed("a binary frame on the JSON wire", socket, 3506)
    async with opened(at, "", "centrifuge-protobuf") as socket:
        await socket.send(json.dumps(CONNECT))
        await expect_closed("a text frame on the Protobuf wire", socket, 3506)


@case
async def what_follows_a_failed_connect_is_closed_with_3501(at: Realm) -> None:
    expired = {"id": 1, "connect": {"token": tokens.connection("ann", -9)}}
    async with opened(at) as socket:
        await say(socket, expired, {"id": 2, "subscribe": {"channel": "open:a"}})
        reply = (await replies(socket, 1))[0]
        expect("reply", (reply["id"], reply["error"]["code"]), (1, 109))
        await expect_closed("a subscribe", socket, 3501)
    async with opened(at) as socket:
        await say(socket, expired)
        await replies(socket, 1)
        await say(socket, CONNECT)
        await expect_closed("another connect", socket, 3501)


@case
async def who_does_not_connect_is_closed_with_3502(at: Realm) -> None:
    async with at.another({"client": {"connect_timeout": 0.5}}) as hasty:
        async with opened(hasty) as socket, opened(hasty) as good:
            await say(good, CONNECT)
            await replies(good, 1)
            await expect_closed("silence", socket, 3502)
            await say(good, {"id": 2, "history": {"channel": "library:x"}})
            await replies(good, 1)


@case
async def who_does_not_answer_pings_is_closed_with_3012(at: Realm) -> None:
    lively = {"client": {"ping_interval": 1, "pong_timeout": 0.3}}
    async with at.another(lively) as realm:
        async with opened(realm) as socket:
            await say(socket, CONNECT)
            connect = (await replies(socket, 1))[0]["connect"]
            expect("ping and pong", (connect["ping"], connect["pong"]), (1, True))
            expect("a ping", await socket.receive(), "{}")
            await say(socket, {})
            expect("another", await socket.receive(), "{}")
            await expect_closed("no pong", socket, 3012)
        async with opened(realm, "", "centrifuge-protobuf") as socket:
            await socket.send(PROTOBUF_CONNECT)
            await socket.receive()
            expect("a ping", await socket.receive(), PROTOBUF_PING)
            await socket.send(PROTOBUF_PING)
            expect("another", await socket.receive(), PROTOBUF_PING)
            await expect_closed("no pong", socket, 3012)
        async with opened(realm) as socket:
            await say(socket, CONNECT)
            await replies(socket, 1)
            await socket.receive()
            await say(socket, {}, {})
            await expect_closed("two pongs for a ping", socket, 3501)


@case
async def websocket_pings_take_the_place_of_the_protocols_own(at: Realm) -> None:
    lively = {
        "client": {"ping_interval": 1, "pong_timeout": 0.5},
        "websocket": {"ping_interval": 0.2, "pong_timeout": 0.5},
    }
    async with at.another(lively) as realm:
        async with opened(realm, "?cf_ws_frame_ping_pong=true") as socket:
            await say(socket, CONNECT)
            connect = (await replies(socket, 1))[0]["connect"]
            expect("ping and pong", (connect.get("ping"), connect.get("pong")), (None, None))
            for _ in range(2):
                await socket.pinged()
            await say(socket, {"id": 2, "history": {"channel": "library:x"}})
            reply = (await replies(socket, 1))[0]
            expect("the next reply", reply["id"], 2)


@case
async def every_command_has_its_reply_in_the_order_of_one_frame(at: Realm) -> None:
    async with opened(at) as socket:
        channel = at.channel()
        await say(
            socket,
            CONNECT,
            {"id": 2, "subscribe": {"channel": channel}},
            {"id": 3, "publish": {"channel": channel, "data": {"n": 1}}},
            {"id": 4, "history": {"channel": channel, "limit": 5}},
        )
        found = await replies(socket, 5)
        expect("ids", sorted(r["id"] for r in found if "id" in r), [1, 2, 3, 4])
        by_id = {r["id"]: r for r in found if "id" in r}
        expect("history", [p["data"] for p in by_id[4]["history"]["publications"]], [{"n": 1}])
        pushes = [r["push"] for r in found if "push" in r]
        expect("pushes", [(p["channel"], p["pub"]["data"]) for p in pushes], [(channel, {"n": 1})])
        expect_that(
            found.index(by_id[2]) < found.index(next(r for r in found if "push" in r)),
            "no publication in front of its subscribe reply",
        )
        await say(
            socket,
            {"id": 5, "unsubscribe": {"channel": channel}},
            {"id": 6, "subscribe": {"channel": channel}},
            {"id": 7, "subscribe": {"channel": channel}},
            {"id": 8, "presence_stats": {"channel": channel}},
        )
        found = await replies(socket, 4)
        expect("ids", [r["id"] for r in found], [5, 6, 7, 8])
        expect("a second subscribe", found[2]["error"]["code"], 105)
        expect("stats", found[3]["presence_stats"], {"num_clients": 1, "num_users": 1})


@case
async def one_who_leaves_by_itself_gets_its_code_back(at: Realm) -> None:
    socket = await PythonWebsockets().open(at.url)
    await say(socket, CONNECT)
    await replies(socket, 1)
    expect("close", (await socket.close(1000, "bye")).code, 1000)
    try:
        await socket.receive()
    except Closed as closed:
        expect_that(isinstance(closed.close, Close), "an end")
