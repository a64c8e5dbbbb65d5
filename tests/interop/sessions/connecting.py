"""Who gets a session, for how long, and how it ends (PROTOCOL.md, "JWT", "Codes", "Ping").

In: a realm and an SDK. Out: nothing, or a broken case.

Never: knows which SDK it is.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import tempfile
import time
from typing import Any

from .. import tokens
from ..case import Broken, expect, expect_that
from ..clients.python_websockets import PythonWebsockets
from ..clients.sdk import Sdk
from ..daemon import BINARY, toml
from ..tokens import Issuer, Silent
from .realm import SETTINGS, Case, Realm, collected

CASES: list[Case] = []
case = collected(CASES)


@case
async def an_anonymous_client_connects(at: Realm, sdk: Sdk) -> None:
    async with at.peer(sdk) as peer:
        await peer.connected(data=None)
        expect_that(peer.id, "a client's id")
        channel = at.channel()
        await peer.subscription(channel).subscribed()
        info = {"client": peer.id, "user": ""}
        expect("presence", await peer.presence(channel), {peer.id: info})


@case
async def without_anonymous_clients_no_token_is_closed_with_3501(at: Realm, sdk: Sdk) -> None:
    async with at.another({"client": {"allow_anonymous": False}}) as strict:
        async with strict.peer(sdk) as peer:
            event = await peer.refused(3501)
            expect_that(event["reason"], "a reason")
        async with strict.connected(sdk, strict.user()) as peer:
            expect_that(peer.id, "who has a token gets in")


@case
async def a_token_says_who_it_is(at: Realm, sdk: Sdk) -> None:
    user, channel = at.user(), at.channel()
    token = tokens.connection(user, 600, info={"name": "Ann"})
    async with at.peer(sdk, token=token) as peer:
        await peer.connected()
        await peer.subscription(channel).subscribed()
        info = {"client": peer.id, "user": user, "conn_info": {"name": "Ann"}}
        expect("presence", await peer.presence(channel), {peer.id: info})


@case
async def a_token_of_the_command_line_is_one(at: Realm, sdk: Sdk) -> None:
    user, channel = at.user(), at.channel("closed")
    made = await printed("--user", user, "--expires-in", "600", "--info", '{"name":"Ann"}')
    own = await printed("--user", user, "--channel", channel)
    async with at.peer(sdk, token=made) as peer:
        await peer.connected()
        await peer.subscription(channel, token=own).subscribed()
        present = (await at.api.call("presence", channel=channel))["presence"]
        info = {"client": peer.id, "user": user, "conn_info": {"name": "Ann"}}
        expect("presence", present, {peer.id: info})
    served = await printed("--user", user, "--channels", channel)
    async with at.peer(sdk, token=served) as peer:
        await peer.connected()
        await peer.events.next("subscribed", channel=channel)


async def printed(*flags: str) -> str:
    """What `fanfare token` prints."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
        config.write(toml({"token": SETTINGS["token"]}))
        config.flush()

        def run() -> subprocess.CompletedProcess[str]:
            command = [str(BINARY), "token", "--config", config.name, *flags]
            return subprocess.run(command, capture_output=True, text=True)

        done = await asyncio.to_thread(run)
    if done.returncode:
        raise Broken(f"fanfare token {' '.join(flags)}: {done.stderr.strip()}")
    return done.stdout.strip()


@case
async def a_token_that_get_token_gives_is_asked_for_once(at: Realm, sdk: Sdk) -> None:
    issuer = Issuer(tokens.connection(at.user()))
    async with at.peer(sdk, get_token=issuer) as peer:
        await peer.connected()
        expect("asked", issuer.asked, [""])


@case
async def an_expired_token_gets_109_and_the_sdk_brings_a_new_one(at: Realm, sdk: Sdk) -> None:
    user, channel = at.user(), at.channel()
    issuer = Issuer(tokens.connection(user, 600))
    async with at.peer(sdk, token=tokens.connection(user, -1), get_token=issuer) as peer:
        # npm's SDK sends it in one frame with connect: it must not be refused on its own.
        subscription = peer.subscription(channel)
        await subscription.subscribe()
        await peer.connect()
        await peer.events.next("connecting", code=0)
        await peer.events.next("error", code=109)
        event = await peer.events.until("connected")
        expect("asked", issuer.asked, [""])
        await subscription.events.next("subscribing")
        await subscription.events.next("subscribed")
        present = await peer.presence(channel)
        expect("user", present[event["client"]]["user"], user)


