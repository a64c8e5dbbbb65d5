"""Numbers against targets. In: figures and limits. Out: pass or miss, and where it was measured.

Never: measures or prints.
"""

from __future__ import annotations

import os
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from measuring.servers import ROOT


@dataclass(frozen=True)
class Target:
    """A limit and the side of it that is good."""

    sense: Literal[">=", "<="]
    limit: float
    unit: str = ""

    def is_met(self, value: float) -> bool:
        """Whether the value is on the good side."""
        return value >= self.limit if self.sense == ">=" else value <= self.limit

    def __str__(self) -> str:
        return f"{self.sense} {self.limit:g}{self.unit}"


@dataclass(frozen=True)
class Spread:
    """The middle of several runs, and their extremes."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Growth of y a unit of x, by least squares."""
    return statistics.linear_regression(*zip(*points)).slope


def verdict(met: bool) -> str:
    """The word for it."""
    return "pass" if met else "MISS"


def setting() -> str:
    """Machine, kernel, load, date and commit, in two lines."""
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":", 1)[1].strip() for line in cpuinfo if line.startswith("model name")]
    load = os.getloadavg()[0]
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    model = models[0] if models else os.uname().machine
    return (
        f"{os.cpu_count()} x {model}, Linux {os.uname().release}, load {load:.1f}\n"
        f"{now}, commit {commit()}"
    )


def commit() -> str:
    """The checked-out commit, marked if tracked files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"
