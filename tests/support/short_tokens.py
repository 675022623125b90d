"""Tokens of ServiceAccounts that end when a test wants: the API server itself gives none for less than ten minutes.

A token that it gave is signed anew, with another end, by the key with which the sandbox's API servers sign (ES256).
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from datetime import datetime
from pathlib import Path

_PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_BASE = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
Point = tuple[int, int] | None
"""A point of the curve P-256; None is the one at infinity."""


def ending(token: str, at: datetime, key: Path) -> str:
    """The same token, which ends at that moment; an API server takes it for up to a minute longer."""
    claims = json.loads(_decoded(token.split(".")[1]))
    claims["exp"] = int(at.timestamp())
    said = ".".join(_encoded(json.dumps(part).encode()) for part in ({"alg": "ES256", "typ": "JWT"}, claims))
    return f"{said}.{_encoded(_signature(said.encode(), _scalar(key)))}"


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _scalar(key: Path) -> int:
    """The private number of a P-256 key in SEC 1: the 32 bytes after version and length."""
    der = base64.b64decode("".join(key.read_text().splitlines()[1:-1]))
    return int.from_bytes(der[7:39], "big")


def _signature(message: bytes, private: int) -> bytes:
    """ECDSA over SHA-256, as JWS writes it: r and s, 32 bytes each."""
    digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
    once = secrets.randbelow(_ORDER - 1) + 1
    point = _times(once, _BASE)
    assert point is not None
    r = point[0] % _ORDER
    s = pow(once, -1, _ORDER) * (digest + r * private) % _ORDER
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _times(number: int, point: Point) -> Point:
    found: Point = None
    while number:
        if number & 1:
            found = _sum(found, point)
        point, number = _sum(point, point), number >> 1
    return found


def _sum(one: Point, other: Point) -> Point:
    if one is None or other is None:
        return one or other
    if one[0] == other[0] and (one[1] + other[1]) % _PRIME == 0:
        return None
    rise, run = (3 * one[0] ** 2 - 3, 2 * one[1]) if one == other else (other[1] - one[1], other[0] - one[0])
    slope = rise * pow(run, -1, _PRIME) % _PRIME
    x = (slope**2 - one[0] - other[0]) % _PRIME
    return x, (slope * (one[0] - x) - one[1]) % _PRIME
