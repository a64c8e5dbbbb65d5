"""Processes under measurement. In: a command line. Out: a running server, ended by its own pid.

Never: ends a process it has not started.
"""

from __future__ import annotations

import os
import resource
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Relative, so that what the scripts print reads the same wherever the checkout is.
RELEASE = Path(os.path.relpath(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))) / "release"
DAEMON = f"{shlex.quote(str(RELEASE / 'fanfare'))} echo --listen 127.0.0.1:{{port}} --workers 1"
START_S_MAX = 10
END_S_MAX = 5


class RunFailed(Exception):
    """A run has no result: exit code 1 and one line on stderr."""


def build(packages: Sequence[str]) -> None:
    """Builds release binaries of workspace packages."""
    flags = [flag for package in packages for flag in ("-p", package)]
    if subprocess.run(["cargo", "build", "--release", "--quiet", *flags], cwd=ROOT).returncode:
        raise RunFailed("the build failed")


def end_on_sigterm() -> None:
    """Makes SIGTERM unwind like Ctrl-C, so that servers are ended on both."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def pinned(cpus: int | str | None, command: Sequence[str]) -> list[str]:
    """The command, kept on one CPU or on a list of them; `taskset` execs it, so the pid stays."""
    return list(command) if cpus is None else ["taskset", "-c", str(cpus), *command]


def two_cpus() -> tuple[int, int]:
    """A CPU for the server and one for the client: the first and the last that are allowed."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise RunFailed("server and client need a CPU each")
    return cpus[0], cpus[-1]


def descriptors_limited(limit: int | None) -> None:
    """Sets the descriptor limit of this process (to be called in a child before exec)."""
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


def byte_fields(pid: int, file: str) -> dict[str, int]:
    """The lines `Name: 123 kB` of a file of a process in /proc, in bytes."""
    lines = (line.split() for line in Path(f"/proc/{pid}/{file}").read_text().splitlines())
    return {f[0].rstrip(":"): int(f[1]) * 1024 for f in lines if len(f) == 3 and f[2] == "kB"}


def end(process: subprocess.Popen[str]) -> None:
    """Ends a process: asked first, then killed."""
    process.terminate()
    try:
        process.wait(END_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def serving(
    template: str,
    cpus: int | str | None = None,
    descriptors: int | None = None,
    port: int | None = None,
) -> Iterator[tuple[int, int]]:
    """Starts a server on a free port (`{port}` in its command) and gives its pid and port."""
    port = port or free_port()
    command = pinned(cpus, shlex.split(template.replace("{port}", str(port))))
    with tempfile.TemporaryFile("w+") as log:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
                preexec_fn=lambda: descriptors_limited(descriptors),
            )
        except OSError as error:
            raise RunFailed(f"{shlex.join(command)}: {error}") from error
        try:
            if not accepts(process, port):
                log.seek(0)
                raise RunFailed(f"{shlex.join(command)} does not serve:\n{log.read()[-1000:]}")
            yield process.pid, port
        finally:
            end(process)


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accepts(process: subprocess.Popen[str], port: int) -> bool:
    """Waits until the process accepts connections; false if it ends or takes too long."""
    deadline = time.monotonic() + START_S_MAX
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            time.sleep(0.02)
    return False
