"""What a subscriber of `/raw/{channel}` sees, whatever client it uses and whatever stands between.

In: a stack and a client. Out: nothing, or a broken case.

Never: knows which client it is, but for what the client says of itself.
"""

from __future__ import annotations

import asyncio
import signal
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable

from .api import request
from .case import Broken, expect, expect_that
from .clients import Client, Close, Message, Refused, Socket
from .stack import (
    COOKIES,
    HISTORY_SIZE,
    LISTED_ORIGIN,
    MESSAGE_BYTES_MAX,
    PUBLICATION_BYTES_MAX,
    SHORT_HISTORY_SIZE,
    SUBPROTOCOL,
    Stack,
)

Case = Callable[[Stack, Client], Awaitable[None]]
CASES: list[Case] = []

BYTES = bytes(range(256))
TEXT = "héllo, wörld: 말 \U0001f3ba"


def case(body: Case) -> Case:
    """Adds a case to the list."""
    CASES.append(body)
    return body


async def expect_messages(what: str, socket: Socket, wanted: list[Message]) -> None:
    """The next messages are these."""
    expect(what, [await socket.receive() for _ in wanted], wanted)


async def expect_quiet(what: str, socket: Socket, at: Stack, channel: str) -> None:
    """Nothing has come but what is published now."""
    await at.api.publish(channel, "behind all")
    expect(f"{what}: the next message", await socket.receive(), '"behind all"')


async def refusal(at: Stack, client: Client, path: str, origin: str | None = None) -> Refused:
    """How an upgrade is refused; one that is not breaks the case."""
    try:
        socket = await client.open(at.url(path), origin=origin)
    except Refused as refused:
        lines = refused.body.splitlines()
        expect_that(len(lines) == 1 and lines[0], f"{path}: a body of a line, not {refused.body!r}")
        return refused
    await socket.close()
    raise Broken(f"{path} with origin {origin}: it was upgraded")


def offset(position: str) -> int:
    """The number in `offset:epoch`."""
    return int(position.split(":")[0])


def epoch(position: str) -> str:
    """The other half."""
    return position.split(":")[1]


@case
async def api_data_arrives_as_its_own_json_text(at: Stack, client: Client) -> None:
    sent = ['{"text":"hello"}', '"hello"', "null", "[1, 2.50, 1e3]", '{ "b" : "\\u00e9\\n" }']
    channel = at.channel()
    async with at.following(client, channel) as socket:
        for data in [*sent, '{"a":\n1,\r\n"b":2}']:
            body = f'{{"channel":"{channel}","data":{data}}}'.encode()
            expect(f"status for {data}", (await at.api.post("publish", body)).status, 200)
        await expect_messages("messages", socket, [*sent, '{"a":1,"b":2}'])


@case
async def api_b64data_arrives_as_a_binary_message(at: Stack, client: Client) -> None:
    channel = at.channel()
    async with at.following(client, channel) as socket:
        for data in [BYTES, b"", TEXT.encode()]:
            await at.api.publish(channel, data)
        await expect_messages("messages", socket, [BYTES, b"", TEXT.encode()])


@case
async def what_clients_publish_reaches_all_as_it_was_sent(at: Stack, client: Client) -> None:
    for namespace in ["open", "live", ""]:
        channel = at.channel(namespace)
        async with at.following(client, channel) as one, at.following(client, channel) as other:
            sent: list[Message] = [TEXT, BYTES, "", b"", '{"json":true}']
            for message in sent:
                await one.send(message)
            await expect_messages(f"{channel}: own messages", one, sent)
            await expect_messages(f"{channel}: the other's", other, sent)


@case
async def fragments_of_a_client_are_one_publication(at: Stack, client: Client) -> None:
    channel = at.channel()
    async with at.following(client, channel) as socket:
        await socket.send_fragments([*TEXT])
        await socket.send_fragments([BYTES[:100], b"", BYTES[100:]])
        await expect_messages("messages", socket, [TEXT, BYTES])


