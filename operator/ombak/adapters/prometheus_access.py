"""Who we are to a Prometheus: headers, a token or a password, certificates, read again when their files change.

Nothing in here is ever shown: not in a log line, not in an error, not by `repr`.
"""

import base64
import dataclasses
import os
import threading
from collections.abc import Mapping
from pathlib import Path

import requests

from ombak.adapters.redaction import pattern_of, secrets_of_basic_auth, secrets_of_headers

TENANT_HEADER = "X-Scope-OrgID"
"""Says on whose behalf we ask; the one header whose value is no secret."""


class AccessFileError(Exception):
    """A file with credentials cannot be read; the message names the file, never its content."""


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class PrometheusAccess:
    """Where a Prometheus is and how to be let in; a token or a user with a password, not both.

    `url` is what comes before `/api/v1`. Values of headers are secrets, but for that of the tenant header. Files may be
    replaced at any time, as kubelet does with mounted Secrets.
    """

    url: str
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tenant_header: str = TENANT_HEADER
    bearer_token_file: Path | None = None
    username_file: Path | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that it rests on."""
        found = (self.bearer_token_file, self.username_file, self.password_file)
        return tuple(path for path in (*found, *self.certificates) if path is not None)

    @property
    def certificates(self) -> tuple[Path, ...]:
        """The files that a connection rests on, not only a request."""
        return tuple(path for path in (self.ca_file, self.cert_file, self.key_file) if path is not None)

    @property
    def verify(self) -> str | None:
        """What `requests` calls it: the CA to trust, None for the system's own."""
        return None if self.ca_file is None else str(self.ca_file)

    @property
    def cert(self) -> str | tuple[str, str] | None:
        """What `requests` calls it: our own certificate, with its key if that is in a file of its own."""
        if self.cert_file is None:
            return None
        return str(self.cert_file) if self.key_file is None else (str(self.cert_file), str(self.key_file))


_Signature = tuple[tuple[int, int, int], ...]


class Credentials:
    """The content of the files of one access; safe to be used from many threads."""

    def __init__(self, access: PrometheusAccess) -> None:
        self._access = access
        self._lock = threading.Lock()
        self._seen: dict[Path, tuple[int, int, int]] = {}
        self._authorization = ""
        self._in_headers = secrets_of_headers(access.headers, (TENANT_HEADER, access.tenant_header))
        self._from_files: set[str] = set()
        self._pattern = pattern_of(self._in_headers)

    def renew(self) -> bool:
        """Read again what has changed; returns whether that was a certificate. Raises AccessFileError."""
        if not self._access.files:
            return False
        with self._lock:
            before, self._seen = self._seen, {path: _signature(path) for path in self._access.files}
            if before == self._seen:
                return False
            try:
                self._authorization, secrets = self._read()
            except AccessFileError:
                self._seen = {}
                raise
            # Those of before too: an answer to a request that was signed with them may still be on its way.
            self._pattern = pattern_of(self._in_headers | self._from_files | secrets)
            self._from_files = secrets
            return bool(before) and any(before.get(path) != self._seen[path] for path in self._access.certificates)

    def _read(self) -> tuple[str, set[str]]:
        access = self._access
        if access.bearer_token_file is not None:
            token = _content(access.bearer_token_file)
            return f"Bearer {token}", {token}
        if access.username_file is not None and access.password_file is not None:
            user, password = _content(access.username_file), _content(access.password_file)
            encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
            return f"Basic {encoded}", secrets_of_basic_auth(user, password)
        return "", set()

    def sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the credentials into a request."""
        request.headers["Authorization"] = self._authorization
        return request

    @property
    def can_sign(self) -> bool:
        """Whether there is something to sign with."""
        return bool(self._authorization)

    def hide(self, text: str) -> str:
        """The text without any secret that a server may have echoed."""
        return text if self._pattern is None else self._pattern.sub("***", text)


def _signature(path: Path) -> tuple[int, int, int]:
    try:
        found = os.stat(path)  # noqa: PTH116 - follows links as Path.stat does, at a third of the cost
    except OSError as error:
        raise AccessFileError(f"{path} cannot be read ({type(error).__name__})") from None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _content(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AccessFileError(f"{path} cannot be read ({type(error).__name__})") from None
    if not text or not text.isprintable():
        raise AccessFileError(f"{path} holds no credentials: write one line into it")
    return text
