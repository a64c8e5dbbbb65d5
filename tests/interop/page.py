"""The page of `serve --dev`, in Chromium, as a person uses it. In: a browser and a daemon. Out:
nothing, or a broken case; pictures in $WORK/interop.

Never: asks the server what the page shows.
"""

from __future__ import annotations

import itertools
import json
import os
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .api import Api, request
from .case import Broken, expect, expect_that
from .chromium import Browser, Page, browser
from .daemon import Process, Settings, serving
from .readme import bash
from .relay import counting

Case = Callable[["Place"], Awaitable[None]]
CASES: list[Case] = []
KINDS = ["text", "Blob", "ArrayBuffer", "Uint8Array", "DataView"]
STATE = "document.body.dataset.state"
MESSAGES = "[...document.querySelectorAll('#messages .message')]"
NOTES = "[...document.querySelectorAll('#messages .note')].map((row) => row.textContent)"
ORDER = "document.getElementById('order').textContent"
STATUS = "document.getElementById('status').textContent"
PRESENT = "document.querySelectorAll('#presence [data-client]').length"
names = itertools.count(1)


def case(body: Case) -> Case:
    """Adds a case to the list."""
    CASES.append(body)
    return body


@dataclass(frozen=True)
class Place:
    """A daemon under `--dev`, and a browser."""

    daemon: Process
    port: int
    browser: Browser

    @property
    def api(self) -> Api:
        """The API, which asks for no key."""
        return Api(self.port, "")

    @staticmethod
    def channel() -> str:
        """A channel that nobody has used."""
        return f"page-{next(names)}"

    async def open(self, channel: str, port: int | None = None) -> Page:
        """The page, subscribed."""
        page = await self.browser.open(f"http://127.0.0.1:{port or self.port}/#{channel}")
        await page.until(STATE, "subscribed")
        return page

    @asynccontextmanager
    async def opened(self, channel: str, port: int | None = None) -> AsyncIterator[Page]:
        """The same, closed with the block; nothing may have gone wrong on it."""
        page = await self.open(channel, port)
        yield page
        expect("complaints in the console", page.complaints, [])
        await page.close()


@asynccontextmanager
async def placed(settings: Settings | None = None) -> AsyncIterator[Place]:
    """A place that stands as long as the block; with further settings."""
    both = {"workers": 2, **(settings or {})}
    async with serving(both, flags=["--dev"]) as (daemon, ports), browser() as started:
        yield Place(daemon, ports[0], started)


async def shown(page: Page) -> list[dict[str, Any]]:
    """The messages that are there."""
    rows: list[dict[str, Any]] = await page.value(
        f"{MESSAGES}.map((row) => ({{ offset: Number(row.dataset.offset), kind: row.dataset.kind,"
        " text: row.querySelector('.text').firstChild.data,"
        " by: row.querySelector('.by').lastChild.data }))"
    )
    return rows


async def publish(page: Page, text: str) -> None:
    """As a person does: into the box, Enter."""
    await page.front()
    await page.value("document.getElementById('message').focus()")
    await page.write(text)


async def texts_are(page: Page, texts: Sequence[str]) -> None:
    """Waits till these messages are shown, and no others."""
    await page.until(
        f"{MESSAGES}.map((row) => row.querySelector('.text').firstChild.data)", list(texts)
    )


def events(kind: str, socket: str = "session") -> str:
    """What the log has on events of this kind, as an expression: rows are written a moment later."""
    return (
        f"[...document.querySelectorAll('#events [data-event=\"{kind}\"]')]"
        f".filter((row) => row.dataset.socket === {json.dumps(socket)})"
        ".map((row) => row.querySelector('code').textContent)"
    )


@case
async def a_newcomer_is_subscribed_at_once(at: Place) -> None:
    answer = await request(at.port, "GET", "/")
    expect("the status", answer.status, 200)
    policy = answer.headers["content-security-policy"]
    expect_that(policy.startswith("default-src 'none'; script-src 'sha256-"), policy)
    page = await at.browser.open(f"http://127.0.0.1:{at.port}/")
    await page.until(STATE, "subscribed")
    expect("the channel", await page.value("document.getElementById('channel').value"), "demo")
    await page.until(PRESENT, 1)
    await page.until(f"{events('open')}.length", 1)
    expect("complaints in the console", page.complaints, [])
    await page.close()


