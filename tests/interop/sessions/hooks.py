"""What the operator's backend is asked, and what comes of its answers (PROTOCOL.md, "JWT"; the shapes are those of
Centrifugo's HTTP proxy).

In: a realm and an SDK. Out: nothing, or a broken case.

Never: knows which SDK it is.
"""

from __future__ import annotations

import asyncio
import time

from .. import backend, tokens
from ..backend import Asked, Reply
from ..case import expect, expect_that
from ..clients.sdk import Sdk
from ..daemon import Settings
from ..stack import PUBLISH, SUBSCRIBE, merged
from .realm import HISTORY, Case, Realm, collected
from .refusals import expect_error

CASES: list[Case] = []
# Those for SDKs that can.
OF_SENDERS: list[Case] = []
OF_EMULATORS: list[Case] = []
case = collected(CASES)

HEADERS = {"Cookie": "session=abc", "X-Trace": "t-1", "X-Other": "not listed"}
LISTED = ["Cookie", "x-trace"]
TIMEOUT_S = 1


def settings(at: Realm, *names: str) -> Settings:
    """Settings that ask the backend so much, and let nobody in without."""
    hooks = {name: at.backend.url(f"/{name}") for name in names if "_" not in name}
    channels = {name: at.backend.url(f"/{name}") for name in names if "_" in name}
    return {
        "client": {"allow_anonymous": "connect" not in names},
        "hooks": {**hooks, "headers": LISTED, "timeout": TIMEOUT_S},
        "namespaces": {"hooked": {**HISTORY, "presence": True, "force_recovery": True, **channels}},
    }


def expect_who(asked: Asked, at: Realm, sdk: Sdk, client: str, user: str) -> None:
    """What every question says of its client."""
    said = {name: asked.body.get(name) for name in ("client", "transport", "protocol", "user")}
    who = {"client": client, "transport": "websocket", "protocol": sdk.protocol, "user": user}
    expect(f"{asked.path}: who it is about", said, who)
    encoding = "binary" if sdk.is_protobuf else "json"
    expect(f"{asked.path}: encoding", asked.body["encoding"], encoding)
    listed = {name.lower(): HEADERS[name] for name in HEADERS if name != "X-Other"}
    found = {name: asked.headers.get(name) for name in ("cookie", "x-trace", "x-other")}
    expect(f"{asked.path}: headers", found, {**listed, "x-other": None})


@case
async def rpc_is_answered_by_the_backend(at: Realm, sdk: Sdk) -> None:
    def answer(asked: Asked) -> Reply:
        return backend.result(data={"you": asked.body["user"], "said": asked.payload()})

    user = at.user()
    async with at.another(settings(at, "rpc")) as asking:
        at.backend.forget()
        async with asking.connected(sdk, user, headers=HEADERS) as peer:
            with at.backend.answering("/rpc", answer):
                found = await peer.rpc("sum", {"a": [1, 2]})
                expect("answer", found, {"you": user, "said": {"a": [1, 2]}})
                asked = await at.backend.asked("/rpc")
                expect_who(asked, at, sdk, peer.id, user)
                expect("method", asked.body["method"], "sum")
                # Many at once, each its own answer.
                calls = [peer.rpc("echo", n) for n in range(20)]
                wanted = [{"you": user, "said": n} for n in range(20)]
                expect("answers", await asyncio.gather(*calls), wanted)
            with at.backend.answering("/rpc", backend.result()):
                expect("no data", await peer.rpc("nothing", None), None)


@collected(OF_SENDERS)
async def what_is_sent_reaches_the_backend_too(at: Realm, sdk: Sdk) -> None:
    async with at.another(settings(at, "rpc")) as asking:
        at.backend.forget()
        async with asking.connected(sdk) as peer:
            with at.backend.answering("/rpc", backend.result(data=1)):
                await peer.send({"n": 1})
                asked = await at.backend.asked("/rpc")
                expect("payload", asked.payload(), {"n": 1})
                expect("method", asked.body.get("method", ""), "")
                expect("rpc", await peer.rpc("x", 2), 1)
    async with at.connected(sdk) as peer:
        await peer.send("to nobody")
        channel = at.channel()
        await peer.subscription(channel).subscribed()
        expect("events of the connection", peer.events.rest(), [])