@case
async def an_expired_token_without_another_is_final(at: Realm, sdk: Sdk) -> None:
    async with at.peer(sdk, token=tokens.connection(at.user(), -1)) as peer:
        await peer.connect()
        await peer.events.next("connecting", code=0)
        await peer.events.next("error", code=109)
        # The SDK's own: it has nobody to ask.
        await peer.events.until("disconnected", code=1, reason="unauthorized")


@case
async def a_token_that_is_not_valid_is_closed_with_3500(at: Realm, sdk: Sdk) -> None:
    claims = {"sub": at.user()}
    good = tokens.token(claims)
    bad = {
        "signed with another key": tokens.token(claims, key="another-key-of-the-same-length-0"),
        "alg none": tokens.token(claims, algorithm="none"),
        "another algorithm of the same key": tokens.token(claims, algorithm="HS512"),
        "another payload": good.replace(
            good.split(".")[1], tokens.token({"sub": "x"}).split(".")[1]
        ),
        "no token": "nonsense",
        "for a subscription": tokens.subscription(claims["sub"], at.channel()),
        "not yet valid": tokens.token({**claims, "nbf": int(time.time()) + 600}),
        "expired and signed with another key": tokens.token(
            {**claims, "exp": int(time.time()) - 9}, key="another-key-of-the-same-length-0"
        ),
    }
    for what, token in bad.items():
        async with at.peer(sdk, token=token) as peer:
            event = await peer.refused(3500)
            expect(f"{what}: reason", event["reason"], "invalid token")
    async with at.peer(sdk, token=good) as peer:
        await peer.connected()


@case
async def audience_and_issuer_are_looked_at(at: Realm, sdk: Sdk) -> None:
    wanted = {"audience": "app", "issuer": "https://id.example.com"}
    async with at.another({"token": wanted}) as strict:
        claims: dict[str, Any] = {"aud": "app", "iss": "https://id.example.com"}
        rights: list[dict[str, Any]] = [{}, {"aud": ["other", "app"]}]
        for right in rights:
            token = tokens.token({"sub": "a", **claims, **right})
            async with strict.connected(sdk, token=token):
                pass
        wrongs: list[dict[str, Any]] = [
            {"aud": "other"},
            {"iss": "other"},
            {"aud": None},
            {"iss": None},
        ]
        for wrong in wrongs:
            token = tokens.token({"sub": "a", **claims, **wrong})
            async with strict.peer(sdk, token=token) as peer:
                await peer.refused(3500)


@case
async def a_connection_is_refreshed_whenever_its_time_runs_out(at: Realm, sdk: Sdk) -> None:
    user, channel, grace = at.user(), at.channel(), 1.5

    def brief_token() -> str:
        return tokens.connection(user, 1)

    issuer = Issuer(brief_token, brief_token, tokens.connection(user, 600))
    async with at.another({"client": {"expiry_grace": grace}}) as brief:
        async with brief.peer(sdk, get_token=issuer) as peer:
            await peer.connected()
            subscription = peer.subscription(channel)
            await subscription.subscribed()
            await issuer.asked_for(3)
            await asyncio.sleep(grace + 1)  # what would have ended is over
            await brief.api.publish(channel, 1)
            await subscription.data(1)
            expect("asked", issuer.asked, ["", "", ""])
            expect("events of the connection", peer.events.rest(), [])


@case
async def who_is_not_refreshed_is_closed_with_3005_and_comes_back(at: Realm, sdk: Sdk) -> None:
    user = at.user()
    old, new = tokens.connection(user, 1), tokens.connection(user, 600)
    async with at.another({"client": {"expiry_grace": 0.5}}) as brief:
        issuer = Issuer(old)
        silent = Silent(tokens.connection(user, 2), new)
        async with (
            brief.peer(sdk, get_token=issuer) as stubborn,
            brief.peer(sdk, get_token=silent) as mute,
        ):
            await stubborn.connected()
            await mute.connected()
            expect_that((await stubborn.events.next("connecting", code=3005))["reason"], "a reason")
            issuer.give(new)
            await stubborn.events.until("connected")
            expect_that((await mute.events.next("connecting", code=3005))["reason"], "a reason")
            silent.speak()
            await mute.events.until("connected")