@case
async def everything_that_takes_the_focus_has_a_name(at: Place) -> None:
    async with at.opened(at.channel()) as page:
        tree = await page.call("Accessibility.getFullAXTree")
        nameless = []
        for node in tree["nodes"]:
            traits = {p["name"]: p["value"].get("value") for p in node.get("properties", [])}
            role = node.get("role", {}).get("value")
            is_named = node.get("name", {}).get("value")
            if traits.get("focusable") and role != "RootWebArea" and not is_named:
                nameless.append(role)
        expect("without a name", nameless, [])


@case
async def the_policy_stops_what_is_not_of_the_page(at: Place) -> None:
    page = await at.open(at.channel())
    await page.value(
        "new Promise((done) => {"
        " document.addEventListener('securitypolicyviolation', done, { once: true });"
        " const added = document.createElement('script');"
        " added.textContent = 'globalThis.evil = 1';"
        " document.body.append(added); }).then(() => 1)"
    )
    expect("what a foreign script did", await page.value("typeof globalThis.evil"), "undefined")
    expect("complaints", len(page.complaints), 1)
    await page.close()


@case
async def what_a_second_tab_publishes_arrives_in_the_first(at: Place) -> None:
    channel = at.channel()
    async with at.opened(channel) as first:
        await publish(first, "before")
        await texts_are(first, ["before"])
        async with at.opened(channel) as second:
            await first.until(PRESENT, 2)
            await second.until(PRESENT, 2)
            await texts_are(second, ["before"])  # the history
            await publish(second, "from the second")
            await texts_are(first, ["before", "from the second"])
            await texts_are(second, ["before", "from the second"])
            by = [[row["by"] for row in await shown(page)] for page in (first, second)]
            expect("you, to each", [by[0][0], by[1][1]], ["you", "you"])
            expect_that(by[0][1] != "you" and by[1][0] != "you", f"publishers: {by}")
        await first.until(PRESENT, 1)
        seen = f"{NOTES}.slice(1).map((note) => note.slice(6))"
        await first.until(seen, [" has joined", " has left"])


@case
async def a_hundred_a_second_come_in_order(at: Place) -> None:
    async with at.opened(at.channel()) as page:
        await page.front()
        await page.value(
            "{ const auto = document.getElementById('auto'); auto.value = '100';"
            " auto.dispatchEvent(new Event('change')) }"
        )
        await page.until("Number(document.getElementById('offset').textContent) > 150")
        await page.until(ORDER, "in order, none missing")
        await page.until("document.querySelector('#line').getAttribute('d').includes('L')")
        offsets = [row["offset"] for row in await shown(page)]
        expect("offsets", offsets, list(range(1, len(offsets) + 1)))


@case
async def a_message_that_looks_like_html_is_text(at: Place) -> None:
    channel = at.channel()
    async with at.opened(channel) as page:
        evil = "<img src=x onerror=alert(1)>\u202e'\"&"
        for data in [{"text": evil}, evil, {"html": evil}, None, [1], 17, ""]:
            await at.api.publish(channel, data)
        await texts_are(
            page,
            [
                evil,
                evil,
                json.dumps({"html": evil}, ensure_ascii=False, separators=(",", ":")),
                "null",
                "[1]",
                "17",
                "",
            ],
        )


async def sent_and_compared(page: Page, binary_type: str, size: int) -> None:
    """Sends every kind, and looks at what comes back."""
    came = {"blob": "Blob", "arraybuffer": "ArrayBuffer"}[binary_type]
    await page.value(
        f"document.getElementById('raw-type').value = '{binary_type}';"
        f" document.getElementById('raw-size').value = '{size}'"
    )
    before = await page.value("document.querySelectorAll('#raw-rows [data-sent]').length")
    await page.click("#raw-all")
    rows = "[...document.querySelectorAll('#raw-rows [data-sent]')]"
    wanted = [["text", "text", "yes"], *([kind, came, "yes"] for kind in KINDS[1:])]
    await page.until(
        f"{rows}.slice({before}).map(({{dataset: d}}) => [d.sent, d.came ?? '', d.same])", wanted
    )
    sizes = await page.value(f"{rows}.slice({before}).map((row) => row.cells[2].textContent)")
    expect("sizes", sizes[1:], [f"{size:,}"] * 4)


@case
async def every_kind_of_message_comes_back_from_echo(at: Place) -> None:
    async with at.opened(at.channel()) as page:
        await page.front()
        for binary_type in ["blob", "arraybuffer"]:
            for size in [256, 65536, 1048576]:
                await sent_and_compared(page, binary_type, size)
        await page.click("#raw-close")
        await page.until(
            "document.getElementById('raw-status').textContent", "closed: code 1000 (no reason)"
        )
        await page.until(events("close", "/echo"), ["code 1000 (no reason)"])


