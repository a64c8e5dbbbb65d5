"""A script under Node.js, in a process of its own. In: orders, a JSON object a line. Out: what it says, in the same way.

Never: looks into either.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

LINE_BYTES_MAX = 32 << 20
END_S_MAX = 5

Told = dict[str, Any]


class Script:
    """A script that runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def tell(self, order: Mapping[str, Any]) -> None:
        """Gives it an order."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order).encode() + b"\n")

    async def pass_on(self, to: Listener) -> None:
        """Passes on what it says till it ends."""
        assert self._process.stdout
        while line := await self._process.stdout.readline():
            to.note(json.loads(line))

    async def end(self) -> None:
        """Ends it, at last by force."""
        assert self._process.stdin
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), END_S_MAX)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


class Listener(Protocol):
    """Who gives a script its orders."""

    def note(self, told: Told) -> None:
        """Takes what it says."""


L = TypeVar("L", bound=Listener)


@asynccontextmanager
async def running(path: Path, modules: Path, listener: Callable[[Script], L]) -> AsyncIterator[L]:
    """The listener of the script at `path`, with npm's packages of the folder `modules`; it ends with the block."""
    process = await asyncio.create_subprocess_exec(
        "node",
        str(path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "NODE_PATH": str(modules)},
        limit=LINE_BYTES_MAX,
    )
    script = Script(process)
    listening = listener(script)
    passing = asyncio.create_task(script.pass_on(listening))
    try:
        yield listening
    finally:
        await script.end()
        await passing
