"""Channels that need a token, and channels of users (PROTOCOL.md, "JWT", "Channels").

In: a realm and an SDK. Out: nothing, or a broken case.

Never: knows which SDK it is.
"""

from __future__ import annotations

import asyncio
import time

from .. import tokens
from ..case import expect, expect_that
from ..clients.sdk import Sdk
from ..tokens import Issuer, Silent
from .realm import Case, Realm, collected

CASES: list[Case] = []
case = collected(CASES)


@case
async def a_private_channel_asks_for_a_token(at: Realm, sdk: Sdk) -> None:
    user = at.user()
    for namespace in ["open", "closed", ""]:
        channel = at.channel(namespace, "$")
        issuer = Issuer(tokens.subscription(user, channel, 600))
        async with at.connected(sdk, user) as peer:
            subscription = peer.subscription(channel, get_token=issuer)
            await subscription.subscribed()
            expect("asked", issuer.asked, [channel])
            await at.api.publish(channel, 1)
            await subscription.data(1)
            # It shows the same token when it comes back.
            await at.cut(peer)
            await subscription.events.next("subscribing")
            await at.restore(peer)
            await subscription.events.next("subscribed")
            expect("asked", issuer.asked, [channel])


@case
async def without_a_token_a_private_channel_is_103(at: Realm, sdk: Sdk) -> None:
    async with at.connected(sdk, at.user()) as peer:
        for namespace in ["open", "closed", ""]:
            await peer.subscription(at.channel(namespace, "$")).refused(103)


@case
async def a_token_opens_what_is_closed_and_says_who_is_there(at: Realm, sdk: Sdk) -> None:
    user, channel = at.user(), at.channel("closed")
    async with at.connected(sdk, user) as peer:
        await peer.subscription(channel).refused(103)
    token = tokens.subscription(user, channel, info={"role": "host"})
    async with at.connected(sdk, user) as peer:
        await peer.subscription(channel, token=token).subscribed(recoverable=True)
        present = (await at.api.call("presence", channel=channel))["presence"]
        expect("info", present[peer.id].get("chan_info"), {"role": "host"})


@case
async def a_token_overrides_what_its_namespace_says(at: Realm, sdk: Sdk) -> None:
    user = at.user()
    async with at.connected(sdk, user) as peer:
        for namespace, recovers in [("asked", True), ("open", False)]:
            channel = at.channel(namespace)
            override = {"force_recovery": {"value": recovers}}
            token = tokens.subscription(user, channel, override=override)
            await peer.subscription(channel, token=token).subscribed(recoverable=recovers)


@case
async def a_token_for_something_else_gets_103(at: Realm, sdk: Sdk) -> None:
    user, channel = at.user(), at.channel("open", "$")
    good = tokens.subscription(user, channel)
    wrong = {
        "another channel": tokens.subscription(user, at.channel("open", "$")),
        "another user": tokens.subscription(at.user(), channel),
        "nobody": tokens.subscription("", channel),
        "another client": tokens.subscription(user, channel, client="somebody-else"),
        "another key": tokens.token(
            {"sub": user, "channel": channel}, key="another-key-of-the-same-length-0"
        ),
        "alg none": tokens.token({"sub": user, "channel": channel}, algorithm="none"),
        "a connection": tokens.connection(user),
        "nothing": "nonsense",
    }
    for what, token in wrong.items():
        async with at.connected(sdk, user) as peer:
            event = await peer.subscription(channel, token=token).refused(103)
            expect(f"{what}: reason", event["reason"], "permission denied")
    async with at.connected(sdk, user) as peer:
        await peer.subscription(channel, token=good).subscribed()
        # A token is looked at where none is needed, too.
        other = peer.subscription(at.channel(), token=good)
        await other.refused(103)


@case
async def a_token_of_one_client_is_its_alone(at: Realm, sdk: Sdk) -> None:
    user, channel = at.user(), at.channel("open", "$")
    async with at.connected(sdk, user) as peer:
        token = tokens.subscription(user, channel, client=peer.id)
        await peer.subscription(channel, token=token).subscribed()


@case
async def an_expired_subscription_token_gets_109_and_the_sdk_brings_a_new_one(
    at: Realm, sdk: Sdk
) -> None:
    user, channel = at.user(), at.channel("open", "$")
    issuer = Issuer(tokens.subscription(user, channel, 600))
    async with at.connected(sdk, user) as peer:
        expired = tokens.subscription(user, channel, -1)
        subscription = peer.subscription(channel, token=expired, get_token=issuer)
        await subscription.subscribe()
        await subscription.events.next("subscribing")
        await subscription.events.next("error", code=109)
        await subscription.events.next("subscribed")
        expect("asked", issuer.asked, [channel])
        without = at.channel("open", "$")
        gone = peer.subscription(without, token=tokens.subscription(user, without, -1))
        await gone.subscribe()
        await gone.events.until("unsubscribed", code=1, reason="unauthorized")


