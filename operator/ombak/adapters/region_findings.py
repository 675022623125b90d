"""What a look at a region found: whether it answers and lets us in, in words that say whose turn it is."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import aiohttp

from ombak.runtime.kube_port import ApiError
from ombak.runtime.regions import Reach

LONGEST = 400
"""Characters of a server's words that are shown."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One look: the status, the reason and the message of the condition; `version` where it answered."""

    reach: Reach
    reason: str
    message: str
    version: str = ""


def no_answer(within: timedelta) -> Finding:
    """Nothing came in time."""
    return Finding(Reach.UNKNOWN, "Timeout", f"the API server did not answer within {within.total_seconds():g} s")


def finding_of(error: ApiError) -> Finding:
    """What a failed request says about the region: a refusal is certain, everything else leaves it unknown."""
    said = error.message[:LONGEST]
    if error.status == 401:
        message = f"the API server does not accept the credentials; renew them in the Secret ({said})"
        return Finding(Reach.NO, "Unauthorized", message)
    if error.status == 403:
        message = f"the hub has not the rights of charts/region-rbac.yaml there ({said})"
        return Finding(Reach.NO, "Forbidden", message)
    if error.status == 404:
        message = f"there are no Rollouts in that cluster; `kubectl apply -f crds/` there installs them ({said})"
        return Finding(Reach.NO, "NotInstalled", message)
    if error.status:
        return Finding(Reach.UNKNOWN, "ServerError", f"the API server answers with an error: {error}"[:LONGEST])
    return Finding(Reach.UNKNOWN, _network_reason(error), f"no usable answer: {said}")


def watch_broken(error: ApiError, silent_for: timedelta | None) -> Finding:
    """The server answers, but its changes do not come."""
    since = "yet" if silent_for is None else f"for {silent_for.total_seconds():.0f} s"
    message = f"it answers, but nothing was heard of its Rollouts {since}: {error}"[:LONGEST]
    return Finding(Reach.UNKNOWN, "WatchBroken", message)


def _network_reason(error: BaseException) -> str:
    """The first cause that says something more than that there was no answer."""
    for cause in _causes(error):
        match cause:
            case aiohttp.ClientConnectorCertificateError() | ssl.SSLCertVerificationError():
                return "CertificateNotTrusted"
            case aiohttp.ClientSSLError() | ssl.SSLError():
                return "TLSFailed"
            case aiohttp.ClientConnectorDNSError() | socket.gaierror():
                return "NameNotResolved"
            case asyncio.TimeoutError() | TimeoutError():
                return "Timeout"
            case ConnectionRefusedError():
                return "ConnectionRefused"
            case aiohttp.ClientConnectorError() if isinstance(cause.os_error, ConnectionRefusedError):
                return "ConnectionRefused"
    return "Unreachable"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