@case
async def messages_of_a_mebibyte_pass_both_ways(at: Stack, client: Client) -> None:
    channel = at.channel()
    binary = BYTES * (PUBLICATION_BYTES_MAX // len(BYTES))
    text = "é" * (PUBLICATION_BYTES_MAX // 2)
    quoted = '"' + "x" * (PUBLICATION_BYTES_MAX - 2) + '"'
    async with at.following(client, channel) as socket:
        sent: list[Message] = [binary, text]
        for message in sent:
            await socket.send(message)
            await expect_messages("a client's", socket, [message])
        await at.api.publish(channel, binary)
        await expect_messages("the API's b64data", socket, [binary])
        await at.api.publish(channel, quoted[1:-1])
        await expect_messages("the API's data", socket, [quoted])


@case
async def past_a_mebibyte_the_api_says_106_and_a_client_is_closed_with_1009(
    at: Stack, client: Client
) -> None:
    channel = at.channel()
    async with at.following(client, channel) as socket:
        data = b64encode(bytes(PUBLICATION_BYTES_MAX + 1)).decode()
        body = f'{{"channel":"{channel}","b64data":"{data}"}}'
        answer = await at.api.post("publish", body.encode())
        expect("the API's status", answer.status, 200)
        expect_that('"code":106' in answer.text, f"the API's error: {answer.text}")
        await expect_quiet("after the API's", socket, at, channel)
        await socket.send(bytes(PUBLICATION_BYTES_MAX + 1))
        expect("the client's close code", (await socket.closed()).code, 1009)


@case
async def a_message_past_the_limit_of_messages_is_closed_with_1009(
    at: Stack, client: Client
) -> None:
    async with at.following(client, at.channel()) as socket:
        # The server knows by the frame's header, and ends while the client still writes.
        await socket.send(bytes(2 * MESSAGE_BYTES_MAX))
        code = (await socket.closed()).code
        # nginx ends both sides once one has: its reset may get ahead of the close frame.
        expect_that(code == 1009 or (at.nginx and code == 1006), f"close code: {code}, not 1009")


@case
async def the_position_is_in_the_101_and_in_front_of_each_message(
    at: Stack, client: Client
) -> None:
    channel = at.channel()
    first = await at.api.publish(channel, "before")
    expect("the first offset", offset(first), 1)
    async with at.following(client, channel, "?meta=1") as socket:
        expect("Fanfare-Position", socket.header("fanfare-position"), first)
        await expect_messages("the first message", socket, [first])
        second = await at.api.publish(channel, [2])
        third = await at.api.publish(channel, BYTES)
        await socket.send("four")
        fourth = f"4:{epoch(first)}"
        wanted: list[Message] = [
            f"{second} [2]",
            f"{third} ".encode() + BYTES,
            f"{fourth} four",
        ]
        await expect_messages("messages", socket, wanted)
    channel = at.channel("live")
    async with at.following(client, channel) as socket:
        expect("without history", socket.header("fanfare-position"), None)
        expect("the API's position", await at.api.publish(channel, 1), "")
        await expect_messages("a message", socket, ["1"])


@case
async def since_brings_what_was_missed_and_goes_on_live(at: Stack, client: Client) -> None:
    channel = at.channel()
    positions = [await at.api.publish(channel, n) for n in range(10)]
    async with at.following(client, channel, f"?since={positions[-1]}") as top:
        for since in [positions[3], str(offset(positions[3]))]:
            async with at.following(client, channel, f"?since={since}") as socket:
                expect("Fanfare-Position", socket.header("fanfare-position"), positions[-1])
                await expect_messages(f"since {since}", socket, [str(n) for n in range(4, 10)])
        async with at.following(client, channel, f"?meta=1&since={positions[7]}") as socket:
            wanted: list[Message] = [positions[7], f"{positions[8]} 8", f"{positions[9]} 9"]
            await expect_messages("with meta", socket, wanted)
            live = await at.api.publish(channel, "live")
            await expect_messages("live", socket, [f'{live} "live"'])
        await expect_messages("since the top", top, ['"live"'])


@case
async def a_subscriber_that_comes_back_misses_nothing(at: Stack, client: Client) -> None:
    channel = at.channel()
    last = HISTORY_SIZE // 2
    position = await at.api.publish(channel, 1)

    async def publish() -> None:
        for n in range(2, last + 1):
            await at.api.publish(channel, n)

    publishing = asyncio.create_task(publish())
    seen = 1
    while seen < last:
        async with at.following(client, channel, f"?meta=1&since={position}") as socket:
            await expect_messages("the first message", socket, [position])
            for _ in range(min(15, last - seen)):
                message = await socket.receive()
                expect_that(isinstance(message, str), "text")
                position, payload = str(message).split(" ")
                seen += 1
                expect("offset and payload", (offset(position), payload), (seen, str(seen)))
    await publishing


@case
async def history_brings_the_last_ones_and_goes_on_live(at: Stack, client: Client) -> None:
    channel = at.channel()
    for n in range(5):
        await at.api.publish(channel, n)
    async with at.following(client, channel, "?history=3") as socket:
        await expect_messages("three", socket, ["2", "3", "4"])
        await expect_quiet("behind three", socket, at, channel)
    async with at.following(client, channel, "?history=300") as socket:
        await expect_messages("all", socket, ["0", "1", "2", "3", "4", '"behind all"'])
    async with at.following(client, channel, "?meta=1&history=1") as socket:
        place = epoch(socket.header("fanfare-position") or ":")
        await expect_messages("with meta", socket, [f"5:{place}", f'6:{place} "behind all"'])


@case
async def what_is_gone_is_closed_with_3010(at: Stack, client: Client) -> None:
    channel = at.channel("short")
    for n in range(SHORT_HISTORY_SIZE + 3):
        position = await at.api.publish(channel, n)
    gone = {
        "another epoch": f"{offset(position)}:ffff",
        "above the top": f"{offset(position) + 1}:{epoch(position)}",
        "too old": f"1:{epoch(position)}",
    }
    for what, since in gone.items():
        socket = await client.open(at.url(f"/raw/{channel}?since={since}"))
        close = await socket.closed()
        expect(f"{what}: code", close.code, 3010)
        expect_that(
            close.reason.startswith("insufficient state"), f"{what}: reason {close.reason!r}"
        )
    async with at.following(client, channel, f"?since=3:{epoch(position)}") as socket:
        await expect_messages("the oldest there is", socket, [str(n) for n in range(3, 8)])


@case
async def who_may_not_publish_is_closed_with_3507(at: Stack, client: Client) -> None:
    sent: list[Message] = ["text", b"binary"]
    for message in sent:
        socket = await client.open(at.url(f"/raw/{at.channel('quiet')}"))
        await socket.send(message)
        close = await socket.closed()
        expect("code", close.code, 3507)
        expect_that(close.reason.startswith("permission denied"), f"reason {close.reason!r}")


@case
async def disconnect_by_the_api_closes_as_it_says(at: Stack, client: Client) -> None:
    channel = at.channel()
    socket = await client.open(at.url(f"/raw/{channel}"))
    await at.api.call("disconnect", user="")
    expect("by default", await socket.closed(), Close(3503, "force disconnect"))

    one = await client.open(at.url(f"/raw/{channel}"))
    present = (await at.api.call("presence", channel=channel))["presence"]
    expect("how many are present", len(present), 1)
    async with at.following(client, channel) as other:
        leave = {"code": 4321, "reason": TEXT}
        await at.api.call("disconnect", user="", client=next(iter(present)), disconnect=leave)
        expect("as told", await one.closed(), Close(4321, TEXT))
        await expect_quiet("another client", other, at, channel)


@case
async def unsubscribe_by_the_api_closes_with_3503(at: Stack, client: Client) -> None:
    channel, elsewhere = at.channel(), at.channel()
    socket = await client.open(at.url(f"/raw/{channel}"))
    async with at.following(client, elsewhere) as other:
        await at.api.call("unsubscribe", user="", channel=channel)
        expect("close", await socket.closed(), Close(3503, "unsubscribed"))
        await expect_quiet("another channel", other, at, elsewhere)


@case
async def presence_follows_who_comes_and_goes(at: Stack, client: Client) -> None:
    channel = at.channel()
    async with at.following(client, channel):
        async with at.following(client, channel):
            stats = await at.api.call("presence_stats", channel=channel)
            expect("two", stats, {"num_clients": 2, "num_users": 1})
        stats = await at.api.call("presence_stats", channel=channel)
        expect("one", stats, {"num_clients": 1, "num_users": 1})
        channels = (await at.api.call("channels", pattern=channel))["channels"]
        expect("channels", channels, {channel: {"num_clients": 1}})


@case
async def a_client_that_closes_gets_its_own_code_back(at: Stack, client: Client) -> None:
    for code, reason in [(1000, ""), (1000, "bye"), (4001, TEXT)]:
        socket = await client.open(at.url(f"/raw/{at.channel()}"))
        expect("the answer's code", (await socket.close(code, reason)).code, code)


@case
async def the_server_answers_pings(at: Stack, client: Client) -> None:
    channel = at.channel()
    async with at.following(client, channel) as socket:
        for payload in [b"", b"x", BYTES[:125]]:
            await socket.ping(payload)
        await expect_quiet("after pings", socket, at, channel)


@case
async def a_silent_client_is_pinged_and_stays(at: Stack, client: Client) -> None:
    async with at.another({"websocket": {"ping_interval": 0.2, "pong_timeout": 0.5}}) as other:
        channel = other.channel()
        async with other.following(client, channel) as socket:
            begin = time.monotonic()
            for _ in range(5):  # longer than a pong may take
                await socket.pinged()
            took = time.monotonic() - begin
            expect_that(took < 5, f"5 pings took {took:.1f} s, ping_interval is 0.2")
            await expect_quiet("after pings", socket, other, channel)


@case
async def the_first_subprotocol_that_both_know_is_chosen(at: Stack, client: Client) -> None:
    channel = at.channel()
    async with at.following(client, channel, subprotocols=["x", SUBPROTOCOL, "y"]) as socket:
        expect("one is known", socket.subprotocol, SUBPROTOCOL)
    offered = [SUBPROTOCOL, "v2.interop"]
    async with at.following(client, channel, subprotocols=offered) as socket:
        expect("the client's order", socket.subprotocol, SUBPROTOCOL)
    async with at.following(client, channel) as socket:
        expect("none offered", socket.subprotocol, None)
    if client.insists_on_subprotocol:
        return
    async with at.following(client, channel, subprotocols=["x", "y"]) as socket:
        expect("none known", socket.subprotocol, None)
        await expect_quiet("none known", socket, at, channel)


@case
async def configured_cookies_are_in_the_101(at: Stack, client: Client) -> None:
    async with at.following(client, at.channel()) as socket:
        expect("Set-Cookie", list(socket.headers.get("set-cookie", ())), list(COOKIES))


@case
async def pages_of_other_origins_are_refused_with_403(at: Stack, client: Client) -> None:
    channel = at.channel()
    for origin in [None, LISTED_ORIGIN, f"http://127.0.0.1:{at.port}"]:
        async with at.following(client, channel, origin=origin) as socket:
            await expect_quiet(f"origin {origin}", socket, at, channel)
    foreign = ["https://evil.example", "http://127.0.0.1:1", "null", "http://app.example.com"]
    for origin in foreign:
        refused = await refusal(at, client, f"/raw/{channel}", origin)
        expect(f"origin {origin}", refused.status, 403)


@case
async def what_cannot_be_is_refused_with_its_status(at: Stack, client: Client) -> None:
    channel, without = at.channel(), at.channel("live")
    wanted = {
        f"/raw/{channel}?since=x": 400,
        f"/raw/{channel}?history=0": 400,
        f"/raw/{channel}?history=301": 400,
        f"/raw/{channel}?meta=2": 400,
        f"/raw/{channel}?since=1&history=1": 400,
        f"/raw/{without}?since=0": 400,
        f"/raw/{without}?history=1": 400,
        f"/raw/{without}?meta=1": 400,
        "/raw/": 400,
        "/raw/%ff": 400,
        "/raw/unknown:room": 404,
        "/nothing": 404,
        "/": 404,
        "/raw/$secret": 403,
        "/raw/open:room%231": 403,
        f"/raw/{at.channel('users')}": 403,
        f"/raw/{at.channel('quiet')}?history=1": 403,
        f"/raw/{at.channel('quiet')}?since=0": 403,
    }
    found = {path: (await refusal(at, client, path)).status for path in wanted}
    expect("statuses", {p: s for p, s in found.items() if s != wanted[p]}, {})


@case
async def a_channel_name_may_be_percent_encoded(at: Stack, client: Client) -> None:
    channel = at.channel()
    async with at.following(client, channel.replace(":", "%3A") + "?unknown=key") as socket:
        await expect_quiet("encoded colon", socket, at, channel)
    async with at.following(client, channel + "/a%2Fb") as socket:
        await expect_quiet("slashes", socket, at, channel + "/a/b")


@case
async def echo_answers_what_it_is_sent(at: Stack, client: Client) -> None:
    socket = await client.open(at.url("/echo"))
    sent: list[Message] = [TEXT, BYTES, "", BYTES * 4096]
    for message in sent:
        await socket.send(message)
    await expect_messages("echo", socket, sent)
    await socket.close()


@case
async def plain_http_gets_its_status(at: Stack, client: Client) -> None:
    wanted = {
        ("GET", f"/raw/{at.channel()}"): 426,
        ("GET", "/echo"): 426,
        ("GET", "/health"): 200,
        ("HEAD", "/health"): 200,
        ("GET", "/ready"): 200,
        ("GET", "/nothing"): 404,
        ("GET", "/api/publish"): 405,
        ("POST", "/api/nothing"): 404,
    }
    answers = {what: await request(at.port, *what, X_API_Key=at.api.key) for what in wanted}
    expect("statuses", {what: answer.status for what, answer in answers.items()}, wanted)
    expect("health", answers["GET", "/health"].text.strip(), "ok")
    wrong = await request(at.port, "POST", "/api/info", b"{}", X_API_Key="interop-key-1")
    expect("a wrong key", wrong.status, 401)


@case
async def sigterm_closes_with_1001_and_ends_with_exit_code_0(at: Stack, client: Client) -> None:
    async with at.another({}) as other:
        sockets = [await client.open(other.url(f"/raw/{other.channel()}")) for _ in range(5)]
        sockets.append(await client.open(other.url("/echo")))
        other.daemon.signal(signal.SIGTERM)
        codes = [(await socket.closed()).code for socket in sockets]
        expect("close codes", codes, [1001] * len(sockets))
        expect("exit code", await other.daemon.exit_code(), 0)
