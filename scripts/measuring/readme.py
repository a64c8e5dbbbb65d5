"""Figures in README.md. In: lines. Out: the file, with them where they belong.

Never: keeps a line of another run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from measuring.servers import RunFailed


def put_between(readme: Path, name: str, lines: Sequence[str]) -> None:
    """Replaces what is between the two markers of the script of this name."""
    begin = f"<!-- {name}: scripts/{name} --readme writes what is between here -->"
    end = f"<!-- {name}: and here -->"
    text = readme.read_text()
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise RunFailed(f"{readme}: the two markers are not there once each, in order")
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    readme.write_text("\n".join([before + begin, *lines, end + after]))
