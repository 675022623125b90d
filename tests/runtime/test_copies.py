"""Copies of our objects by other names are deleted, and never counted, whatever is on its way (H3 of an audit)."""

import copy

import pytest

from ombak.alarms.verdict import State
from ombak.core import naming
from ombak.runtime import kinds
from ombak.runtime.kube_port import Kind, Object
from support.rig import NAME, NAMESPACE, Rig, baking, template


def copy_of(rig: Rig, kind: Kind, name: str, as_name: str, **spec: int) -> None:
    """What `kubectl get -o yaml | sed | kubectl apply -f -` makes of an object."""
    made = copy.deepcopy(rig.server.get(kind, NAMESPACE, name))
    for field in ("uid", "resourceVersion", "generation"):
        made["metadata"].pop(field, None)
    made["metadata"]["name"] = as_name
    made["spec"] |= spec
    rig.server.create("kubectl", kind, NAMESPACE, made)
    rig.settle()


def names(rig: Rig) -> set[str]:
    """The objects that make boxes, and the versions."""
    found = (*rig.server.all("ReplicaSet"), *rig.server.all("Deployment"), *rig.server.all("Artifact"))
    return {obj["metadata"]["name"] for obj in found}


@pytest.mark.parametrize("as_name", ["a-copy", "x-copy"], ids=["sorts first", "sorts last"])
@pytest.mark.parametrize("kind", [kinds.REPLICA_SETS, kinds.DEPLOYMENTS, kinds.ARTIFACTS], ids=lambda k: k.kind)
async def test_a_copy_goes_and_nothing_else_does(kind: Kind, as_name: str) -> None:
    """An Event tells of it, once; what runs is neither scaled nor written."""
    rig = Rig()
    old = await rig.installed()
    before = names(rig)
    copy_of(rig, kind, f"{NAME}-onebox" if kind is kinds.DEPLOYMENTS else f"{NAME}-{old}", as_name)
    await rig.reconcile()
    assert [w for w in rig.kube.writes if "status" not in w] == [f"delete {kind.kind} {as_name}"]
    assert (names(rig), rig.recorder.reasons) == (before, ["Surplus"])
    await rig.go_on()
    assert (rig.phase, rig.boxes(), rig.recorder.reasons) == ("Stable", {old: 4}, ["Surplus"])


@pytest.mark.parametrize("as_name", ["a-copy", "x-copy"], ids=["sorts first", "sorts last"])
@pytest.mark.parametrize("which", ["old", "new", "onebox"])
async def test_a_release_and_a_way_back_take_no_notice(which: str, as_name: str) -> None:
    """A copy of the old version does not keep a revert from its end; one of the new one approves nothing."""
    rig = Rig()
    old = await rig.installed(strategy=baking("10m"))
    new = await rig.at_first_batch()
    kind = kinds.DEPLOYMENTS if which == "onebox" else kinds.REPLICA_SETS
    name = {"old": f"{NAME}-{old}", "new": f"{NAME}-{new}", "onebox": f"{NAME}-onebox"}[which]
    copy_of(rig, kind, name, as_name, replicas=3)
    await rig.go_on("Bake")
    assert rig.boxes() == {new: 4}
    copy_of(rig, kind, name, as_name, replicas=2)
    rig.alarms.state = State.ALARM
    await rig.go_on("Reverted")
    assert (rig.boxes(), rig.recorder.reasons.count("Surplus")) == ({old: 4}, 2)
    assert "FloorYields" not in rig.recorder.reasons


async def test_what_nobody_owns_is_not_touched() -> None:
    """It bears our labels by a name of its own: the status says what to do, and scaling goes on."""
    rig = Rig()
    old = await rig.installed()
    stray: Object = copy.deepcopy(rig.server.get(kinds.REPLICA_SETS, NAMESPACE, f"{NAME}-{old}"))
    stray = {"metadata": {"name": "stray", "labels": stray["metadata"]["labels"]}, "spec": stray["spec"]}
    rig.server.create("kubectl", kinds.REPLICA_SETS, NAMESPACE, stray)
    await rig.reconcile()
    await rig.reconcile()
    assert rig.server.get(kinds.REPLICA_SETS, NAMESPACE, "stray")["metadata"].get("ownerReferences") is None
    assert f"take the label {naming.ROLLOUT} off it" in rig.status["waitingFor"]["what"]
    assert rig.condition("Stalled")["reason"] == "Conflict"


async def test_a_label_of_ours_in_a_users_template_names_no_zone() -> None:
    """It is refused; and where it slipped through, the boxes are found where they are."""
    rig = Rig()
    spoilt = template()
    spoilt["metadata"]["labels"][naming.ZONE] = "a"
    rig.apply(template=spoilt)
    await rig.reconcile()
    assert f"template.metadata.labels has {naming.ZONE}" in rig.condition("SpecValid")["message"]
    assert names(rig) == set()


async def test_a_zone_is_read_from_the_selector() -> None:
    """The labels of pods and of the object itself can be edited; then they are put back where it is."""
    rig = Rig()
    old = await rig.installed()
    patch: Object = {
        "metadata": {"labels": {naming.ZONE: "b"}},
        "spec": {"template": {"metadata": {"labels": {naming.ZONE: "b"}}}},
    }
    rig.edit(kinds.REPLICA_SETS, f"{NAME}-{old}", patch)
    found = rig.stores.replica_sets.get((NAMESPACE, f"{NAME}-{old}"))
    assert found is not None
    assert (found.value.zone, found.value.artifact) == ("", old)
    await rig.reconcile()
    assert names(rig) == {f"{NAME}-{old}", f"{NAME}-onebox"}
    assert rig.boxes() == {old: 4}
