"""curl, the program. In: its arguments. Out: what it printed.

Never: reads its user's own settings (`-q`).
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable

from .case import Broken, expect, expect_that
from .stack import Stack

Case = Callable[[Stack], Awaitable[None]]
CASES: list[Case] = []
RUN_S_MAX = 20


def case(body: Case) -> Case:
    """Adds a case to the list."""
    CASES.append(body)
    return body


async def printed(*args: str, stdin: bytes = b"") -> str:
    """What it prints; an exit code but 0 breaks the case."""

    def run() -> subprocess.CompletedProcess[bytes]:
        command = ["curl", "-q", "--silent", "--show-error", "--noproxy", "*", *args]
        return subprocess.run(command, input=stdin, capture_output=True, timeout=RUN_S_MAX)

    done = await asyncio.to_thread(run)
    if done.returncode:
        raise Broken(f"curl {' '.join(args)}: {done.stderr.decode().strip()}")
    return done.stdout.decode()


def publish(at: Stack, port: int) -> tuple[str, ...]:
    """Publishing what is on stdin."""
    return ("-H", f"X-API-Key: {at.api.key}", f"http://127.0.0.1:{port}/api/publish")


@case
async def a_large_body_that_waits_for_100_continue_is_published(at: Stack) -> None:
    body = f'{{"channel":"{at.channel()}","data":"{"x" * 1048570}"}}'.encode()
    for port in {at.port, at.api_port}:
        expect100 = ("-H", "Expect: 100-continue", "--expect100-timeout", "15")
        answer = await printed("--data-binary", "@-", *expect100, *publish(at, port), stdin=body)
        expect_that(answer.startswith('{"result":{"offset":'), f"{port}: {answer}")


@case
async def a_chunked_body_is_published(at: Stack) -> None:
    body = f'{{"channel":"{at.channel()}","data":"{"x" * 300_000}"}}'.encode()
    chunked = ("-H", "Transfer-Encoding: chunked")
    answer = await printed("--data-binary", "@-", *chunked, *publish(at, at.port), stdin=body)
    expect_that(answer.startswith('{"result":{"offset":1,'), answer)


@case
async def a_body_past_the_limit_is_answered_413(at: Stack) -> None:
    for size in [(8 << 20) + 1, 20 << 20]:
        status = ("-o", "/dev/null", "-w", "%{http_code}")
        body = bytes(size)
        sends: list[tuple[str, ...]] = [(), ("-H", "Expect:")]
        for send in sends:
            arguments = ("--data-binary", "@-", *status, *send, *publish(at, at.port))
            found = await printed(*arguments, stdin=body)
            expect(f"{size} bytes {' '.join(send)}", found, "413")


@case
async def the_offer_of_http_2_is_declined(at: Stack) -> None:
    # curl asks for `Upgrade: h2c`, which is no WebSocket and no reason to fail.
    url = f"http://127.0.0.1:{at.port}/health"
    expect("GET", (await printed("--http2", url)).strip(), "ok")
    body = f'{{"channel":"{at.channel()}","data":1}}'
    answer = await printed("--http2", "-d", body, *publish(at, at.port))
    expect_that(answer.startswith('{"result":{"offset":1,'), answer)


@case
async def head_has_the_headers_of_get(at: Stack) -> None:
    answer = await printed("--head", f"http://127.0.0.1:{at.port}/health")
    expect_that(answer.startswith("HTTP/1.1 200 "), answer)
