"""How to reach a cluster: kubeconfig or service account, TLS, tokens, exec plug-ins.

Of the official client only the loaders of these are used. Its typed API costs four times the CPU per call and
loses unknown fields, and its watch spins on a broken proxy.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from kubernetes.aio import config
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from ombak.api.wording import clause
from ombak.runtime.kube_port import Credentials

RENEWAL_PAUSE = timedelta(seconds=10)
"""Credentials loaded less than this ago are not loaded again: an exec plug-in is a process each time."""


class AccessError(Exception):
    """There is no usable kubeconfig or service account, or its plug-in failed."""


class Access:
    """A cluster's address, TLS context and Authorization header; to be renewed when the server says 401."""

    def __init__(self, kubeconfig: Path | None = None, context: str | None = None) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._configuration: Any = None
        self._proxy: str | None = None
        self._tls: ssl.SSLContext | None = None
        self._loaded_at = 0.0
        self._loading = asyncio.Lock()

    @classmethod
    async def open(cls, kubeconfig: Path | None = None, context: str | None = None) -> Access:
        """Load `kubeconfig`, else $KUBECONFIG or ~/.kube/config, else the pod's service account.

        Raises `AccessError`.
        """
        access = cls(kubeconfig, context)
        await access.renew()
        return access

    async def renew(self) -> bool:
        """Load everything again, unless that was done a moment ago; whether it was. Raises `AccessError`."""
        async with self._loading:
            now = asyncio.get_running_loop().time()
            if self._configuration is not None and now - self._loaded_at < RENEWAL_PAUSE.total_seconds():
                return False
            try:
                configuration = await self._load()
                is_tls = str(configuration.host).startswith("https")
                self._tls = RESTClientObject(configuration).ssl_context if is_tls else None
            except (KeyError, TypeError) as error:  # in words about Python, which say nothing of the file
                raise AccessError(f"no usable credentials: {self._files} is no kubeconfig") from error
            except (config.ConfigException, yaml.YAMLError, OSError, ValueError) as error:
                raise AccessError(f"no usable credentials: {clause(str(error))}") from error
            self._configuration, self._loaded_at = configuration, now
            self._proxy = configuration.proxy or proxy_of_environment(str(configuration.host))
            return True

    @property
    def _files(self) -> str:
        return str(self._kubeconfig or os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")

    async def _load(self) -> Any:
        configuration, files = Configuration(), self._files
        if self._kubeconfig is None and not any(map(os.path.exists, files.split(os.pathsep))):
            config.load_incluster_config(client_configuration=configuration)
        else:
            await config.load_kube_config(
                config_file=files,
                context=self._context,
                client_configuration=configuration,
                persist_config=False,
            )
        return configuration

    @property
    def server(self) -> str:
        """The API server's URL, without a slash at the end."""
        return str(self._configuration.host).rstrip("/")

    async def headers(self) -> dict[str, str]:
        """The Authorization header as it is now: token files rotate. Raises `AccessError`."""
        try:
            token = await self._configuration.get_api_key_with_prefix("BearerToken")
        except (config.ConfigException, OSError) as error:
            raise AccessError(f"no usable token: {error}") from error
        return {"Authorization": token.strip()} if token else {}

    def transport(self) -> dict[str, Any]:
        """Arguments of an aiohttp request: TLS, its server name, and the proxy."""
        found: dict[str, Any] = {}
        if self.server.startswith("https"):
            found["ssl"] = self._tls
        if self._configuration.tls_server_name:
            found["server_hostname"] = self._configuration.tls_server_name
        if self._proxy:
            found["proxy"] = self._proxy
        return found

    async def credentials(self) -> Credentials:
        """The same as plain values, for a client of another library."""
        scheme, _, token = (await self.headers()).get("Authorization", "").partition(" ")
        settings = self._configuration
        return Credentials(
            server=self.server,
            ca_file=settings.ssl_ca_cert,
            cert_file=settings.cert_file,
            key_file=settings.key_file,
            scheme=scheme or None,
            token=token.strip() or None,
            verify=bool(settings.verify_ssl),
            proxy=self._proxy,
        )


def namespace_of(kubeconfig: Path | None = None, context: str | None = None) -> str:
    """The namespace that the context of a kubeconfig names, as kubectl takes it; `default` where it names none."""
    try:
        found, active = config.list_kube_config_contexts(str(kubeconfig) if kubeconfig else None)
    except (config.ConfigException, yaml.YAMLError, OSError, ValueError, KeyError, TypeError):
        return "default"  # whatever is wrong with the file, whoever opens it will say
    chosen = next((each for each in found if each["name"] == context), None) if context else active
    return str(((chosen or {}).get("context") or {}).get("namespace") or "default")


def proxy_of_environment(server: str) -> str | None:
    """The proxy that the environment asks for, looked up once: aiohttp would read netrc and more at each request."""
    url = urlsplit(server)
    if urllib.request.proxy_bypass(url.hostname or ""):
        return None
    return urllib.request.getproxies().get(url.scheme)
