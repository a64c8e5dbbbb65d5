"""What a client gets when it comes back: everything, in order, once; or the word that it did not (PROTOCOL.md,
"Subscribe and recover").

In: a realm and an SDK. Out: nothing, or a broken case.

Never: knows which SDK it is.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from dataclasses import replace
from os import urandom

from .. import tokens
from ..case import Broken, expect, expect_that
from ..clients.sdk import Events, Peer, Sdk, Subscription
from ..relay import counting
from ..stack import SHORT_HISTORY_SIZE
from .realm import Case, Realm, collected

CASES: list[Case] = []
case = collected(CASES)

BURST = 100


async def publish(at: Realm, channel: str, *values: object) -> tuple[int, str]:
    """Publishes; gives the last one's offset and epoch."""
    for value in values:
        position = await at.api.publish(channel, value)
    offset, epoch = position.split(":")
    return int(offset), epoch


async def came_back(
    at: Realm, peer: Peer, subscription: Subscription, *missed: object, **wanted: object
) -> None:
    """Cuts, publishes what it misses, lets it come back, and looks at what it is told."""
    await at.cut(peer)
    await subscription.events.next("subscribing")
    if missed:
        await publish(at, subscription.channel, *missed)
    await at.restore(peer)
    await subscription.events.next("subscribed", **wanted)


@case
async def nothing_is_lost_over_a_cut(at: Realm, sdk: Sdk) -> None:
    channel = at.channel()
    async with at.connected(sdk) as peer:
        subscription = peer.subscription(channel)
        first = await subscription.subscribed(
            positioned=True, recoverable=True, was_recovering=False, recovered=False, offset=0
        )
        await publish(at, channel, 1, 2)
        await subscription.data(1, 2)
        told = {"was_recovering": True, "recovered": True, "epoch": first["epoch"]}
        # It is told the position that it had, and what follows.
        await came_back(at, peer, subscription, 3, 4, 5, offset=2, **told)
        await subscription.data(3, 4, 5)
        await publish(at, channel, 6)
        await subscription.data(6)
        await came_back(at, peer, subscription, offset=6, **told)
        await came_back(at, peer, subscription, 7, offset=6, **told)
        await subscription.data(7)
        await publish(at, channel, 8)
        await subscription.data(8)
        expect("events", subscription.events.rest(), [])


