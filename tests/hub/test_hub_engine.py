"""The hub's engine between an API server and regions in memory: a change travels, whatever people and regions do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from ombak.core.conveyor.snapshot import JobState
from ombak.runtime import kinds
from ombak.runtime.hub import reconcile
from ombak.runtime.kube_port import Object
from ombak.runtime.regions import Reach
from support import conveyor
from support.conveyor import watch
from support.hub_rig import KEY, NAME, NAMESPACE, USER, HubRig, in_virtual_time, spec, stage, three_stages

V1, V2, V3 = (conveyor.version_of(tag) for tag in ("v1", "v2", "v3"))
SMALL = [stage("alpha", "a-1"), stage("prod", "p-1", "p-2")]
OF_SMALL = ("a-1", "p-1", "p-2")


async def small(rig: HubRig, **more: Any) -> None:
    """Two stages over three regions, in which v1 runs."""
    rig.apply(spec("v1", SMALL, **more))
    await rig.delivered("v1")


@in_virtual_time
async def test_three_changes_travel_at_once_and_none_overtakes() -> None:
    """Each enters a stage as the one before leaves it; all of them pass every stage in order."""
    async with HubRig(tuple(f"r-{name}" for name in (*conveyor.FIVE, "wave-3"))).running() as rig:
        rig.apply(spec("v1", [stage(s["name"], *s["regions"]["names"]) for s in conveyor.five_stages()]))
        await rig.delivered("v1")
        for version in ("v2", "v3"):
            made = rig.push(version)
            await rig.until(lambda made=made: rig.is_inside("beta", made))  # type: ignore[misc]
        rig.push("v4")
        await rig.until(lambda: len([t for t in rig.status()["travelling"] if t["state"] == "Inside"]) >= 3)
        await rig.delivered("v4")

    for name in conveyor.FIVE:
        entered = [e.split()[1] for e in rig.events() if e.startswith("StageEntered") and f"stage {name}." in e]
        assert entered == [conveyor.version_of(tag) for tag in ("v1", "v2", "v3", "v4")]


@in_virtual_time
async def test_a_bad_one_goes_back_and_the_one_behind_it_goes_on() -> None:
    """Rejecting k does not reject k + 1, and the reason is told with the command."""
    async with HubRig().running() as rig:
        rig.apply(spec("v1"))
        await rig.delivered("v1")
        rig["p-1"].becomes_ill(V2)
        rig.push("v2")
        await rig.until(lambda: rig.is_inside("beta", V2))
        rig.push("v3")
        await rig.delivered("v3")

    assert "alarm fired" in next(e for e in rig.events() if e.startswith("Rejected"))
    assert rig["p-2"].rollout("shop", NAME).manifest["spec"]["template"] == conveyor.template("v3")
    rejected = rig.server.get(kinds.ARTIFACTS, NAMESPACE, f"{NAME}.pipeline.{V2}")["status"]["rejected"]
    assert (rejected["reason"], rejected["stage"], rejected["region"]) == ("RegionReverted", "prod", "p-1")


@in_virtual_time
async def test_a_region_that_hangs_never_delays_the_others() -> None:
    """It answers looks, and takes no write: its neighbours finish, the Pipeline says what is wrong, and it goes on."""
    async with HubRig(OF_SMALL).running() as rig:
        await small(rig)
        rig["p-1"].is_hanging = True
        rig.push("v2")
        await rig.until(lambda: rig.runs()["p-2"] == "v2")
        await rig.until(lambda: rig.condition("Applied").get("status") == "False")

        assert "Region p-1" in rig.condition("Applied")["message"]
        await rig.until(lambda: any("to take" in w["what"] for w in rig.waits()))
        assert rig.runs()["p-1"] == "v1"
        rig["p-1"].is_hanging = False
        await rig.delivered("v2")
        assert rig.condition("Applied")["status"] == "True"


@in_virtual_time
async def test_a_region_that_is_down_is_waited_for_with_a_command_and_comes_back_by_itself() -> None:
    """Silence is never success; a write whose answer was lost with it is no problem for ever."""
    async with HubRig(OF_SMALL).running() as rig:
        await small(rig)
        rig.push("v2")
        await rig.until(lambda: rig.is_inside("prod", V2))
        rig["p-2"].is_down = True
        await rig.until(lambda: rig.runs()["p-1"] == "v2")
        await rig.rest(600)

        wait = next(w for w in rig.waits() if w.get("region") == "p-2")
        assert wait["command"] == "kubectl describe omreg p-2"
        assert rig.condition("Ready")["status"] == "Unknown"
        assert rig.condition("Applied")["status"] == "True"
        rig["p-2"].is_down = False
        await rig.delivered("v2")


@in_virtual_time
async def test_a_region_that_refuses_the_credentials_says_so_where_the_change_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever reads the Pipeline need not look at the Region to know that it is not the network."""
    async with HubRig(OF_SMALL).running() as rig:
        await small(rig)
        found = rig["p-2"]
        with monkeypatch.context() as closed:
            closed.setattr(found, "look", lambda: None)
            found.contact = found.contact.turned(Reach.NO, "Unauthorized", "they ended", found.contact.since)
            rig.push("v2")
            await rig.until(lambda: any("cannot be reached (Unauthorized)" in w["what"] for w in rig.waits()))
            assert rig.condition("Ready")["status"] == "Unknown"
        await rig.delivered("v2")


