"""JWTs made by hand (RFC 7519, HS256). In: claims and a key. Out: a token.

Never: knows the server's library for them.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import math
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Any

from .clients import awaited

KEY = "interop-token-key-0123456789abcdef"
HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}


def part(value: bytes) -> str:
    """A part of a token."""
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def token(
    claims: Mapping[str, Any], *, key: str = KEY, algorithm: str = "HS256", **header: str
) -> str:
    """A token that says this. The algorithm `none` signs nothing."""
    parts = [{"typ": "JWT", "alg": algorithm, **header}, claims]
    signed = ".".join(part(json.dumps(p, separators=(",", ":")).encode()) for p in parts)
    if algorithm == "none":
        return f"{signed}."
    signature = hmac.new(key.encode(), signed.encode(), HASHES[algorithm]).digest()
    return f"{signed}.{part(signature)}"


def connection(user: str, ends_in: float | None = None, **claims: Any) -> str:
    """A connection token of a user, that ends in so many seconds."""
    return token({"sub": user, **ending(ends_in), **claims})


def subscription(user: str, channel: str, ends_in: float | None = None, **claims: Any) -> str:
    """A subscription token of a user."""
    return token({"sub": user, "channel": channel, **ending(ends_in), **claims})


def ending(seconds: float | None) -> dict[str, int]:
    """The claim `exp`, which counts whole seconds: not before so many have passed, and at most one later."""
    return {} if seconds is None else {"exp": at(seconds)}


def at(seconds: float) -> int:
    """The time in so many seconds."""
    return math.ceil(time.time() + seconds)


class Issuer:
    """Hands out tokens when an SDK asks, the last one again and again, and remembers for which channels.

    One that is to end soon is made when it is asked for.
    """

    def __init__(self, *tokens: str | Callable[[], str]) -> None:
        self._tokens = list(tokens)
        self._asks = asyncio.Condition()
        self.asked: list[str] = []

    def give(self, token: str) -> None:
        """Gives this from now on."""
        self._tokens = [token]

    async def asked_for(self, count: int) -> None:
        """Waits till that many have been asked for."""
        async with self._asks:
            enough = self._asks.wait_for(lambda: len(self.asked) >= count)
            await awaited(f"question for token {count}", enough)

    async def __call__(self, channel: str) -> str:
        token = self._tokens.pop(0) if len(self._tokens) > 1 else self._tokens[0]
        async with self._asks:
            self.asked.append(channel)
            self._asks.notify_all()
        return token if isinstance(token, str) else token()


class Silent(Issuer):
    """Gives the first token, and no other till it is told to `speak`."""

    def __init__(self, first: str, later: str) -> None:
        super().__init__(first, later)
        self._speaks = asyncio.Event()

    def speak(self) -> None:
        """Gives the other one from now on."""
        self._speaks.set()

    async def __call__(self, channel: str) -> str:
        token = await super().__call__(channel)
        if len(self.asked) > 1:
            await self._speaks.wait()
        return token
