"""README.md's first page, done as it stands there. In: README.md. Out: nothing, or a broken case.

Never: has a command of its own: what is not printed is not done.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from measuring.servers import ROOT, free_port

from .case import Broken, expect, expect_that
from .chromium import page
from .daemon import BINARY, is_free, started

SECTION = re.compile(r"^# Fanfare\n(.*?)(?=^## )", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"^\$ (.*\n(?:(?!\$ |```).*\n)*)", re.MULTILINE)
JS = re.compile(r"^```js\n(.*?)```$", re.MULTILINE | re.DOTALL)
PAGE = re.compile(r"<(http://[^\s)>`]+/)>")
PLAIN = re.compile(r"`(new WebSocket\([^`]+\))`")
PRINTS = re.compile(r"it prints `([^`]+)`")
RUN_S_MAX = 20
ADDRESS = re.compile(r"127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class Printed:
    """What the page has people do."""

    serve: list[str]
    publish: str
    answer: str
    page: str
    sdk: str
    prints: str
    plain: str

    @property
    def port(self) -> int:
        """The port that all of it is about."""
        texts = self.publish + self.page + self.sdk + self.plain
        ports = {int(port) for port in ADDRESS.findall(texts)}
        if len(ports) != 1:
            raise Broken(f"README.md: the push server is on ports {sorted(ports)}")
        return ports.pop()

    def on(self, port: int) -> Printed:
        """The same on another port."""

        def moved(text: str) -> str:
            return text.replace(f"127.0.0.1:{self.port}", f"127.0.0.1:{port}")

        return Printed(
            [*self.serve, "--listen", f"127.0.0.1:{port}"],
            moved(self.publish),
            self.answer,
            moved(self.page),
            moved(self.sdk),
            self.prints,
            moved(self.plain),
        )


def only(what: str, found: list[str]) -> str:
    """The one there must be."""
    if len(found) != 1:
        raise Broken(f"README.md: {len(found)} of {what} on the first page, not one")
    return found[0]


def printed() -> Printed:
    """Reads the page."""
    section = only("the page", SECTION.findall((ROOT / "README.md").read_text()))
    commands = CONSOLE.findall(section)
    serve = only("`cargo run`", [c for c in commands if c.startswith("cargo run ")])
    publish = only("`curl`", [c for c in commands if c.startswith("curl ")])
    command, _, answer = publish.partition("\n")
    return Printed(
        shlex.split(serve.splitlines()[0].partition(" -- ")[2]),
        command,
        answer.strip(),
        only("the page", sorted(set(PAGE.findall(section)))),
        only("the SDK's lines", JS.findall(section)),
        only("what they print", PRINTS.findall(section)),
        only("a plain WebSocket", PLAIN.findall(section)),
    )


async def what_is_printed_works() -> None:
    """`serve --dev`, the page, the SDK's lines in Node.js, a plain WebSocket in the page, `curl`."""
    told = printed()
    if not is_free(told.port):
        port = free_port()
        print(f"       (port {told.port} is taken here: README.md's lines are tried on {port})")
        told = told.on(port)
    command: Sequence[str | Path] = [BINARY, *told.serve]
    async with started(lambda _: command, [told.port], {"RUST_LOG": "warn"}):
        async with page(told.page) as opened:
            # The page itself opens one first.
            answer = await opened.event("Network.webSocketHandshakeResponseReceived")
            expect("the page's upgrade", answer["response"]["status"], 101)
            await opened.type(f"{told.plain}.onmessage = (event) => console.log(event.data);")
            answer = await opened.event("Network.webSocketHandshakeResponseReceived")
            expect("the plain upgrade", answer["response"]["status"], 101)
            with tempfile.TemporaryDirectory() as folder:
                node = await sdk(told.sdk, Path(folder))
                try:
                    await subscribed(told)
                    reply = json.loads(await bash(told.publish))
                    expect("what curl prints", shape(reply), shape(json.loads(told.answer)))
                    expect("the offset", reply["result"]["offset"], 1)
                    data = json.loads(shlex.split(told.publish)[2])["data"]
                    text = json.dumps(data, separators=(",", ":"))
                    expect("what the page's console prints", await opened.printed(), [text])
                    assert node.stdout is not None
                    line = await asyncio.wait_for(node.stdout.readline(), RUN_S_MAX)
                    expect("what the SDK's lines print", line.decode().strip(), told.prints)
                finally:
                    node.kill()
                    await node.wait()


async def sdk(lines: str, folder: Path) -> asyncio.subprocess.Process:
    """Node.js with the SDK's lines, as a module of its own beside the packages."""
    packages = Path(os.environ["WORK"]) / "interop" / "node_modules"
    (folder / "node_modules").symlink_to(packages.resolve())
    module = folder / "readme.mjs"
    module.write_text(lines)
    # Before Node.js 22 its WebSocket is behind a flag.
    flags = ["--experimental-websocket"] if await version() < 22 else []
    return await asyncio.create_subprocess_exec(
        "node", "--no-warnings", *flags, str(module), stdout=asyncio.subprocess.PIPE
    )


async def version() -> int:
    """Node.js's."""
    text = await bash("node --version")
    return int(text.removeprefix("v").partition(".")[0])


async def subscribed(told: Printed) -> None:
    """Until both of its subscribers are there."""
    origin = told.page.rstrip("/")
    ask = f"""curl -s -d '{{"pattern":"news"}}' {origin}/api/channels"""
    for _ in range(RUN_S_MAX * 20):
        channels = json.loads(await bash(ask))["result"]["channels"]
        if channels.get("news", {}).get("num_clients") == 2:
            return
        await asyncio.sleep(0.05)
    expect_that(False, "the SDK's lines and the plain WebSocket have not both subscribed")


async def bash(line: str) -> str:
    """What a line prints in a shell; an exit code but 0 breaks the case."""

    def run() -> subprocess.CompletedProcess[str]:
        command = ["bash", "-c", line]
        return subprocess.run(command, capture_output=True, text=True, timeout=RUN_S_MAX)

    done = await asyncio.to_thread(run)
    if done.returncode:
        raise Broken(f"{line}: exit code {done.returncode}, {done.stderr.strip()}")
    return done.stdout


def shape(reply: object) -> object:
    """Names and types."""
    if isinstance(reply, dict):
        return {name: shape(value) for name, value in reply.items()}
    return type(reply).__name__
