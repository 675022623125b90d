"""Decoders are total: whatever an API server holds becomes a record, and what is wrong with it a part of that."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ombak.core import manifests, naming
from ombak.core.identity import artifact_id, digest_of
from ombak.runtime.decode_alarm import decode_alarm
from ombak.runtime.drift import drift
from ombak.runtime.observe import view_of
from ombak.runtime.records import decode_artifact, decode_rollout, decode_workload, owner_of
from support.effort import examples
from support.rig import KEY, Rig, spec, template

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def _skewed(known: Any) -> st.SearchStrategy[Any]:
    """The same object with some of its parts replaced by anything, or missing."""
    whole: st.SearchStrategy[Any]
    if isinstance(known, dict):
        whole = st.fixed_dictionaries({}, optional={key: _skewed(value) for key, value in known.items()})
    elif isinstance(known, list):
        whole = st.tuples(*map(_skewed, known)).map(list)
    else:
        whole = st.just(known)
    return st.one_of(whole, whole, whole, json_values)


_META = {
    "name": "front-end",
    "namespace": "shop",
    "uid": "u1",
    "resourceVersion": "7",
    "generation": 3,
    "finalizers": ["orphan"],
    "labels": {naming.ROLLOUT: "front-end", naming.ARTIFACT: "a1"},
    "annotations": {naming.ABORT: "a1"},
    "ownerReferences": [{"controller": True, "uid": "u0"}],
    "managedFields": [
        {"manager": "kubectl-edit", "fieldsV1": {"f:spec": {"f:paused": {}, 'k:{"name":"x"}': {".": {}}}}}
    ],
}
_ROLLOUT = {"metadata": _META, "spec": spec(), "status": {"phase": "Stable", "memory": {}}}
_ARTIFACT = {
    "metadata": _META,
    "spec": {"id": "a1", "digest": "sha256:0", "sequence": 1, "template": template()},
    "status": {"stable": {"order": 1, "at": "2026-01-01T00:00:00Z"}, "retried": ""},
}
_WORKLOAD = {
    "metadata": _META,
    "spec": {"replicas": 3, "template": template(), "strategy": {"rollingUpdate": {"maxSurge": 1}}},
    "status": {"replicas": 3, "readyReplicas": 2, "availableReplicas": 1, "observedGeneration": 3},
}
_ALARM = {
    "metadata": _META,
    "spec": {"metric": {"query": "up", "comparison": "LessThanThreshold", "threshold": 1}},
    "status": {"state": "OK"},
}
_CASES = [
    pytest.param(decode_rollout, _ROLLOUT, id="rollout"),
    pytest.param(decode_artifact, _ARTIFACT, id="artifact"),
    pytest.param(decode_workload, _WORKLOAD, id="workload"),
    pytest.param(decode_alarm, _ALARM, id="alarm"),
]

Decode = Callable[[Mapping[str, Any]], Any]


@pytest.mark.parametrize(("decode", "whole"), _CASES)
@settings(max_examples=examples(25), deadline=None)
@given(data=st.data())
def test_any_object_becomes_a_record(decode: Decode, whole: dict[str, Any], data: st.DataObject) -> None:
    """Fields of any type, missing ones, and objects of another shape altogether."""
    drawn = data.draw(st.fixed_dictionaries({}, optional={part: _skewed(value) for part, value in whole.items()}))
    record = decode(drawn)
    hash(record.meta)
    if decode is decode_workload:
        wanted = manifests.fleet(_view(), template(), "a1", "", 3)
        assert isinstance(drift(record.edits, wanted), str)


def _view() -> Any:
    return view_of(decode_rollout({**_ROLLOUT, "metadata": {**_META, "annotations": {}}}))


@pytest.mark.parametrize(("decode", "whole"), _CASES)
def test_a_whole_object_has_its_metadata(decode: Decode, whole: dict[str, Any]) -> None:
    """Everything that decisions ask for is there."""
    meta = decode(whole).meta
    assert (meta.namespace, meta.name, meta.uid, meta.resource_version) == ("shop", "front-end", "u1", "7")
    assert (meta.generation, meta.finalizers, meta.owner_uid, meta.is_deleting) == (3, ("orphan",), "u0", False)


def test_only_a_controlling_owner_is_an_owner() -> None:
    """An owner that does not control may be anything."""
    owners = [{"uid": "u8", "controller": False}, {"uid": "u9", "controller": True}]
    assert decode_workload({"metadata": {**_META, "ownerReferences": owners}}).meta.owner_uid == "u9"
    assert decode_workload({"metadata": {**_META, "ownerReferences": owners[:1]}}).meta.owner_uid == ""


def test_children_are_found_by_the_label_of_their_rollout() -> None:
    """No label, no owner."""
    assert owner_of(decode_workload(_WORKLOAD)) == KEY
    assert owner_of(decode_workload({"metadata": {**_META, "labels": {}}})) is None


def test_an_invalid_rollout_says_so_and_keeps_what_can_be_read() -> None:
    """Scaling goes on with what is left; the faulty part is named."""
    record = decode_rollout({"metadata": _META, "spec": spec(minReadySeconds="soon")})
    assert "spec.minReadySeconds" in record.problem
    assert record.spec is not None
    assert (record.spec.replicas, record.spec.paused) == (4, True)


def test_an_expression_that_cannot_be_read_is_a_problem_of_the_spec() -> None:
    """The CRD cannot tell, so the field and the place are named here."""
    record = decode_rollout({"metadata": _META, "spec": spec(alarms={"revert": "ALARM("})})
    assert record.problem.startswith("spec.alarms.revert is no alarm expression; correct it: line 1, column")


def test_the_bare_name_of_an_alarm_is_answered_with_what_to_write() -> None:
    """The commonest slip of all; a list of what the grammar takes helps nobody with it."""
    record = decode_rollout({"metadata": _META, "spec": spec(alarms={"revert": "front-end-errors"})})
    assert record.problem.endswith("; of an Alarm say whether it is on: ALARM(front-end-errors)")
    slip = decode_rollout({"metadata": _META, "spec": spec(alarms={"revert": "ALARM(a) AND AND ALARM(b)"})})
    assert "found 'AND'" in slip.problem
    assert "whether it is on" not in slip.problem


def test_why_no_boxes_can_be_made_is_kept() -> None:
    """A quota shows in the ReplicaSet, not in any pod."""
    refused = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: nopods"}
    told = {"metadata": _META, "spec": {}, "status": {"conditions": [refused]}}
    assert decode_workload(told).failure == "exceeded quota: nopods"
    assert decode_workload({"metadata": _META, "spec": {}}).failure == ""


def test_a_rollout_without_a_selector_has_no_spec() -> None:
    """Nothing of it can be trusted; the id of its template is there all the same."""
    raw = spec()
    del raw["selector"]
    record = decode_rollout({"metadata": _META, "spec": raw})
    assert (record.spec, record.artifact) == (None, artifact_id(template()))
    assert "spec.selector" in record.problem


@pytest.mark.parametrize(
    ("changes", "is_genuine"),
    [
        pytest.param({}, True, id="as made"),
        pytest.param({"id": "a1000000000f"}, False, id="another id"),
        pytest.param({"digest": "sha256:0"}, False, id="another digest"),
        pytest.param({"template": template("2.0.0")}, False, id="another template"),
    ],
)
def test_an_artifact_is_checked_at_every_read(changes: dict[str, Any], is_genuine: bool) -> None:
    """Its content must have the hash that it says (R61)."""
    made = {"id": artifact_id(template()), "digest": digest_of(template()), "sequence": 2, "template": template()}
    record = decode_artifact({"metadata": _META, "spec": made | changes})
    assert record.is_genuine is is_genuine
    assert record.template == (made | changes)["template"]


def test_an_artifact_keeps_its_verdicts() -> None:
    """The order in which it became stable, and why it was taken back."""
    at = "2026-01-01T00:00:00Z"
    status = {"stable": {"order": 3, "at": at}, "rejected": {"at": at, "reason": "Aborted"}, "retried": "a1.2"}
    record = decode_artifact({"metadata": _META, "spec": {}, "status": status})
    assert (record.stable_order, record.retried) == (3, "a1.2")
    assert record.rejected is not None
    assert record.rejected[:2] == ("Aborted", "")


def test_an_unreadable_verdict_counts_as_none() -> None:
    """Which is safe: it is proven again."""
    record = decode_artifact({"metadata": _META, "spec": {}, "status": {"stable": "yes"}})
    assert (record.stable_order, record.rejected) == (0, None)


@pytest.mark.parametrize(
    ("rolling", "surges"),
    [
        pytest.param({"maxSurge": 1, "maxUnavailable": 0}, True, id="surge"),
        pytest.param({"maxSurge": 0, "maxUnavailable": 1}, False, id="replace"),
        pytest.param({"maxSurge": "25%", "maxUnavailable": "25%"}, False, id="the default of Kubernetes"),
    ],
)
def test_a_deployment_surges_if_it_never_takes_a_box_away_first(rolling: dict[str, Any], surges: bool) -> None:
    """Only then its boxes count while it is changed."""
    changed = {**_WORKLOAD, "spec": {"strategy": {"rollingUpdate": rolling}}}
    assert decode_workload(changed).surges is surges


def test_counts_of_a_workload() -> None:
    """Absent replicas are one, as Kubernetes says; absent counts are none; an old status is not current."""
    record = decode_workload(_WORKLOAD)
    counts = (record.desired, record.replicas, record.ready, record.available, record.updated, record.is_current)
    assert counts == (3, 3, 2, 1, 0, True)
    fresh = decode_workload({"metadata": _META, "spec": {}})
    assert (fresh.desired, fresh.replicas, fresh.is_current) == (1, 0, False)
    assert decode_workload({"metadata": _META, "spec": {"replicas": 0}}).desired == 0


def test_the_version_of_a_workload_is_that_of_its_pods() -> None:
    """Labels of the object itself are easily overwritten, those of the pods are guarded by the selector."""
    labels = {naming.ARTIFACT: "a1c", naming.ZONE: "b"}
    made = {"metadata": {**_META, "labels": {naming.ARTIFACT: "evil", naming.ROLLOUT: "front-end"}}}
    made["spec"] = {"template": {"metadata": {"labels": labels}}}
    record = decode_workload(made)
    assert (record.artifact, record.zone) == ("a1c", "b")


async def test_what_the_operator_writes_is_decoded_as_it_was_meant() -> None:
    """Round trip of all three kinds through the API server."""
    rig = Rig()
    artifact = await rig.installed()
    [(_, version)] = rig.stores.artifacts.owned_by(KEY)
    [(_, fleet)] = rig.stores.replica_sets.owned_by(KEY)
    [(_, box)] = rig.stores.deployments.owned_by(KEY)
    assert (version.value.id, version.value.is_genuine, version.value.stable_order) == (artifact, True, 1)
    assert json.loads(version.value.template_json) == template()
    assert (fleet.value.artifact, fleet.value.desired, fleet.value.zone) == (artifact, 3, "")
    assert (box.value.artifact, box.value.desired, box.value.updated) == (artifact, 1, 1)
    assert fleet.value.meta.owner_uid == box.value.meta.owner_uid == rig.rollout["metadata"]["uid"]
