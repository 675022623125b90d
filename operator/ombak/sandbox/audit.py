"""Counts what users asked of the API server, from its own audit log: the honest way to count requests."""

import json
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

WRITE_VERBS = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(slots=True)
class RequestCounts:
    """Requests of one user, each counted once; keys are (verb, resource), as ("update", "replicasets/scale").

    Refused requests count too; `failed` has those by status. Requests for no resource (discovery) count in
    `other`.
    """

    writes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Persisted writes except events and signs of life."""
    events: int = 0
    """Writes of events."""
    signs_of_life: int = 0
    """Renewals of Leases: they come by the clock, whatever happens."""
    dry_run: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Writes with dryRun=All, which persist nothing."""
    gets: Counter[tuple[str, str]] = field(default_factory=Counter)
    lists: Counter[tuple[str, str]] = field(default_factory=Counter)
    watches: Counter[tuple[str, str]] = field(default_factory=Counter)
    uncached: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Those of `lists` and `watches` without a resourceVersion, which ask for the very newest state."""
    other: int = 0
    failed: Counter[int] = field(default_factory=Counter)
    """HTTP status of 400 and above."""


class AuditLog:
    """The audit log of one API server. Entries are written before the request is answered: none is late."""

    def __init__(self, path: Path) -> None:
        """The log need not exist yet."""
        self._path = path

    def mark(self) -> int:
        """A position: pass it as `since` to count only what came later."""
        return self._path.stat().st_size if self._path.exists() else 0

    def entries(self, user: str, since: int = 0) -> Iterator[dict[str, Any]]:
        """The requests of `user` as audit events, one per request, in order of the log."""
        if not self._path.exists():
            return
        begun_watches = set()
        with self._path.open("rb") as log:
            log.seek(since)
            for line in log:
                if not line.endswith(b"\n"):
                    return  # being written this very moment
                entry = json.loads(line)
                # A watch is logged when it begins and again when it ends.
                if entry["user"]["username"] != user or entry["auditID"] in begun_watches:
                    continue
                if entry["stage"] == "ResponseStarted":
                    begun_watches.add(entry["auditID"])
                yield entry

    def counts(
        self, user: str, since: int = 0, namespace: str | None = None, without: Collection[str] = ()
    ) -> RequestCounts:
        """Requests of `user` by kind, from `since` on.

        With `namespace` only those for objects in it; those for objects in namespaces of `without` never.
        """
        counts = RequestCounts()
        for entry in self.entries(user, since):
            found = entry.get("objectRef", {}).get("namespace")
            if namespace in (None, found) and found not in without:
                _count(entry, counts)
        return counts


def _count(entry: dict[str, Any], counts: RequestCounts) -> None:
    status = entry.get("responseStatus", {}).get("code", 0)
    if status >= 400:
        counts.failed[status] += 1
    key = _key(entry)
    if key is None:
        counts.other += 1
        return
    verb = key[0]
    query = parse_qs(urlsplit(entry["requestURI"]).query, keep_blank_values=True)
    if verb in WRITE_VERBS:
        _count_write(key, query, counts)
    elif verb == "get":
        counts.gets[key] += 1
    else:
        (counts.watches if verb == "watch" else counts.lists)[key] += 1
        if not query.get("resourceVersion", [""])[0]:
            counts.uncached[key] += 1


def _count_write(key: tuple[str, str], query: dict[str, list[str]], counts: RequestCounts) -> None:
    if "All" in query.get("dryRun", []):
        counts.dry_run[key] += 1
    elif key[1] == "events":
        counts.events += 1
    elif key[1] == "leases":
        counts.signs_of_life += 1
    else:
        counts.writes[key] += 1


def _key(entry: dict[str, Any]) -> tuple[str, str] | None:
    target = entry.get("objectRef", {})
    if "resource" not in target:
        return None
    subresource = f"/{target['subresource']}" if "subresource" in target else ""
    return entry["verb"], target["resource"] + subresource
