"""Writes to regions: in order in each, each by itself, and what fails is told and tried again."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ombak.api.pipeline import TRAVELLING
from ombak.core.conveyor import manifests, plan
from ombak.core.conveyor.snapshot import HubArtifact
from ombak.runtime import kinds
from ombak.runtime.hub.bringing import bring, drop
from ombak.runtime.hub.region_writer import RegionWriter
from ombak.runtime.kube_port import (
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    Invalid,
    Kind,
    NotFound,
    Object,
    Unreachable,
)
from ombak.runtime.region_records import decode_region_rollout
from ombak.runtime.regions import Contact, Reach, RegionView
from ombak.runtime.store import Key

KEY = ("shop", "front-end")
OURS = {"ombak.dev/hub": "hub-1", "ombak.dev/pipeline": "shop/front-end", "ombak.dev/content": "c0ffee00"}
OBJECT: Object = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {
        "name": "front-end",
        "namespace": "shop",
        "labels": {"ombak.dev/pipeline": "front-end"},
        "annotations": OURS,
    },
    "spec": {"ports": [{"port": 80}], "selector": {"app": "front-end"}, "publishNotReadyAddresses": False},
}
ROLLOUT = {"kind": "Rollout", "metadata": {"name": "front-end", "namespace": "shop"}, "spec": {"replicas": 2}}


SETTINGS = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "b"}}
NAME = manifests.config_name(SETTINGS)
KEPT = (HubArtifact("v1", "v1", "front-end.pipeline.v1", 1, {}, (SETTINGS,)),)
"""The version of which it is a copy."""
DROP = plan.DropConfig("eu-1", "shop", NAME, "hub-1", "shop/front-end")
CONFIG = {**SETTINGS, "immutable": True, "metadata": {**OBJECT["metadata"], "name": NAME}}
COPY = {"immutable": True, "metadata": {"name": NAME, "resourceVersion": "7", "annotations": OURS}}

CONTACT = Contact(Reach.YES, "Answering", "", datetime(2026, 1, 1, tzinfo=UTC))


class FakeRegions:
    """Regions that take everything, unless they are told to fail or to hang."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []
        self.bodies: list[Object] = []
        self.errors: dict[str, ApiError] = {}
        self.hanging: set[str] = set()
        self.named: set[str] = set()
        """ConfigMaps to which something refers."""
        self.live: Object | None = None
        """What a travelling object is there, None if there is none."""

    async def _take(self, verb: str, region: str, body: Object) -> Object:
        if region in self.hanging:
            await asyncio.Event().wait()
        self.told.append((region, verb, str(body.get("kind"))))
        self.bodies.append(body)
        if region in self.errors:
            raise self.errors[region]
        return body

    async def create(self, region: str, manifest: Object) -> Object:
        return await self._take("create", region, manifest)

    async def apply(self, region: str, manifest: Object, *, force: bool = False) -> Object:
        return await self._take("force" if force else "apply", region, manifest)

    async def patch(self, region: str, kind: Kind, namespace: str, name: str, patch: Object) -> Object:
        return await self._take("patch", region, {**patch, "kind": kind.kind})

    def names_config(self, region: str, namespace: str, name: str) -> bool:
        return name in self.named

    async def delete(self, region: str, kind: Kind, namespace: str, name: str, resource_version: str) -> None:
        await self._take(f"delete {name} {resource_version}", region, {"kind": kind.kind})

    def view(self, region: str, key: Key) -> RegionView | None:
        rollout = decode_region_rollout(
            {"metadata": {"name": key[1], "namespace": key[0], "uid": "uid-1"}}, "ombak-hub"
        )
        return RegionView(region, CONTACT, rollout)

    async def get(self, region: str, kind: Kind, namespace: str, name: str) -> Object:
        self.told.append((region, "get", kind.kind))
        if kind != kinds.ROLLOUTS and self.live is None:
            raise NotFound(404, "NotFound", "it is not there")
        return self.live or {}


class Written:
    """A writer, its regions, and what it woke."""

    def __init__(self) -> None:
        self.regions = FakeRegions()
        self.woken: list[tuple[Key, timedelta]] = []
        port: Any = self.regions
        self.writer = RegionWriter(port, random.Random(1), lambda key, after: self.woken.append((key, after)))

    async def write(self, region: str, *actions: plan.Action) -> None:
        self.writer.start(KEY, region, actions)
        while self.writer.is_busy(KEY, region):  # noqa: ASYNC110 - a state that nobody announces
            await asyncio.sleep(0)


@pytest.fixture
async def written() -> AsyncIterator[Written]:
    made = Written()
    yield made
    await made.writer.close()


