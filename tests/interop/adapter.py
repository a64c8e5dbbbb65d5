"""`fanfare-tokio` between other people's libraries, in both roles. In: a library, what of compression is agreed on.
Out: nothing, or a broken case.

Ours is `crates/tokio/examples/scripted.rs`, a process for each connection.

Never: compares lengths alone.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from measuring.servers import ROOT

from .case import expect, expect_that
from .clients import Client, Close, Message, Socket, Terms, awaited

BUILT = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/examples/scripted"
BINARY = Path(os.environ.get("FANFARE_SCRIPTED_BIN", BUILT))
LINE_BYTES_MAX = 32 << 20
PROTOCOL = "v2.interop"
TEXT = "héllo, wörld: 漢字 \U0001f600"
# Every length form of a frame, and more than a read of any size.
LENGTHS = [0, 1, 125, 126, 65_535, 65_536, (1 << 20) + 7]
MESSAGE_BYTES_MAX = 1000
CLOSES = [(1000, ""), (1001, "going"), (3000, "ours"), (4999, "last"), (4000, "é" * 61 + "!")]


class Ours:
    """Our end: a process that is told what to do."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def event(self) -> list[str]:
        """The next that it says."""
        assert self._process.stdout
        line = await awaited("event of ours", self._process.stdout.readline())
        return line.decode().split()

    async def expect(self, word: str, *wanted: object) -> None:
        """It says this next."""
        found = await self.event()
        expect("our end says", found, [word, *map(str, wanted)])

    async def expect_message(self, message: Message) -> None:
        """It hears this next."""
        word, payload = "text" if isinstance(message, str) else "binary", encoded(message)
        await self.expect(word, payload)

    async def tell(self, order: str, *payloads: Message) -> None:
        """Gives it an order."""
        assert self._process.stdin
        line = " ".join([order, *map(encoded, payloads)])
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()

    async def send(self, message: Message) -> None:
        """Has it send a message in a frame."""
        await self.tell("text" if isinstance(message, str) else "binary", message)


def encoded(payload: Message) -> str:
    """As the process has it."""
    raw = payload.encode() if isinstance(payload, str) else payload
    return raw.hex() or "-"


