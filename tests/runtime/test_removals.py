"""What somebody took out of our objects comes back, and what the API server leaves out is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from ombak.runtime import kinds
from ombak.runtime.kube_port import ApiError, Invalid, Kind
from ombak.runtime.removals import ASK_AGAIN_AFTER
from support.rig import NAME, NAMESPACE, Rig, template

pytestmark = pytest.mark.usefixtures("quiet")


def _template(**fields: Any) -> Any:
    made = template()
    made["spec"]["containers"][0] |= {"env": [{"name": "LEVEL", "value": "info"}]}
    made["spec"] |= fields
    return made


async def _installed(**fields: Any) -> Rig:
    rig = Rig()
    await rig.installed(template=_template(**fields))
    return rig


def _take_out(rig: Rig, kind: Kind, name: str) -> None:
    """`kubectl edit`, and a variable deleted."""
    live = rig.server.get(kind, NAMESPACE, name)
    [container] = live["spec"]["template"]["spec"]["containers"]
    without = {field: value for field, value in container.items() if field != "env"}
    rig.edit(kind, name, {"spec": {"template": {"spec": {"containers": [without]}}}})


def _name(rig: Rig, kind: Kind) -> str:
    return f"{NAME}-onebox" if kind is kinds.DEPLOYMENTS else f"{NAME}-{rig.stable}"


CHILDREN = pytest.mark.parametrize("kind", [kinds.DEPLOYMENTS, kinds.REPLICA_SETS], ids=lambda kind: kind.kind)


@CHILDREN
async def test_a_field_that_somebody_removed_comes_back(kind: Kind) -> None:
    """With one Event that names it, and nothing afterwards, neither here nor in the next process."""
    rig = await _installed()
    name = _name(rig, kind)
    _take_out(rig, kind, name)
    for _ in range(3):
        await rig.reconcile()
        rig.settle()
        rig.clock.advance(5)
    [container] = rig.server.get(kind, NAMESPACE, name)["spec"]["template"]["spec"]["containers"]
    assert container["env"] == [{"name": "LEVEL", "value": "info"}]
    assert rig.recorder.reasons == ["PutBack"]
    assert f"{name}: spec.template.spec.containers[app].env removed by somebody" in rig.recorder.notes[0].message
    for _ in range(2):
        rig.kube.take()
        await rig.reconcile()
        assert rig.kube.told == []
        rig.restart()


async def test_in_peace_nothing_is_asked() -> None:
    """P7, at every pass and after a restart."""
    rig = await _installed()
    for _ in range(3):
        await rig.reconcile()
        rig.restart()
        await rig.reconcile()
    assert rig.kube.told == []


@CHILDREN
async def test_what_the_server_leaves_out_is_asked_once_and_left(monkeypatch: pytest.MonkeyPatch, kind: Kind) -> None:
    """A field that it does not know, or a policy takes away: never written, never told, asked once in a process."""
    rig = Rig()
    create, replace = rig.server.create, rig.server.replace

    def pruned(body: Any) -> Any:
        template = {**body["spec"]["template"]}
        template["spec"] = {k: v for k, v in template["spec"].items() if k != "unheardOf"}
        return {**body, "spec": {**body["spec"], "template": template}}

    def pruning(by: str, of: Kind, namespace: str, body: Any, *, dry_run: bool = False) -> Any:
        return create(by, of, namespace, pruned(body) if of is kind else body, dry_run=dry_run)

    def pruning_too(by: str, of: Kind, namespace: str, name: str, body: Any, *, subresource: str = "") -> Any:
        made = pruned(body) if of is kind and not subresource else body
        return replace(by, of, namespace, name, made, subresource=subresource)

    monkeypatch.setattr(rig.server, "create", pruning)
    monkeypatch.setattr(rig.server, "replace", pruning_too)
    await rig.installed(template=_template(unheardOf=True))
    rig.restart()
    rig.kube.take()
    for _ in range(4):
        await rig.reconcile()
        rig.clock.advance(90)
    assert rig.kube.told == [f"check {kind.kind} {_name(rig, kind)}-check"]
    _take_out(rig, kind, _name(rig, kind))
    rig.settle()
    await rig.reconcile()
    assert rig.recorder.reasons == ["PutBack"]
    assert "containers[app].env" in rig.recorder.notes[0].message


async def test_as_long_as_it_cannot_be_asked_nothing_counts_as_removed() -> None:
    """The server refuses the dry run: no write, no complaint, and a question now and then."""
    rig = await _installed()
    name = _name(rig, kinds.REPLICA_SETS)
    _take_out(rig, kinds.REPLICA_SETS, name)
    refused: ApiError = Invalid(422, "Invalid", "a policy says no")
    rig.kube.fail(f"check ReplicaSet {name}-check", refused, times=2)
    for _ in range(6):
        await rig.reconcile()
        rig.clock.advance(ASK_AGAIN_AFTER.total_seconds() / 3)
    assert rig.kube.told == [f"check ReplicaSet {name}-check"] * 2
    assert rig.recorder.reasons == []
    await rig.reconcile()
    assert rig.recorder.reasons == ["PutBack"]


async def test_a_refused_repair_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again every minute; the Event is about the edit, and that was one."""
    rig = await _installed()
    name = _name(rig, kinds.REPLICA_SETS)
    _take_out(rig, kinds.REPLICA_SETS, name)
    rig.kube.fail("replace ReplicaSet", ApiError.of(403, "Forbidden", "no"), times=5)
    for _ in range(5):
        await rig.reconcile()
        rig.clock.advance(60)
    assert rig.recorder.reasons == ["PutBack"]
    assert rig.condition("Stalled")["reason"] == "ApplyFailed"
    await rig.reconcile()
    assert rig.condition("Stalled")["status"] == "False"
    assert rig.recorder.reasons == ["PutBack"]


async def test_a_conflict_in_between_is_no_other_edit() -> None:
    """The deployment controller follows the edit while we put it back."""
    rig = await _installed()
    rig.edit(kinds.DEPLOYMENTS, f"{NAME}-onebox", {"spec": {"paused": True}})
    rig.settle()
    rig.kube.fail("replace Deployment", ApiError.of(409, "Conflict", "modified"), times=3)
    for _ in range(3):
        with pytest.raises(ApiError):
            await rig.reconcile()
        rig.clock.advance(1)
    await rig.reconcile()
    assert rig.recorder.reasons == ["PutBack"]
    assert "spec.paused set by kubectl-edit" in rig.recorder.notes[0].message


@pytest.mark.breadth
async def test_a_controller_that_wants_it_otherwise_gets_a_rest() -> None:
    """It changes the field whenever we put it back: a few writes at once, then ever fewer."""
    rig = await _installed()
    name = _name(rig, kinds.REPLICA_SETS)
    writes = 0
    for _ in range(720):
        rig.edit(kinds.REPLICA_SETS, name, {"spec": {"minReadySeconds": 77}}, by="vendor-controller")
        await rig.reconcile()
        rig.settle()
        writes += rig.server.get(kinds.REPLICA_SETS, NAMESPACE, name)["spec"]["minReadySeconds"] == 0
        rig.clock.advance(5)
    assert 6 <= writes <= 15
    assert rig.recorder.reasons == ["PutBack"] * writes
    assert "vendor-controller" in rig.recorder.notes[-1].message
    assert await rig.reconcile() is not None
