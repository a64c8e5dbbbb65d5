"""Runs that alternate, so that a machine that slows down for a while slows all alike, and what they come
to beside each other. In: runs. Out: their results, and lines of a table.

Never: averages over rounds, or retries a run that came out badly.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from measuring.verdict import Spread, Target, verdict

Sample = TypeVar("Sample")


def progress(text: str) -> None:
    """Shows on a terminal what is under way."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def alternating(runs: Mapping[str, Callable[[], Sample]], rounds: int) -> dict[str, list[Sample]]:
    """The results of each run, a round each; every other round goes backwards: A B, B A ..."""
    results: dict[str, list[Sample]] = {name: [] for name in runs}
    for nth in range(rounds):
        for name in list(runs)[:: -1 if nth % 2 else 1]:
            progress(f"round {nth + 1} of {rounds}: {name}")
            results[name].append(runs[name]())
    progress("")
    return results


@dataclass(frozen=True)
class Row(Generic[Sample]):
    """A figure of two runs, and what the ratio of the first's to the second's must come to."""

    label: str
    first: str
    second: str
    figure: Callable[[Sample], float]
    target: Target | None = None


def print_rows(rows: Sequence[Row[Sample]], results: Mapping[str, Sequence[Sample]]) -> bool:
    """Prints the table, if there are rows, and says whether every target is met."""
    met = True
    if not rows:
        return met
    print(f"{'':54}{'first':>12}{'second':>12}   {'ratio, per round':24}target")
    for row in rows:
        sides = [[row.figure(sample) for sample in results[n]] for n in (row.first, row.second)]
        spread = Spread.of([first / second for first, second in zip(*sides)])
        ratio = f"{spread.median:.3f} ({spread.low:.3f}..{spread.high:.3f})"
        judged = ""
        if row.target:
            is_met = row.target.is_met(spread.median)
            met &= is_met
            judged = f"{str(row.target):9}{verdict(is_met)}"
        medians = (Spread.of(side).median for side in sides)
        figures = "".join(f"{value:12,.{0 if value > 9999 else 1}f}" for value in medians)
        print(f"{row.label:54}{figures}   {ratio:24}{judged}".rstrip())
    print()
    return met