@in_virtual_time
async def test_a_region_may_be_passed_over_after_a_silence_and_catches_up() -> None:
    """With `Skip`, after five minutes; what was passed over is written down."""
    async with HubRig(OF_SMALL).running() as rig:
        await small(rig, onRegionUnreachable="Skip")
        rig["p-2"].is_down = True
        rig.push("v2")
        await rig.until(lambda: any(e.startswith("Skipped") for e in rig.events()))

        assert rig.status()["travelling"][-1]["skipped"] == ["prod/p-2"]
        assert rig.runs() == {"a-1": "v2", "p-1": "v2", "p-2": "v1"}
        rig["p-2"].is_down = False
        await rig.delivered("v2")


@in_virtual_time
async def test_an_object_of_somebody_else_stays_his_until_he_gives_it_over() -> None:
    """Nor is the Rollout that needs it delivered; with the command that was told, everything goes on by itself."""
    ports = {"ports": [{"port": 80}]}
    his = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"}, "spec": ports}
    ours = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 81}]}}
    async with HubRig(OF_SMALL).running() as rig:
        found = rig["p-1"].objects
        found["Service", "shop", "web"] = his
        rig.apply(spec("v1", SMALL, objects=[ours]))
        await rig.until(lambda: rig.status().get("reason") == "Conflict")
        told = next(wait for wait in rig.waits() if "nobody that the hub knows" in wait["what"])
        assert found["Service", "shop", "web"] is his
        assert (rig.condition("Stalled")["status"], rig.condition("Applied")["status"]) == ("True", "False")

        marks = dict(word.split("=") for word in told["command"].split() if "=" in word)
        found["Service", "shop", "web"] = {**his, "metadata": {**his["metadata"], "annotations": marks}}  # type: ignore[dict-item]
        await rig.delivered("v1")
        assert found["Service", "shop", "web"]["spec"] == ours["spec"]


