"""What the server does to its clients: subscriptions by token and by name, and the orders of the API
(PROTOCOL.md, "Commands", "Server HTTP API").

In: a realm and an SDK. Out: nothing, or a broken case.

Never: knows which SDK it is.
"""

from __future__ import annotations

import asyncio

from .. import tokens
from ..case import expect, expect_that
from ..clients.sdk import Peer, Publication, Sdk
from ..tokens import Issuer
from .realm import Case, Realm, collected

CASES: list[Case] = []
case = collected(CASES)


async def server_side_data(peer: Peer, channel: str, *wanted: object) -> None:
    """The next events of the client are publications of this in a server-side subscription."""
    for one in wanted:
        event = await peer.events.next("publication", channel=channel)
        expect(f"data in {channel}", event["publication"].data, one)


@case
async def a_token_subscribes_to_channels(at: Realm, sdk: Sdk) -> None:
    user = at.user()
    recovered, live, closed = at.channel(), at.channel("live"), at.channel("closed")
    # No permission is needed, and each channel comes once.
    token = tokens.connection(user, channels=[recovered, live, closed, live], subs={live: {}})
    async with at.peer(sdk, token=token) as peer:
        await peer.connected()
        told = {}
        for _ in range(3):
            event = await peer.events.next("subscribed")
            told[event["channel"]] = (event["recoverable"], event["was_recovering"])
        yes, no = (True, False), (False, False)
        expect("told", told, {recovered: yes, live: no, closed: yes})
        for channel in told:
            await at.api.publish(channel, channel, tags={"a": "b"})
            event = await peer.events.next("publication", channel=channel)
            offset = 0 if channel == live else 1
            expect(channel, event["publication"], Publication(channel, offset, {"a": "b"}))


@case
async def info_and_data_of_a_server_side_subscription_are_told(at: Realm, sdk: Sdk) -> None:
    user, channel = at.user(), at.channel("lobby")
    subs = {channel: {"info": {"seat": 4}, "data": {"hello": 1}}}
    token = tokens.connection(user, info={"name": "Ann"}, subs=subs)
    async with at.peer(sdk, token=token) as peer:
        await peer.connected()
        await peer.events.next("subscribed", channel=channel, data={"hello": 1})
        who = {"user": user, "conn_info": {"name": "Ann"}, "chan_info": {"seat": 4}}
        present = (await at.api.call("presence", channel=channel))["presence"]
        expect("presence", present, {peer.id: {"client": peer.id, **who}})
        async with at.connected(sdk) as guest:
            await guest.subscription(channel).subscribed()
            # Its own may come in front.
            await peer.events.until("join", channel=channel, info={"client": guest.id, "user": ""})
            them = {"client": guest.id, "user": ""}
        await peer.events.next("leave", channel=channel, info=them)


@case
async def server_side_subscriptions_recover(at: Realm, sdk: Sdk) -> None:
    user, channel, short = at.user(), at.channel(), at.channel("short")
    token = tokens.connection(user, channels=[channel, short])
    async with at.peer(sdk, token=token) as peer:
        await peer.connected()
        await peer.events.next("subscribed")
        await peer.events.next("subscribed")
        for name in (channel, short):
            await at.api.publish(name, 1)
            await server_side_data(peer, name, 1)
        await at.cut(peer, server_side=[channel, short])
        for name in (channel, short):
            await at.publish(name, *range(2, 9))  # more than `short` keeps
        await at.restore(peer)
        told = {}
        for _ in range(2):
            event = await peer.events.next("subscribed", was_recovering=True)
            told[event["channel"]] = (event["recovered"], event["offset"])
        expect("told", told, {channel: (True, 1), short: (False, 8)})
        await server_side_data(peer, channel, *range(2, 9))
        for name in (channel, short):
            await at.api.publish(name, 9)
            await server_side_data(peer, name, 9)


@case
async def what_the_next_token_lacks_is_unsubscribed(at: Realm, sdk: Sdk) -> None:
    user, stays, goes = at.user(), at.channel(), at.channel()
    first = tokens.connection(user, channels=[stays, goes])
    issuer = Issuer(first, tokens.connection(user, channels=[stays]))
    async with at.peer(sdk, get_token=issuer) as peer:
        await peer.connected()
        await peer.events.next("subscribed")
        await peer.events.next("subscribed")
        # "State invalidated": the SDK drops its token, and asks for another.
        leave = {"code": 3014, "reason": "state invalidated"}
        await at.api.call("disconnect", user=user, disconnect=leave)
        await peer.events.until("connected")
        await peer.events.next("subscribed", channel=stays, was_recovering=True, recovered=False)
        await peer.events.next("unsubscribed", channel=goes)


@case
async def a_personal_channel_belongs_to_its_user(at: Realm, sdk: Sdk) -> None:
    personal = {"personal_channels": True, "personal_namespace": "closed"}
    async with at.another({"client": personal}) as own:
        user = own.user()
        channel = f"closed:#{user}"
        async with own.connected(sdk, user) as peer, own.connected(sdk) as anonymous:
            await peer.events.next("subscribed", channel=channel, recoverable=True)
            await own.api.publish(channel, "for you")
            await server_side_data(peer, channel, "for you")
            await own.cut(peer, server_side=[channel])
            await own.api.publish(channel, "missed")
            await own.restore(peer)
            await peer.events.next("subscribed", channel=channel, recovered=True)
            await server_side_data(peer, channel, "missed")
            told = [event for event in anonymous.events.rest() if "'subscribed'" in event]
            expect("an anonymous client's", told, [])


