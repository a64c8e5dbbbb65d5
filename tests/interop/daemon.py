"""`fanfare serve` as a child process. In: settings, flags. Out: a server that answers, ended with its block.

Never: leaves a child behind.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from measuring.servers import ROOT, accepts, end, free_port

from .case import Broken

BUILT = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "fanfare"
BINARY = Path(os.environ.get("FANFARE_BIN", BUILT))
END_S_MAX = 10
TRIES = 3
LOG_CHARS_MAX = 2000

Settings = Mapping[str, Any]


def toml(settings: Settings, table: str = "") -> str:
    """Settings as a config file has them."""
    lines, tables = [], []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            path = f"{table}.{key}" if table else key
            tables.append(f"[{path}]\n{toml(value, path)}")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            path = f"{table}.{key}" if table else key
            tables += [f"[[{path}]]\n{toml(one, path)}" for one in value]
        else:
            lines.append(f"{key} = {json.dumps(value)}\n")
    return "".join(lines + tables)


class Process:
    """A child with a log of its own."""

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        self.name = Path(command[0]).name
        # FANFARE_ are settings; this run's own are given as a file.
        inherited = {n: v for n, v in os.environ.items() if not n.startswith("FANFARE_")}
        self._log = tempfile.TemporaryFile("w+")
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            text=True,
            env={**inherited, **environment},
        )

    async def listening(self, port: int) -> bool:
        """Waits till it accepts connections; false if it ends or takes too long."""
        return await asyncio.to_thread(accepts, self._child, port)

    @property
    def has_ended(self) -> bool:
        """Whether it is gone."""
        return self._child.poll() is not None

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        self._child.send_signal(number)

    async def exit_code(self) -> int:
        """Waits for its end, asks for nothing."""
        deadline = time.monotonic() + END_S_MAX
        while (code := self._child.poll()) is None:
            if time.monotonic() > deadline:
                raise Broken(f"{self.name} does not end within {END_S_MAX} s")
            await asyncio.sleep(0.01)
        return code

    async def end(self) -> None:
        """Ends it, if it is still there."""
        await asyncio.to_thread(end, self._child)

    def log(self) -> str:
        """What it said last."""
        self._log.seek(0)
        return self._log.read()[-LOG_CHARS_MAX:].strip()


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@asynccontextmanager
async def started(
    command: Callable[[Sequence[int]], Sequence[str | Path]],
    ports: int | Sequence[int],
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[tuple[Process, Sequence[int]]]:
    """A child that listens on so many free ports, or on these, and is ended with the block.

    A port that is free when it is looked for can be taken meanwhile; then others are tried.
    """
    for attempt in range(TRIES):
        chosen = [free_port() for _ in range(ports)] if isinstance(ports, int) else ports
        process = Process(command(chosen), environment or {})
        try:
            answers = [await process.listening(port) for port in chosen]
            if all(answers):
                yield process, chosen
                return
            if attempt == TRIES - 1:
                raise Broken(f"{process.name} does not serve:\n{process.log()}")
        finally:
            await process.end()


@asynccontextmanager
async def serving(
    settings: Settings, ports: Sequence[int] | None = None, flags: Sequence[str] = ()
) -> AsyncIterator[tuple[Process, Sequence[int]]]:
    """The daemon with these settings on free ports: its main one, and one for `api.listen` if that is set.

    A setting `api.listen` is replaced by the port that is free; `ports` names both instead.
    """
    has_api_port = "listen" in settings.get("api", {})
    with tempfile.TemporaryDirectory(prefix="fanfare-interop-") as folder:
        config = Path(folder) / "fanfare.toml"

        def command(chosen: Sequence[int]) -> Sequence[str | Path]:
            placed = {"listen": f"127.0.0.1:{chosen[0]}", **settings}
            if has_api_port:
                placed["api"] = {**settings["api"], "listen": f"127.0.0.1:{chosen[1]}"}
            config.write_text(toml(placed))
            return [BINARY, "serve", "--config", config, *flags]

        # `info` would log every start and end; what goes wrong is told in any case.
        environment = {"RUST_LOG": os.environ.get("RUST_LOG", "warn")}
        environment |= {"FANFARE_DRAIN__DELAY": "0", "FANFARE_DRAIN__WINDOW": "0"}
        async with started(command, ports or 1 + has_api_port, environment) as (process, chosen):
            yield process, chosen
