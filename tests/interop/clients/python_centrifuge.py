"""PyPI's `centrifuge-python`. In: an endpoint and options. Out: a `Peer`.

Never: adds anything to what the SDK reports.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import centrifuge  # type: ignore[import-untyped]

from .sdk import (
    RETRY_S,
    Events,
    Failed,
    History,
    Info,
    Peer,
    Publication,
    Sdk,
    StateSource,
    Subscription,
    TokenSource,
    decoded,
    encoded,
    info_of,
)


class Wire:
    """How payloads look there and here."""

    def __init__(self, is_protobuf: bool) -> None:
        self._is_protobuf = is_protobuf

    def put(self, data: Any) -> Any:
        """A payload for the SDK."""
        return encoded(data) if self._is_protobuf else data

    def got(self, data: Any) -> Any:
        """A payload of the SDK."""
        return decoded(data) if self._is_protobuf else data

    def info(self, info: centrifuge.ClientInfo) -> Info:
        """Who a client is."""
        return info_of(vars(info), self.got)

    def publication(self, pub: centrifuge.Publication) -> Publication:
        """A publication."""
        info = self.info(pub.info) if pub.info else None
        return Publication(self.got(pub.data), pub.offset, pub.tags, info)

    def subscribed(self, ctx: Any) -> dict[str, Any]:
        """What `subscribed` says, of either kind of subscription."""
        said = ("positioned", "recoverable", "was_recovering", "recovered")
        fields = {name: getattr(ctx, name) for name in said}
        if ctx.stream_position:
            fields |= {"offset": ctx.stream_position.offset, "epoch": ctx.stream_position.epoch}
        return {**fields, "data": self.got(ctx.data)}


def code_of(ctx: Any) -> int:
    """An error's code: the server's, if it is the server's, else the SDK's."""
    error = ctx.error
    return int(error.code if isinstance(error, centrifuge.ReplyError) else ctx.code)


class ClientEvents(centrifuge.ClientEventHandler):  # type: ignore[misc]
    """Notes the events of a client, and those of its server-side subscriptions."""

    def __init__(self, events: Events, wire: Wire) -> None:
        self._events = events
        self._wire = wire

    async def on_connecting(self, ctx: Any) -> None:
        self._events.note("connecting", code=ctx.code, reason=ctx.reason)

    async def on_connected(self, ctx: Any) -> None:
        self._events.note("connected", client=ctx.client, data=self._wire.got(ctx.data))

    async def on_disconnected(self, ctx: Any) -> None:
        self._events.note("disconnected", code=ctx.code, reason=ctx.reason)

    async def on_error(self, ctx: Any) -> None:
        self._events.note("error", code=code_of(ctx), message=str(ctx.error))

    async def on_subscribed(self, ctx: Any) -> None:
        self._events.note("subscribed", channel=ctx.channel, **self._wire.subscribed(ctx))

    async def on_subscribing(self, ctx: Any) -> None:
        self._events.note("subscribing", channel=ctx.channel)

    async def on_unsubscribed(self, ctx: Any) -> None:
        self._events.note("unsubscribed", channel=ctx.channel)

    async def on_publication(self, ctx: Any) -> None:
        publication = self._wire.publication(ctx.pub)
        self._events.note("publication", channel=ctx.channel, publication=publication)

    async def on_join(self, ctx: Any) -> None:
        self._events.note("join", channel=ctx.channel, info=self._wire.info(ctx.info))

    async def on_leave(self, ctx: Any) -> None:
        self._events.note("leave", channel=ctx.channel, info=self._wire.info(ctx.info))


class SubscriptionEvents(centrifuge.SubscriptionEventHandler):  # type: ignore[misc]
    """Notes the events of a subscription."""

    def __init__(self, events: Events, wire: Wire) -> None:
        self._events = events
        self._wire = wire

    async def on_subscribing(self, ctx: Any) -> None:
        self._events.note("subscribing", code=ctx.code, reason=ctx.reason)

    async def on_subscribed(self, ctx: Any) -> None:
        self._events.note("subscribed", **self._wire.subscribed(ctx))

    async def on_unsubscribed(self, ctx: Any) -> None:
        self._events.note("unsubscribed", code=ctx.code, reason=ctx.reason)

    async def on_publication(self, ctx: Any) -> None:
        self._events.note("publication", publication=self._wire.publication(ctx.pub))

    async def on_join(self, ctx: Any) -> None:
        self._events.note("join", info=self._wire.info(ctx.info))

    async def on_leave(self, ctx: Any) -> None:
        self._events.note("leave", info=self._wire.info(ctx.info))

    async def on_error(self, ctx: Any) -> None:
        self._events.note("error", code=code_of(ctx), message=str(ctx.error))


class PythonSubscription(Subscription):
    """A subscription of the SDK."""

    def __init__(self, channel: str) -> None:
        super().__init__(channel)
        self.theirs: centrifuge.Subscription

    async def subscribe(self) -> None:
        await self.theirs.subscribe()

    async def unsubscribe(self) -> None:
        await self.theirs.unsubscribe()


class PythonPeer(Peer):
    """A client of the SDK."""

    def __init__(
        self, sdk: PythonCentrifuge, url: str, token_source: TokenSource | None, **options: Any
    ) -> None:
        super().__init__(sdk.name)
        self._wire = Wire(sdk.is_protobuf)
        self._tasks: set[asyncio.Task[None]] = set()

        async def get_token() -> str:
            assert token_source
            return await token_source("")

        self._client = centrifuge.Client(
            url,
            events=ClientEvents(self.events, self._wire),
            get_token=get_token if token_source else None,
            use_protobuf=sdk.is_protobuf,
            min_reconnect_delay=RETRY_S,
            proxy=None,
            **options,
        )

    async def connect(self) -> None:
        # It returns when the first try is over, which a case may want to look into.
        task = asyncio.create_task(self._client.connect())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def disconnect(self) -> None:
        await self._client.disconnect()

    def subscription(
        self,
        channel: str,
        *,
        token: str = "",
        get_token: TokenSource | None = None,
        get_state: StateSource | None = None,
        data: Any = None,
        positioned: bool = False,
        recoverable: bool = False,
        join_leave: bool = False,
    ) -> Subscription:
        async def state(channel: str) -> centrifuge.StreamPosition:
            assert get_state
            return centrifuge.StreamPosition(*await get_state(channel))

        ours = PythonSubscription(channel)
        ours.theirs = self._client.new_subscription(
            channel,
            events=SubscriptionEvents(ours.events, self._wire),
            token=token,
            get_token=get_token,
            get_state=state if get_state else None,
            data=None if data is None else self._wire.put(data),
            min_resubscribe_delay=RETRY_S,
            positioned=positioned,
            recoverable=recoverable,
            join_leave=join_leave,
        )
        return ours

    async def publish(self, channel: str, data: Any) -> None:
        with failing():
            await self._client.publish(channel, self._wire.put(data))

    async def history(
        self,
        channel: str,
        limit: int = 0,
        since: tuple[int, str] | None = None,
        reverse: bool = False,
    ) -> History:
        position = centrifuge.StreamPosition(*since) if since else None
        with failing():
            page = await self._client.history(channel, limit, position, reverse)
        publications = [self._wire.publication(pub) for pub in page.publications]
        return History(publications, page.offset, page.epoch)

    async def presence(self, channel: str) -> dict[str, Info]:
        with failing():
            present = await self._client.presence(channel)
        return {client: self._wire.info(info) for client, info in present.clients.items()}

    async def presence_stats(self, channel: str) -> dict[str, int]:
        with failing():
            stats = await self._client.presence_stats(channel)
        return {"num_clients": stats.num_clients, "num_users": stats.num_users}

    async def rpc(self, method: str, data: Any) -> Any:
        with failing():
            result = await self._client.rpc(method, self._wire.put(data))
        return self._wire.got(result.data)


class failing:
    """The SDK's error as ours."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, centrifuge.ReplyError):
            raise Failed(error.code, error.message, error.temporary) from None


