"""How a hub gets into a region: as itself, or by the kubeconfig in a Secret, which may change at any moment."""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
from datetime import timedelta
from typing import Any, Protocol

from ombak.adapters.kube_client import Entrance
from ombak.adapters.kubeconfig import KubeconfigRefusedError, RegionLogin, read_login
from ombak.adapters.kubernetes import AccessError, proxy_of_environment
from ombak.api.region import KubeconfigAccess
from ombak.runtime import kinds
from ombak.runtime.kube_port import ApiError, Forbidden, KubeClient, mapping

AGAIN_AT_MOST_EVERY = timedelta(seconds=5)
"""How soon after one reading of the Secret a refused request (401) makes us read it again."""


class EntranceClosedError(AccessError):
    """There is no way in: no Secret, no right to read it, or not what we take; `reason` is that of the condition."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class RegionEntrance(Entrance, Protocol):
    """An entrance that is looked at from time to time."""

    @property
    def server(self) -> str:
        """The API server's URL; changes only when the region is another one."""
        ...

    @property
    def generation(self) -> int:
        """Grows whenever the credentials are others, or the entrance is closed."""
        ...

    async def look(self) -> None:
        """Take up what has changed. Raises `EntranceClosedError`, and `ApiError` when the hub's own server fails."""
        ...


class OwnEntrance:
    """The hub's own cluster: the hub's own way in."""

    generation = 0

    def __init__(self, access: Entrance) -> None:
        self._access = access

    @property
    def server(self) -> str:
        """See `Entrance.server`."""
        return self._access.server

    async def headers(self) -> dict[str, str]:
        """See `Entrance.headers`."""
        return await self._access.headers()

    async def renew(self) -> bool:
        """See `Entrance.renew`."""
        return await self._access.renew()

    def transport(self) -> dict[str, Any]:
        """See `Entrance.transport`."""
        return self._access.transport()

    async def look(self) -> None:
        """See `RegionEntrance.look`; the client renews by itself what it must."""


class SecretEntrance:
    """The kubeconfig in a Secret of the hub's cluster, read one by one with `get`: no list, no watch of Secrets.

    Whatever the Secret says now is what holds: one that is gone, or that cannot be used any more, closes the entrance.
    While the hub's own API server does not answer, what was read last is used on.
    """

    def __init__(self, hub: KubeClient, access: KubeconfigAccess) -> None:
        self.generation = 0
        self._hub = hub
        self._wanted = access
        self._login: RegionLogin | None = None
        self._text: str | None = None
        self._tls: ssl.SSLContext | None = None
        self._closed: EntranceClosedError | None = None
        self._read_at: float | None = None
        self._looking = asyncio.Lock()

    @property
    def server(self) -> str:
        """See `Entrance.server`."""
        return self._opened().server

    async def headers(self) -> dict[str, str]:
        """See `Entrance.headers`."""
        return self._opened().headers()

    def transport(self) -> dict[str, Any]:
        """See `Entrance.transport`."""
        login = self._opened()
        found: dict[str, Any] = {} if self._tls is None else {"ssl": self._tls}
        if login.server_name:
            found["server_hostname"] = login.server_name
        if proxy := login.proxy or proxy_of_environment(login.server):
            found["proxy"] = proxy
        return found

    async def renew(self) -> bool:
        """After a 401: read the Secret again, if that was not done a moment ago; whether the credentials are others."""
        now = asyncio.get_running_loop().time()
        if self._read_at is not None and now - self._read_at < AGAIN_AT_MOST_EVERY.total_seconds():
            return False
        before = self.generation
        try:
            await self.look()
        except ApiError:
            return False  # the region's own refusal is what counts
        return self.generation != before

    async def look(self) -> None:
        """See `RegionEntrance.look`."""
        async with self._looking:
            try:
                await self._take_up(await self._read())
            except KubeconfigRefusedError as error:
                self._close("KubeconfigRefused", f"the kubeconfig in {self._place} is refused: {error}")
            except EntranceClosedError as error:
                self._close(error.reason, str(error))
            if self._closed is not None:
                raise self._closed

    async def _take_up(self, text: str) -> None:
        if text == self._text:
            return
        login = read_login(text, self._wanted.context)
        tls = await asyncio.to_thread(login.tls)
        if login != self._login or self._closed is not None:
            self.generation += 1
        self._login, self._tls, self._text, self._closed = login, tls, text, None

    def _close(self, reason: str, message: str) -> None:
        if self._closed is None:
            self.generation += 1
        self._text, self._closed = None, EntranceClosedError(reason, message)

    @property
    def _place(self) -> str:
        ref = self._wanted.secret_ref
        return f"Secret {ref.namespace}/{ref.name}"

    def _opened(self) -> RegionLogin:
        if self._closed is not None:
            raise self._closed
        if self._login is None:
            raise EntranceClosedError("NotLookedAtYet", f"{self._place} was not read yet")
        return self._login

    async def _read(self) -> str:
        ref = self._wanted.secret_ref
        try:
            secret = await self._hub.get(kinds.SECRETS, ref.namespace, ref.name)
        except Forbidden as error:
            message = f"the hub may not read {self._place}; give it a Role with get on it: {error.message}"
            raise EntranceClosedError("SecretForbidden", message) from None
        except ApiError as error:
            if error.status != 404:
                raise
            raise EntranceClosedError("SecretMissing", f"there is no {self._place}; create it") from None
        self._read_at = asyncio.get_running_loop().time()
        encoded = mapping(secret.get("data")).get(ref.key)
        if not encoded:
            raise EntranceClosedError("SecretMissing", f"{self._place} has no key {ref.key}; write it")
        try:
            return base64.b64decode(encoded).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError, TypeError):
            raise KubeconfigRefusedError("it is no text") from None