def rollout(version: str = "", region: str = "eu-1") -> plan.ApplyRollout:
    """A Rollout to be written, seen at a version or not at all."""
    return plan.ApplyRollout(region, "shop", "front-end", dict(ROLLOUT), version, "it starts")


def service(**more: Any) -> plan.ApplyObject:
    """A Service that travels along."""
    return plan.ApplyObject("eu-1", "shop", OBJECT, **more)


def live(spec: Object | None = None, labels: dict[str, str] | None = None, **annotations: str) -> Object:
    """The Service as it is there, with the marks of this Pipeline but for those that are said; empty ones are not."""
    marks = OURS | {f"ombak.dev/{name}": value for name, value in annotations.items()}
    told = {name: value for name, value in marks.items() if value}
    ports = [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    return {
        "metadata": {"name": "front-end", "resourceVersion": "7", "annotations": told, "labels": labels or {}},
        "spec": {"ports": ports, "selector": {"app": "front-end"}, "clusterIP": "10.0.0.1"} if spec is None else spec,
    }


async def test_what_is_not_there_is_created_after_what_it_needs(written: Written) -> None:
    """In the order of the plan."""
    await written.write("eu-1", service(), rollout())

    assert written.regions.told == [
        ("eu-1", "get", "Service"),
        ("eu-1", "create", "Service"),
        ("eu-1", "create", "Rollout"),
    ]
    assert (written.woken, written.writer.problems(KEY)) == ([(KEY, timedelta(0))], {})


async def test_what_is_there_is_applied_only_as_it_was_seen(written: Written) -> None:
    """With resource version and uid: what changed meanwhile is decided anew, what is gone is not made sizeless."""
    await written.write("eu-1", rollout("7"))

    assert written.regions.told == [("eu-1", "force", "Rollout")]
    meta = written.regions.bodies[0]["metadata"]
    assert (meta["resourceVersion"], meta["uid"]) == ("7", "uid-1")


async def test_a_region_that_hangs_delays_only_itself(written: Written) -> None:
    """Another region is written meanwhile, by the same Pipeline."""
    written.regions.hanging.add("eu-1")
    written.writer.start(KEY, "eu-1", [rollout()])
    await written.write("us-1", rollout(region="us-1"))

    assert written.writer.is_busy(KEY, "eu-1")
    assert written.regions.told == [("us-1", "create", "Rollout")]


async def test_after_a_failure_nothing_that_follows_is_written(written: Written) -> None:
    """The Rollout must not come before what it needs; why is told, and it is tried again later, until it succeeds."""
    written.regions.errors["eu-1"] = Unreachable("no answer")
    await written.write("eu-1", service(), rollout())

    assert written.regions.told == [("eu-1", "get", "Service"), ("eu-1", "create", "Service")]
    assert "no answer" in written.writer.problems(KEY)["eu-1"]
    assert written.woken[0][1] > timedelta(0)
    written.regions.errors.clear()
    await written.write("eu-1", service(), rollout("8"))
    assert written.writer.problems(KEY) == {}


async def test_the_same_write_waits_after_a_failure_and_another_one_does_not(written: Written) -> None:
    """However often it is decided meanwhile: it is woken for when it is due, and a way back is written at once."""
    written.regions.errors["eu-1"] = Unreachable("no answer")
    await written.write("eu-1", rollout("7"))
    asked = len(written.regions.told)
    for _ in range(3):
        await written.write("eu-1", rollout("7"))
    assert len(written.regions.told) == asked
    assert [after > timedelta(0) for _, after in written.woken] == [True] * 4

    await written.write("eu-1", rollout("8"))
    assert len(written.regions.told) > asked


async def test_the_same_written_once_more_waits_and_another_write_does_not(written: Written) -> None:
    """Whatever version of the object it was decided from: what changes it there may do so for ever."""
    for version in ("7", "8", "9"):
        await written.write("eu-1", rollout(version))
    assert len(written.regions.told) == 2
    assert [after > timedelta(0) for _, after in written.woken] == [False, False, True]
    assert written.writer.problems(KEY) == {}

    other = dataclasses.replace(rollout("9"), manifest={**ROLLOUT, "spec": {"replicas": 2, "rejected": ["v1"]}})
    await written.write("eu-1", other)
    assert len(written.regions.told) == 3


async def test_what_is_not_to_be_written_any_more_is_no_problem_any_more(written: Written) -> None:
    """It was done although nobody said so, or the region is not the Pipeline's any more."""
    for region in ("eu-1", "us-1"):
        written.regions.errors[region] = Unreachable("no answer")
        await written.write(region, rollout("7", region))
    written.writer.keep(KEY, {"us-1"})

    assert list(written.writer.problems(KEY)) == ["us-1"]


@pytest.mark.parametrize(
    ("version", "error"),
    [
        pytest.param("", AlreadyExists(409, "AlreadyExists", "it is there"), id="created by another pass"),
        pytest.param("7", Conflict(409, "Conflict", "the object has been modified"), id="changed meanwhile"),
        pytest.param("7", NotFound(404, "NotFound", "it is not there"), id="deleted meanwhile"),
    ],
)
async def test_what_was_overtaken_is_read_again_and_is_no_problem(
    written: Written, version: str, error: ApiError
) -> None:
    """The next decision sees it as it is."""
    written.regions.errors["eu-1"] = error
    await written.write("eu-1", rollout(version))

    assert written.regions.told[-1] == ("eu-1", "get", "Rollout")
    assert written.writer.problems(KEY) == {}
    assert len(written.woken) == 1


async def test_what_is_overtaken_again_and_again_is_told(written: Written) -> None:
    """Something is wrong then, such as a watch that brings nothing."""
    written.regions.errors["eu-1"] = Conflict(409, "Conflict", "the object has been modified")
    for version in range(6):
        await written.write("eu-1", rollout(str(version + 1)))

    assert "has been modified" in written.writer.problems(KEY)["eu-1"]


async def test_a_namespace_that_is_not_there_is_told(written: Written) -> None:
    """A Rollout that was never there cannot have been deleted meanwhile."""
    written.regions.errors["eu-1"] = NotFound(404, "NotFound", 'namespaces "shop" not found')
    await written.write("eu-1", rollout())

    assert "namespaces" in written.writer.problems(KEY)["eu-1"]


async def test_what_is_there_and_ours_is_applied_as_it_was_read(written: Written) -> None:
    """With its resource version and without force; what the server adds or leaves out is no edit."""
    written.regions.live = live()
    await written.write("eu-1", service(), rollout("7"))

    assert [verb for _, verb, _ in written.regions.told] == ["get", "apply", "force"]
    assert written.regions.bodies[0]["metadata"]["resourceVersion"] == "7"
    assert written.writer.refused(KEY) == {}


@pytest.mark.parametrize(
    ("found", "owner"),
    [
        pytest.param(live(hub="hub-2"), ("hub-2", "shop/front-end"), id="another-hub"),
        pytest.param(live(pipeline="shop/settings"), ("hub-1", "shop/settings"), id="another-pipeline"),
        pytest.param(live(hub="", pipeline="", content=""), ("", ""), id="nobody"),
        pytest.param(live(pipeline="", labels={"ombak.dev/pipeline": "other"}), ("hub-1", ""), id="before-marks"),
    ],
)
async def test_what_is_somebody_elses_is_not_touched(written: Written, found: Object, owner: tuple[str, str]) -> None:
    """Nor is the Rollout that needs it; whose it is, is told."""
    written.regions.live = found
    await written.write("eu-1", service(), rollout())

    refused = written.writer.refused(KEY)["eu-1"]
    assert [verb for _, verb, _ in written.regions.told] == ["get"]
    assert ((refused.hub, refused.pipeline), refused.edits) == (owner, "")
    assert (refused.kind, refused.namespace, refused.name) == ("services", "shop", "front-end")
    written.regions.live = live()
    await written.write("eu-1", service(), rollout("8"))
    assert written.writer.refused(KEY) == {}


@pytest.mark.parametrize(
    ("found", "more"),
    [
        pytest.param(live(pipeline="", labels={"ombak.dev/pipeline": "front-end"}), {}, id="brought-by-an-older-hub"),
        pytest.param(live(hub="hub-2"), {"is_heir": True}, id="came-with-the-rollout"),
    ],
)
async def test_what_is_ours_by_other_signs_is_taken(written: Written, found: Object, more: dict[str, bool]) -> None:
    """Who was given the Rollout has what travelled with it."""
    written.regions.live = found
    await written.write("eu-1", service(**more))

    assert [verb for _, verb, _ in written.regions.told] == ["get", "apply"]


async def test_a_copy_of_a_config_map_serves_whoever_needs_it(written: Written) -> None:
    """It never changes, and its name tells its content; only another content under that name is a conflict."""
    written.regions.live = live(pipeline="shop/settings") | {"data": {"a": "c"}, "immutable": True}
    await written.write("eu-1", plan.ApplyObject("eu-1", "shop", CONFIG))
    assert written.writer.refused(KEY)["eu-1"].pipeline == "shop/settings"

    written.regions.live |= {"data": {"a": "b"}}
    await written.write("eu-1", plan.ApplyObject("eu-1", "shop", CONFIG), rollout())
    copy, _ = written.regions.bodies
    assert (copy["metadata"]["resourceVersion"], copy["metadata"]["annotations"]) == ("7", OURS)
    assert written.writer.refused(KEY) == {}


async def test_a_copy_that_nobody_brought_along_stays_whose_it_is(written: Written) -> None:
    """Nobody takes it away; so nobody has to have it."""
    written.regions.live = live(hub="", pipeline="") | {"data": {"a": "b"}, "immutable": True}
    await written.write("eu-1", plan.ApplyObject("eu-1", "shop", CONFIG))

    assert (written.regions.bodies, written.writer.refused(KEY)) == ([], {})


class OneCopy(FakeRegions):
    """A region with a copy of a ConfigMap; right before it is deleted, another Pipeline brings the same."""

    def __init__(self, brought: plan.ApplyObject) -> None:
        super().__init__()
        self._brought = brought

    async def apply(self, region: str, manifest: Object, *, force: bool = False) -> Object:
        assert self.live is not None
        seen = int(self.live["metadata"]["resourceVersion"])
        self.live = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": str(seen + 1)}}
        return self.live

    async def delete(self, region: str, kind: Kind, namespace: str, name: str, resource_version: str) -> None:
        port: Any = self
        await bring(port, region, self._brought)
        if self.live is None or self.live["metadata"]["resourceVersion"] != resource_version:
            raise Conflict(409, "Conflict", "the object has been modified")
        self.live = None


async def test_a_copy_is_not_deleted_while_another_pipeline_is_about_to_refer_to_it() -> None:
    """Its Rollout is written after this, so nothing there names the copy yet; whoever needs it last has it."""
    theirs = OURS | {"ombak.dev/pipeline": "shop/back-end"}
    meta = {"name": NAME, "namespace": "shop", "labels": {"ombak.dev/pipeline": "back-end"}, "annotations": theirs}
    brought = plan.ApplyObject("eu-1", "shop", {**SETTINGS, "immutable": True, "metadata": meta})
    port: Any = OneCopy(brought)
    port.live = {**SETTINGS, **COPY}
    with pytest.raises(Conflict):
        await drop(port, "eu-1", DROP)
    await drop(port, "eu-1", DROP)

    assert port.live["metadata"]["annotations"]["ombak.dev/pipeline"] == "shop/back-end"


async def test_a_field_that_somebody_else_owns_is_told(written: Written) -> None:
    """An object that travels takes nothing from anybody by force; the server says what was edited, and by whom."""
    written.regions.live = live()
    written.regions.errors["eu-1"] = Conflict(409, "Conflict", 'conflict with "kubectl-edit": .spec.ports')
    await written.write("eu-1", service())

    assert "kubectl-edit" in written.writer.problems(KEY)["eu-1"]
    assert written.writer.refused(KEY)["eu-1"].edits == 'conflict with "kubectl-edit": .spec.ports'


@pytest.mark.parametrize("is_there", [True, False], ids=["there", "new"])
async def test_an_object_that_is_not_right_is_told_without_all_that_the_server_echoes(
    written: Written, is_there: bool
) -> None:
    """It is the Pipeline's, not the region's, to mend; and a pod template in a message hides what is wrong."""
    written.regions.live = live() if is_there else None
    echo = '{"Spec":{"Volumes":null,"NodeName":"a: b"' + ', "x": 1' * 400 + "}}"
    said = f'Service "front-end" is invalid: spec.template: Invalid value: {echo}: field is immutable'
    written.regions.errors["eu-1"] = Invalid(422, "Invalid", said)
    await written.write("eu-1", service())

    told = 'Service "front-end" is invalid: spec.template: Invalid value: field is immutable'
    assert written.writer.refused(KEY)["eu-1"].flaw == told
    assert written.writer.problems(KEY)["eu-1"].endswith(f"is not taken: {told}")


async def test_a_field_that_somebody_took_out_is_told(written: Written) -> None:
    """It has no owner that the server could name, and an apply would bring it back without a word."""
    written.regions.live = live({"ports": [{"port": 80}]})
    await written.write("eu-1", service())
    assert written.writer.refused(KEY)["eu-1"].edits == "somebody took out spec.selector"

    written.regions.live = live({"ports": [{"port": 80}]}, content="01dc0de0")
    await written.write("eu-1", service(), rollout("7"))
    assert written.writer.refused(KEY) == {}, "it is to become another one, so it may well be new"


async def test_what_was_edited_is_put_back_where_that_is_asked_for(written: Written) -> None:
    """By force, whatever was done to it."""
    written.regions.live = live({"ports": [{"port": 80}]})
    await written.write("eu-1", service(takes_back=True))

    assert [verb for _, verb, _ in written.regions.told] == ["get", "force"]


async def test_an_object_that_changes_meanwhile_is_read_again(written: Written) -> None:
    """That is nobody's fault, and no edit."""
    written.regions.live = live()
    written.regions.errors["eu-1"] = Conflict(409, "Conflict", "the object has been modified")
    await written.write("eu-1", service())

    assert (written.writer.problems(KEY), written.writer.refused(KEY)) == ({}, {})
    assert len(written.woken) == 1


async def test_a_claim_says_only_whose_it_is(written: Written) -> None:
    """It is no apply: that would take away what the other hub applied."""
    await written.write("eu-1", plan.Claim("eu-1", "shop", "front-end", "hub-2", "9"))

    assert written.regions.bodies[0]["metadata"] == {
        "annotations": {"ombak.dev/claimed-by": "hub-2"},
        "resourceVersion": "9",
    }


def test_what_a_pipeline_may_carry_is_what_a_hub_may_write() -> None:
    """Of all that the hub may write in a region, the Rollout alone comes from elsewhere."""
    brought = {f"{kind.api_version} {kind.kind}" for kind in kinds.TRAVELLING.values() if kind != kinds.ROLLOUTS}

    assert brought == set(TRAVELLING)


async def test_a_pipeline_that_is_gone_is_forgotten(written: Written) -> None:
    """Its problems are nobody's any more."""
    written.regions.errors["eu-1"] = Unreachable("no answer")
    await written.write("eu-1", service())
    written.writer.forget(KEY)

    assert written.writer.problems(KEY) == {}


@pytest.mark.parametrize(
    ("found", "named", "expected"),
    [
        pytest.param(COPY, (), [f"delete {NAME} 7"], id="ours"),
        pytest.param(COPY, (NAME,), [], id="another-rollout-refers-to-it"),
        pytest.param({**COPY, "immutable": False}, (), [], id="somebodys-own"),
        pytest.param({**COPY, "metadata": {**COPY["metadata"], "annotations": {}}}, (), [], id="nobodys"),
        pytest.param(None, (), [], id="gone"),
    ],
)
async def test_only_our_own_copies_that_nothing_refers_to_are_deleted(
    written: Written, found: Object | None, named: tuple[str, ...], expected: list[str]
) -> None:
    """As they were read; whatever came of it, it is dealt with."""
    written.regions.live, written.regions.named = found, set(named)
    await written.write("eu-1", DROP)

    assert [verb for _, verb, _ in written.regions.told if verb != "get"] == expected
    assert written.writer.dropped(KEY, KEPT) == {DROP.place}
    assert written.writer.problems(KEY) == {}


async def test_a_region_that_lets_nothing_be_deleted_keeps_its_copies(written: Written) -> None:
    """One that was set up before; nothing else waits for that."""
    written.regions.live, written.regions.errors["eu-1"] = COPY, Forbidden(403, "Forbidden", "may not delete")
    await written.write("eu-1", DROP)

    assert written.writer.problems(KEY) == {}
    assert written.writer.dropped(KEY, KEPT) == {DROP.place}


async def test_what_could_not_be_deleted_is_tried_again(written: Written) -> None:
    """The region had another trouble."""
    written.regions.live, written.regions.errors["eu-1"] = COPY, Unreachable("connection refused")
    await written.write("eu-1", DROP)

    assert written.writer.dropped(KEY, KEPT) == set()


async def test_what_was_dealt_with_is_forgotten_with_its_version(written: Written) -> None:
    """Else it would grow by every version and region for as long as the hub runs."""
    written.regions.live = COPY
    await written.write("eu-1", DROP)
    assert written.writer.dropped(KEY, KEPT) == {DROP.place}
    assert written.writer.dropped(KEY, ()) == set()

    assert written.writer.dropped(KEY, KEPT) == set()


async def test_a_copy_that_is_brought_again_is_there_again(written: Written) -> None:
    """What was dealt with once is not for ever."""
    written.regions.live = COPY
    await written.write("eu-1", DROP)
    written.regions.live = None
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**COPY["metadata"], "namespace": "shop"}}
    await written.write("eu-1", plan.ApplyObject("eu-1", "shop", config))

    assert written.writer.dropped(KEY, KEPT) == set()