class Faults(logging.Handler):
    """Keeps what the SDK logs as an error, and what it has asyncio log."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.logged: list[str] = []
        for name in ("centrifuge", "asyncio"):
            logging.getLogger(name).addHandler(self)

    def filter(self, record: logging.LogRecord) -> bool:
        return record.name == "centrifuge" or "in a centrifuge event handler" in record.getMessage()

    def emit(self, record: logging.LogRecord) -> None:
        why = record.exc_info[1] if record.exc_info else None
        self.logged.append(f"{record.getMessage()}: {why!r}")


FAULTS = Faults()


class PythonCentrifuge(Sdk):
    """The SDK on one of its wires."""

    sends = False
    emulates_headers = False

    def __init__(self, *, is_protobuf: bool) -> None:
        self.is_protobuf = is_protobuf
        self.name = f"centrifuge-python, {self.protocol}"

    def faults(self) -> list[str]:
        logged, FAULTS.logged = FAULTS.logged, []
        return logged

    def peer(
        self,
        url: str,
        *,
        token: str = "",
        get_token: TokenSource | None = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        emulated_headers: Mapping[str, str] | None = None,
    ) -> Peer:
        if emulated_headers:
            raise NotImplementedError
        payload = None if data is None else Wire(self.is_protobuf).put(data)
        given = {"token": token, "data": payload, "headers": dict(headers or {})}
        return PythonPeer(self, url, get_token, **given)
