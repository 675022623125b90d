"""What the answers of an API server mean: objects, lines of a watch, and refusals as telling errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta

import aiohttp
from pydantic_core import from_json

from ombak.adapters.kubernetes import AccessError
from ombak.runtime.kube_port import ApiError, Object, Silence, Unauthorized, Unreachable

NEEDS_PROOF = frozenset({404, 409, 410, 422})
"""Codes we act on: believed only from an API server's Status, not from some proxy's page."""


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Whatever the network, TLS or the login does wrong, as an `ApiError`."""
    try:
        yield
    except AccessError as error:
        raise Unauthorized(401, "NoCredentials", str(error)) from error
    except aiohttp.ClientConnectorError as error:
        # Its own words are the whole of its TLS context.
        raise Unreachable(f"{what}: no connection to {error.host}:{error.port}: {error.strerror}") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Unreachable(f"{what}: {error!r}") from error


async def watch_lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Each line of a watch as it comes; `Silence` when the read times out, `Unreachable` when the watch breaks."""
    while True:
        with explained("watch"):
            try:
                line = await stream.readline()
            except aiohttp.SocketTimeoutError as error:
                raise Silence("nothing came") from error
        if not line:
            return
        yield line


def json_object(raw: bytes) -> Object:
    """A JSON object, empty for any other JSON; `Unreachable` for what is none."""
    try:
        found = from_json(raw)
    except ValueError as error:
        raise Unreachable(f"the answer is not JSON: {raw[:80]!r}") from error
    return found if isinstance(found, dict) else {}


def api_object(raw: bytes) -> Object:
    """An object or list of the Kubernetes API; `Unreachable` for anything else."""
    found = json_object(raw)
    if not isinstance(found.get("metadata"), dict):
        raise Unreachable(f"the answer is not an API object: {raw[:80]!r}")
    return found


def error_of(response: aiohttp.ClientResponse, raw: bytes) -> ApiError:
    """What a refusal means. A code we act on counts only when an API server said it, in a Status."""
    status = response.status
    try:
        body = from_json(raw)
    except ValueError:
        body = None
    if isinstance(body, dict) and body.get("kind") == "Status":
        details = body.get("details") or {}
        after = _retry_after(details.get("retryAfterSeconds") or response.headers.get("Retry-After"))
        return ApiError.of(status, body.get("reason", ""), body.get("message", ""), after)
    text = raw[:200].decode(errors="replace").strip()
    after = _retry_after(response.headers.get("Retry-After"))
    if status in NEEDS_PROOF:
        return ApiError(status, "NotFromApiServer", text, after)
    return ApiError.of(status, response.reason or "", text, after)


def _retry_after(value: object) -> timedelta | None:
    """Seconds only; the HTTP date form is not used by API servers."""
    return timedelta(seconds=int(value)) if isinstance(value, int | str) and str(value).isdigit() else None