@case
async def every_kind_of_message_comes_back_from_raw(at: Place) -> None:
    async with at.opened(at.channel()) as page:
        await page.front()
        await page.value("document.getElementById('raw-path').value = '/raw/'")
        for binary_type in ["blob", "arraybuffer"]:
            await sent_and_compared(page, binary_type, 256)
        # The channel has them, too: text as it is, bytes in base64.
        await page.until(f"{MESSAGES}.length", 10)


async def in_order(page: Page, kinds: Sequence[str]) -> None:
    """Every offset from 1 once, in order, and how it came."""
    rows = await shown(page)
    expect("offsets", [row["offset"] for row in rows], list(range(1, len(kinds) + 1)))
    expect("how they came", [row["kind"] for row in rows], list(kinds))
    await page.until(ORDER, "in order, none missing")


@case
async def what_was_published_while_it_was_cut_is_recovered(at: Place) -> None:
    channel = at.channel()
    async with at.opened(channel) as first, at.opened(channel) as second:
        await publish(first, "before")
        await texts_are(second, ["before"])
        await first.front()
        await first.click("#cut")
        expect("the state", await first.value(STATE), "cut")
        await second.until(PRESENT, 1)
        await publish(second, "meanwhile")
        await first.until(STATE, "subscribed")
        await publish(second, "after")
        away = [f"while you were away: {n}" for n in ("one", "two", "three")]
        await first.until(f"{MESSAGES}.at(-1).querySelector('.text').firstChild.data", "after")
        texts = [row["text"] for row in await shown(first)]
        expect("what was said", sorted(texts[1:-1]), sorted(["meanwhile", *away]))
        await in_order(first, ["live", *["recovered"] * 4, "live"])
        await first.until(f"{NOTES}.includes('Back. 4 messages recovered.')")
        await first.until(events("close"), ["code 4000 (no reason)"])


@case
async def a_network_that_fails_is_survived(at: Place) -> None:
    channel = at.channel()
    async with counting(at.port) as relay:
        page = await at.open(channel, relay.port)
        await at.api.publish(channel, {"text": "before"})
        await texts_are(page, ["before"])
        relay.cut()
        await page.until(STATE, "waiting")
        for text in ["one", "two"]:
            await at.api.publish(channel, {"text": text})
        relay.restore()
        await page.until(STATE, "subscribed")
        await texts_are(page, ["before", "one", "two"])
        await in_order(page, ["live", "recovered", "recovered"])
        await page.until(f"{events('close')}[0]", "code 1006 (no reason), not clean")
        await page.close()


@case
async def a_server_that_does_not_answer_is_given_up(at: Place) -> None:
    async with counting(at.port) as relay:
        page = await at.open(at.channel(), relay.port)
        relay.cut()
        await page.until(f"{STATUS}.includes('no answer within 5 s')")
        relay.restore()
        await page.until(STATE, "subscribed")
        await page.close()


@case
async def lost_history_is_told(at: Place) -> None:
    channel = at.channel()
    async with at.opened(channel) as page:
        await publish(page, "before")
        await texts_are(page, ["before"])
        await page.click("#cut-lose")
        await page.until(STATE, "cut")
        await page.until(STATE, "subscribed")
        await publish(page, "after")
        await texts_are(page, ["before", "after"])
        expect("offsets", [row["offset"] for row in await shown(page)], [1, 5])
        notes = await page.value(NOTES)
        lost = [note for note in notes if "not recovered: 3 messages lost (offsets 2 to 4)" in note]
        expect("notes on what is lost", len(lost), 1)
        await page.until(ORDER, "in order; 3 lost, told")


@case
async def a_channel_that_begins_anew_is_told(at: Place) -> None:
    # Another daemon on the same port, which knows nothing of the first one's channels.
    channel = at.channel()
    async with (
        serving({}, flags=["--dev"]) as (_, first),
        serving({}, flags=["--dev"]) as (_, second),
    ):
        async with counting(first[0]) as relay:
            page = await at.open(channel, relay.port)
            await Api(first[0], "").publish(channel, {"text": "before"})
            await texts_are(page, ["before"])
            async with relay.leading_to(second[0]):
                relay.end()
                await page.until(STATE, "waiting")
                await page.until(STATE, "subscribed")
                await page.until(f"{NOTES}.some((note) => note.includes('begun anew'))")
            await page.close()