@case
async def errors_of_the_backend_are_the_clients(at: Realm, sdk: Sdk) -> None:
    async with at.another(settings(at, "rpc")) as asking:
        async with asking.connected(sdk, asking.user()) as peer:
            with at.backend.answering("/rpc", backend.error(404, "no such thing")):
                await expect_error("rpc", 404, "no such thing", peer.rpc("x", 1))
            with at.backend.answering("/rpc", backend.error(1000, "later", temporary=True)):
                await expect_error("rpc", 1000, "later", peer.rpc("x", 1), temporary=True)
            with at.backend.answering("/rpc", backend.disconnect(4501, "out")):
                call = asyncio.create_task(peer.rpc("x", 1))
                await peer.events.next("disconnected", code=4501, reason="out")
                await asyncio.gather(call, return_exceptions=True)


@case
async def a_backend_that_fails_is_100(at: Realm, sdk: Sdk) -> None:
    def slow(asked: Asked) -> Reply:
        time.sleep(2 * TIMEOUT_S)  # this thread's own
        return backend.result(data="late")

    async with at.another(settings(at, "rpc")) as asking:
        async with asking.connected(sdk) as peer:
            fails: dict[str, Reply] = {
                "status 500": (500, {"result": {"data": 1}}),
                "no JSON": (200, b"<html>"),
                "JSON, but no answer": (200, b"[1]"),
            }
            for what, reply in fails.items():
                with at.backend.answering("/rpc", reply):
                    call = peer.rpc("x", 1)
                    await expect_error(what, 100, "internal server error", call, temporary=True)
            begin = time.monotonic()
            with at.backend.answering("/rpc", slow):
                call = peer.rpc("x", 1)
                await expect_error("slow", 100, "internal server error", call, temporary=True)
            took = time.monotonic() - begin
            expect_that(
                took < 2 * TIMEOUT_S, f"{TIMEOUT_S} s are given, the error took {took:.1f} s"
            )
            with at.backend.answering("/rpc", backend.result(data=2)):
                expect("then", await peer.rpc("x", 1), 2)
    gone = {"hooks": {"rpc": "http://127.0.0.1:1/", "timeout": TIMEOUT_S}}
    async with at.another(gone) as lonely, lonely.connected(sdk) as peer:
        call = peer.rpc("x", 1)
        await expect_error("nobody there", 100, "internal server error", call, temporary=True)


@case
async def the_backend_says_who_connects(at: Realm, sdk: Sdk) -> None:
    user = at.user()
    async with at.another(settings(at, "connect", "rpc")) as asking:
        at.backend.forget()
        channel = asking.channel("closed")
        grant = backend.result(
            user=user,
            info={"name": "Ann"},
            data={"welcome": 1},
            meta={"role": "admin"},
            channels=[channel],
        )
        with (
            at.backend.answering("/connect", grant),
            at.backend.answering("/rpc", backend.result(data=1)),
        ):
            async with asking.peer(sdk, data={"from": "app"}, headers=HEADERS) as peer:
                await peer.connected(data={"welcome": 1})
                await peer.events.next("subscribed", channel=channel)
                asked = await at.backend.asked("/connect")
                expect_who(asked, at, sdk, peer.id, asked.body.get("user"))  # type: ignore[arg-type]
                expect_that(not asked.body.get("user"), f"nobody yet: {asked.body}")
                expect("data", asked.payload(), {"from": "app"})
                expect("name", asked.body["name"], "js" if "npm" in sdk.name else "python")
                present = (await asking.api.call("presence", channel=channel))["presence"]
                who = {"client": peer.id, "user": user, "conn_info": {"name": "Ann"}}
                expect("presence", present, {peer.id: who})
                await peer.rpc("x", 1)
                asked = await at.backend.asked("/rpc")
                expect("meta", asked.body["meta"], {"role": "admin"})
                expect("user", asked.body["user"], user)
            # Who has a token is not asked about.
            at.backend.forget()
            async with asking.connected(sdk, user) as peer:
                expect_that(peer.id, "an id")
                await peer.rpc("x", 1)
                await at.backend.asked("/rpc")


