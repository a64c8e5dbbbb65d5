"""Two clients that run in turn, so that a machine that slows down slows both alike.

In: running clients. Out: when each of them ran.

Never: lets both run at a time.
"""

from __future__ import annotations

import itertools
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from measuring.servers import end

CONNECT_S = 0.3
TURN_S = 0.05


@contextmanager
def in_turns(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A client that may be stopped when it is ended; its output is read by the caller."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        end(process)


def take_turns(clients: Sequence[subprocess.Popen[str]]) -> list[list[tuple[float, float]]]:
    """Lets one client run at a time until all are done; from when to when each ran."""
    turns: list[list[tuple[float, float]]] = [[] for _ in clients]
    time.sleep(CONNECT_S)  # within their warm-up
    for client in clients:
        client.send_signal(signal.SIGSTOP)
    for turn in itertools.cycle((0, 1, 1, 0)):
        if all(client.poll() is not None for client in clients):
            return turns
        start = time.monotonic()
        clients[turn].send_signal(signal.SIGCONT)
        time.sleep(TURN_S)
        clients[turn].send_signal(signal.SIGSTOP)
        turns[turn].append((start, time.monotonic()))
    return turns