@case
async def what_is_published_meanwhile_comes_once_and_in_order(at: Realm, sdk: Sdk) -> None:
    channel, count, cuts = at.channel(), 200, 4
    async with at.connected(sdk) as peer:
        subscription = peer.subscription(channel)
        await subscription.subscribed()

        async def publishing() -> None:
            for n in range(1, count + 1):
                await at.api.publish(channel, n)

        task = asyncio.create_task(publishing())
        seen = 0
        while seen < count:
            event = await subscription.events.until("publication")
            offset, data = event["publication"].offset, event["publication"].data
            expect("offset and data", (offset, data), (seen + 1, seen + 1))
            seen += 1
            if seen % (count // (cuts + 1)) == 0 and seen < count:
                # While publications go on, whatever has come of them.
                await at.cut(peer)
                await at.restore(peer)
        await task
        history = await peer.history(channel)
        expect("published", history.offset, count)


@case
async def a_recovery_is_told_apart_from_a_loss(at: Realm, sdk: Sdk) -> None:
    channel = at.channel("short")
    async with at.connected(sdk) as peer:
        subscription = peer.subscription(channel)
        await subscription.subscribed()
        await publish(at, channel, 1)
        await subscription.data(1)
        # As many as are kept.
        kept = list(range(2, 2 + SHORT_HISTORY_SIZE))
        await came_back(at, peer, subscription, *kept, was_recovering=True, recovered=True)
        await subscription.data(*kept)
        # One more: none of them, and the position of now.
        lost = list(range(100, 101 + SHORT_HISTORY_SIZE))
        top = 1 + len(kept) + len(lost)
        told = {"was_recovering": True, "recovered": False, "offset": top}
        await came_back(at, peer, subscription, *lost, **told)
        await publish(at, channel, "live")
        await subscription.data("live")
        # And from there it goes on as if nothing had been.
        await came_back(at, peer, subscription, "missed", was_recovering=True, recovered=True)
        await subscription.data("missed")


@case
async def history_that_was_removed_is_not_recovered(at: Realm, sdk: Sdk) -> None:
    channel = at.channel()
    async with at.connected(sdk) as peer:
        subscription = peer.subscription(channel)
        await subscription.subscribed()
        await publish(at, channel, 1)
        await subscription.data(1)
        await at.cut(peer)
        await subscription.events.next("subscribing")
        await publish(at, channel, 2)
        await at.api.call("history_remove", channel=channel)
        await at.restore(peer)
        await subscription.events.next("subscribed", was_recovering=True, recovered=False)
        await publish(at, channel, 3)
        await subscription.data(3)


@case
async def another_daemon_is_another_epoch(at: Realm, sdk: Sdk) -> None:
    channel = at.channel()
    async with at.connected(sdk) as peer, at.another({}) as fresh:
        subscription = peer.subscription(channel)
        first = await subscription.subscribed()
        await publish(at, channel, 1)
        await subscription.data(1)
        at.relay.cut()
        await peer.events.next("connecting")
        await subscription.events.next("subscribing")
        await publish(fresh, channel, "there", "there")
        async with at.relay.leading_to(fresh.main):
            await at.restore(peer)
            event = await subscription.events.next(
                "subscribed", was_recovering=True, recovered=False, offset=2
            )
            if event["epoch"] == first["epoch"]:
                raise Broken("both daemons have one epoch")
            await publish(fresh, channel, 2)
            await subscription.data(2)
            await at.cut(peer)
        await at.restore(peer)


@case
async def who_asks_may_recover_where_nobody_is_forced(at: Realm, sdk: Sdk) -> None:
    async with at.connected(sdk) as peer:
        for options, wanted in [
            ({}, {"positioned": False, "recoverable": False}),
            ({"positioned": True}, {"positioned": True, "recoverable": False}),
            ({"recoverable": True}, {"recoverable": True}),
        ]:
            channel = at.channel("asked")
            subscription = peer.subscription(channel, **options)  # type: ignore[arg-type]
            await subscription.subscribed(**wanted)
            await publish(at, channel, 1)
            event = await subscription.events.next("publication")
            # Whoever has no position gets no offset to keep one by, or one that it may ignore.
            if options:
                expect("offset", event["publication"].offset, 1)
            may = wanted["recoverable"]
            await at.cut(peer)
            await subscription.events.next("subscribing")
            await publish(at, channel, 2)
            await at.restore(peer)
            await subscription.events.next("subscribed", was_recovering=may, recovered=may)
            if may:
                await subscription.data(2)
            await publish(at, channel, 3)
            await subscription.data(3)
            await subscription.unsubscribe()


@case
async def who_may_not_read_history_gets_no_position(at: Realm, sdk: Sdk) -> None:
    async with at.connected(sdk) as peer:
        for namespace, positioned in [("mute", False), ("placed", True)]:
            channel = at.channel(namespace)
            subscription = peer.subscription(channel, recoverable=True, positioned=True)
            await subscription.subscribed(positioned=positioned, recoverable=False)
            await at.api.publish(subscription.channel, 1)
            await subscription.data(1)


@case
async def a_position_that_an_app_brings_is_recovered_from_or_refused_with_112(
    at: Realm, sdk: Sdk
) -> None:
    channel = at.channel()
    offset, epoch = await publish(at, channel, 1, 2, 3)
    asked: list[str] = []
    states = [(9, epoch), (2, "another"), (1, epoch)]

    async def get_state(channel: str) -> tuple[int, str]:
        asked.append(channel)
        return states.pop(0)

    async with at.connected(sdk) as peer:
        subscription = peer.subscription(channel, get_state=get_state)
        # The first two can't be: 112, and the app is asked again. No error reaches it.
        await subscription.subscribed(was_recovering=True, recovered=True, offset=1)
        await subscription.data(2, 3)
        expect("how often the app was asked", asked, [channel] * 3)
        await publish(at, channel, 4)
        await subscription.data(4)
        expect("offset", offset, 3)


@case
async def in_cache_mode_the_latest_comes_at_once_and_after_a_cut(at: Realm, sdk: Sdk) -> None:
    channel = at.channel("state")
    await at.publish(channel, "first", "second")

    async def get_state(_: str) -> tuple[int, str]:
        return 0, ""

    async with at.connected(sdk) as peer:
        subscription = peer.subscription(channel, get_state=get_state)
        await subscription.subscribed(was_recovering=True, recovered=True)
        await subscription.data("second")
        await at.cut(peer)
        await subscription.events.next("subscribing")
        await at.publish(channel, "third", "fourth")
        await at.restore(peer)
        await subscription.events.next("subscribed", was_recovering=True, recovered=True)
        await subscription.data("fourth")
        await at.publish(channel, "fifth")
        await subscription.data("fifth")


@case
async def many_publications_are_recovered_up_to_a_page(at: Realm, sdk: Sdk) -> None:
    async with at.another({"namespaces": {"open": {"history_size": 1000}}}) as large:
        channel = large.channel()
        async with large.connected(sdk) as peer:
            subscription = peer.subscription(channel)
            await subscription.subscribed()
            for count, recovered in [(300, True), (301, False)]:
                await large.cut(peer)
                await subscription.events.next("subscribing")
                await large.publish(channel, *range(count))
                await large.restore(peer)
                await subscription.events.next(
                    "subscribed", was_recovering=True, recovered=recovered
                )
                if recovered:
                    await subscription.data(*range(count))
            await publish(large, channel, "live")
            await subscription.data("live")


@case
async def who_has_missed_something_is_told_and_recovers_by_itself(at: Realm, sdk: Sdk) -> None:
    # A worker's inbox of one publication: a burst does not fit.
    async with at.another({"workers": 1, "inbox": {"deliveries_max": 1}}) as narrow:
        user, ours, theirs = narrow.user(), narrow.channel(), narrow.channel()
        token = tokens.connection(user, channels=[theirs])
        async with narrow.peer(sdk, token=token) as peer, narrow.connected(sdk) as other:
            await peer.connected()
            await peer.events.next("subscribed", channel=theirs)
            subscription = other.subscription(ours)
            await subscription.subscribed()
            # What a client has asked for is subscribed again.
            code = await all_in_order(narrow, ours, subscription.events, "subscribing")
            expect("unsubscribed with", code, 2500)
            # What the server gave, it gives again to who connects again.
            code = await all_in_order(narrow, theirs, peer.events, "connecting")
            expect("disconnected with", code, 3010)


@case
async def who_reads_too_slowly_is_closed_with_3008_and_comes_back(at: Realm, sdk: Sdk) -> None:
    channel, lobby = at.channel(), at.channel("lobby")
    text = b64encode(urandom(36 << 10)).decode()  # which no compression makes much smaller
    async with at.another({"websocket": {"max_output_bytes": 1 << 17}}) as tight:
        # The witness is not behind the relay that is held.
        async with counting(tight.main) as aside:
            swift = replace(tight, relay=aside)
            async with tight.connected(sdk) as slow, swift.connected(sdk) as witness:
                watching = witness.subscription(lobby)
                await watching.subscribed()
                await slow.subscription(lobby).subscribed()
                subscription = slow.subscription(channel)
                await subscription.subscribed()
                await watching.events.until("join", info={"client": slow.id, "user": ""})
                tight.relay.hold()
                gone = asyncio.create_task(watching.events.next("leave"))
                published = 0
                while not gone.done():  # the kernel holds some megabytes
                    await tight.publish(channel, *[f"{n} {text}" for n in range(10)])
                    published += 10
                expect("who has left", (await gone)["info"]["client"], slow.id)
                tight.relay.release()
                event = await slow.events.next("connecting", code=3008)
                expect_that(event["reason"], "a reason")
                seen = 0
                while (
                    event := await subscription.events.any("publication", "subscribing")
                ).kind == ("publication"):
                    seen += 1
                    expect("offset", event["publication"].offset, seen)
                event = await subscription.events.next("subscribed", was_recovering=True)
                # As much as one answer may hold, or the word that it was more.
                expect(
                    "where it stands", event["offset"], seen if event["recovered"] else published
                )


async def all_in_order(at: Realm, channel: str, events: Events, interrupted: str) -> int:
    """Publishes in bursts till the client is interrupted, and everything has come; gives the code of that."""
    seen = published = code = 0
    while not code or seen < published:
        if seen == published:
            expect_that(published < 10 * BURST, f"no {interrupted} in {published} publications")
            burst = [{"publish": {"channel": channel, "data": n}} for n in range(BURST)]
            body = json.dumps({"commands": burst}).encode()
            expect("status", (await at.api.post("batch", body)).status, 200)
            published += BURST
        event = await events.any(
            "publication", "subscribing", "subscribed", "connecting", "connected"
        )
        if event.kind == "publication":
            seen += 1
            expect("offset", event["publication"].offset, seen)
        elif event.kind == interrupted:
            code = event["code"]
        elif event.kind == "subscribed":
            expect(f"recovered: {event}", event["recovered"], True)
    return code