@collected(OF_EMULATORS)
async def headers_in_the_connect_command_are_passed_on_if_they_are_listed(
    at: Realm, sdk: Sdk
) -> None:
    own = {"Authorization": "Bearer abc", "Cookie": "session=forged", "X-Other": "not listed"}
    changes = merged(
        settings(at, "connect"), {"hooks": {"emulated_headers": ["authorization", "cookie"]}}
    )
    async with at.another(changes) as asking:
        at.backend.forget()
        with at.backend.answering("/connect", backend.result(user="ann")):
            async with asking.peer(sdk, headers=HEADERS, emulated_headers=own) as peer:
                await peer.connected()
        asked = await at.backend.asked("/connect")
        found = {name: asked.headers.get(name) for name in ("authorization", "cookie", "x-other")}
        # The upgrade's cookie wins.
        wanted = {"authorization": "Bearer abc", "cookie": HEADERS["Cookie"], "x-other": None}
        expect("headers", found, wanted)


@case
async def the_backend_refuses_a_connection(at: Realm, sdk: Sdk) -> None:
    async with at.another(settings(at, "connect")) as asking:
        with at.backend.answering("/connect", backend.disconnect(4501, "banned")):
            async with asking.peer(sdk) as peer:
                event = await peer.refused(4501)
                expect("reason", event["reason"], "banned")
        with at.backend.answering("/connect", backend.error(1001, "no")):
            async with asking.peer(sdk) as peer:
                event = await peer.refused(1001)
                expect("reason", event["reason"], "no")
        # A backend that fails is tried again.
        async with asking.peer(sdk) as peer:
            with at.backend.answering("/connect", (503, {})):
                await peer.connect()
                await peer.events.next("connecting", code=0)
                await peer.events.next("error", code=100)
                await peer.events.next("error", code=100)
                with at.backend.answering("/connect", backend.result(user="ann")):
                    await peer.events.until("connected")


@case
async def an_anonymous_user_of_the_backend_is_one(at: Realm, sdk: Sdk) -> None:
    async with at.another(settings(at, "connect")) as asking:
        with at.backend.answering("/connect", backend.result(user="")):
            async with asking.connected(sdk) as peer:
                channel = asking.channel()
                await peer.subscription(channel).subscribed()
                expect("user", (await peer.presence(channel))[peer.id]["user"], "")


@case
async def the_backend_says_how_long_a_session_lasts(at: Realm, sdk: Sdk) -> None:
    user = at.user()

    def soon(asked: Asked) -> Reply:
        return backend.result(user=user, expire_at=tokens.at(1))

    changes = merged(settings(at, "connect", "refresh"), {"client": {"expiry_grace": 0.5}})
    async with at.another(changes) as asking:
        at.backend.forget()
        # The SDK has no token to refresh with, and is not asked: the server asks the backend.
        with at.backend.answering("/connect", soon), at.backend.answering("/refresh", soon):
            async with asking.peer(sdk) as peer:
                await peer.connected()
                for _ in range(2):
                    asked = await at.backend.asked("/refresh")
                    expect("user", asked.body["user"], user)
                    expect("client", asked.body["client"], peer.id)
                expect("events of the connection", peer.events.rest(), [])
                with at.backend.answering("/refresh", backend.result(expired=True)):
                    await peer.events.next("connecting", code=3005)
                await peer.events.until("connected")


@case
async def the_backend_says_who_subscribes(at: Realm, sdk: Sdk) -> None:
    user = at.user()
    async with at.another(settings(at, "subscribe_hook")) as asking:
        at.backend.forget()
        channel = asking.channel("hooked")
        grant = backend.result(
            info={"seat": 1},
            data={"topic": "t"},
            override={"force_recovery": {"value": False}, "force_positioning": {"value": True}},
        )
        async with asking.connected(sdk, user, headers=HEADERS) as peer:
            with at.backend.answering("/subscribe_hook", grant):
                subscription = peer.subscription(channel, data={"code": "x"})
                told = {"data": {"topic": "t"}, "positioned": True, "recoverable": False}
                await subscription.subscribed(**told)
            asked = await at.backend.asked("/subscribe_hook")
            expect_who(asked, at, sdk, peer.id, user)
            expect("channel", asked.body["channel"], channel)
            expect("data", asked.payload(), {"code": "x"})
            present = (await asking.api.call("presence", channel=channel))["presence"]
            expect("info", present[peer.id]["chan_info"], {"seat": 1})
            await asking.api.publish(channel, 1)
            await subscription.data(1)
            # Refused, with its own code; a token needs no backend.
            with at.backend.answering("/subscribe_hook", backend.error(403, "not you")):
                event = await peer.subscription(asking.channel("hooked")).refused(403)
                expect("reason", event["reason"], "not you")
            at.backend.forget()
            other = asking.channel("hooked")
            await peer.subscription(other, token=tokens.subscription(user, other)).subscribed()
            # A failure is temporary: the SDK tries again.
            retried = peer.subscription(asking.channel("hooked"))
            with at.backend.answering("/subscribe_hook", (500, {})):
                await retried.subscribe()
                await retried.events.next("subscribing")
                await retried.events.next("error", code=100)
                with at.backend.answering("/subscribe_hook", backend.result()):
                    await retried.events.until("subscribed")
            with at.backend.answering("/subscribe_hook", backend.disconnect(4501, "out")):
                await peer.subscription(asking.channel("hooked")).subscribe()
                await peer.events.next("disconnected", code=4501, reason="out")


