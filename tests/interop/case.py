"""Cases and their verdicts. In: coroutines. Out: a line for each on stdout, and how many failed.

Never: lets one case stop the run.
"""

from __future__ import annotations

import asyncio
import fnmatch
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CASE_S_MAX = 30
SHOWN_CHARS_MAX = 200
HERE = Path(__file__).parent
# Where cases are, and what there is none.
CASES = (HERE, HERE / "sessions")
NO_CASES = (__file__, str(HERE / "__main__.py"))


class Broken(Exception):
    """Something is not as it must be; the text says what."""


def brief(value: object) -> str:
    """A value that fits into a line."""
    text = repr(value)
    if len(text) <= SHOWN_CHARS_MAX:
        return text
    return f"{text[:SHOWN_CHARS_MAX]}... ({len(text)} characters)"


def expect(what: str, found: object, wanted: object) -> None:
    """Breaks the case unless both are equal."""
    if found != wanted:
        raise Broken(f"{what}: found {brief(found)}, wanted {brief(wanted)}")


def expect_that(holds: object, what: str) -> None:
    """Breaks the case unless it holds."""
    if not holds:
        raise Broken(what)


@dataclass(frozen=True)
class Verdict:
    """How a case ended; `why` is empty if all was well."""

    name: str
    why: str
    seconds: float

    def __str__(self) -> str:
        word = "FAILED" if self.why else "ok    "
        line = f"{word} {self.name} ({self.seconds:.2f} s)"
        return f"{line}\n       {self.why}" if self.why else line


@dataclass
class Run:
    """All cases of a run. `patterns`: which are wanted, by name; none means all."""

    patterns: Sequence[str] = ()
    verdicts: list[Verdict] = field(default_factory=list)

    def wants(self, name: str) -> bool:
        """Whether the case is asked for."""
        return not self.patterns or any(fnmatch.fnmatch(name, f"*{p}*") for p in self.patterns)

    async def case(self, name: str, body: Callable[[], Awaitable[None]]) -> None:
        """Runs a case and prints its verdict."""
        if not self.wants(name):
            return
        start = time.monotonic()
        why = ""
        try:
            await asyncio.wait_for(body(), CASE_S_MAX)
        except Broken as error:
            why = f"{error} ({place(error)})"
        except TimeoutError as error:
            why = f"took longer than {CASE_S_MAX} s, in {place(error)}"
        except Exception as error:  # a client's own complaint is a verdict, too
            why = f"{type(error).__name__}: {error}, in {place(error)}"
        verdict = Verdict(name, why, time.monotonic() - start)
        self.verdicts.append(verdict)
        print(verdict, flush=True)

    @property
    def failed(self) -> int:
        """How many cases failed."""
        return sum(bool(verdict.why) for verdict in self.verdicts)

    @property
    def passed(self) -> int:
        """How many did not."""
        return len(self.verdicts) - self.failed


def place(error: BaseException) -> str:
    """Which line of the case it happened in."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) and cause not in causes:
        causes.append(cause)
    frames = [frame for e in causes for frame in traceback.extract_tb(e.__traceback__)]
    cases = [f for f in frames if Path(f.filename).parent in CASES and f.filename not in NO_CASES]
    where = (cases or frames)[0]
    return f"{Path(where.filename).name}, line {where.lineno}"