@in_virtual_time
async def test_a_defect_in_one_pipeline_is_told_there_and_disturbs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody else is delivered; it goes on when it is mended."""
    decide = reconcile.decide

    def broken(s: Any, now: Any) -> Any:
        if s.pipeline.name == "broken":
            raise ZeroDivisionError
        return decide(s, now)

    with capture_logs() as said:
        await defect(monkeypatch, decide, broken)
    assert {line["event"] for line in said if line["log_level"] == "error"} == {"a pass failed"}


async def defect(monkeypatch: pytest.MonkeyPatch, decide: Any, broken: Any) -> None:
    """One Pipeline meets it beside another one, and then it is mended."""
    async with HubRig(OF_SMALL).running() as rig:
        monkeypatch.setattr(reconcile, "decide", broken)
        rig.apply(spec("v1", [stage("only", "p-2", namespace="shop-other")]), name="broken")
        await small(rig)
        told = rig.status("broken")
        assert (told["reason"], rig.condition("Stalled", "broken")["status"]) == ("Defect", "True")
        assert rig.condition("Reconciling", "broken")["status"] == "False"
        assert "ZeroDivisionError in ombak/runtime/hub/reconcile.py" in told["message"]

        version = rig.pipeline("broken")["metadata"]["resourceVersion"]
        await rig.rest(40)
        assert rig.pipeline("broken")["metadata"]["resourceVersion"] == version
        monkeypatch.setattr(reconcile, "decide", decide)
        await rig.until(lambda: rig.status("broken").get("reason") == "Delivered")
        assert rig.condition("Stalled", "broken")["status"] == "False"


@in_virtual_time
async def test_an_erased_status_is_told_again_from_the_regions() -> None:
    """In the middle of everything, twice; nothing is delivered anew."""
    async with HubRig().running() as rig:
        rig.apply(spec("v1"))
        await rig.delivered("v1")
        rig.push("v2")
        for name in ("beta", "prod"):
            await rig.until(lambda name=name: rig.is_inside(name, V2))  # type: ignore[misc]
            await rig.rest(15)
            rig.erase_status()
        await rig.delivered("v2")

    assert rig["a-1"].rollout("shop", NAME).manifest["metadata"]["annotations"]["ombak.dev/sequence"] == "2"
    assert sum(e.startswith("Rebuilt") for e in rig.events()) == 2


@pytest.mark.parametrize("harm", ["deleted", "label taken off"])
@in_virtual_time
async def test_an_artifact_that_somebody_took_away_is_made_again(harm: str) -> None:
    """From the Pipeline, which still says what it is; the change goes on."""
    async with HubRig(OF_SMALL).running() as rig:
        await small(rig)
        rig.push("v2")
        await rig.until(lambda: rig.is_inside("alpha", V2))
        name = f"{NAME}.pipeline.{V2}"
        if harm == "deleted":
            rig.server.delete(USER, kinds.ARTIFACTS, NAMESPACE, name)
        else:
            off: Object = {"metadata": {"labels": {"ombak.dev/pipeline": None}}}
            rig.server.patch(USER, kinds.ARTIFACTS, NAMESPACE, name, off)
        await rig.delivered("v2")

    found = rig.server.get(kinds.ARTIFACTS, NAMESPACE, name)
    assert found["metadata"]["labels"]["ombak.dev/pipeline"] == NAME


@in_virtual_time
async def test_an_artifact_that_is_not_what_its_name_says_is_never_delivered() -> None:
    """It is in the way until whoever made it takes it away."""
    async with HubRig(OF_SMALL).running() as rig:
        await small(rig)
        name = f"{NAME}.pipeline.{V2}"
        forged = {**rig.server.get(kinds.ARTIFACTS, NAMESPACE, f"{NAME}.pipeline.{V1}")}
        forged["metadata"] = {"name": name, "labels": {"ombak.dev/pipeline": NAME}}
        rig.server.create(USER, kinds.ARTIFACTS, NAMESPACE, forged)
        rig.push("v2")
        await rig.until(lambda: rig.status().get("reason") == "Conflict")
        assert set(rig.runs().values()) == {"v1"}

        rig.server.delete(USER, kinds.ARTIFACTS, NAMESPACE, name)
        await rig.delivered("v2")


@in_virtual_time
async def test_of_a_deleted_pipeline_everything_stays() -> None:
    """What was written goes on by itself, and nothing more is written; applied again, it is taken up where it was."""
    async with HubRig().running() as rig:
        rig.apply(spec("v1"))
        await rig.delivered("v1")
        rig.push("v2")
        await rig.until(lambda: rig.is_inside("beta", V2))
        await rig.rest(10)
        made = rig.pipeline()["spec"]
        rig.server.delete(USER, kinds.PIPELINES, *KEY)
        writes = rig.wire.writes
        await rig.rest(600)

        assert rig.runs() == {"a-1": "v2", "b-1": "v2", "p-1": "v1", "p-2": "v1"}
        assert rig.wire.writes == writes
        rig.apply(made)
        await rig.delivered("v2")
    assert rig["a-1"].rollout("shop", NAME).manifest["metadata"]["annotations"]["ombak.dev/sequence"] == "2"


@pytest.mark.parametrize("policy", ["Report", "PutBack"])
@in_virtual_time
async def test_a_hand_edit_is_reported_and_put_back_only_where_asked(policy: str) -> None:
    """`replicas` of the region are nobody's edit, and are never written."""
    async with HubRig(OF_SMALL).running() as rig:
        await small(rig, handEdits=policy)
        rollout = rig["p-1"].rollout("shop", NAME)
        rollout.replicas = 7
        rollout.manifest["spec"]["alarms"] = {"revert": "FALSE"}
        rollout.version += 1
        rollout.generation += 1
        await rig.until(lambda: any(w.get("region") == "p-1" for w in rig.waits()) or policy == "PutBack")
        await rig.rest(120)

        edited = rig["p-1"].rollout("shop", NAME)
        assert edited.replicas == 7
        if policy == "Report":
            assert edited.manifest["spec"]["alarms"] == {"revert": "FALSE"}
            wait = next(w for w in rig.waits() if w.get("region") == "p-1")
            assert ("spec.alarms" in wait["what"], "PutBack" in wait["command"]) == (True, True)
        else:
            assert edited.manifest["spec"]["alarms"] == {"revert": 'ALARM("errors")'}
            assert rig.waits() == []