@case
async def a_subscription_of_the_backend_ends_when_it_says_and_is_asked_for_again(
    at: Realm, sdk: Sdk
) -> None:
    def soon(asked: Asked) -> Reply:
        return backend.result(expire_at=tokens.at(1))

    changes = merged(settings(at, "subscribe_hook"), {"client": {"expiry_grace": 0.5}})
    async with at.another(changes) as asking:
        at.backend.forget()
        channel = asking.channel("hooked")
        with at.backend.answering("/subscribe_hook", soon):
            async with asking.connected(sdk) as peer:
                subscription = peer.subscription(channel)
                await subscription.subscribed()
                await at.backend.asked("/subscribe_hook")
                # The SDK has no token, and must not look for one: it is subscribed anew.
                await subscription.events.next("subscribing", code=2501)
                await subscription.events.next("subscribed", was_recovering=True, recovered=True)
                asked = await at.backend.asked("/subscribe_hook")
                expect("channel", asked.body["channel"], channel)
                await asking.api.publish(channel, 1)
                await subscription.data(1)
                with at.backend.answering("/subscribe_hook", backend.error(403, "enough")):
                    await subscription.events.next("subscribing", code=2501)
                    await subscription.events.next("unsubscribed", code=403, reason="enough")


@case
async def the_backend_says_what_is_published(at: Realm, sdk: Sdk) -> None:
    user = at.user()
    changes = merged(
        settings(at, "publish_hook"), {"namespaces": {"hooked": {**SUBSCRIBE, **PUBLISH}}}
    )
    async with at.another(changes) as asking:
        at.backend.forget()
        channel = asking.channel("hooked")
        async with asking.connected(sdk, user, headers=HEADERS) as peer:
            subscription = peer.subscription(channel)
            await subscription.subscribed()
            with at.backend.answering("/publish_hook", backend.result()):
                await peer.publish(channel, {"n": 1})
            asked = await at.backend.asked("/publish_hook")
            expect_who(asked, at, sdk, peer.id, user)
            expect("channel", asked.body["channel"], channel)
            expect("data", asked.payload(), {"n": 1})
            event = await subscription.events.next("publication")
            expect("data", event["publication"].data, {"n": 1})
            expect("who", event["publication"].info, {"client": peer.id, "user": user})
            with at.backend.answering("/publish_hook", backend.result(data={"n": 2})):
                await peer.publish(channel, {"n": 1})
            await subscription.data({"n": 2})
            with at.backend.answering("/publish_hook", backend.result(skip_history=True)):
                await peer.publish(channel, {"n": 3})
            event = await subscription.events.next("publication")
            expect("without history", event["publication"].offset, 0)
            with at.backend.answering("/publish_hook", backend.error(400, "spam")):
                await expect_error("publish", 400, "spam", peer.publish(channel, 1))
            with at.backend.answering("/publish_hook", (500, {})):
                call = peer.publish(channel, 1)
                await expect_error("publish", 100, "internal server error", call, temporary=True)
            await asking.api.publish(channel, "behind all")
            await subscription.data("behind all")
            with at.backend.answering("/publish_hook", backend.disconnect(4501, "out")):
                call2 = asyncio.create_task(peer.publish(channel, 1))
                await peer.events.next("disconnected", code=4501, reason="out")
                await asyncio.gather(call2, return_exceptions=True)
