"""The port to one Kubernetes API server: raw JSON objects in and out, typed failures, no client library.

Objects are plain dicts, never typed models: a model that drops unknown fields loses data on
read-modify-write.
"""

# Errors are named as the claims they make (`NotFound`), like the reasons of the API server.
# ruff: noqa: N818

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, Protocol

Object = dict[str, Any]
"""One API object as JSON; the server's own field names."""

PAGE_LIMIT = 500
"""Objects per page of a list: keeps the transient memory of a list of 20,000 objects small."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource of an API server; `group` is empty for the core group."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """The `apiVersion` field of such an object."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """The URL path of a collection (no name) or of one object; `namespace` None or "" means all."""
        root = f"/apis/{self.group}" if self.group else "/api"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        tail = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{root}/{self.version}{scope}/{self.plural}{tail}"


class ApiError(Exception):
    """A request failed; `status` is the HTTP code, or 0 when no answer came.

    `reason` and `message` are the server's own (those of its `Status`), so that a condition can quote them.
    """

    _by_status: ClassVar[dict[int, type[ApiError]]] = {}

    def __init__(self, status: int, reason: str = "", message: str = "", retry_after: timedelta | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}" if reason else f"{status}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    def __init_subclass__(cls, *, status: int | None = None) -> None:
        if status is not None:
            ApiError._by_status[status] = cls

    @property
    def outcome_unknown(self) -> bool:
        """Whether a write that failed may have happened all the same: no answer, or a server's fault."""
        return self.status == 0 or self.status >= 500

    @staticmethod
    def of(status: int, reason: str = "", message: str = "", retry_after: timedelta | None = None) -> ApiError:
        """The most specific error for an answer of the server."""
        cls = AlreadyExists if reason == "AlreadyExists" else ApiError._by_status.get(status, ApiError)
        return cls(status, reason, message, retry_after)


class Unauthorized(ApiError, status=401):
    """The credentials are missing or expired."""


class Forbidden(ApiError, status=403):
    """The credentials lack the right (or an admission policy said no)."""


class NotFound(ApiError, status=404):
    """No such object, or no such kind."""


class Conflict(ApiError, status=409):
    """The object changed since it was read, or a precondition does not hold."""


class AlreadyExists(ApiError):
    """An object of that name is there already (409 with this reason)."""


class Gone(ApiError, status=410):
    """The resource version or the page token is too old: list again."""


class Invalid(ApiError, status=422):
    """The server refuses the content; `message` names the fields."""


class TooManyRequests(ApiError, status=429):
    """The server asks for less; `retry_after` says how long to wait."""


class Unreachable(ApiError):
    """No usable answer: connection refused, cut, timed out, or not JSON. A write may have happened."""

    def __init__(self, message: str) -> None:
        super().__init__(0, "Unreachable", message)


class Silence(Unreachable):
    """A watch that is open and brought nothing for as long as the caller waits: maybe dead, maybe nothing happened."""


class KubeClient(Protocol):
    """One cluster. Every call ends within the client's timeout and raises `ApiError` and nothing else."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """Read one object as it is now (a quorum read, not a cache)."""
        ...

    async def create(self, kind: Kind, namespace: str, body: Object, *, dry_run: bool = False) -> Object:
        """Create an object; the name is taken from the body. Returns it as stored (or as it would be)."""
        ...

    async def replace(self, kind: Kind, namespace: str, name: str, body: Object, *, subresource: str = "") -> Object:
        """Write an object whole; conditional on `metadata.resourceVersion` when the body has one."""
        ...

    async def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch: Object | list[Object],
        *,
        subresource: str = "",
        content_type: str = "application/merge-patch+json",
    ) -> Object:
        """Change fields; conditional when the patch carries `metadata.resourceVersion`."""
        ...

    async def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: str = "Background",
    ) -> None:
        """Delete an object, only if uid and resource version are these; `Conflict` when they are not."""
        ...

    async def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        label_selector: str = "",
        *,
        limit: int = PAGE_LIMIT,
        resource_version: str = "0",
    ) -> Object:
        """Read a whole collection, page by page, as one list object.

        `resource_version` "0" takes what the server has in its cache (cheap, may be old); "" asks for the
        newest state; a number asks for a state not older than that.
        """
        ...


class LogReader(KubeClient, Protocol):
    """A cluster of which also the logs of containers can be read."""

    async def log(self, namespace: str, pod: str, container: str, *, lines: int, most: int) -> str:
        """Return the last lines of a container's log, at most so many bytes of them; raises `ApiError`."""
        ...


def metadata(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """The `metadata` of an object, or an empty mapping when the answer has none."""
    return mapping(mapping(obj).get("metadata"))


def mapping(value: object) -> Mapping[str, Any]:
    """A JSON value as a mapping; an empty one when it is something else."""
    return value if isinstance(value, Mapping) else {}


def listed(value: object) -> Sequence[Any]:
    """A JSON value as a list; an empty one when it is something else."""
    return value if isinstance(value, list) else []


def whole(value: object) -> int:
    """A JSON value as a whole number; 0 when it is something else."""
    return value if isinstance(value, int) else 0


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where a cluster is and who we are there; `scheme` and `token` make the Authorization header."""

    server: str
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    scheme: str | None = None
    token: str | None = field(default=None, repr=False)
    verify: bool = True
    proxy: str | None = None
