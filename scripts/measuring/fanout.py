"""One run of `loadgen fanout`. In: a push server, a load, a CPU. Out: what loadgen says of it.

Never: takes the figures of a run that lost something.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import Any

from measuring.push import PushServer
from measuring.servers import RELEASE, RunFailed, pinned
from measuring.turns import in_turns


@dataclass(frozen=True)
class Load:
    """What is published, to how many."""

    subscribers: int
    size: int
    # Moments a second in which something is published, and how many publications that is.
    ticks: float
    burst: int = 1
    seconds: float = 4
    warmup: float = 1
    timeout: float = 10
    # Further flags.
    more: Sequence[str] = ()

    def flags(self) -> list[str]:
        """The same, for loadgen's command line."""
        values = {
            "subscribers": self.subscribers,
            "size": self.size,
            "rate": self.ticks * self.burst,
            "duration": self.seconds,
            "warmup": self.warmup,
            "timeout": self.timeout,
        }
        flags = [part for name, value in values.items() for part in (f"--{name}", str(value))]
        return [*flags, *(["--burst", str(self.burst)] if self.burst > 1 else []), *self.more]


@dataclass(frozen=True)
class Sample:
    """What one run came to; times in seconds."""

    deliveries: int
    seconds: float
    server_cpu: float
    client_cpu: float
    rss_bytes: int
    # From when a publication should have been sent to its last subscriber: the median and the 99th
    # percentile over the publications, and the worst.
    last_median: float
    last_p99: float
    last_max: float
    # The 99th percentile over all deliveries.
    p99: float
    # Of the payloads that compression was agreed on for, the share that was sent.
    deflated_to: float

    @property
    def server_ns(self) -> float:
        """CPU time of the server a delivery, in nanoseconds."""
        return self.server_cpu * 1e9 / self.deliveries

    @property
    def server_busy(self) -> float:
        """The share of a CPU that the server used."""
        return self.server_cpu / self.seconds

    @property
    def client_busy(self) -> float:
        """The share of a CPU that loadgen used."""
        return self.client_cpu / self.seconds

    @property
    def flooded_deliveries_per_second(self) -> float:
        """Deliveries a second when more was due than the server could deliver, and no warm-up."""
        return self.deliveries / (self.seconds + self.last_max)


def command_of(server: PushServer, load: Load, cpu: int | None, by_post: bool) -> list[str]:
    """loadgen's command line, on its CPU."""
    command = [str(RELEASE / "loadgen"), "fanout", server.subscribe, "--pid", str(server.pid)]
    command += ["--json", "-", "--no-progress", *load.flags(), *server.trust]
    command += server.post if by_post else []
    return pinned(cpu, command)


def run(server: PushServer, load: Load, cpu: int | None, by_post: bool = False) -> Sample:
    """Subscribes, publishes and waits for the last delivery."""
    return run_together([(server, load)], cpu, by_post)[0]


def run_together(
    entries: Sequence[tuple[PushServer, Load]], cpu: int | None, by_post: bool = False
) -> list[Sample]:
    """The same for several servers at once, each with a loadgen of its own, all of them on one CPU."""
    with ExitStack() as stack:
        clients = [
            stack.enter_context(in_turns(command_of(server, load, cpu, by_post)))
            for server, load in entries
        ]
        return [sample_of(client) for client in clients]


def paced(sample: Sample, load: Load) -> Sample:
    """The sample, of a server that had time to rest between ticks.

    One that has none reads several at once, and counts CPU time for fewer deliveries than were due.
    """
    if sample.last_median > 0.75 / load.ticks:
        raise RunFailed(
            f"the last delivery of a tick takes {sample.last_median * 1e3:.0f} ms with {load.ticks:g}"
            " ticks a second: the machine is too slow, or too busy with something else"
        )
    return sample


def sample_of(client: subprocess.Popen[str]) -> Sample:
    """The figures of a loadgen that was started, once it has ended."""
    output, errors = client.communicate()
    if client.returncode:
        raise RunFailed(f"{shlex.join(client.args)}\n{lost(output)}{errors}")
    return sample(json.loads(output))


def sample(report: Any) -> Sample:
    """The figures of a report."""
    last = report["delivery_spread_microseconds"]["last"]
    return Sample(
        report["deliveries"],
        report["duration_seconds"],
        report["server_cpu_seconds"],
        report["client_cpu_seconds"],
        report["server_rss_bytes"],
        last["p50"] / 1e6,
        last["p99"] / 1e6,
        last["max"] / 1e6,
        report["latency_microseconds"]["p99"] / 1e6,
        deflated_to(report),
    )


def deflated_to(report: Any) -> float:
    """What a byte of payload became; 1 without compression."""
    payload = report.get("deflate_payload_bytes")
    return 1 - report["deflate_saved_bytes"] / payload if payload else 1


def lost(output: str) -> str:
    """What a report counts of losses, if there is a report."""
    try:
        report = json.loads(output)
    except ValueError:
        return output
    names = ("gaps", "duplicates", "disordered", "refused", "errors")
    return "".join(f"{name}: {report[name]}\n" for name in names if report[name])


def print_samples(results: Mapping[str, Sequence[Sample]]) -> None:
    """Prints what each run came to, medians over the rounds."""
    print(f"{'':24}{'CPU ns':>9}{'ms to the last':>21}{'p99 of all':>12}{'CPU busy':>18}{'RSS':>11}")
    print(f"{'':24}{'/delivery':>9}{'p50':>11}{'p99':>10}{'ms':>12}{'server':>9}{'loadgen':>9}")
    for name, samples in results.items():

        def middle(figure: Callable[[Sample], float]) -> float:
            return median(figure(sample) for sample in samples)

        print(
            f"{name:24}{middle(lambda s: s.server_ns):9,.0f}"
            f"{middle(lambda s: s.last_median * 1e3):11,.1f}"
            f"{middle(lambda s: s.last_p99 * 1e3):10,.1f}{middle(lambda s: s.p99 * 1e3):12,.1f}"
            f"{middle(lambda s: s.server_busy):9.0%}{middle(lambda s: s.client_busy):9.0%}"
            f"{middle(lambda s: s.rss_bytes / 2**20):7,.1f} MiB"
        )