@case
async def the_api_disconnects_for_good_by_the_line_that_the_page_prints(at: Place) -> None:
    async with at.opened(at.channel()) as page:
        line = await page.value("document.getElementById('curl-disconnect').textContent")
        expect("the answer", json.loads(await bash(line)), {"result": {}})
        await page.until(STATE, "closed")
        status = await page.value(STATUS)
        expect("the status", status, "Closed for good: 3503 force disconnect")
        await page.until(events("close"), ["code 3503 force disconnect"])
        await page.click("#connect")
        await page.until(STATE, "subscribed")
        await page.until(f"{events('open')}.length", 2)


@case
async def the_api_unsubscribes(at: Place) -> None:
    channel = at.channel()
    async with at.opened(channel) as page:
        await at.api.call("unsubscribe", user="", channel=channel)
        await page.until(STATE, "connected")
        status = await page.value(STATUS)
        expect_that(status.startswith("Unsubscribed by the server: 2000 "), status)
        await page.click("#subscribe")
        await page.until(STATE, "subscribed")


@case
async def the_line_for_a_terminal_works_as_it_is_copied(at: Place) -> None:
    channel = f"{at.channel()}'s"
    async with at.opened(channel) as page:
        await page.call(
            "Browser.grantPermissions",
            permissions=["clipboardReadWrite", "clipboardSanitizedWrite"],
        )
        await page.front()
        await page.click("[data-copies=curl]")
        await page.until("document.querySelector('[data-copies=curl]').textContent", "Copied")
        line = await page.value("navigator.clipboard.readText()")
        expect("the program", shlex.split(line)[0], "curl")
        expect("the answer's offset", json.loads(await bash(line))["result"]["offset"], 1)
        await texts_are(page, ["hello from a terminal"])
        expect("the publisher", (await shown(page))[0]["by"], "API")


@case
async def another_channel_is_another_list(at: Place) -> None:
    one, other = at.channel(), at.channel()
    await at.api.publish(other, {"text": "there"})
    async with at.opened(one) as page:
        await publish(page, "here")
        await texts_are(page, ["here"])
        await page.value("document.getElementById('channel').select()")
        await page.write(other)
        await texts_are(page, ["there"])
        await page.until(STATE, "subscribed")
        await at.api.publish(one, {"text": "not for us"})
        await at.api.publish(other, {"text": "for us"})
        await texts_are(page, ["there", "for us"])


@case
async def it_looks_as_in_its_pictures(at: Place) -> None:
    folder = Path(os.environ["WORK"]) / "interop"
    channel = at.channel()
    async with at.opened(channel) as page, at.opened(channel) as second:
        for text in ["Good morning!", "Is anybody here?", "Everybody is."]:
            await publish(page if "?" in text else second, text)
        await page.front()
        await page.click("#raw-all")
        await page.click("#cut")
        await page.until(STATE, "subscribed")
        await page.until("document.querySelectorAll('[data-kind=recovered]').length", 3)
        for name, width, scheme in [
            ("light", 1280, "light"),
            ("dark", 1280, "dark"),
            ("narrow", 390, "dark"),
        ]:
            file = folder / f"page-{name}.png"
            await page.picture(file, width, 900, scheme)
            expect_that(file.stat().st_size > 20_000, f"{file}: nothing is on it")
            await page.call(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=900,
                deviceScaleFactor=1,
                mobile=False,
            )
            wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            expect(f"{name}: what it is too wide by", await page.value(wide), 0)


async def without_dev_there_is_no_page() -> None:
    """Nothing is at `/` of a server that is in earnest."""
    async with serving({}) as (_, ports):
        answer = await request(ports[0], "GET", "/")
        expect("the status", answer.status, 404)
    async with serving({"api": {"listen": "127.0.0.1:0"}}, flags=["--dev"]) as (_, ports):
        answer = await request(ports[0], "GET", "/")
        expect("the status", answer.status, 200)
        expect_that(f'data-api-port="{ports[1]}"' in answer.text, "it knows where the API is")
        expect("on the API's port", (await request(ports[1], "GET", "/")).status, 404)
        head = await request(ports[0], "HEAD", "/")
        expect("of HEAD", (head.status, head.body), (200, b""))
        if head.headers["content-length"] != str(len(answer.body)):
            raise Broken("HEAD says another length than GET has")
