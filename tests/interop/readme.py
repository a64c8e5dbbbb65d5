"""README.md's words on the push server, done as they stand there. In: README.md. Out: nothing, or a broken
case.

Never: has a command of its own: what is not printed is not done.
"""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from measuring.servers import ROOT, free_port

from .case import Broken, expect, expect_that
from .chromium import page
from .daemon import BINARY, is_free, started

SECTION = re.compile(r"^## The push server\n(.*?)(?=^## )", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"^\$ (.*\n(?:(?!\$ |```).*\n)*)", re.MULTILINE)
JS = re.compile(r"^```js\n(.*?)```$", re.MULTILINE | re.DOTALL)
PAGE = re.compile(r"<?(http://[^\s)>`]+/health)")
RUN_S_MAX = 20
ADDRESS = re.compile(r"127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class Printed:
    """What the section has people do."""

    serve: list[str]
    publish: str
    answer: str
    page: str
    line: str

    @property
    def port(self) -> int:
        """The port that all of it is about."""
        texts = self.publish + self.page + self.line
        ports = {int(port) for port in ADDRESS.findall(texts)}
        if len(ports) != 1:
            raise Broken(f"README.md: the push server is on ports {sorted(ports)}")
        return ports.pop()

    def on(self, port: int) -> Printed:
        """The same on another port."""

        def moved(text: str) -> str:
            return text.replace(f"127.0.0.1:{self.port}", f"127.0.0.1:{port}")

        serve = [*self.serve, "--listen", f"127.0.0.1:{port}"]
        return Printed(serve, moved(self.publish), self.answer, moved(self.page), moved(self.line))


def only(what: str, found: list[str]) -> str:
    """The one there must be."""
    if len(found) != 1:
        raise Broken(f'README.md: {len(found)} of {what} in "The push server", not one')
    return found[0]


def printed() -> Printed:
    """Reads the section."""
    section = only("the section", SECTION.findall((ROOT / "README.md").read_text()))
    commands = CONSOLE.findall(section)
    serve = only("`cargo run`", [c for c in commands if c.startswith("cargo run ")])
    publish = only("`curl`", [c for c in commands if c.startswith("curl ")])
    command, _, answer = publish.partition("\n")
    return Printed(
        shlex.split(serve.splitlines()[0].partition(" -- ")[2]),
        command,
        answer.strip(),
        only("the page", sorted(set(PAGE.findall(section)))),
        only("the console's line", JS.findall(section)).strip(),
    )


async def a_page_prints_what_curl_publishes() -> None:
    """`serve --dev`, the line in a page's console, `curl`."""
    told = printed()
    expect_that("\n" not in told.line, "README.md: the console's line is one line")
    if not is_free(told.port):
        port = free_port()
        print(f"       (port {told.port} is taken here: README.md's lines are tried on {port})")
        told = told.on(port)
    command: Sequence[str | Path] = [BINARY, *told.serve]
    async with started(lambda _: command, [told.port], {"RUST_LOG": "warn"}):
        async with page(told.page) as opened:
            await opened.type(told.line)
            answer = await opened.event("Network.webSocketHandshakeResponseReceived")
            expect("the upgrade's status", answer["response"]["status"], 101)
            reply = json.loads(await bash(told.publish))
            expect("what curl prints", shape(reply), shape(json.loads(told.answer)))
            expect("the offset", reply["result"]["offset"], 1)
            data = json.loads(shlex.split(told.publish)[2])["data"]
            text = json.dumps(data, separators=(",", ":"))
            expect("what the console prints", await opened.printed(), [text])


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