@case
async def a_subscription_is_refreshed_whenever_its_time_runs_out(at: Realm, sdk: Sdk) -> None:
    user, channel, grace = at.user(), at.channel("open", "$"), 1.5

    def brief_token() -> str:
        return tokens.subscription(user, channel, 1)

    issuer = Issuer(brief_token, brief_token, tokens.subscription(user, channel, 600))
    async with at.another({"client": {"expiry_grace": grace}}) as brief:
        async with brief.connected(sdk, user) as peer:
            subscription = peer.subscription(channel, get_token=issuer)
            await subscription.subscribed()
            await issuer.asked_for(3)
            await asyncio.sleep(grace + 1)  # what would have ended is over
            await brief.api.publish(channel, 1)
            await subscription.data(1)
            expect("asked", issuer.asked, [channel] * 3)


@case
async def a_subscription_that_is_not_refreshed_ends_and_is_begun_anew(at: Realm, sdk: Sdk) -> None:
    user, channel = at.user(), at.channel("open", "$")
    silent = Silent(tokens.subscription(user, channel, 1), tokens.subscription(user, channel, 600))
    async with at.another({"client": {"expiry_grace": 0.5}}) as brief:
        async with brief.connected(sdk, user) as peer:
            subscription = peer.subscription(channel, get_token=silent)
            await subscription.subscribed()
            event = await subscription.events.next("subscribing", code=2501)
            expect_that(event["reason"], "a reason")
            await brief.api.publish(channel, "meanwhile")
            # It shows what it has, which has expired, and then asks.
            await subscription.events.next("error", code=109)
            silent.speak()
            await subscription.events.until("subscribed", was_recovering=True, recovered=True)
            await subscription.data("meanwhile")
            expect("events of the connection", peer.events.rest(), [])


@case
async def a_refresh_with_a_wrong_token_ends_the_subscription(at: Realm, sdk: Sdk) -> None:
    user = at.user()
    async with at.connected(sdk, user) as peer:
        for what in ["another channel", "another user"]:
            channel = at.channel("open", "$")
            wrong = {
                "another channel": tokens.subscription(user, at.channel("open", "$"), 600),
                "another user": tokens.subscription(at.user(), channel, 600),
            }
            issuer = Issuer(tokens.subscription(user, channel, 1), wrong[what])
            subscription = peer.subscription(channel, get_token=issuer)
            await subscription.subscribed()
            event = await subscription.events.next("unsubscribed", code=103)
            expect_that(event["reason"], f"{what}: a reason")
            await at.settled(peer)
            stats = await at.api.call("presence_stats", channel=channel)
            expect("subscribers that are left", stats["num_clients"], 0)


@case
async def a_user_channel_is_for_those_it_names(at: Realm, sdk: Sdk) -> None:
    ann, bob, eve = at.user(), at.user(), at.user()
    channel = f"members:talk-{ann}#{ann},{bob}"
    async with (
        at.connected(sdk, ann) as one,
        at.connected(sdk, bob) as two,
        at.connected(sdk, eve) as third,
        at.connected(sdk) as anonymous,
    ):
        ours, theirs = one.subscription(channel), two.subscription(channel)
        await ours.subscribed()
        await theirs.subscribed()
        await third.subscription(channel).refused(103)
        await anonymous.subscription(channel).refused(103)
        await at.api.publish(channel, "hello")
        await ours.data("hello")
        await theirs.data("hello")


@case
async def expire_at_of_a_subscription_token_is_when_it_ends(at: Realm, sdk: Sdk) -> None:
    user, channel = at.user(), at.channel("open", "$")
    soon = tokens.subscription(user, channel, 600, expire_at=tokens.at(1))
    issuer = Issuer(soon, tokens.subscription(user, channel, 600, expire_at=0))
    async with at.connected(sdk, user) as peer:
        subscription = peer.subscription(channel, get_token=issuer)
        begin = time.monotonic()
        await subscription.subscribed()
        await issuer.asked_for(2)
        took = time.monotonic() - begin
        expect_that(took < 5, f"asked for another after {took:.1f} s")
        await at.api.publish(channel, 1)
        await subscription.data(1)
