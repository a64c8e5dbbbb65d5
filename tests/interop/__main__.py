"""Runs the cases. In: patterns of their names; without one, all. Out: a line for each, and a closing line;
exit code 1 if one failed. $WORK is where `scripts/setup` has put the clients.

Never: builds or installs anything.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial, wraps
from pathlib import Path
from signal import SIGTERM
from typing import Any

from measuring.servers import end_on_sigterm

from . import adapter, compression, curl, fronts, page, proxy, readme, secure, subscribers
from .case import Run, expect
from .clients import Client
from .clients.npm_centrifuge import npm_centrifuge
from .clients.npm_ws import npm_ws
from .clients.python_centrifuge import PythonCentrifuge
from .clients.python_websockets import PythonWebsockets
from .clients.sdk import Sdk
from .sessions import channels, connecting, hooks, private, recovery, refusals, server_side, wire
from .sessions.realm import SETTINGS as SETTINGS_OF_SESSIONS
from .sessions.realm import Realm, standing
from .stack import SETTINGS, Stack, merged, stacked

Body = Callable[..., Awaitable[None]]


def words(body: Body) -> str:
    """What a case shows, as its name says it."""
    return getattr(body, "__name__", "").replace("_", " ")


async def cases(run: Run, prefix: str, bodies: Sequence[Body], *given: Any) -> None:
    """Runs cases that are given the same."""
    for body in bodies:
        await run.case(f"{prefix}: {words(body)}", partial(body, *given))


def faultless(body: Body) -> Body:
    """A case, in which the SDK must have understood everything."""

    @wraps(body)
    async def watched(at: Realm, sdk: Sdk) -> None:
        try:
            await body(at, sdk)
        finally:
            at.relay.restore()
            faults = sdk.faults()
        expect("what the SDK could not take", faults, [])

    return watched


async def sessions(run: Run, modules: Path) -> None:
    """Cases of the Centrifuge SDKs."""
    parts = [connecting, channels, recovery, server_side, private, refusals, hooks]
    async with npm_centrifuge(modules) as npm:
        sdks: list[Sdk] = [*npm, *(PythonCentrifuge(is_protobuf=wire) for wire in (False, True))]
        async with standing(SETTINGS_OF_SESSIONS) as at:
            for sdk in sdks:
                bodies = [body for part in parts for body in part.CASES]
                bodies += hooks.OF_SENDERS if sdk.sends else []
                bodies += hooks.OF_EMULATORS if sdk.emulates_headers else []
                await cases(run, sdk.name, [faultless(body) for body in bodies], at, sdk)
            await cases(run, "sessions", wire.CASES, at)
            await run.case("sessions: the daemon ends well", partial(ends_well, at))
        async with standing(SETTINGS_OF_SESSIONS, is_proxied=True) as at:
            for sdk in sdks:
                bodies = [body for part in (channels, recovery) for body in part.CASES]
                await cases(run, f"nginx, {sdk.name}", [faultless(b) for b in bodies], at, sdk)
            await run.case("nginx, sessions: the daemon ends well", partial(ends_well, at))
        async with standing(merged(SETTINGS_OF_SESSIONS, compression.DEFLATE)) as at:
            for sdk in sdks:
                bodies = [body for part in (channels, recovery) for body in part.CASES]
                await cases(run, f"deflate, {sdk.name}", [faultless(b) for b in bodies], at, sdk)


async def ends_well(at: Stack | Realm) -> None:
    """After all that was done to it, the daemon ends as it is asked to."""
    at.daemon.signal(SIGTERM)
    expect(f"exit code, after it said {at.daemon.log()!r},", await at.daemon.exit_code(), 0)


async def adapters(run: Run, clients: Sequence[Client]) -> None:
    """Cases of `fanfare-tokio`."""
    for client in clients:
        for place, bodies in adapter.places(client):
            await cases(run, place.name, bodies, place)


async def everything(run: Run) -> None:
    """All cases, each stack up only while it is needed."""
    python = PythonWebsockets()
    modules = Path(os.environ["WORK"]) / "interop" / "node_modules"
    await sessions(run, modules)
    async with npm_ws(modules) as npm:
        clients: list[Client] = [python, npm]
        await adapters(run, clients)
        places = [
            ("", SETTINGS, False),
            ("nginx", SETTINGS, True),
            ("nginx, api.listen", proxy.SETTINGS_WITH_API_PORT, True),
        ]
        for place, settings, is_proxied in places:
            async with stacked(settings, is_proxied=is_proxied) as at:
                for client in clients:
                    prefix = f"{place}, {client.name}" if place else client.name
                    await cases(run, prefix, subscribers.CASES, at, client)
                    await cases(run, prefix, compression.WITHOUT, at, client)
                prefix = f"{place}, " if place else ""
                await cases(run, f"{prefix}curl", curl.CASES, at)
                if is_proxied:
                    await cases(run, place, proxy.CASES, at, python)
                if at.has_api_port:
                    await cases(run, place, proxy.WITH_API_PORT, at, python)
                await run.case(f"{prefix}the daemon ends well", partial(ends_well, at))
        async with stacked(compression.SETTINGS_WITH_DEFLATE, is_proxied=False) as at:
            for client in clients:
                prefix = f"deflate, {client.name}"
                await cases(run, prefix, subscribers.CASES, at, client)
                await cases(run, prefix, compression.CASES, at, client)
            await run.case("deflate, the daemon ends well", partial(ends_well, at))
    for name, front in [("HAProxy", fronts.behind_haproxy), ("nginx, unix", fronts.behind_nginx)]:
        if any(run.wants(f"{name}: {words(body)}") for body in fronts.CASES):
            async with front() as there:
                await cases(run, name, fronts.CASES, there, python)
    if any(run.wants(name) for name in ["page: " + words(body) for body in page.CASES]):
        async with page.placed() as there:
            await cases(run, "page", page.CASES, there)
    if any(run.wants("deflate, page: " + words(body)) for body in page.CASES):
        async with page.placed(compression.DEFLATE) as there:
            await cases(run, "deflate, page", page.CASES, there)
    if any(run.wants(f"TLS: {words(body)}") for body in secure.CASES):
        async with secure.placed() as there:
            await cases(run, "TLS", secure.CASES, there)
    await run.case("page: without dev there is no page", page.without_dev_there_is_no_page)
    await run.case("README: what is printed works", readme.what_is_printed_works)


def main() -> int:
    end_on_sigterm()
    run = Run(sys.argv[1:])
    asyncio.run(everything(run))
    print(f"interop: {run.passed} passed, {run.failed} failed")
    return 1 if run.failed or not run.passed else 0


if __name__ == "__main__":
    sys.exit(main())
