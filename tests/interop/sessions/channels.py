"""What happens in channels: publications, history, presence, who comes and goes (PROTOCOL.md, "Commands",
"Channels").

In: a realm and an SDK. Out: nothing, or a broken case.

Never: knows which SDK it is.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode

from ..case import expect, expect_that
from ..clients.python_centrifuge import PythonCentrifuge
from ..clients.python_websockets import PythonWebsockets
from ..clients.sdk import Publication, Sdk
from .realm import Case, Realm, collected

CASES: list[Case] = []
case = collected(CASES)

BYTES = bytes(range(256))
VALUES = [
    {"text": "héllo, wörld: 말 \U0001f3ba"},
    "a string",
    [1, 2.5, None, True],
    17,
    False,
    {"newlines": "a\nb\r\nc\u2028", "nested": {"push": {"channel": "x"}}},
    {},
    "",
]


@case
async def what_clients_publish_reaches_all_with_who_it_was(at: Realm, sdk: Sdk) -> None:
    user, channel = at.user(), at.channel()
    async with at.connected(sdk, user) as one, at.connected(sdk) as other:
        theirs = other.subscription(channel)
        ours = one.subscription(channel)
        await ours.subscribed()
        await theirs.subscribed()
        who = {"client": one.id, "user": user}
        for offset, value in enumerate(VALUES, 1):
            await one.publish(channel, value)
            wanted = Publication(value, offset, {}, who)
            for subscription in (ours, theirs):
                event = await subscription.events.next("publication")
                expect(f"{value!r} in {subscription.channel}", event["publication"], wanted)


@case
async def what_the_api_publishes_reaches_all_with_its_tags(at: Realm, sdk: Sdk) -> None:
    channel = at.channel()
    async with at.connected(sdk) as peer:
        subscription = peer.subscription(channel)
        await subscription.subscribed()
        tags = {"color": "red", "n": "1"}
        for offset, value in enumerate(VALUES, 1):
            await at.api.publish(channel, value, tags=tags)
            event = await subscription.events.next("publication")
            expect(f"{value!r}", event["publication"], Publication(value, offset, tags))
        await at.api.call("broadcast", channels=[at.channel(), channel], data=1)
        await subscription.data(1)


@case
async def without_history_publications_have_no_offset(at: Realm, sdk: Sdk) -> None:
    async with at.connected(sdk, at.user()) as peer:
        for namespace in ["live", ""]:
            channel = at.channel(namespace)
            subscription = peer.subscription(channel)
            event = await subscription.subscribed(positioned=False, recoverable=False)
            expect_that("offset" not in event.fields, f"no position: {event}")
            await at.api.publish(channel, 1)
            await peer.publish(channel, 2)
            for value in [1, 2]:
                event = await subscription.events.next("publication")
                expect("offset", event["publication"].offset, 0)
                expect("data", event["publication"].data, value)


@case
async def many_commands_at_once_are_all_answered(at: Realm, sdk: Sdk) -> None:
    async with at.connected(sdk) as peer:
        channels = [at.channel() for _ in range(100)]
        subscriptions = [peer.subscription(channel) for channel in channels]
        for subscription in subscriptions:
            await subscription.subscribe()
        for subscription in subscriptions:
            await subscription.events.next("subscribing")
            await subscription.events.next("subscribed")
        await asyncio.gather(*(peer.publish(channel, channel) for channel in channels))
        for subscription in subscriptions:
            await subscription.data(subscription.channel)
        pages = await asyncio.gather(*(peer.history(channel, 10) for channel in channels))
        found = [[p.data for p in page.publications] for page in pages]
        expect("history", found, [[channel] for channel in channels])


@case
async def publications_come_in_the_order_of_their_offsets(at: Realm, sdk: Sdk) -> None:
    channel, count = at.channel(), 200
    async with at.connected(sdk) as peer, at.connected(sdk) as other:
        subscription = peer.subscription(channel)
        await subscription.subscribed()
        await other.subscription(channel).subscribed()
        by_api = [at.api.publish(channel, {"api": n}) for n in range(count // 4)]
        by_client = [other.publish(channel, {"client": n}) for n in range(count)]
        await asyncio.gather(*by_api, *by_client)
        found = [await subscription.events.next("publication") for _ in range(count + count // 4)]
        offsets = [event["publication"].offset for event in found]
        expect("offsets", offsets, list(range(1, len(found) + 1)))
        data = [event["publication"].data for event in found]
        # One client's own publications keep their order, too.
        sent = [value["client"] for value in data if "client" in value]
        expect("the client's", sent, list(range(count)))


@case
async def an_unsubscribed_channel_is_quiet(at: Realm, sdk: Sdk) -> None:
    channel = at.channel()
    async with at.connected(sdk) as peer:
        subscription = peer.subscription(channel)
        witness = peer.subscription(at.channel())
        await subscription.subscribed()
        await witness.subscribed()
        await subscription.unsubscribe()
        await subscription.events.next("unsubscribed", code=0)
        await at.settled(peer)
        stats = await at.api.call("presence_stats", channel=channel)
        expect("subscribers", stats["num_clients"], 0)
        await at.api.publish(channel, 1)
        await at.api.publish(witness.channel, 2)
        await witness.data(2)
        expect("events", subscription.events.rest(), [])
        await subscription.subscribe()
        await subscription.events.next("subscribing")
        # It recovers what it has missed: the SDK kept its position.
        await subscription.events.next("subscribed", was_recovering=True, recovered=True)
        await subscription.data(1)


@case
async def back_and_forth_without_waiting_ends_where_it_should(at: Realm, sdk: Sdk) -> None:
    async with at.connected(sdk) as peer:
        stays, leaves = peer.subscription(at.channel()), peer.subscription(at.channel())
        for _ in range(3):
            for subscription in (stays, leaves):
                await subscription.subscribe()
                await subscription.unsubscribe()
        await stays.subscribe()
        await stays.events.until("subscribed")
        await at.api.publish(stays.channel, 1)
        await at.api.publish(leaves.channel, 1)
        await stays.data(1)
        for subscription, count in [(stays, 1), (leaves, 0)]:
            stats = await at.api.call("presence_stats", channel=subscription.channel)
            expect("subscribers", stats["num_clients"], count)
        expect("events of the connection", peer.events.rest(), [])
        told = [e for e in leaves.events.rest() if "'publication'" in e or "'error'" in e]
        expect("told of the channel that was left", told, [])


@case
async def history_is_read_in_pages_both_ways(at: Realm, sdk: Sdk) -> None:
    channel = at.channel()
    positions = [await at.api.publish(channel, n, tags={"n": str(n)}) for n in range(10)]
    epoch = positions[0].split(":")[1]
    async with at.connected(sdk) as peer:
        await peer.subscription(channel).subscribed()
        top = await peer.history(channel)
        expect("without a limit", (top.publications, top.offset, top.epoch), ([], 10, epoch))
        ways = {
            "the first ones": (dict(limit=3), [0, 1, 2]),
            "all": (dict(limit=-1), list(range(10))),
            "more than there are": (dict(limit=100), list(range(10))),
            "the last ones": (dict(limit=3, reverse=True), [9, 8, 7]),
            "since": (dict(limit=100, since=(7, epoch)), [7, 8, 9]),
            "since, a page": (dict(limit=2, since=(4, epoch)), [4, 5]),
            "since the top": (dict(limit=5, since=(10, epoch)), []),
            "before": (dict(limit=3, since=(5, epoch), reverse=True), [3, 2, 1]),
        }
        for what, (asked, wanted) in ways.items():
            page = await peer.history(channel, **asked)  # type: ignore[arg-type]
            expect(what, [p.data for p in page.publications], wanted)
            expect(f"{what}: offsets", [p.offset - 1 for p in page.publications], wanted)
            expect(f"{what}: the top", (page.offset, page.epoch), (10, epoch))
            tags = [{"n": str(n)} for n in wanted]
            expect(f"{what}: tags", [p.tags for p in page.publications], tags)
        empty = at.channel()
        await peer.subscription(empty).subscribed()
        page = await peer.history(empty, 5)
        expect("an empty channel", (page.publications, page.offset), ([], 0))
        expect_that(page.epoch, "an epoch of an empty channel")


@case
async def history_is_capped_at_300_a_page(at: Realm, sdk: Sdk) -> None:
    async with at.another({"namespaces": {"open": {"history_size": 400}}}) as large:
        channel = large.channel()
        await large.publish(channel, *range(320))
        async with large.connected(sdk) as peer:
            await peer.subscription(channel).subscribed()
            first = await peer.history(channel, 1000)
            expect("the first page", [p.data for p in first.publications], list(range(300)))
            rest = await peer.history(channel, 1000, (300, first.epoch))
            expect("the rest", [p.data for p in rest.publications], list(range(300, 320)))


@case
async def presence_shows_who_is_subscribed(at: Realm, sdk: Sdk) -> None:
    user, channel = at.user(), at.channel()
    async with (
        at.connected(sdk, user) as one,
        at.connected(sdk, user) as two,
        at.connected(sdk) as anonymous,
    ):
        for peer in (one, two, anonymous):
            await peer.subscription(channel).subscribed()
        wanted = {
            one.id: {"client": one.id, "user": user},
            two.id: {"client": two.id, "user": user},
            anonymous.id: {"client": anonymous.id, "user": ""},
        }
        expect("presence", await anonymous.presence(channel), wanted)
        expect("stats", await one.presence_stats(channel), {"num_clients": 3, "num_users": 2})
        empty = at.channel("library")
        expect("presence of an empty channel", await one.presence(empty), {})
        nobody = {"num_clients": 0, "num_users": 0}
        expect("stats of an empty channel", await one.presence_stats(empty), nobody)


@case
async def joins_and_leaves_are_told_to_who_asks(at: Realm, sdk: Sdk) -> None:
    user = at.user()
    for namespace, asks in [("rooms", True), ("lobby", False)]:
        channel = at.channel(namespace)
        async with at.connected(sdk) as watcher, at.connected(sdk) as deaf:
            watching = watcher.subscription(channel, join_leave=asks)
            await watching.subscribed()
            listening = deaf.subscription(channel)
            await listening.subscribed()
            # Its own may come in front.
            await watching.events.until("join", info={"client": deaf.id, "user": ""})
            async with at.connected(sdk, user) as guest:
                visit = guest.subscription(channel)
                await visit.subscribed()
                who = {"client": guest.id, "user": user}
                await watching.events.next("join", info=who)
                await visit.unsubscribe()
                await watching.events.next("leave", info=who)
                await visit.subscribe()
                await watching.events.next("join", info=who)
            await watching.events.next("leave", info=who)
            await at.api.publish(channel, 1)
            await listening.events.until("publication")
            if namespace == "rooms":
                await watching.data(1)
                expect("told to who has not asked", listening.events.rest(), [])


@case
async def other_wires_and_raw_clients_get_the_same(at: Realm, sdk: Sdk) -> None:
    channel = at.channel()
    async with at.connected(sdk) as peer:
        subscription = peer.subscription(channel)
        await subscription.subscribed()
        raw = await PythonWebsockets().open(f"ws://127.0.0.1:{at.relay.port}/raw/{channel}")
        try:
            await peer.publish(channel, {"n": 1})
            await subscription.data({"n": 1})
            expect("what a raw client gets", json.loads(str(await raw.receive())), {"n": 1})
            await at.api.publish(channel, BYTES)
            expect("bytes of the API, raw", await raw.receive(), BYTES)
            # JSON has no bytes: base64.
            await subscription.data(BYTES if sdk.is_protobuf else b64encode(BYTES).decode())
            await raw.send("text, not JSON")
            expect("its own", await raw.receive(), "text, not JSON")
            event = await subscription.events.next("publication")
            text = event["publication"].data
            expect("text", text, b"text, not JSON" if sdk.is_protobuf else "text, not JSON")
        finally:
            await raw.close()


@case
async def nothing_that_is_published_forges_a_message(at: Realm, sdk: Sdk) -> None:
    forged = b'{"push":{"channel":"%s","pub":{"data":"forged"}}}'
    channel = at.channel()
    push = forged.replace(b"%s", channel.encode())
    sent = {
        b'{"a":1}\n' + push: None,
        push + b"\n" + push: None,
        b'"a\nb"': None,
        b'{"a":\n1,\r\n"b":2}\n': {"a": 1, "b": 2},
        b"\n": None,
        b"\xff\xfe": None,
        b"[" * 5000: None,
    }
    protobuf = PythonCentrifuge(is_protobuf=True)
    async with at.connected(sdk) as peer, at.connected(protobuf) as forger:
        subscription = peer.subscription(channel)
        await subscription.subscribed()
        await forger.subscription(channel).subscribed()
        for offset, (data, value) in enumerate(sent.items(), 1):
            await forger.publish(channel, data)
            event = await subscription.events.next("publication")
            found = event["publication"]
            expect(f"offset of {data!r}", found.offset, offset)
            if value is not None:
                expect(f"{data!r}", found.data, value)
            elif not sdk.is_protobuf:
                # No JSON: bytes, as a string in base64.
                expect(f"{data!r}", found.data, b64encode(data).decode())
            elif data:
                expect(f"{data!r}", found.data, data)
        page = await peer.history(channel, 100)
        expect("history", len(page.publications), len(sent))
