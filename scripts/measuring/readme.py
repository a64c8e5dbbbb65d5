"""Figures in README.md. In: lines. Out: the file, with them where they belong.

Never: keeps a line of another run.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from measuring.servers import ROOT, RunFailed


def markers(name: str) -> tuple[str, str]:
    """The lines between which the script of this name writes."""
    begin = f"<!-- {name}: scripts/{name} --readme writes what is between here -->"
    return begin, f"<!-- {name}: and here -->"


def add_flag(parser: argparse.ArgumentParser) -> None:
    """The flag that says which file; without it none is written."""
    parser.add_argument(
        "--readme",
        nargs="?",
        const=ROOT / "README.md",
        type=Path,
        metavar="FILE",
        help="write the table between the markers of README.md, or of FILE",
    )


def put_between(readme: Path, name: str, lines: Sequence[str]) -> None:
    """Replaces what is between the two markers of the script of this name."""
    begin, end = markers(name)
    text = readme.read_text()
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise RunFailed(f"{readme}: the two markers are not there once each, in order")
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    readme.write_text("\n".join([before + begin, *lines, end + after]))
