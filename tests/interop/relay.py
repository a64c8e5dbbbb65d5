"""A TCP relay that counts, and cuts. In: a port. Out: another one that leads there, and how many came.

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
        self._leads = asyncio.Event()
        self._leads.set()
        self._flows = asyncio.Event()
        self._flows.set()
        self.port = 0
        self.connections = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carries one connection both ways till both have ended."""
        self.connections += 1
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            await self._leads.wait()
            back, forth = await asyncio.open_connection("127.0.0.1", self._target)
            try:
                await asyncio.gather(carry(reader, forth), carry(back, writer, self._flows))
            finally:
                forth.close()
        except (OSError, asyncio.CancelledError):
            pass  # the other end sees the connection end
        finally:
            writer.close()
            self._tasks.discard(task)

    def hold(self) -> None:
        """Carries nothing to clients till `release`."""
        self._flows.clear()

    def release(self) -> None:
        """Carries on."""
        self._flows.set()

    def cut(self) -> None:
        """Cuts what is open. Who comes now waits for `restore`."""
        self._leads.clear()
        self.end()

    @asynccontextmanager
    async def leading_to(self, target: int) -> AsyncIterator[None]:
        """Leads who comes from now on to another port, as long as the block."""
        before, self._target = self._target, target
        try:
            yield
        finally:
            self._target = before

    def restore(self) -> None:
        """Leads there again."""
        self._leads.set()

    def end(self) -> None:
        """Cuts what is still open."""
        for task in self._tasks:
            task.cancel()


async def carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event | None = None
) -> None:
    """One direction, while it `flows`; its end is passed on as a half-close."""
    with suppress(ConnectionError):
        while piece := await reader.read(READ_BYTES):
            if flows:
                await flows.wait()
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
