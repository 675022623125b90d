"""Requests are counted from the audit log, each once."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ombak.sandbox.audit import AuditLog, RequestCounts

USER = "ombak"


def entry(verb: str, resource: str, query: str = "", **fields: Any) -> dict[str, Any]:
    """An audit event as the API server writes it, as far as it matters here."""
    subresource = fields.pop("subresource", None)
    target = {"resource": resource} | ({"subresource": subresource} if subresource else {})
    return {
        "auditID": fields.pop("id", f"{verb}-{resource}-{query}-{subresource}"),
        "stage": "ResponseComplete",
        "verb": verb,
        "user": {"username": USER},
        "objectRef": target,
        "requestURI": f"/apis/x/v1/{resource}?{query}",
        "responseStatus": {"code": 200},
    } | fields


def counted(tmp_path: Path, *entries: dict[str, Any]) -> RequestCounts:
    """Counts of a log with these entries."""
    log = tmp_path / "audit.log"
    log.write_text("".join(json.dumps(one) + "\n" for one in entries))
    return AuditLog(log).counts(USER)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        pytest.param(entry("create", "pods"), RequestCounts(writes=Counter({("create", "pods"): 1})), id="write"),
        pytest.param(
            entry("update", "replicasets", subresource="scale"),
            RequestCounts(writes=Counter({("update", "replicasets/scale"): 1})),
            id="write-of-a-subresource",
        ),
        pytest.param(entry("create", "events"), RequestCounts(events=1), id="event"),
        pytest.param(
            entry("create", "pods", "dryRun=All"),
            RequestCounts(dry_run=Counter({("create", "pods"): 1})),
            id="dry-run",
        ),
        pytest.param(entry("get", "pods"), RequestCounts(gets=Counter({("get", "pods"): 1})), id="get"),
        pytest.param(
            entry("list", "pods", "resourceVersion=0&limit=5"),
            RequestCounts(lists=Counter({("list", "pods"): 1})),
            id="cached-list",
        ),
        pytest.param(
            entry("list", "pods", "resourceVersion=&limit=5"),
            RequestCounts(lists=Counter({("list", "pods"): 1}), uncached=Counter({("list", "pods"): 1})),
            id="uncached-list",
        ),
        pytest.param(
            entry("watch", "pods", "watch=1&resourceVersion=12"),
            RequestCounts(watches=Counter({("watch", "pods"): 1})),
            id="watch",
        ),
        pytest.param(
            entry("update", "pods", responseStatus={"code": 409}),
            RequestCounts(writes=Counter({("update", "pods"): 1}), failed=Counter({409: 1})),
            id="refused-write",
        ),
        pytest.param(entry("get", "", objectRef={}, requestURI="/version"), RequestCounts(other=1), id="no-resource"),
        pytest.param(entry("create", "pods", user={"username": "somebody"}), RequestCounts(), id="somebody-else"),
    ],
)
def test_each_kind_is_counted_apart(tmp_path: Path, one: dict[str, Any], expected: RequestCounts) -> None:
    """Every request counts in its own place and nowhere else."""
    assert expected == counted(tmp_path, one)


def test_watch_counts_once_when_it_began_and_ended(tmp_path: Path) -> None:
    """The log has two entries for a watch that ended, one for a watch still open."""
    begun = entry("watch", "pods", "resourceVersion=1", id="a", stage="ResponseStarted")
    ended = entry("watch", "pods", "resourceVersion=1", id="a")
    still_open = entry("watch", "pods", "resourceVersion=1", id="b", stage="ResponseStarted")

    assert counted(tmp_path, begun, still_open, ended).watches == Counter({("watch", "pods"): 2})


def test_only_what_came_after_the_mark_counts(tmp_path: Path) -> None:
    """A mark set before the log exists counts everything."""
    log = tmp_path / "audit.log"
    audit = AuditLog(log)
    before = audit.mark()
    log.write_text(json.dumps(entry("create", "pods")) + "\n")
    after = audit.mark()

    assert audit.counts(USER, since=before).writes.total() == 1
    assert audit.counts(USER, since=after) == RequestCounts()


def test_one_namespace_can_be_counted_alone(tmp_path: Path) -> None:
    """Requests of others, and those for no namespace, are left out."""
    log = tmp_path / "audit.log"
    places = ({"namespace": "shop"}, {"namespace": "other"}, {})
    entries = [
        entry("get", "pods", id=str(n), objectRef={"resource": "pods"} | place) for n, place in enumerate(places)
    ]
    log.write_text("".join(json.dumps(one) + "\n" for one in entries))

    assert AuditLog(log).counts(USER, namespace="shop").gets.total() == 1
    assert AuditLog(log).counts(USER).gets.total() == 3
