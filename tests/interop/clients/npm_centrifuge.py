"""npm's `centrifuge` under Node.js, in a process of its own. In: an endpoint and options. Out: a `Peer`.

Never: adds anything to what `npm_centrifuge.js` reports.
"""

from __future__ import annotations

import asyncio
import itertools
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from . import awaited
from .node import Script, Told, running
from .sdk import (
    RETRY_S,
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

SCRIPT = Path(__file__).with_suffix(".js")


def unpacked(payload: Mapping[str, Any] | None) -> Any:
    """A payload of the script."""
    if payload is None:
        return None
    return decoded(b64decode(payload["base64"])) if "base64" in payload else payload["json"]


def info(told: Told) -> Info:
    """Who a client is."""
    return info_of(told, unpacked)


def publication(told: Told) -> Publication:
    """A publication."""
    who = info(told["info"]) if told["info"] else None
    return Publication(unpacked(told["data"]), told["offset"], told["tags"], who)


# How the fields of an event look here; others are as they are told.
READ = {"data": unpacked, "info": info, "publication": publication}


class NpmSubscription(Subscription):
    """A subscription of the SDK."""

    def __init__(self, peer: NpmPeer, channel: str) -> None:
        super().__init__(channel)
        self._peer = peer

    async def subscribe(self) -> None:
        self._peer.tell("subscribe", channel=self.channel)

    async def unsubscribe(self) -> None:
        self._peer.tell("unsubscribe", channel=self.channel)


class NpmPeer(Peer):
    """A client of the SDK."""

    def __init__(
        self, process: NpmProcess, number: int, sdk: NpmCentrifuge, get_token: TokenSource | None
    ) -> None:
        super().__init__(sdk.name)
        self._process = process
        self._number = number
        self._is_protobuf = sdk.is_protobuf
        self._sources: dict[tuple[str, str], Any] = {("token", ""): get_token}
        self._subscriptions: dict[str, NpmSubscription] = {}
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()

    def tell(self, order: str, **fields: Any) -> None:
        """Gives the script an order."""
        self._process.tell({"order": order, "peer": self._number, **fields})

    def note(self, told: Told) -> None:
        """Takes what the script says."""
        if "question" in told:
            task = asyncio.create_task(self._answer(told))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif "call" in told:
            self._settle(self._calls.pop(told["call"]), told)
        else:
            fields = {n: READ[n](v) if n in READ else v for n, v in told["fields"].items()}
            if "channel" in told:
                fields["channel"] = told["channel"]
            of = self._subscriptions[told["subscription"]] if "subscription" in told else self
            of.events.note(told["event"], **fields)

    async def _answer(self, told: Told) -> None:
        value = await self._sources[told["what"], told["channel"]](told["channel"])
        if told["what"] == "state":
            value = {"offset": value[0], "epoch": value[1]}
        self.tell("answer", question=told["question"], value=value)

    @staticmethod
    def _settle(call: asyncio.Future[Any], told: Told) -> None:
        if call.done():
            return
        if "error" in told:
            error = told["error"]
            is_temporary = bool(error.get("temporary"))
            call.set_exception(Failed(error.get("code", -1), error["message"], is_temporary))
        else:
            call.set_result(told["result"])

    async def connect(self) -> None:
        self.tell("connect")

    async def disconnect(self) -> None:
        self.tell("disconnect")

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
        self._sources["token", channel] = get_token
        self._sources["state", channel] = get_state
        ours = self._subscriptions[channel] = NpmSubscription(self, channel)
        options = {
            "token": token,
            "positioned": positioned,
            "recoverable": recoverable,
            "joinLeave": join_leave,
            "minResubscribeDelay": RETRY_S * 1000,
        }
        self.tell(
            "subscription",
            channel=channel,
            data=self.packed(data),
            asks=get_token is not None,
            asksState=get_state is not None,
            options=options,
        )
        return ours

    def packed(self, data: Any) -> Mapping[str, Any] | None:
        """A payload for the script."""
        if data is None:
            return None
        if self._is_protobuf:
            return {"base64": b64encode(encoded(data)).decode()}
        return {"json": data}

    async def _call(self, name: str, **args: Any) -> Any:
        number = next(self._numbers)
        self._calls[number] = asyncio.get_running_loop().create_future()
        answer = self._calls[number]
        self.tell("call", call=number, name=name, args=args)
        return await awaited(f"answer to {name}", answer)

    async def publish(self, channel: str, data: Any) -> None:
        await self._call("publish", channel=channel, data=self.packed(data))

    async def send(self, data: Any) -> None:
        await self._call("send", data=self.packed(data))

    async def history(
        self,
        channel: str,
        limit: int = 0,
        since: tuple[int, str] | None = None,
        reverse: bool = False,
    ) -> History:
        options: dict[str, Any] = {"limit": limit, "reverse": reverse}
        if since:
            options["since"] = {"offset": since[0], "epoch": since[1]}
        page = await self._call("history", channel=channel, options=options)
        publications = [publication(told) for told in page["publications"]]
        return History(publications, page["offset"], page["epoch"])

    async def presence(self, channel: str) -> dict[str, Info]:
        present = await self._call("presence", channel=channel)
        return {client: info(told) for client, told in present.items()}

    async def presence_stats(self, channel: str) -> dict[str, int]:
        stats: dict[str, int] = await self._call("presence_stats", channel=channel)
        return stats

    async def rpc(self, method: str, data: Any) -> Any:
        return unpacked(await self._call("rpc", method=method, data=self.packed(data)))


class NpmCentrifuge(Sdk):
    """The SDK in one of its builds."""

    sends = True
    emulates_headers = True

    def __init__(self, process: NpmProcess, *, is_protobuf: bool) -> None:
        self._process = process
        self.is_protobuf = is_protobuf
        self.name = f"npm centrifuge, {self.protocol}"

    def faults(self) -> list[str]:
        faults, self._process.faults = self._process.faults, []
        return faults

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
        peer = self._process.peer(self, get_token)
        peer.tell(
            "peer",
            url=url,
            build=self.protocol,
            headers=dict(headers or {}),
            data=peer.packed(data),
            asks=get_token is not None,
            options={
                "token": token,
                "headers": dict(emulated_headers or {}),
                "minReconnectDelay": RETRY_S * 1000,
            },
        )
        return peer


class NpmProcess:
    """The process that both builds run in."""

    def __init__(self, script: Script) -> None:
        self.tell = script.tell
        self._peers: list[NpmPeer] = []
        self.faults: list[str] = []

    def peer(self, sdk: NpmCentrifuge, get_token: TokenSource | None) -> NpmPeer:
        """A peer that the script does not know yet."""
        peer = NpmPeer(self, len(self._peers), sdk, get_token)
        self._peers.append(peer)
        return peer

    def note(self, told: Told) -> None:
        """Passes on what the script says."""
        try:
            if "fault" in told:
                self.faults.append(told["fault"])
            else:
                self._peers[told["peer"]].note(told)
        except Exception as error:  # one that is not understood must not be the last
            self.faults.append(f"{error!r} in {told}")


@asynccontextmanager
async def npm_centrifuge(modules: Path) -> AsyncIterator[tuple[Sdk, Sdk]]:
    """The SDK's JSON and Protobuf builds, from the folder `modules`; their process ends with the block."""
    async with running(SCRIPT, modules, NpmProcess) as node:
        yield (NpmCentrifuge(node, is_protobuf=False), NpmCentrifuge(node, is_protobuf=True))
