"""Every error that a command can meet, and how (PROTOCOL.md, "Codes"). Tokens' are in private.py and
connecting.py, those of hooks in hooks.py.

In: a realm and an SDK. Out: nothing, or a broken case.

Never: knows which SDK it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from .. import tokens
from ..case import Broken, expect, expect_that
from ..clients.sdk import Failed, Peer, Sdk
from .realm import PUBLICATION_BYTES_MAX, Case, Realm, collected

CASES: list[Case] = []
case = collected(CASES)


async def expect_error(
    what: str, code: int, message: str, call: Awaitable[object], *, temporary: bool = False
) -> None:
    """The command gets this error."""
    try:
        result = await call
    except Failed as failed:
        found = (failed.code, failed.message, failed.temporary)
        expect(f"{what}: the error", found, (code, message, temporary))
        return
    raise Broken(f"{what}: no error, but {result!r}")


def channel_commands(peer: Peer, channel: str) -> dict[str, Callable[[], Awaitable[object]]]:
    """Everything that is done to a channel, but to subscribe."""
    return {
        "publish": lambda: peer.publish(channel, 1),
        "history": lambda: peer.history(channel, 1),
        "presence": lambda: peer.presence(channel),
        "presence_stats": lambda: peer.presence_stats(channel),
    }


@case
async def an_unknown_namespace_is_102(at: Realm, sdk: Sdk) -> None:
    async with at.connected(sdk, at.user()) as peer:
        event = await peer.subscription("nowhere:room").refused(102)
        expect("reason", event["reason"], "unknown channel")
        for what, call in channel_commands(peer, "nowhere:room").items():
            await expect_error(what, 102, "unknown channel", call())
    async with at.peer(sdk, token=tokens.connection("a", channels=["nowhere:room"])) as peer:
        event = await peer.refused(102)
        expect("reason of connect", event["reason"], "unknown channel")


@case
async def what_is_not_allowed_is_103(at: Realm, sdk: Sdk) -> None:
    async with at.connected(sdk, at.user()) as peer, at.connected(sdk) as anonymous:
        mute = at.channel("mute")
        await peer.subscription(mute).subscribed()
        for what, call in channel_commands(peer, mute).items():
            await expect_error(f"{what} to a subscriber", 103, "permission denied", call())
        # What subscribers may, others may not.
        for what, call in channel_commands(peer, at.channel()).items():
            await expect_error(f"{what} to who is not subscribed", 103, "permission denied", call())
        await peer.subscription(at.channel("closed")).refused(103)
        members = at.channel("members")
        await anonymous.subscription(members).refused(103)
        await expect_error(
            "publish without a user", 103, "permission denied", anonymous.publish(members, 1)
        )
        await peer.publish(members, 1)
        await peer.subscription(members).subscribed()


@case
async def what_a_channel_does_not_have_is_108(at: Realm, sdk: Sdk) -> None:
    async with at.connected(sdk) as peer:
        channel = at.channel("live")
        subscription = peer.subscription(channel)
        await subscription.subscribed()
        commands = channel_commands(peer, channel)
        await commands.pop("publish")()
        await subscription.data(1)
        for what, call in commands.items():
            await expect_error(what, 108, "not available", call())


@case
async def an_rpc_without_a_backend_is_104(at: Realm, sdk: Sdk) -> None:
    async with at.connected(sdk) as peer:
        await expect_error("rpc", 104, "method not found", peer.rpc("anything", {"a": 1}))


@case
async def one_channel_more_than_a_client_may_have_is_106(at: Realm, sdk: Sdk) -> None:
    async with at.another({"client": {"max_channels": 2}}) as few:
        async with few.connected(sdk) as peer:
            one, two = peer.subscription(few.channel()), peer.subscription(few.channel())
            await one.subscribed()
            await two.subscribed()
            event = await peer.subscription(few.channel()).refused(106)
            expect("reason", event["reason"], "limit exceeded")
            await one.unsubscribe()
            await peer.subscription(few.channel()).subscribed()
            await few.api.publish(two.channel, 1)
            await two.data(1)


@case
async def a_publication_past_the_limit_is_106(at: Realm, sdk: Sdk) -> None:
    async with at.connected(sdk) as peer:
        channel = at.channel()
        subscription = peer.subscription(channel)
        await subscription.subscribed()
        largest = "x" * (PUBLICATION_BYTES_MAX - 2)  # with its quotes
        too_large = peer.publish(channel, f"{largest}x")
        await expect_error("one byte more", 106, "limit exceeded", too_large)
        await peer.publish(channel, largest)
        await subscription.data(largest)


@case
async def a_name_that_is_no_channel_is_107(at: Realm, sdk: Sdk) -> None:
    async with at.connected(sdk, at.user()) as peer:
        for channel in ["é", "x" * 256, "open:\n"]:
            event = await peer.subscription(channel).refused(107)
            expect(f"{channel!r}: reason", event["reason"], "bad request")
            for what, call in channel_commands(peer, channel).items():
                await expect_error(f"{what} to {channel!r}", 107, "bad request", call())
        await peer.subscription("open:" + "x" * 250).subscribed()


@case
async def commands_faster_than_the_limit_are_111_and_pass_later(at: Realm, sdk: Sdk) -> None:
    async with at.another({"client": {"max_commands_per_second": 5}}) as slow:
        async with slow.connected(sdk) as peer:
            channel = slow.channel("members")
            calls = [peer.publish(channel, n) for n in range(30)]
            results = await asyncio.gather(*calls, return_exceptions=True)
            found = {(r.code, r.message, r.temporary) for r in results if isinstance(r, Failed)}
            fast = (111, "too many requests", True)
            expect_that(fast in found, f"errors of 30 commands at once: {found}")
            expect("other errors", found - {fast, (103, "permission denied", False)}, set())
            # A subscription that meets it is tried again by the SDK, and succeeds.
            subscriptions = [peer.subscription(slow.channel()) for _ in range(8)]
            for subscription in subscriptions:
                await subscription.subscribe()
            for subscription in subscriptions:
                await subscription.events.until("subscribed")
            expect("events of the connection", peer.events.rest(), [])


@case
async def a_position_that_is_not_there_is_112(at: Realm, sdk: Sdk) -> None:
    async with at.connected(sdk) as peer:
        channel = at.channel()
        await peer.subscription(channel).subscribed()
        await at.api.publish(channel, 1)
        await expect_error(
            "history of another epoch",
            112,
            "unrecoverable position",
            peer.history(channel, 1, (1, "another")),
        )
        top = await peer.history(channel)
        page = await peer.history(channel, 10, (0, top.epoch))
        expect("since the beginning", [p.data for p in page.publications], [1])


@case
async def too_many_errors_are_closed_with_3509(at: Realm, sdk: Sdk) -> None:
    async with at.connected(sdk) as peer:
        calls = [asyncio.create_task(peer.rpc("nothing", n)) for n in range(300)]
        event = await peer.events.next("disconnected", code=3509)
        expect_that(event["reason"], "a reason")
        results = await asyncio.gather(*calls, return_exceptions=True)
        answered = [r for r in results if isinstance(r, Failed) and r.code == 104]
        expect_that(len(answered) > 100, f"{len(answered)} errors before the end")
