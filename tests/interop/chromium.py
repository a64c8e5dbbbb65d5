"""Chromium's console, by the DevTools protocol. In: a page's address and lines to type there. Out: what is
printed.

Never: leaves a browser or its profile behind; goes anywhere but to that page.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from .case import Broken
from .daemon import Process

START_S_MAX = 20
WAIT_S_MAX = 10
FLAGS = [
    "--headless",
    "--remote-debugging-port=0",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    # It is to talk to nobody but the page's server.
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
]


class Page:
    """A page that is open, and what happens on it."""

    def __init__(self, devtools: ClientConnection) -> None:
        self._devtools = devtools
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._events: dict[str, asyncio.Queue[dict[str, Any]]] = {}
        self._session: str | None = None

    async def listen(self) -> None:
        """Sorts what the browser says, till it ends."""
        async for line in self._devtools:
            told = json.loads(line)
            if "id" in told:
                self._answers.pop(told["id"]).set_result(told)
            else:
                self._queue(told["method"]).put_nowait(told["params"])

    def _queue(self, event: str) -> asyncio.Queue[dict[str, Any]]:
        return self._events.setdefault(event, asyncio.Queue())

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Has the browser do something."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        order: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session:
            order["sessionId"] = self._session
        await self._devtools.send(json.dumps(order))
        told = await asyncio.wait_for(answer, WAIT_S_MAX)
        if "error" in told:
            raise Broken(f"{method}: {told['error']}")
        result: dict[str, Any] = told["result"]
        return result

    async def event(self, name: str) -> dict[str, Any]:
        """The next event of this name."""
        return await asyncio.wait_for(self._queue(name).get(), WAIT_S_MAX)

    async def open(self, url: str) -> None:
        """Opens the page in a tab of its own."""
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        self._session = attached["sessionId"]
        for domain in ["Page", "Network", "Runtime"]:
            await self.call(f"{domain}.enable")
        answer = await self.call("Page.navigate", url=url)
        if "errorText" in answer:
            raise Broken(f"{url}: {answer['errorText']}")
        await self.event("Page.loadEventFired")

    async def type(self, line: str) -> None:
        """Types a line into its console."""
        answer = await self.call("Runtime.evaluate", expression=line, replMode=True)
        if "exceptionDetails" in answer:
            raise Broken(f"{line}: {answer['exceptionDetails']}")

    async def printed(self) -> list[Any]:
        """The next thing that its script prints there."""
        event = await self.event("Runtime.consoleAPICalled")
        return [argument.get("value") for argument in event["args"]]


@asynccontextmanager
async def page(url: str) -> AsyncIterator[Page]:
    """A page in a browser of its own, which ends with the block."""
    with tempfile.TemporaryDirectory(
        prefix="fanfare-chromium-", ignore_cleanup_errors=True
    ) as profile:
        # Its sandbox does not work for root.
        flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else FLAGS
        browser = Process(["chromium", *flags, f"--user-data-dir={profile}", "about:blank"], {})
        try:
            async with connect(await endpoint(browser, Path(profile)), max_size=None) as devtools:
                opened = Page(devtools)
                listening = asyncio.create_task(opened.listen())
                try:
                    await opened.open(url)
                    yield opened
                finally:
                    listening.cancel()
        finally:
            await browser.end()


async def endpoint(browser: Process, profile: Path) -> str:
    """Where it listens for orders; it says so in a file."""
    told = profile / "DevToolsActivePort"
    for _ in range(START_S_MAX * 20):
        lines = told.read_text().splitlines() if told.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        if browser.has_ended:
            break
        await asyncio.sleep(0.05)
    raise Broken(f"chromium does not start:\n{browser.log()}")