@asynccontextmanager
async def ours(*args: object) -> AsyncIterator[Ours]:
    """A process of ours, ended with its block."""
    process = await asyncio.create_subprocess_exec(
        BINARY,
        *map(str, args),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_BYTES_MAX,
    )
    try:
        yield Ours(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@dataclass(frozen=True)
class Place:
    """A library, which role is ours, and what both want of compression."""

    client: Client
    we_serve: bool
    compression: str | None = None
    terms: Terms = Terms(None)

    @property
    def name(self) -> str:
        """What its cases begin with."""
        role = "asks" if self.we_serve else "serves"
        given = self.terms.compression
        theirs = ", ".join(f"{name}={value}" for name, value in (given or {}).items())
        how = f", deflate, ours {self.compression}" if self.compression else ""
        return f"tokio, {self.client.name} {role}{how}{', ' + theirs if theirs else ''}"

    @asynccontextmanager
    async def ends(
        self, *flags: object, subprotocols: Sequence[str] = ()
    ) -> AsyncIterator[tuple[Ours, Socket]]:
        """Both ends of a connection."""
        if self.compression:
            flags = (*flags, "--deflate", self.compression)
        chosen = PROTOCOL if PROTOCOL in subprotocols else "-"
        if chosen != "-":
            flags = (*flags, "--protocol", PROTOCOL)
        if self.we_serve:
            async with ours("serve", "127.0.0.1:0", *flags) as us:
                _, url = await us.event()
                socket = await self.client.open(url, subprotocols=subprotocols, terms=self.terms)
                await us.expect("open", chosen)
                self.expect_compression(socket)
                yield us, socket
            return
        async with self.client.serving(self.terms, PROTOCOL) as serving:
            async with ours("ask", serving.url, *flags) as us:
                await us.expect("open", chosen)
                socket = await serving.socket()
                self.expect_compression(socket)
                yield us, socket

    def expect_compression(self, socket: Socket) -> None:
        """It is agreed on where both want it, with what either asked for."""
        said = socket.header("sec-websocket-extensions")
        if not self.compression:
            expect("extensions", said, None)
            return
        expect_that(said and said.startswith("permessage-deflate"), f"extensions: {said}")
        if self.compression == "fresh":
            for name in ("server_no_context_takeover", "client_no_context_takeover"):
                # What a client of ours asks of itself need not be repeated.
                if self.we_serve or name.startswith("server"):
                    expect_that(name in (said or ""), f"{name} in {said}")


Case = Callable[[Place], Awaitable[None]]
CASES: list[Case] = []
# Those that compression could change.
COMPRESSED: list[Case] = []


def plain(body: Case) -> Case:
    """A case without compression."""
    CASES.append(body)
    return body


def case(body: Case) -> Case:
    """A case with and without."""
    COMPRESSED.append(body)
    return plain(body)


def text(length: int) -> str:
    """Text of so many bytes, of characters of one to four."""
    unit = "abcdefghijklmnopqrstuvwxyzéß漢字\U0001f600"
    size = len(unit.encode())
    return unit * (length // size) + "~" * (length % size)


def binary(length: int) -> bytes:
    """So many bytes that repeat at no power of two."""
    return (bytes(range(251)) * (length // 251 + 1))[:length]


async def expect_heard(socket: Socket, *messages: Message) -> None:
    """These are the library's next messages."""
    for message in messages:
        expect("the library hears", await socket.receive(), message)


@case
async def messages_of_every_length_arrive_both_ways(at: Place) -> None:
    async with at.ends() as (us, socket):
        for length in LENGTHS:
            for message in (text(length), binary(length)):
                sending = asyncio.create_task(socket.send(message))
                await us.expect_message(message)
                await sending
                await us.send(message)
                await expect_heard(socket, message)


@case
async def fragments_are_one_message_both_ways(at: Place) -> None:
    raw = TEXT.encode()
    async with at.ends() as (us, socket):
        for texts in (list(TEXT), ["", TEXT, ""], [text(40_000), text(30_001)]):
            await socket.send_fragments(texts)
            await us.expect_message("".join(texts))
            pieces = [piece.encode() for piece in texts]
            await socket.send_fragments(pieces)
            await us.expect_message(b"".join(pieces))
        # Ours may cut inside characters.
        for cut in ([raw[n : n + 1] for n in range(len(raw))], [b"", raw, b""]):
            await us.tell("fragments-text", *cut)
            await expect_heard(socket, TEXT)
            await us.tell("fragments-binary", *cut)
            await expect_heard(socket, raw)


@case
async def pings_are_answered_both_ways(at: Place) -> None:
    async with at.ends() as (us, socket):
        for payload in (b"alive?", b"\xff" * 125, b"\x00"):
            asked = asyncio.create_task(socket.ping(payload))
            await us.expect("ping", payload.hex())
            await asked
            await us.tell("ping", payload)
            expect("the library's ping", await socket.pinged(), payload)
            await us.expect("pong", payload.hex())
        await us.tell("ping", b"")
        expect("the library's ping", await socket.pinged(), b"")
        await us.expect("pong", "-")
        # Between fragments.
        await socket.send(TEXT)
        await us.expect_message(TEXT)


@case
async def many_messages_in_one_write_arrive_in_order(at: Place) -> None:
    async with at.ends() as (us, socket):
        messages = [f"{n} {text(n)}" for n in range(300)]
        for message in messages[:-1]:
            await us.tell("feed", message)
        await us.send(messages[-1])
        await expect_heard(socket, *messages)


@case
async def both_directions_at_once_lose_nothing(at: Place) -> None:
    messages = [f"{n} {text(n * n * n % 9000)}" for n in range(300)]

    async def we_send(us: Ours) -> None:
        for message in messages:
            await us.send(message)

    async def they_send(socket: Socket) -> None:
        for message in messages:
            await socket.send(message)

    async def we_hear(us: Ours) -> None:
        for message in messages:
            await us.expect_message(message)

    async with at.ends() as (us, socket):
        await asyncio.gather(
            we_send(us), they_send(socket), we_hear(us), expect_heard(socket, *messages)
        )


@case
async def prepared_frames_are_a_server_s(at: Place) -> None:
    async with at.ends() as (us, socket):
        for length in (0, 10, 1000, 100_000):
            await us.tell("prepared", text(length))
            if at.we_serve:
                await us.send("between, between, between")
                await expect_heard(socket, text(length), "between, between, between")
            else:
                expect("our end says", (await us.event())[0], "fault")


@plain
async def we_close_with_any_code_and_reason(at: Place) -> None:
    for code, reason in CLOSES:
        async with at.ends() as (us, socket):
            await us.tell("close", str(code), reason)
            expect("the library is told", await socket.closed(), Close(code, reason))
            word, answered, *_ = await us.event()
            expect("its answer", (word, answered), ("close", str(code)))
            await us.expect("end", "-")
    async with at.ends() as (us, socket):
        await us.tell("close")
        expect("the library is told", await socket.closed(), Close(1005, ""))
        await us.expect("close", "-", "-")
        await us.expect("end", "-")


@plain
async def it_closes_with_any_code_and_reason(at: Place) -> None:
    for code, reason in CLOSES:
        async with at.ends() as (us, socket):
            answer = asyncio.create_task(socket.close(code, reason))
            await us.expect("close", code, encoded(reason))
            await us.expect("end", "-")
            expect("our answer", (await answer).code, code)
    async with at.ends() as (us, socket):
        answer = asyncio.create_task(socket.close_without_code())
        await us.expect("close", "-", "-")
        await us.expect("end", "-")
        expect("our answer", (await answer).code, 1005)


@plain
async def an_abrupt_end_is_no_clean_one(at: Place) -> None:
    async with at.ends() as (us, socket):
        await socket.send("last")
        await us.expect_message("last")
        await socket.abort()
        await us.expect("disconnected", "-")
        await us.expect("end", "-")
    async with at.ends() as (us, socket):
        await us.send("last")
        await expect_heard(socket, "last")
        await us.tell("drop")
        expect("the library's end", (await socket.closed()).code, 1006)


@case
async def text_that_is_not_utf_8_is_closed_with_1007(at: Place) -> None:
    async with at.ends() as (us, socket):
        await socket.send("good")
        await us.expect_message("good")
        await socket.send_bad_text(b"bad, bad, bad, bad, bad: \xc3\x28")
        expect("the close", (await socket.closed()).code, 1007)
        await us.expect("broken", 1007)
        await us.expect("end", "-")


@case
async def a_message_over_the_limit_is_closed_with_1009(at: Place) -> None:
    for message in (binary(MESSAGE_BYTES_MAX + 1), "0" * 500_000):
        async with at.ends("--max", MESSAGE_BYTES_MAX) as (us, socket):
            await socket.send(binary(MESSAGE_BYTES_MAX))
            await us.expect_message(binary(MESSAGE_BYTES_MAX))
            sending = asyncio.create_task(socket.send(message))
            expect("the close", (await socket.closed()).code, 1009)
            await sending
            await us.expect("broken", 1009)
            await us.expect("end", "-")


@plain
async def a_subprotocol_is_chosen(at: Place) -> None:
    # Of what a library offers, and what ours does (`scripted.rs`), ours is the second.
    async with at.ends(subprotocols=["other", PROTOCOL]) as (us, socket):
        expect("the library's subprotocol", socket.subprotocol, PROTOCOL)
        await us.send("agreed")
        await expect_heard(socket, "agreed")
    async with at.ends() as (us, socket):
        expect("the library's subprotocol", socket.subprotocol, None)


def places(client: Client) -> list[tuple[Place, list[Case]]]:
    """Where a library meets ours."""
    found: list[tuple[Place, list[Case]]] = []
    for we_serve in (True, False):
        found.append((Place(client, we_serve), CASES))
        for compression, given in (
            ("keep", {}),
            ("fresh", {}),
            ("keep", {"server_max_window_bits": 10, "client_max_window_bits": 9}),
            ("keep", {"server_no_context_takeover": True}),
            ("keep", {"client_no_context_takeover": True}),
        ):
            # A server may name a window for itself only if the client has asked; ours does not.
            if not we_serve and "server_max_window_bits" in given:
                given = {"client_max_window_bits": 9}
            found.append((Place(client, we_serve, compression, Terms(given)), COMPRESSED))
    return found
