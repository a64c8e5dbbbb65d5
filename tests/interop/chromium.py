"""Chromium, by the DevTools protocol. In: pages' addresses, lines for their consoles, keys. Out:
what they print and show.

Never: leaves a browser or its profile behind; goes anywhere but to those pages.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import tempfile
import time
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from .case import Broken, brief
from .daemon import Process

START_S_MAX = 20
WAIT_S_MAX = 10
LOOK_S = 0.02
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


class Browser:
    """A browser, and its tabs."""

    def __init__(self, devtools: ClientConnection) -> None:
        self._devtools = devtools
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}

    async def listen(self) -> None:
        """Sorts what the browser says, till it ends."""
        async for line in self._devtools:
            told = json.loads(line)
            if "id" in told:
                self._answers.pop(told["id"]).set_result(told)
            elif page := self._pages.get(told.get("sessionId", "")):
                page.take(told["method"], told["params"])

    async def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Has the browser do something, or one of its tabs."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        order: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session:
            order["sessionId"] = session
        await self._devtools.send(json.dumps(order))
        told = await asyncio.wait_for(answer, WAIT_S_MAX)
        if "error" in told:
            raise Broken(f"{method}: {told['error']}")
        result: dict[str, Any] = told["result"]
        return result

    async def open(self, url: str) -> Page:
        """Opens a page in a tab of its own."""
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        attached = await self.call("Target.attachToTarget", targetId=target, flatten=True)
        session = attached["sessionId"]
        page = self._pages[session] = Page(self, target, session)
        for domain in ["Page", "Network", "Runtime", "Log"]:
            await page.call(f"{domain}.enable")
        answer = await page.call("Page.navigate", url=url)
        if "errorText" in answer:
            raise Broken(f"{url}: {answer['errorText']}")
        await page.event("Page.loadEventFired")
        return page


class Page:
    """A page that is open, and what happens on it."""

    def __init__(self, browser: Browser, target: str, session: str) -> None:
        self._browser = browser
        self._target = target
        self._session = session
        self._events: dict[str, asyncio.Queue[dict[str, Any]]] = {}
        # What a console shows in red: errors of scripts, of the policy, of requests.
        self.complaints: list[str] = []

    def take(self, event: str, params: dict[str, Any]) -> None:
        """Something has happened there."""
        if event == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        elif event == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"]["text"])
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.complaints.append(json.dumps(params["args"]))
        self._queue(event).put_nowait(params)

    def _queue(self, event: str) -> asyncio.Queue[dict[str, Any]]:
        return self._events.setdefault(event, asyncio.Queue())

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Has the tab do something."""
        return await self._browser.call(method, self._session, **params)

    async def event(self, name: str) -> dict[str, Any]:
        """The next event of this name."""
        return await asyncio.wait_for(self._queue(name).get(), WAIT_S_MAX)

    async def type(self, line: str) -> None:
        """Types a line into its console."""
        await self._evaluate(line, replMode=True)

    async def printed(self) -> list[Any]:
        """The next thing that its script prints there."""
        event = await self.event("Runtime.consoleAPICalled")
        return [argument.get("value") for argument in event["args"]]

    async def value(self, expression: str) -> Any:
        """What an expression comes to."""
        answer = await self._evaluate(expression, returnByValue=True, awaitPromise=True)
        return answer["result"].get("value")

    async def _evaluate(self, expression: str, **options: Any) -> dict[str, Any]:
        answer = await self.call("Runtime.evaluate", expression=expression, **options)
        if "exceptionDetails" in answer:
            raise Broken(f"{expression}: {answer['exceptionDetails']}")
        return answer

    async def until(self, expression: str, wanted: Any = True) -> None:
        """Waits till an expression comes to a value."""
        deadline = time.monotonic() + WAIT_S_MAX
        while (found := await self.value(expression)) != wanted:
            if time.monotonic() > deadline:
                raise Broken(f"{expression} is {brief(found)}, and not {brief(wanted)}")
            await asyncio.sleep(LOOK_S)

    async def click(self, selector: str) -> None:
        """Clicks on the middle of an element, which has to be there for a mouse."""
        box = f"document.querySelector({json.dumps(selector)})"
        await self.value(f"{box}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        place = await self.value(
            f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])"
            f"({box}.getBoundingClientRect())"
        )
        at = {"x": place[0], "y": place[1], "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, **at)

    async def write(self, text: str) -> None:
        """Types into what has the focus, and presses Enter."""
        await self.call("Input.insertText", text=text)
        enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
        await self.call("Input.dispatchKeyEvent", type="keyDown", text="\r", **enter)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **enter)

    async def front(self) -> None:
        """Is the tab that is looked at."""
        await self.call("Page.bringToFront")

    async def picture(self, file: Path, width: int, height: int, scheme: str) -> None:
        """All of it, in a window of this size, light or dark, as a PNG."""
        await self.front()
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.call("Emulation.setEmulatedMedia", features=features)
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.call("Emulation.setDeviceMetricsOverride", **size)
        await self.value("scrollTo({ top: 0, behavior: 'instant' })")
        await self.call("Emulation.setScrollbarsHidden", hidden=True)
        # The frame that shows it so.
        await self.value(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        shot = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        await asyncio.to_thread(file.write_bytes, b64decode(shot["data"]))
        await self.call("Emulation.clearDeviceMetricsOverride")

    async def close(self) -> None:
        """Closes the tab."""
        await self._browser.call("Target.closeTarget", targetId=self._target)


def trust(authority: Path, home: Path) -> None:
    """Has browsers of this home believe what an authority signs, as its user would."""
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    certutil = ["certutil", "-d", f"sql:{database}"]
    added = ["-A", "-n", "an authority", "-t", "C,,", "-i", str(authority)]
    for order in (["-N", "--empty-password"], added):
        done = subprocess.run([*certutil, *order], capture_output=True, text=True)
        if done.returncode:
            raise Broken(f"certutil {order[0]}: {done.stderr.strip()}")


@asynccontextmanager
async def browser(authority: Path | None = None) -> AsyncIterator[Browser]:
    """A browser with a profile of its own, which ends with the block.

    `authority`: a certificate; what its key has signed is believed.
    """
    with tempfile.TemporaryDirectory(
        prefix="fanfare-chromium-", ignore_cleanup_errors=True
    ) as profile:
        # Its sandbox does not work for root.
        flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else FLAGS
        home = Path(profile) / "home"
        home.mkdir()
        if authority:
            trust(authority, home)
        command = ["chromium", *flags, f"--user-data-dir={profile}", "about:blank"]
        # The user's own database of certificates is not looked at.
        process = Process(command, {"HOME": str(home)})
        try:
            async with connect(await endpoint(process, Path(profile)), max_size=None) as devtools:
                started = Browser(devtools)
                listening = asyncio.create_task(started.listen())
                try:
                    yield started
                finally:
                    listening.cancel()
        finally:
            await process.end()


@asynccontextmanager
async def page(url: str) -> AsyncIterator[Page]:
    """A page in a browser of its own, which ends with the block."""
    async with browser() as started:
        yield await started.open(url)


async def endpoint(process: Process, profile: Path) -> str:
    """Where it listens for orders; it says so in a file."""
    told = profile / "DevToolsActivePort"
    for _ in range(START_S_MAX * 20):
        lines = told.read_text().splitlines() if told.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        if process.has_ended:
            break
        await asyncio.sleep(0.05)
    raise Broken(f"chromium does not start:\n{process.log()}")
