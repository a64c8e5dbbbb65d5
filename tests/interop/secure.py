"""TLS in Chromium, which believes an authority that this run has made. In: a browser, a daemon with a
certificate of that authority, and one with a stranger's. Out: nothing, or a broken case.

Never: has the browser overlook what is wrong with a certificate.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import connect

from measuring.authority import Authority, authority

from .case import expect, expect_that
from .chromium import Browser, Page, browser
from .daemon import Settings, serving
from .page import STATE

# What a socket of the page tells, in the order in which it does, till it has closed.
WATCHED = """
(url, binaryType, says, closesWith) => new Promise((done) => {
  const told = [];
  const socket = new WebSocket(url);
  socket.binaryType = binaryType;
  socket.onopen = () => {
    told.push(["open", socket.protocol]);
    for (const what of says) socket.send(typeof what === "string" ? what : Uint8Array.from(what));
  };
  socket.onmessage = async ({ data }) => {
    const row = ["message", data.constructor.name];
    told.push(row);
    const bytes = () => new Response(data).arrayBuffer();
    row.push(typeof data === "string" ? data : [...new Uint8Array(await bytes())]);
    if (told.length > says.length) socket.close(closesWith);
  };
  socket.onerror = () => told.push(["error"]);
  socket.onclose = ({ code, reason, wasClean }) => {
    told.push(["close", code, reason, wasClean]);
    done(told);
  };
})"""


@dataclass(frozen=True)
class Place:
    """A browser and two daemons, of which it should believe the first."""

    browser: Browser
    port: int
    stranger: int
    # Who has signed for the other one.
    unknown: Authority

    async def told(self, page: Page, url: str, binary_type: str, *says: Any) -> Any:
        """What a socket of the page tells that sends this and gets as much back."""
        given = ", ".join(json.dumps(value) for value in (url, binary_type, says, 4001))
        return await page.value(f"({WATCHED})({given})")


def settings(by: Authority) -> Settings:
    """Of a daemon with a certificate that somebody has signed; pages of any host may connect."""
    pair = {"certificate_file": str(by.certificate), "key_file": str(by.key)}
    return {"workers": 2, "websocket": {"allowed_origins": ["*"]}, "tls": {"certificates": [pair]}}


@asynccontextmanager
async def placed() -> AsyncIterator[Place]:
    """A place that stands as long as the block."""
    with authority("a known authority") as known, authority("an unknown authority") as unknown:
        async with (
            serving(settings(known), flags=["--dev"]) as (_, ports),
            serving(settings(unknown), flags=["--dev"]) as (_, others),
            browser(known.ca) as started,
        ):
            yield Place(started, ports[0], others[0], unknown)


async def the_page_comes_over_https_and_subscribes_over_wss(at: Place) -> None:
    page = await at.browser.open(f"https://localhost:{at.port}/#secure")
    await page.until(STATE, "subscribed")
    expect("whether the context is secure", await page.value("isSecureContext"), True)
    url = (await page.event("Network.webSocketCreated"))["url"]
    expect_that(url.startswith(f"wss://localhost:{at.port}/"), url)
    expect("complaints in the console", page.complaints, [])
    await page.close()


async def open_message_and_close_come_over_wss_as_they_are(at: Place) -> None:
    page = await at.browser.open(f"https://localhost:{at.port}/health")
    bytes_sent = [*range(256)] * 80  # more than a record holds
    for host in ("localhost", "127.0.0.1"):
        for binary_type, kind in (("blob", "Blob"), ("arraybuffer", "ArrayBuffer")):
            url = f"wss://{host}:{at.port}/echo"
            told = await at.told(page, url, binary_type, "grüße", bytes_sent)
            expect("the first event", told[0], ["open", ""])
            expect("a text", told[1], ["message", "String", "grüße"])
            expect("what bytes come as", told[2][:2], ["message", kind])
            expect("the bytes", told[2][2], bytes_sent)
            expect("the last events", told[3:], [["close", 4001, "", True]])
    await page.close()


async def an_authority_that_is_not_believed_gives_an_error_and_no_open(at: Place) -> None:
    # It is the certificate alone that is wrong with it: who believes it gets in.
    believing = ssl.create_default_context(cafile=str(at.unknown.ca))
    url = f"wss://localhost:{at.stranger}/echo"
    async with connect(url, ssl=believing, origin=f"https://localhost:{at.port}") as socket:
        await socket.send("hello")
        expect("an echo", await asyncio.wait_for(socket.recv(), 5), "hello")

    page = await at.browser.open(f"https://localhost:{at.port}/health")
    told = await at.told(page, url, "blob", "hello")
    expect("all events", told, [["error"], ["close", 1006, "", False]])
    expect_that(
        any("ERR_CERT_AUTHORITY_INVALID" in line for line in page.complaints), page.complaints
    )
    await page.close()


Case = Callable[[Place], Awaitable[None]]
CASES: list[Case] = [
    the_page_comes_over_https_and_subscribes_over_wss,
    open_message_and_close_come_over_wss_as_they_are,
    an_authority_that_is_not_believed_gives_an_error_and_no_open,
]
