"""A server's memory while connections that do nothing are opened, in steps. In: a server's command line. Out: its
memory at each step.

Never: counts what the kernel holds for a socket.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from measuring.servers import RELEASE, RunFailed, byte_fields, descriptors_limited, end, serving

SETTLE_S = 0.3


@dataclass(frozen=True)
class Memory:
    """A process's memory with so many connections open, in bytes."""

    connections: int
    rss: int
    rss_anon: int
    pss: int

    @classmethod
    def of(cls, pid: int, connections: int) -> Memory:
        """Reads it from /proc."""
        status, rollup = byte_fields(pid, "status"), byte_fields(pid, "smaps_rollup")
        return cls(connections, status["VmRSS"], status["RssAnon"], rollup["Pss"])


def steps(client: subprocess.Popen[str]) -> Iterator[int]:
    """How many connections are open, once the client says so; then lets it open more."""
    assert client.stdin and client.stdout
    while line := client.stdout.readline():
        yield int(line)
        client.stdin.write("\n")
        client.stdin.flush()
    if client.wait():
        raise RunFailed("the client could not open or keep its connections")


@dataclass(frozen=True)
class Steps:
    """How many connections, how many between two readings, the descriptors of both sides, the path."""

    connections: int
    step: int
    descriptors: int
    path: str = "/"


def measure(
    plan: Steps,
    server: str,
    says: Sequence[str] = (),
    check: Callable[[], None] = lambda: None,
) -> list[Memory]:
    """The server's memory at each step. `says`: more flags for the client; `check`: called at the end."""
    with serving(server, descriptors=plan.descriptors) as (pid, port):
        command = [f"{RELEASE}/bare_client", "idle", "--hold", "--connect", f"127.0.0.1:{port}"]
        command += ["--connections", str(plan.connections), "--step", str(plan.step)]
        client = subprocess.Popen(
            [*command, "--path", plan.path, *says],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: descriptors_limited(plan.descriptors),
        )
        try:
            series = []
            for connections in steps(client):
                time.sleep(SETTLE_S)
                series.append(Memory.of(pid, connections))
                if connections == plan.connections:
                    check()
            return series
        finally:
            end(client)
