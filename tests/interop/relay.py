"""A TCP relay that counts. In: a port. Out: another one that leads there, and how many came.

Never: looks into what it carries.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

READ_BYTES = 1 << 16


class Relay:
    """Counts connections."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.connections = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carries one connection both ways till both have ended."""
        self.connections += 1
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            there = await asyncio.open_connection("127.0.0.1", self._target)
            await asyncio.gather(carry(reader, there[1]), carry(there[0], writer))
            there[1].close()
        except OSError:
            pass  # the other end sees the connection end
        finally:
            writer.close()
            self._tasks.discard(task)

    def end(self) -> None:
        """Cuts what is still open."""
        for task in self._tasks:
            task.cancel()


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction; its end is passed on as a half-close."""
    with suppress(ConnectionError):
        while piece := await reader.read(READ_BYTES):
            writer.write(piece)
            await writer.drain()
        writer.write_eof()


@asynccontextmanager
async def counting(target: int) -> AsyncIterator[Relay]:
    """A relay to the port, closed with the block."""
    relay = Relay(target)
    server = await asyncio.start_server(relay.accept, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        relay.end()
