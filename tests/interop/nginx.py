"""nginx as a child process. In: where the daemon listens. Out: two ports that lead there.

Never: touches the system's nginx: its config, its folders, its service.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from .daemon import started

CONFIG = Path(__file__).with_name("nginx.conf")


@dataclass(frozen=True)
class Nginx:
    """Its ports, by what it makes of `Host`."""

    http_host: int
    host: int


@asynccontextmanager
async def proxying(main: int, api: int, read_timeout: str = "60s") -> AsyncIterator[Nginx]:
    """nginx in front of these ports, ended with the block."""
    with tempfile.TemporaryDirectory(prefix="fanfare-nginx-") as folder:
        config = Path(folder) / "nginx.conf"

        def command(ports: Sequence[int]) -> Sequence[str | Path]:
            values = {
                "folder": folder,
                # As root its worker would be somebody else, who may not enter the folder.
                "user": "user root;" if os.geteuid() == 0 else "",
                "main": main,
                "api": api,
                "read_timeout": read_timeout,
                "http_host": ports[0],
                "host": ports[1],
            }
            text = CONFIG.read_text()
            for name, value in values.items():
                text = text.replace(f"@{name}@", str(value))
            config.write_text(text)
            # -e: what it says before it has read where to say it.
            return ["nginx", "-p", folder, "-e", "stderr", "-c", str(config)]

        async with started(command, 2) as (_, ports):
            yield Nginx(*ports)