@case
async def a_refresh_with_an_invalid_token_is_final(at: Realm, sdk: Sdk) -> None:
    user = at.user()
    for what, token in {
        "another key": tokens.token({"sub": user}, key="another-key-of-the-same-length-0"),
        "another user": tokens.connection(at.user()),
    }.items():
        issuer = Issuer(tokens.connection(user, 1), token)
        async with at.peer(sdk, get_token=issuer) as peer:
            await peer.connected()
            event = await peer.events.next("disconnected", code=3500)
            expect_that(event["reason"], f"{what}: a reason")


@case
async def expire_at_says_when_a_session_ends_and_exp_when_a_token_does(at: Realm, sdk: Sdk) -> None:
    user = at.user()
    never = tokens.connection(user, 600, expire_at=0)
    soon = tokens.connection(user, 600, expire_at=tokens.at(1))
    issuer = Issuer(soon, never)
    async with at.peer(sdk, get_token=issuer) as peer:
        await peer.connected()
        await issuer.asked_for(2)
        channel = at.channel()
        subscription = peer.subscription(channel)
        await subscription.subscribed()
        await at.api.publish(channel, 1)
        await subscription.data(1)
        expect("events of the connection", peer.events.rest(), [])


@case
async def a_token_may_come_with_the_upgrade(at: Realm, sdk: Sdk) -> None:
    user, channel = at.user(), at.channel()
    token = tokens.connection(user)
    async with at.another({"client": {"token_cookie": "push"}}) as cookies:
        for headers in [
            {"Authorization": f"Bearer {token}"},
            {"Cookie": f"a=1; push={token}; b=2"},
        ]:
            async with cookies.peer(sdk, headers=headers) as peer:
                await peer.connected()
                await peer.subscription(channel).subscribed()
                expect("user", (await peer.presence(channel))[peer.id]["user"], user)


@case
async def one_connection_more_than_a_user_may_have_is_closed_with_3504(at: Realm, sdk: Sdk) -> None:
    async with at.another({"client": {"max_connections_per_user": 2}}) as few:
        user = few.user()
        async with few.connected(sdk, few.user()) as other, few.connected(sdk, user) as one:
            lobby = few.channel("lobby")
            watching = other.subscription(lobby)
            await watching.subscribed()
            await watching.events.next("join")
            await one.subscription(lobby).subscribed()
            await watching.events.next("join")
            async with few.connected(sdk, user):
                async with few.peer(sdk, token=tokens.connection(user)) as third:
                    expect_that((await third.refused(3504))["reason"], "a reason")
                await one.disconnect()
                await watching.events.next("leave")
                async with few.connected(sdk, user):
                    pass


@case
async def pings_are_answered_and_keep_a_session(at: Realm, sdk: Sdk) -> None:
    async with at.another({"client": {"ping_interval": 1, "pong_timeout": 0.5}}) as lively:
        async with lively.connected(sdk) as peer:
            channel = lively.channel()
            subscription = peer.subscription(channel)
            await subscription.subscribed()
            # Three pings at least, and the end of who does not answer them.
            await asyncio.sleep(3.5)
            await lively.api.publish(channel, 1)
            await subscription.data(1)
            expect("events of the connection", peer.events.rest(), [])


@case
async def at_its_end_the_daemon_sends_everybody_elsewhere(at: Realm, sdk: Sdk) -> None:
    async with at.another({}) as ending:
        async with ending.connected(sdk) as peer:
            ending.daemon.signal(signal.SIGTERM)
            event = await peer.events.next("connecting", code=3001)
            expect_that(event["reason"], "a reason")


@case
async def the_wire_is_the_subprotocol_that_was_asked_for(at: Realm, sdk: Sdk) -> None:
    # Not the SDK, which does not show it: the library that it stands on.
    socket = await PythonWebsockets().open(at.url, subprotocols=[f"centrifuge-{sdk.protocol}"])
    expect("subprotocol", socket.subprotocol, f"centrifuge-{sdk.protocol}")
    await socket.close()