@in_virtual_time
async def test_what_travels_along_lands_before_and_after() -> None:
    """Alarms and ConfigMaps before the boxes that need them, Services when those are stable; each version its own."""
    config: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"level": "1"}}
    alarm = {"apiVersion": "ombak.dev/v1alpha1", "kind": "Alarm", "metadata": {"name": "errors"}, "spec": watch(1)}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME}, "spec": {"ports": [{"port": 80}]}}
    async with HubRig(OF_SMALL).running() as rig:
        rig.apply(spec("v1", SMALL, objects=[service, config, alarm]))
        await rig.until(lambda: rig.status().get("reason") == "Delivered")
        config = {**config, "data": {"level": "2"}}
        service = {**service, "spec": {"ports": [{"port": 81}]}}
        rig.push("v2", objects=[service, config, alarm])
        await rig.until(lambda: rig.is_inside("prod", rig.status()["artifact"]))
        await rig.rest(10)
        here = rig["p-1"].objects
        maps = [name for kind, _, name in here if kind == "ConfigMap"]
        assert len(maps) == 2
        assert here["Service", "shop", NAME]["spec"] == {"ports": [{"port": 80}]}
        await rig.until(lambda: rig.status().get("reason") == "Delivered")

    assert here["Service", "shop", NAME]["spec"] == {"ports": [{"port": 81}]}
    assert ("Alarm", "shop", "errors") in here
    assert all(o["immutable"] for (kind, *_), o in here.items() if kind == "ConfigMap")


@in_virtual_time
async def test_a_change_of_the_base_is_delivered_by_all_that_extend_it() -> None:
    """Over any depth; the base itself delivers nothing."""
    async with HubRig(OF_SMALL).running() as rig:
        rig.apply({"stages": SMALL}, name="team")
        rig.apply({"extends": {"name": "team"}}, name="storefront")
        rig.apply({k: v for k, v in spec("v1").items() if k != "stages"} | {"extends": {"name": "storefront"}})
        await rig.delivered("v1")
        rig.apply({"stages": [SMALL[0], {**SMALL[1], "bake": {"for": "45s"}}]}, name="team")
        await rig.until(lambda: rig.status()["memory"]["sequence"] == 2)
        await rig.delivered("v1")
        assert rig.status("team")["reason"] == "Base"

    assert rig["p-1"].rollout("shop", NAME).manifest["spec"]["strategy"]["bake"] == {"for": "45s"}


@in_virtual_time
async def test_values_differ_by_region_and_the_content_does_not() -> None:
    """They are recorded beside the artifact, which is the same one everywhere."""
    async with HubRig(OF_SMALL).running() as rig:
        values = [
            {"regions": {"names": ["p-2"]}, "env": {"DB": "two"}},
            {"regions": {"matchExpressions": [{"key": "name", "operator": "Exists"}]}, "env": {"LEVEL": "1"}},
        ]
        rig.apply(spec("v1", SMALL, values=values))
        await rig.until(lambda: rig.status().get("reason") == "Delivered")

    told, env = {}, {}
    for name in OF_SMALL:
        manifest = rig[name].rollout("shop", NAME).manifest
        told[name] = manifest["metadata"]["annotations"]["ombak.dev/version"]
        env[name] = [e["name"] for e in manifest["spec"]["template"]["spec"]["containers"][0]["env"]]
    assert len(set(told.values())) == 1
    assert env == {"a-1": ["LEVEL"], "p-1": ["LEVEL"], "p-2": ["DB", "LEVEL"]}


