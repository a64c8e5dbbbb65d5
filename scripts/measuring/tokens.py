"""Tokens of clients under measurement. In: claims. Out: JWTs that are signed with HS256 (RFC 7519).

Never: for a server of anybody else.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping

SECRET = "of-this-run-and-at-least-32-bytes-long"


def token(claims: Mapping[str, object]) -> str:
    """The token that says so."""
    signed = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}"
    mac = hmac.digest(SECRET.encode(), signed.encode(), hashlib.sha256)
    return f"{signed}.{encoded(mac)}"


def part(values: Mapping[str, object]) -> str:
    """A JSON object, as a token has it."""
    return encoded(json.dumps(values, separators=(",", ":")).encode())


def encoded(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
