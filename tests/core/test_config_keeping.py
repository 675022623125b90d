"""Copies of ConfigMaps: what is put back, what is waited for, and that no box is given up for one that cannot start."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from ombak.api.rollout import Phase
from ombak.core import config, keeping, manifests, plan
from ombak.core.decide import decide
from ombak.core.identity import artifact_id
from ombak.core.memory import Memory, Reverting
from ombak.core.report import report
from ombak.core.snapshot import ArtifactView, ConfigCopy, CopyState, RolloutView, Snapshot
from support.snapshots import NAME, NOW, artifact, fleet, id_of, one_box, rollout, snapshot, spec, template

DIGEST = config.content_digest({"data": {"flag": "on"}})
BOXES = (plan.WriteOneBox, plan.CreateFleet, plan.ScaleFleet, plan.RepairFleet)


def carrying(view: ArtifactView, state: CopyState, **more: Any) -> ArtifactView:
    """A version with one ConfigMap."""
    copy = ConfigCopy("app", DIGEST, config.copy_name(NAME, view.id, "app"), state, **more)
    return dataclasses.replace(view, copies=(copy,))


def stable(state: CopyState, **more: Any) -> Snapshot:
    """A Rollout whose stable version runs in all ten boxes."""
    view = carrying(artifact("v1", 1, order=1), state, **more)
    return snapshot(rollout=wanting("v1"), artifacts=(view,))


def wanting(version: str, **more: Any) -> RolloutView:
    """A Rollout that asks for a version with one ConfigMap."""
    return rollout(spec(version, **more), config={"app": DIGEST})


def reverting(state: CopyState) -> Snapshot:
    """The way back from v2, of which three boxes are left, to a version whose copy is in some state."""
    good, bad = carrying(artifact("v1", 1, order=1), state), artifact("v2", 2, rejected="Alarm")
    memory = Memory(reverting=Reverting(bad.id, good.id, NOW, 10, 7, NOW - timedelta(minutes=30)))
    return snapshot(
        spec("v2"),
        memory=memory,
        artifacts=(good, bad),
        fleet=(fleet("v1", 6), fleet("v2", 3)),
        one_boxes=(one_box("v1"),),
    )


def moves(s: Snapshot) -> list[plan.Action]:
    return [action for action in decide(s, NOW).actions if isinstance(action, BOXES)]


def test_a_copy_that_is_gone_is_put_back_before_anything_moves() -> None:
    """And told, since somebody did that."""
    s = stable(CopyState.MISSING)

    assert decide(s, NOW).actions[0] == plan.KeepConfig(id_of("v1"), "app")
    assert [note.reason for note in keeping.notes(s)] == ["PutBack"]


@pytest.mark.parametrize("state", [CopyState.LOST, CopyState.FORGED], ids=str)
def test_no_box_is_given_up_for_one_that_cannot_start(state: CopyState) -> None:
    """A way back stands still, loudly, with what runs as it is; and it is not made to hurry by the time it lost."""
    s = reverting(state)
    assert moves(reverting(CopyState.KEPT))
    assert moves(reverting(CopyState.UNCHECKED))

    made = decide(s, NOW)

    assert not moves(s)
    assert made.phase is Phase.REVERTING
    assert made.is_loud
    assert made.waiting is not None
    assert made.waiting.key == "config"
    assert made.memory.reverting is not None
    assert (made.memory.reverting.progress_at, made.memory.reverting.forced) == (NOW, False)
    assert made.wake_at is not None


def test_boxes_may_always_go() -> None:
    """A shrink needs no configuration."""
    s = stable(CopyState.LOST)
    s = dataclasses.replace(s, rollout=wanting("v1", replicas=7))

    assert [type(action) for action in moves(s)] == [plan.ScaleFleet]


@pytest.mark.parametrize(
    ("state", "words", "who"),
    [
        (CopyState.LOST, ["app", DIGEST, "nothing else holds it"], "ConfigMap app again"),
        (CopyState.FORGED, ["to be deleted", "made with"], "whoever made it"),
    ],
    ids=["lost", "forged"],
)
def test_a_version_does_not_start_on_anything_else(state: CopyState, words: list[str], who: str) -> None:
    """P10: what is missing, and who can lift it; nothing that runs is touched."""
    wanted = carrying(artifact("v2", 2), state)
    s = stable(CopyState.KEPT)
    s = dataclasses.replace(s, rollout=wanting("v2"), artifacts=(*s.artifacts, wanted))

    made = decide(s, NOW)

    waiting = made.waiting
    assert (made.phase, moves(s)) == (Phase.BLOCKED, [])
    assert waiting is not None
    assert all(word in waiting.what for word in words)
    assert who in waiting.who


def test_a_missing_config_map_holds_what_is_wanted_and_leaves_what_runs() -> None:
    """Nobody can tell which version that is: it has no id, and no box moves."""
    s = stable(CopyState.KEPT)
    lacking = dataclasses.replace(s.rollout, artifact="", lacks="ConfigMap app, which spec.config lists")
    s = dataclasses.replace(s, rollout=lacking)

    made = decide(s, NOW)

    assert (made.phase, made.current, made.queued) == (Phase.BLOCKED, id_of("v1"), "")
    assert made.waiting is not None
    assert made.waiting.what == lacking.lacks
    assert made.message.startswith("The new version has not started")
    assert not moves(s)


def test_copies_live_for_the_record_and_for_the_boxes() -> None:
    """Whichever of them is left, the boxes can start anew: also when our kinds are gone (P8)."""
    s = stable(CopyState.KEPT, resource_version="7")
    owners = manifests.config_owners(s, id_of("v1"))

    assert [owner["kind"] for owner in owners] == ["Artifact", "ReplicaSet", "Deployment"]
    assert not any("blockOwnerDeletion" in owner or owner.get("controller") for owner in owners)
    assert keeping.owning(s) == (plan.OwnConfig(id_of("v1"), "app"),)
    settled = stable(CopyState.KEPT, resource_version="7", owners=frozenset(owner["uid"] for owner in owners))
    assert not keeping.owning(settled)


def conditions(s: Snapshot) -> dict[str, tuple[str, str]]:
    status = report(s, decide(s, NOW), {}, NOW)
    return {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}


def test_a_rollout_without_configuration_has_no_condition_about_it() -> None:
    """P7: its status is the same as before there was such a thing."""
    assert "ConfigReady" not in conditions(snapshot())


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (CopyState.KEPT, ("True", "Kept")),
        (CopyState.MISSING, ("True", "Kept")),
        (CopyState.LOST, ("False", "Lost")),
        (CopyState.FORGED, ("False", "Forged")),
    ],
    ids=["kept", "missing", "lost", "forged"],
)
def test_the_condition_tells_what_is_lost_of_what_runs(state: CopyState, told: tuple[str, str]) -> None:
    """A version that runs cannot start another box: that is for a person to know before a node goes."""
    s = stable(state)

    assert conditions(s)["ConfigReady"] == told
    losses = ["ConfigLost"] if told[0] == "False" else []
    assert [n.reason for n in keeping.notes(s) if n.reason != "PutBack"] == losses


def test_nothing_is_told_of_versions_that_do_not_matter() -> None:
    """What an old version carried may go, for nobody goes back to it without bringing its content."""
    s = stable(CopyState.KEPT)
    old = carrying(artifact("v0", 0), CopyState.LOST)
    s = dataclasses.replace(s, artifacts=(*s.artifacts, old))

    assert not keeping.notes(s)
    assert conditions(s)["ConfigReady"] == ("True", "Kept")


def test_boxes_get_the_copy_and_the_artifact_keeps_the_words_of_the_user() -> None:
    """The record can be compared with what was asked for, and its hash covers both."""
    made = spec("v1", config=["app"])
    made.template["spec"]["volumes"] = [{"name": "v", "configMap": {"name": "app"}}]
    found = artifact_id(made.template, {"app": DIGEST})
    view = dataclasses.replace(rollout(made), artifact=found, config={"app": DIGEST})

    stored = manifests.artifact(view, found, 1)["spec"]

    assert (stored["template"], stored["config"]) == (made.template, {"app": DIGEST})
    [volume] = view.pods["spec"]["volumes"]
    assert volume["configMap"]["name"] == config.copy_name(NAME, found, "app")
    assert manifests.artifact(rollout(spec("v1")), id_of("v1"), 1)["spec"].keys() == stored.keys() - {"config"}
    assert rollout(spec("v1")).pods == template("v1")