@pytest.mark.parametrize("kind", [kinds.BLOCKERS, kinds.CLUSTER_BLOCKERS], ids=["team", "organisation"])
@in_virtual_time
async def test_a_blocker_before_a_stage_holds_it_until_it_is_taken_away(kind: Any) -> None:
    """What is on its way in a region goes on; the wait says whose it is; its end is heard at once."""
    async with HubRig(OF_SMALL).running() as rig:
        await small(rig)
        rig.push("v2")
        await rig.until(lambda: rig.is_inside("alpha", V2))
        blocker = {"owner": "sre", "reason": "an outage", "stops": "Starts"}
        namespace = NAMESPACE if kind.namespaced else ""
        rig.server.create(USER, kind, namespace, {"metadata": {"name": "freeze"}, "spec": blocker})
        await rig.rest(600)
        assert rig.runs() == {"a-1": "v2", "p-1": "v1", "p-2": "v1"}
        wait = next(w for w in rig.waits() if w.get("stage") == "prod")
        assert ("freeze" in wait["what"], bool(wait["command"])) == (True, True)

        rig.server.delete(USER, kind, namespace, "freeze")
        await rig.rest(3)
        assert rig.is_inside("prod", V2)
        await rig.delivered("v2")


@in_virtual_time
async def test_a_missing_window_is_closed_and_a_revert_waits_for_none() -> None:
    """The stage waits with the reason; abort goes back through every closed gate."""
    stages = three_stages()
    stages[1]["windows"] = ["office-hours"]
    async with HubRig().running() as rig:
        rig.apply(spec("v1", stages))
        await rig.until(lambda: rig.is_inside("alpha", V1) is False and rig.runs().get("a-1") == "v1")
        await rig.rest(60)
        wait = next(w for w in rig.waits() if w.get("stage") == "beta")
        assert "office-hours" in wait["what"]
        assert "b-1" not in rig.runs()

        rig.annotate("ombak.dev/abort", V1)
        await rig.until(lambda: rig.status().get("reason") == "Rejected")
        assert "ombak.dev/abort" not in rig.pipeline()["metadata"]["annotations"]


@in_virtual_time
async def test_a_region_added_and_one_removed_in_the_middle_of_a_wave() -> None:
    """The new one belongs to the wave; the one that is gone keeps what it runs."""
    async with HubRig(OF_SMALL).running() as rig:
        rig.apply(spec("v1", [stage("alpha", "a-1"), stage("rest", regions="Unplaced")]))
        await rig.delivered("v1")
        rig.push("v2")
        await rig.until(lambda: rig.is_inside("rest", V2))
        gone = rig.remove("p-2")
        rig.add("p-3")
        await rig.delivered("v2")

    assert sorted(rig.runs()) == ["a-1", "p-1", "p-3"]
    assert (NAMESPACE in gone.model(NAME).rollouts, rig.waits()) == (True, [])


@in_virtual_time
async def test_two_hubs_by_mistake_are_refused_and_both_say_so() -> None:
    """The first one's Rollouts are not touched, but for the word that tells it of the second."""
    async with HubRig(OF_SMALL).running() as rig:
        await small(rig)
        other = HubRig((), hub="hub-2")
        async with other.running():
            for name in OF_SMALL:
                other.add(name)
                other.regions.by_name[name] = rig[name]
            other.apply(spec("v2", SMALL))
            await rig.until(lambda: bool(rig.waits()) and other.status().get("reason") == "Conflict")
            await rig.rest(300)

        assert set(rig.runs().values()) == {"v1"}
        assert "the hub hub-1" in other.waits()[0]["what"]
        assert "the hub hub-2" in rig.waits()[0]["what"]
        assert "claimed-by-" in rig.waits()[0]["command"]
        assert rig.status()["reason"] == "Delivered"


