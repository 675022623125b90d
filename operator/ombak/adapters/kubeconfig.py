"""A kubeconfig that came from a Secret: only what it holds itself is used, nothing is run and no file is read.

`kubectl` would run the program that a kubeconfig names, and read the files that it points to. Whoever may write such
a Secret must not be able to run commands in the hub or to send its files (its service account's token) elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from ombak.runtime.kube_port import listed, mapping

MOST_BYTES = 256 * 1024
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_FILES = {
    "certificate-authority": "certificate-authority-data",
    "client-certificate": "client-certificate-data",
    "client-key": "client-key-data",
    "tokenFile": "token",
}
_PROGRAMS = ("exec", "auth-provider")
_CLUSTER = frozenset({"server", "certificate-authority-data", "tls-server-name", "proxy-url", "extensions"})
_USER = frozenset({"token", "client-certificate-data", "client-key-data", "extensions"})
_UNCHECKED = "insecure-skip-tls-verify"


class KubeconfigRefusedError(Exception):
    """It is no kubeconfig, or wants what one from a Secret must not; says what to write, never what it holds."""


@dataclass(frozen=True, slots=True)
class RegionLogin:
    """Where a cluster is and who we are there; secrets are not shown."""

    server: str
    ca: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    server_name: str = ""
    proxy: str = ""

    def headers(self) -> dict[str, str]:
        """The Authorization header; none where a certificate says who we are."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def tls(self) -> ssl.SSLContext | None:
        """What connections rest on, None without TLS; takes milliseconds. Raises `KubeconfigRefusedError`."""
        if not self.server.startswith("https"):
            return None
        try:
            context = ssl.create_default_context(cadata=self.ca or None)
            if self.certificate:
                self._load_certificate(context)
        except (ssl.SSLError, ValueError, OSError) as error:
            reason = f"its certificates cannot be used ({type(error).__name__}); make the kubeconfig anew"
            raise KubeconfigRefusedError(reason) from None
        return context

    def _load_certificate(self, context: ssl.SSLContext) -> None:
        """Python reads our own certificate from a file only: one that nobody else can read, for this moment."""
        with tempfile.TemporaryDirectory(prefix="ombak-") as folder:
            path = Path(folder) / "client.pem"
            path.touch(mode=0o600)
            path.write_text(f"{self.certificate}\n{self.key}\n", encoding="ascii")
            context.load_cert_chain(path, password="")  # an encrypted key would else ask the terminal


def read_login(text: str, context: str | None = None) -> RegionLogin:
    """The login of a context, the current one if none is named; raises `KubeconfigRefusedError`."""
    whole = _loaded(text)
    name = context or str(whole.get("current-context") or "")
    if not name:
        raise KubeconfigRefusedError("it has no current-context; write one, or access.kubeconfig.context in the Region")
    chosen = _named(whole, "contexts", "context", name)
    cluster = _named(whole, "clusters", "cluster", str(chosen.get("cluster") or ""))
    user = _named(whole, "users", "user", str(chosen.get("user") or ""))
    _check_fields(cluster, "cluster", _CLUSTER)
    _check_fields(user, "user", _USER)
    return _login(cluster, user)


def _loaded(text: str) -> Mapping[str, Any]:
    if len(text) > MOST_BYTES:
        raise KubeconfigRefusedError(f"it is longer than {MOST_BYTES // 1024} KiB, which no kubeconfig is")
    try:
        whole = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise KubeconfigRefusedError("it is not YAML; put the whole kubeconfig into that key of the Secret") from None
    if not isinstance(whole, Mapping) or "clusters" not in whole:
        raise KubeconfigRefusedError("it is no kubeconfig; put the whole kubeconfig into that key of the Secret")
    return whole


def _named(whole: Mapping[str, Any], plural: str, one: str, name: str) -> Mapping[str, Any]:
    found = next((each for each in map(mapping, listed(whole.get(plural))) if each.get("name") == name), None)
    if found is None:
        raise KubeconfigRefusedError(f"it has no {one} {name[:80]!r}; name one of its {plural}")
    return mapping(found.get(one))


def _check_fields(part: Mapping[str, Any], what: str, known: frozenset[str]) -> None:
    """Refuse whatever is not understood: a field that is left out could have meant less rights."""
    for name in (name for name in _PROGRAMS if part.get(name)):
        raise KubeconfigRefusedError(f"{name} would run a program in the hub; write a token or client-certificate-data")
    for name in (name for name in _FILES if part.get(name)):
        raise KubeconfigRefusedError(f"{name} points to a file of the hub; write its content as {_FILES[name]}")
    if part.get(_UNCHECKED):
        raise KubeconfigRefusedError(
            f"{_UNCHECKED} would tell the token to anybody who answers; write certificate-authority-data"
        )
    for name in sorted(str(name) for name in part if name not in known and part[name]):
        allowed = ", ".join(sorted(known - {"extensions"}))
        raise KubeconfigRefusedError(f"{name[:80]} of a {what} is not used from a Secret; there may be {allowed}")


def _login(cluster: Mapping[str, Any], user: Mapping[str, Any]) -> RegionLogin:
    login = RegionLogin(
        server=_server(_text(cluster, "server")),
        ca=_decoded(cluster, "certificate-authority-data"),
        token=_text(user, "token").strip(),
        certificate=_decoded(user, "client-certificate-data"),
        key=_decoded(user, "client-key-data"),
        server_name=_text(cluster, "tls-server-name"),
        proxy=_proxy(_text(cluster, "proxy-url")),
    )
    if not login.token and not login.certificate:
        raise KubeconfigRefusedError("its user has neither token nor client-certificate-data; write one of them")
    if bool(login.certificate) != bool(login.key):
        raise KubeconfigRefusedError("client-certificate-data and client-key-data belong together; write both")
    if not all(33 <= ord(letter) < 127 for letter in login.token):
        raise KubeconfigRefusedError("its token is no token: it holds a blank or a letter that none has")
    return login


def _server(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise KubeconfigRefusedError("server is no address of an API server; write https://host:port")
    if parts.username is not None or parts.password is not None:
        raise KubeconfigRefusedError("server holds a user or a password; write a token instead")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise KubeconfigRefusedError("server is http, which would show the token to the network; write https://")
    return url.rstrip("/")


def _proxy(url: str) -> str:
    if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
        raise KubeconfigRefusedError("proxy-url is no address of a proxy; write http://host:port")
    return url


def _text(part: Mapping[str, Any], name: str) -> str:
    value = part.get(name)
    if value is not None and not isinstance(value, str):
        raise KubeconfigRefusedError(f"{name} is no text; put it in quotes")
    return value or ""


def _decoded(part: Mapping[str, Any], name: str) -> str:
    """PEM from base64; empty where there is none."""
    try:
        found = base64.b64decode(_text(part, name), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise KubeconfigRefusedError(f"{name} is not base64 of a PEM; write it as kubectl does") from None
    if found and "-----BEGIN " not in found:
        raise KubeconfigRefusedError(f"{name} is not base64 of a PEM; write it as kubectl does")
    return found