@case
async def a_channel_of_the_server_can_not_be_subscribed_to_again(at: Realm, sdk: Sdk) -> None:
    channel = at.channel()
    token = tokens.connection(at.user(), channels=[channel])
    async with at.peer(sdk, token=token) as peer:
        await peer.connected()
        await peer.events.next("subscribed", channel=channel)
        subscription = peer.subscription(channel)
        event = await subscription.refused(105)
        expect("reason", event["reason"], "already subscribed")
        await at.api.publish(channel, 1)
        await server_side_data(peer, channel, 1)


@case
async def the_api_subscribes_and_unsubscribes(at: Realm, sdk: Sdk) -> None:
    user, channel = at.user(), at.channel()
    before = await at.api.publish(channel, "before")
    async with at.connected(sdk, user) as peer, at.connected(sdk, at.user()) as other:
        await at.api.call("subscribe", user=user, channel=channel)
        event = await peer.events.next("subscribed", channel=channel, recoverable=True)
        expect("its position", f"{event['offset']}:{event['epoch']}", before)
        await at.api.publish(channel, 1)
        await server_side_data(peer, channel, 1)
        await at.api.call("unsubscribe", user=user, channel=channel)
        await peer.events.next("unsubscribed", channel=channel)
        await at.api.publish(channel, 2)
        await at.api.call("subscribe", user=user, channel=channel, client=peer.id, data={"x": 1})
        await peer.events.next("subscribed", channel=channel, data={"x": 1})
        await at.api.publish(channel, 3)
        await server_side_data(peer, channel, 3)
        expect("another user's events", other.events.rest(), [])


@case
async def the_api_unsubscribes_from_what_a_client_asked_for(at: Realm, sdk: Sdk) -> None:
    user = at.user()
    async with at.connected(sdk, user) as peer, at.connected(sdk, user) as twin:
        channel, other = at.channel(), at.channel()
        subscription, witness = peer.subscription(channel), peer.subscription(other)
        theirs = twin.subscription(channel)
        for one in (subscription, witness, theirs):
            await one.subscribed()
        await at.api.call("unsubscribe", user=user, channel=channel, client=peer.id)
        event = await subscription.events.next("unsubscribed", code=2000)
        expect_that(event["reason"], "a reason")
        await at.api.publish(channel, 1)
        await theirs.data(1)
        await at.api.publish(other, 2)
        await witness.data(2)
        expect("events", subscription.events.rest(), [])
        # It may ask again.
        await subscription.subscribe()
        await subscription.events.next("subscribing")
        await subscription.events.next("subscribed")


@case
async def the_api_disconnects_for_good(at: Realm, sdk: Sdk) -> None:
    user = at.user()
    async with at.connected(sdk, user) as peer, at.connected(sdk, user) as twin:
        own = {"code": 4500, "reason": "go away"}
        await at.api.call("disconnect", user=user, client=peer.id, disconnect=own)
        await peer.events.next("disconnected", code=4500, reason="go away")
        await at.api.call("disconnect", user=user)
        event = await twin.events.next("disconnected", code=3503)
        expect_that(event["reason"], "a reason")


@case
async def the_api_disconnects_for_a_moment(at: Realm, sdk: Sdk) -> None:
    user, channel = at.user(), at.channel()
    async with at.connected(sdk, user) as peer:
        subscription = peer.subscription(channel)
        await subscription.subscribed()
        for code in (3011, 4000, 4499):
            kick = {"code": code, "reason": "come back"}
            await at.api.call("disconnect", user=user, disconnect=kick)
            await peer.events.next("connecting", code=code, reason="come back")
            await subscription.events.next("subscribing")
            await peer.events.until("connected")
            await subscription.events.next("subscribed", was_recovering=True, recovered=True)
        await at.api.publish(channel, 1)
        await subscription.data(1)


@case
async def the_api_ends_a_session_and_the_sdk_brings_a_new_token(at: Realm, sdk: Sdk) -> None:
    user = at.user()
    issuer = Issuer(tokens.connection(user, 600))
    async with at.peer(sdk, get_token=issuer) as peer:
        await peer.connected()
        await at.api.call("refresh", user=user, expired=True)
        event = await peer.events.next("connecting", code=3005)
        expect_that(event["reason"], "a reason")
        await peer.events.until("connected")


@case
async def the_api_moves_the_end_of_a_session(at: Realm, sdk: Sdk) -> None:
    user, channel = at.user(), at.channel()
    async with at.another({"client": {"expiry_grace": 0.5}}) as brief:
        # Its SDK knows of no end: it asks for no token.
        async with brief.connected(sdk, user) as peer:
            await brief.api.call("refresh", user=user, expire_at=tokens.at(1))
            await peer.events.next("connecting", code=3005)
            await peer.events.until("connected")
        # And this one's end is moved behind what the test waits for.
        issuer = tokens.Silent(tokens.connection(user, 1), "")
        async with brief.peer(sdk, get_token=issuer) as peer:
            await peer.connected()
            await brief.api.call("refresh", user=user, expire_at=tokens.at(600))
            await issuer.asked_for(2)
            await asyncio.sleep(1.5)  # the token's end and its grace
            subscription = peer.subscription(channel)
            await subscription.subscribed()
            expect("events of the connection", peer.events.rest(), [])