@pytest.mark.parametrize("where", ["Hub", "Region"])
@in_virtual_time
async def test_a_test_runs_between_stages_and_its_failure_takes_the_change_back(where: str) -> None:
    """As a Job on the hub or in the region; the next stage never sees what failed."""
    job = {"spec": {"template": {"spec": {"containers": [{"name": "t", "image": "registry.example/t:1"}]}}}}
    test = {"name": "smoke", "where": where, "template": job, "deadline": "5m"}
    async with HubRig(OF_SMALL).running() as rig:
        rig.apply(spec("v1", [stage("alpha", "a-1", tests=[test]), SMALL[1]]))
        await rig.delivered("v1")
        rig.regions.test = lambda _: JobState.FAILED
        rig.push("v2")
        await rig.until(lambda: rig.status().get("reason") == "Rejected" and rig.runs()["a-1"] == "v1")

    assert rig.runs() == {"a-1": "v1", "p-1": "v1", "p-2": "v1"}
    assert "smoke failed in Region a-1" in rig.waits()[0]["what"]
    made = rig.server.all("Job") if where == "Hub" else [k for k in rig["a-1"].objects if k[0] == "Job"]
    assert len(made) == 2


@pytest.mark.parametrize("hand_edits", ["Report", "PutBack"])
@in_virtual_time
async def test_an_alarm_that_somebody_edits_is_told_at_once(hand_edits: str) -> None:
    """Nothing is on its way, and nothing is read for it: the watch tells."""
    alarm = {"apiVersion": "ombak.dev/v1alpha1", "kind": "Alarm", "metadata": {"name": "errors"}, "spec": watch(1)}
    place = ("Alarm", "shop", "errors")
    async with HubRig(OF_SMALL).running() as rig:
        await small(rig, objects=[alarm], handEdits=hand_edits)
        await rig.rest(30)
        here = rig["p-2"].objects
        here[place] = {**here[place], "spec": watch(9)}
        assert rig.engine is not None
        rig.engine.brought_changed("shop/front-end")
        if hand_edits == "PutBack":
            await rig.until(lambda: here[place]["spec"] == watch(1))
            assert [e for e in rig.events() if e.startswith("PutBack") and "spec.expression" in e]
            rig.engine.brought_changed("shop/front-end")
            await rig.until(lambda: rig.status()["reason"] == "Delivered")
        else:
            await rig.until(lambda: rig.status()["reason"] == "Edited", timedelta(seconds=10))
            await rig.rest(30)
            assert here[place]["spec"] == watch(9)
            assert "alarms.ombak.dev/errors in the namespace shop of Region p-2" in rig.status()["message"]


def _edited(rig: HubRig, kind: str, field: str) -> None:
    """Somebody edits a field of it in p-2."""
    place, rollout = ("Alarm", "shop", "errors"), rig["p-2"].rollout("shop", NAME)
    assert rig.engine is not None
    if kind == "Rollout":
        rollout.manifest["spec"][field] = 9
        rollout.version += 1
        rollout.generation += 1
    else:
        rig["p-2"].objects[place] = {**rig["p-2"].objects[place], "spec": {field: 9}}
        rig.engine.brought_changed("shop/front-end")


@pytest.mark.parametrize("kind", ["Alarm", "Rollout"])
@in_virtual_time
async def test_what_a_region_changes_after_every_write_is_put_back_with_pauses(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An admission policy there wins every time: it is told, costs next to nothing, and ends when the policy does."""
    alarm = {"apiVersion": "ombak.dev/v1alpha1", "kind": "Alarm", "metadata": {"name": "errors"}, "spec": watch(1)}
    field = {"Alarm": "expression", "Rollout": "minReadySeconds"}[kind]
    async with HubRig(OF_SMALL).running() as rig:
        applied, wanted = [], rig.regions.apply

        async def admitted(region: str, manifest: Any, *, force: bool = False) -> Any:
            if (region, manifest["kind"]) == ("p-2", kind):
                applied.append(rig.loop.time())
                manifest = {**manifest, "spec": {**manifest["spec"], field: 9}}
            return await wanted(region, manifest, force=force)

        made = spec("v1", SMALL, objects=[alarm], handEdits="PutBack")
        made["rollout"]["spec"]["minReadySeconds"] = 1
        rig.apply(made)
        await rig.delivered("v1")
        monkeypatch.setattr(rig.regions, "apply", admitted)
        _edited(rig, kind, field)
        await rig.rest(300)

        assert 5 < len(applied) < 30
        assert any("changes it after each write" in w["what"] for w in rig.waits())
        monkeypatch.undo()
        await rig.delivered("v1")
        assert rig.waits() == []
