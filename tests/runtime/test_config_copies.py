"""Configuration that travels with a version, from the change of a ConfigMap to the copy that its boxes read."""

import contextlib
from typing import Any

import pytest

from ombak.alarms.verdict import State
from ombak.core import config, naming
from ombak.core.identity import artifact_id
from ombak.runtime import kinds
from ombak.runtime.kube_port import ApiError, Conflict, Forbidden, Object, Unreachable
from ombak.simulation.client import Died, Request
from ombak.simulation.fields import clone
from support.rig import KEY, NAME, NAMESPACE, Rig, baking, template

CONFIG = "app-config"


def configured(version: str = "1.0.0", *names: str) -> Object:
    """A template whose pods read some ConfigMaps, and another one that nobody lists."""
    made = template(version)
    made["spec"]["volumes"] = [{"name": n, "configMap": {"name": n}} for n in (*(names or (CONFIG,)), "live")]
    return made


async def installed(rig: Rig, **changes: Any) -> str:
    """A Rollout with one ConfigMap, stable on its first version."""
    rig.configure(CONFIG, flag="off")
    return await rig.installed(template=configured(), config=[CONFIG], **changes)


def read_by(rig: Rig, artifact: str) -> list[str]:
    """The names of the ConfigMaps that boxes of a version read."""
    owned = (*rig.server.all("ReplicaSet"), *rig.server.all("Deployment"))
    templates = [o["spec"]["template"] for o in owned if o["metadata"]["labels"][naming.ARTIFACT] == artifact]
    [names] = {tuple(v["configMap"]["name"] for v in t["spec"]["volumes"]) for t in templates}
    return list(names)


def copy_of(artifact: str, name: str = CONFIG) -> str:
    return config.copy_name(NAME, artifact, name)


def live(rig: Rig, name: str) -> Object:
    return rig.server.get(kinds.CONFIG_MAPS, NAMESPACE, name)


def delete(rig: Rig, name: str) -> None:
    """Somebody deletes a ConfigMap."""
    rig.server.delete("kubectl", kinds.CONFIG_MAPS, NAMESPACE, name)


async def test_boxes_read_the_copy_of_their_version() -> None:
    """It is immutable, says whose it is, lives for what uses it, and was there before anything that refers to it."""
    rig = Rig()
    rig.configure(CONFIG, flag="off")
    rig.apply(template=configured(), config=[CONFIG])

    await rig.go_on()
    writes = rig.kube.writes
    await rig.reconcile()
    await rig.reconcile()

    stable = rig.stable
    made = live(rig, copy_of(stable))
    made_in_order = (
        f"Artifact {naming.artifact(NAME, stable)}",
        f"ConfigMap {copy_of(stable)}",
        f"ReplicaSet {naming.fleet(NAME, stable)}",
    )
    order = [writes.index(f"create {what}") for what in made_in_order]
    assert order == sorted(order)
    assert (made["data"], made["immutable"]) == ({"flag": "off"}, True)
    assert made["metadata"]["labels"] == {naming.ROLLOUT: NAME, naming.ARTIFACT: stable}
    assert sorted(o["kind"] for o in made["metadata"]["ownerReferences"]) == ["Artifact", "Deployment", "ReplicaSet"]
    assert read_by(rig, stable) == [copy_of(stable), "live"]
    assert rig.condition("ConfigReady")["status"] == "True"


async def test_a_change_of_a_config_map_is_a_release() -> None:
    """It starts in the one box, and becomes stable, without any change of the spec."""
    rig = Rig()
    old = await installed(rig)
    generation = rig.rollout["metadata"]["generation"]

    rig.configure(CONFIG, flag="on")
    await rig.go_on("OneBoxBake")
    new = rig.status["artifacts"]["current"]
    assert rig.boxes() == {old: 3, new: 1}
    await rig.go_on()

    assert rig.stable == new != old
    assert rig.rollout["metadata"]["generation"] == generation
    assert live(rig, read_by(rig, new)[0])["data"] == {"flag": "on"}
    assert live(rig, copy_of(old))["data"] == {"flag": "off"}


async def test_the_dry_run_asks_about_what_boxes_will_read() -> None:
    """A policy may look at the names."""
    rig = Rig()
    rig.configure(CONFIG, flag="off")
    rig.apply(template=configured(), config=[CONFIG])
    await rig.reconcile()

    asked = rig.kube.last("check ReplicaSet").body["spec"]["template"]
    assert asked["spec"]["volumes"][0]["configMap"]["name"].startswith(f"{CONFIG}-c1")


async def test_a_bad_config_goes_back_to_the_old_copy() -> None:
    """The boxes of the stable version read what they read before, whatever the ConfigMap says now."""
    rig = Rig()
    old = await installed(rig, strategy=baking())
    rig.configure(CONFIG, flag="broken")
    await rig.go_on("Bake")
    bad = rig.status["artifacts"]["current"]

    rig.alarms.state = State.ALARM
    await rig.go_on("Reverted")

    assert rig.boxes() == {old: 4}
    assert live(rig, read_by(rig, old)[0])["data"] == {"flag": "off"}
    assert rig.status["artifacts"]["rejected"] == bad
    rig.alarms.state = State.OK
    rig.configure(CONFIG, flag="off")
    await rig.go_on("Stable")
    assert (rig.stable, rig.boxes()) == (old, {old: 4})


async def test_without_configuration_nothing_is_asked_of_config_maps() -> None:
    """P7: who does not use it needs no right and pays no request; a ConfigMap that is not listed stays live."""
    rig = Rig()
    rig.apply(template=configured())
    await rig.go_on()

    assert not any("ConfigMap" in told for told in rig.kube.told)
    assert read_by(rig, rig.stable) == [CONFIG, "live"]
    assert not rig.reconciler.config.needed.is_set()
    assert not rig.condition("ConfigReady")


async def test_content_is_read_only_when_it_changed() -> None:
    """A pass over what is known asks nothing, in this process and in the next one but once."""
    rig = Rig()
    await installed(rig)
    await rig.reconcile()
    rig.kube.take()
    await rig.reconcile()
    assert not rig.kube.told

    rig.restart()
    rig.kube.take()
    await rig.reconcile()
    await rig.reconcile()
    assert rig.kube.told == [f"get ConfigMap {CONFIG}"]


async def test_a_missing_config_map_holds_what_is_new() -> None:
    """What runs stays and scales; the status names the ConfigMap, and it goes on by itself when that is there."""
    rig = Rig()
    old = await installed(rig)
    delete(rig, CONFIG)

    await rig.go_on("Blocked")
    rig.change(replicas=6)
    await rig.reconcile()
    rig.settle()
    await rig.reconcile()

    assert f"ConfigMap {CONFIG}" in rig.status["waitingFor"]["what"]
    assert rig.condition("ConfigReady")["reason"] == "Missing"
    assert "queued" not in rig.status["artifacts"]
    assert rig.boxes() == {old: 6}
    rig.configure(CONFIG, flag="on")
    await rig.go_on()
    assert rig.stable != old


async def test_a_config_map_deleted_in_the_middle_stops_nothing_that_is_on_its_way() -> None:
    """The version has its copy; only what comes next is unknown."""
    rig = Rig()
    old = await installed(rig)
    rig.configure(CONFIG, flag="on")
    await rig.go_on("Rolling")
    new = rig.status["artifacts"]["current"]

    delete(rig, CONFIG)
    await rig.go_on("Blocked")

    assert rig.boxes() == {new: 4}
    assert rig.status["artifacts"]["stable"] == new != old


async def test_a_name_that_is_not_used_is_told_and_changes_nothing() -> None:
    """P9: the condition names field and fix."""
    rig = Rig()
    old = await installed(rig)
    rig.change(config=[CONFIG, "typo"])

    await rig.go_on("Invalid")

    assert "spec.config names typo" in rig.condition("SpecValid")["message"]
    assert rig.boxes() == {old: 4}


@pytest.mark.parametrize("source", ["the user's", "its own deletion", "another version's"])
async def test_a_copy_deleted_by_hand_is_put_back(source: str) -> None:
    """From wherever its content can still be had; and told."""
    rig = Rig()
    old = await installed(rig)
    if source == "another version's":
        rig.change(template=configured("2.0.0"))
        await rig.go_on()
    if source != "the user's":
        rig.configure(CONFIG, flag="on")
        await rig.go_on()
    await rig.reconcile()
    rig.is_watching = source == "its own deletion"
    delete(rig, copy_of(old))
    rig.is_watching = True
    rig.relist()
    rig.recorder.notes.clear()

    await rig.reconcile()

    assert live(rig, copy_of(old))["data"] == {"flag": "off"}
    assert rig.recorder.reasons == ["PutBack"]
    await rig.reconcile()
    rig.kube.take()
    await rig.reconcile()
    assert not rig.kube.told


async def test_what_cannot_be_had_again_is_told_loudly() -> None:
    """Deleted while nobody watched, and nothing else holds it: what runs stays, and the hash says what is lost."""
    rig = Rig()
    old = await installed(rig)
    digest = config.content_digest(live(rig, CONFIG))
    rig.configure(CONFIG, flag="broken")
    rig.change(strategy=baking("1h"))
    await rig.go_on("Bake")
    bad = rig.status["artifacts"]["current"]
    rig.is_watching = False
    delete(rig, copy_of(old))
    rig.is_watching = True
    rig.relist()
    rig.alarms.state = State.ALARM

    await rig.reconcile()
    await rig.reconcile()

    assert rig.boxes() == {bad: 4}
    assert rig.phase == "Reverting"
    assert rig.condition("ConfigReady")["reason"] == "Lost"
    assert digest in rig.status["waitingFor"]["what"]
    assert rig.recorder.reasons.count("ConfigLost") == 1

    rig.configure(CONFIG, flag="off")
    await rig.go_on("Stable")
    assert rig.boxes() == {old: 4}


async def test_no_box_starts_on_a_forgery() -> None:
    """What stands under the copy's name is read before a box is made; it holds, and goes on when that is deleted."""
    rig = Rig()
    old = await installed(rig)
    rig.change(strategy=baking("1h"))
    rig.configure(CONFIG, flag="broken")
    await rig.go_on("Bake")
    bad = rig.status["artifacts"]["current"]
    forged = clone(live(rig, copy_of(old)))
    forged["metadata"]["ownerReferences"] = forged["metadata"]["ownerReferences"][:1]
    delete(rig, copy_of(old))
    rig.server.create("kubectl", kinds.CONFIG_MAPS, NAMESPACE, {**forged, "data": {"flag": "forged"}})
    rig.restart()
    rig.alarms.state = State.ALARM

    await rig.reconcile()
    await rig.reconcile()

    assert rig.boxes() == {bad: 4}
    assert rig.condition("ConfigReady")["reason"] == "Forged"
    owners = live(rig, copy_of(old))["metadata"]["ownerReferences"]
    assert owners == [{**forged["metadata"]["ownerReferences"][0], "kind": "Artifact"}]
    assert rig.status["waitingFor"]["command"] == f"kubectl -n {NAMESPACE} delete configmap {copy_of(old)}"
    delete(rig, copy_of(old))
    rig.configure(CONFIG, flag="off")
    await rig.go_on("Stable")
    assert rig.boxes() == {old: 4}
    assert live(rig, copy_of(old))["data"] == {"flag": "off"}


async def test_a_name_that_is_taken_is_told() -> None:
    """Something else bears the name of the copy to be made: no box starts, and it goes on when that is deleted."""
    rig = Rig()
    old = await installed(rig)
    rig.configure(CONFIG, flag="on")
    new = artifact_id(configured(), {CONFIG: config.content_digest(live(rig, CONFIG))})
    rig.configure(copy_of(new), flag="somebody's")
    with pytest.raises(Conflict):
        await rig.reconcile()

    wake = await rig.reconcile()

    assert rig.boxes() == {old: 4}
    assert rig.phase == "Blocked"
    assert rig.status["waitingFor"]["command"].endswith(f"delete configmap {copy_of(new)}")
    assert "ownerReferences" not in live(rig, copy_of(new))["metadata"]
    assert wake is not None  # the deletion of what is not ours is not watched
    delete(rig, copy_of(new))
    await rig.go_on()
    assert rig.stable == new
    assert live(rig, copy_of(new))["data"] == {"flag": "on"}


async def test_owners_follow_the_boxes_after_a_restart_too() -> None:
    """Else a copy would outlive its version by the one box, which has gone on to another one."""
    rig = Rig()
    old = await installed(rig, strategy=baking())
    rig.configure(CONFIG, flag="on")
    await rig.reconcile()
    rig.restart()
    await rig.go_on()
    await rig.reconcile()

    kinds_of = {
        name: {o["kind"] for o in live(rig, copy_of(name))["metadata"]["ownerReferences"]} for name in (old, rig.stable)
    }
    assert kinds_of == {old: {"Artifact", "ReplicaSet"}, rig.stable: {"Artifact", "ReplicaSet", "Deployment"}}


@pytest.mark.breadth
async def test_a_crash_anywhere_ends_the_same() -> None:
    """P4: killed before any single write of a release of configuration, the next process brings it to its end."""
    at = 0
    while await _killed_at(at):
        at += 1
    assert at > 10


async def _killed_at(count: int) -> bool:
    """Release a config, die before the write of that number, and go on; False if there are not so many."""
    rig = Rig()
    old = await installed(rig)
    rig.configure(CONFIG, flag="on")
    writes = 0

    def die(request: Request) -> None:
        nonlocal writes
        writes += request.is_write
        if writes > count:
            raise Died

    rig.kube.before = die
    died = False
    try:
        await rig.go_on()
    except Died:
        died = True
    rig.kube.before = lambda _: None
    rig.restart()
    await rig.go_on()
    await rig.reconcile()

    new = rig.stable
    assert new != old
    assert rig.boxes() == {new: 4}
    held = {o["metadata"]["name"]: o["data"] for o in rig.server.all("ConfigMap") if o.get("immutable")}
    assert held == {copy_of(old): {"flag": "off"}, copy_of(new): {"flag": "on"}}
    assert rig.condition("ConfigReady")["status"] == "True"
    return died


async def test_a_change_between_decision_and_copy_is_decided_anew() -> None:
    """The copy holds what the version's hash says, or there is no version."""
    rig = Rig()
    await installed(rig)
    rig.configure(CONFIG, flag="on")

    def interfere(request: Request) -> None:
        if request.told.startswith("check"):  # decided upon, and about to be recorded
            rig.is_watching = False
            rig.configure(CONFIG, flag="later")

    rig.kube.before = interfere
    with pytest.raises(Conflict):
        await rig.reconcile()

    rig.kube.before = lambda _: None
    assert len(rig.server.all("Artifact")) == 1
    rig.is_watching = True
    rig.relist()
    await rig.go_on()
    assert live(rig, read_by(rig, rig.stable)[0])["data"] == {"flag": "later"}


async def test_a_crash_before_the_copy_loses_nothing() -> None:
    """P4: the version is on record without its copy; the next process makes it before any box."""
    rig = Rig()
    old = await installed(rig)
    rig.configure(CONFIG, flag="on")
    rig.kube.fail("create ConfigMap", Conflict(409, "Conflict", "as if it had died"))
    await rig.go_on("OneBox", ready=False)
    rig.restart()

    await rig.go_on()

    assert rig.stable != old
    assert live(rig, read_by(rig, rig.stable)[0])["data"] == {"flag": "on"}


async def test_without_the_right_to_read_it_waits_and_says_so() -> None:
    """A role of before there was configuration."""
    rig = Rig()
    rig.configure(CONFIG, flag="off")
    rig.apply(template=configured(), config=[CONFIG])
    rig.kube.fail("get ConfigMap", Forbidden(403, "Forbidden", "not yours"), times=2)

    await rig.go_on("Blocked", most=2)

    assert "to be allowed to read ConfigMap" in rig.status["waitingFor"]["what"]
    await rig.go_on()


async def test_only_followers_of_a_config_map_are_woken() -> None:
    """And none any more after the name is gone from the spec, or the Rollout is."""
    rig = Rig()
    await installed(rig)
    book, key = rig.reconciler.config, (NAMESPACE, CONFIG)
    assert book.followers(key) == {KEY}
    assert not book.followers((NAMESPACE, "live"))

    rig.change(config=None, template=template())
    await rig.reconcile()
    assert not book.followers(key)


async def test_a_version_made_anew_takes_its_copy_up_again() -> None:
    """Somebody deleted the Artifact, or our kinds and applied them again: the copy outlived it, and no box restarts."""
    rig = Rig()
    stable = await installed(rig)
    await rig.reconcile()
    before = live(rig, copy_of(stable))["metadata"]["uid"]
    boxes = [o["spec"]["template"] for o in rig.server.all("ReplicaSet")]

    rig.server.delete("kubectl", kinds.ARTIFACTS, NAMESPACE, naming.artifact(NAME, stable))
    await rig.go_on()
    await rig.reconcile()

    made = live(rig, copy_of(stable))["metadata"]
    owner = rig.server.get(kinds.ARTIFACTS, NAMESPACE, naming.artifact(NAME, stable))["metadata"]["uid"]
    assert made["uid"] == before
    assert owner in {o["uid"] for o in made["ownerReferences"]}
    assert [o["spec"]["template"] for o in rig.server.all("ReplicaSet")] == boxes


FULL = Forbidden(403, "Forbidden", "exceeded quota: count/configmaps")


async def test_a_full_quota_of_config_maps_holds_only_what_needs_one() -> None:
    """The new version waits, and says for what; what runs is scaled, and one that fits goes its way."""
    rig = Rig()
    old = await installed(rig)
    rig.configure(CONFIG, flag="on")
    rig.kube.fail("create ConfigMap", FULL, times=1000)
    await rig.reconcile()
    rig.change(replicas=6)
    for _ in range(4):
        await rig.reconcile()
        rig.settle()
        rig.clock.advance(30)
    assert (rig.boxes(), rig.phase, rig.condition("Stalled")["reason"]) == ({old: 6}, "Blocked", "ApplyFailed")
    assert "count/configmaps" in rig.status["waitingFor"]["what"]
    rig.kube.take()
    await rig.reconcile()
    assert [told for told in rig.kube.writes if not told.startswith("create ConfigMap")] == []

    rig.kube.heal()
    await rig.go_on()
    assert rig.boxes() == {rig.status["artifacts"]["stable"]: 6}
    assert rig.stable != old
    assert rig.condition("Stalled")["status"] == "False"


@pytest.mark.parametrize("whose", ["of a version that is not needed", "of the version that goes back"])
@pytest.mark.parametrize(
    "error",
    [
        pytest.param(FULL, id="refused"),
        pytest.param(ApiError.of(500, "InternalError", "unable to transform key"), id="500"),
        pytest.param(Unreachable("POST: TimeoutError()"), id="a webhook that hangs"),
    ],
)
async def test_a_way_back_does_not_wait_for_a_copy_that_is_refused(whose: str, error: ApiError) -> None:
    """Nor for one of which no answer comes; unless its own boxes could not start without it (P3)."""
    rig = Rig()
    first = await installed(rig)
    rig.configure(CONFIG, flag="on")
    await rig.go_on()
    old = rig.stable
    rig.change(template=configured("2.0.0"), strategy=baking("1h"))
    await rig.go_on("Bake")
    bad = rig.status["artifacts"]["current"]
    rig.kube.fail("create ConfigMap", error, times=1000)
    delete(rig, copy_of(first if whose == "of a version that is not needed" else bad))
    rig.alarms.state = State.ALARM

    await rig.go_on("Reverted")

    assert rig.boxes() == {old: 4}


@pytest.mark.parametrize("error", [FULL, ApiError.of(500, "InternalError", "count/configmaps: no answer")])
async def test_boxes_of_a_version_whose_copy_is_refused_are_not_made(error: ApiError) -> None:
    """They could not start; those that serve stay, and it goes on when the copy is let in."""
    rig = Rig()
    old = await installed(rig)
    rig.change(template=configured("2.0.0"), strategy=baking("1h"))
    await rig.go_on("Bake")
    bad = rig.status["artifacts"]["current"]
    rig.kube.fail("create ConfigMap", error, times=1000)
    delete(rig, copy_of(old))
    rig.alarms.state = State.ALARM
    for _ in range(3):
        with contextlib.suppress(ApiError):
            await rig.reconcile()
        rig.clock.advance(30)
    assert (rig.boxes(), rig.phase) == ({bad: 4}, "Reverting")
    assert ("count/configmaps" if error is FULL else copy_of(old)) in rig.status["message"]
    rig.kube.heal()
    await rig.go_on("Reverted")
    assert rig.boxes() == {old: 4}


@pytest.mark.parametrize("error", [FULL, Unreachable("POST: TimeoutError()")], ids=["refused", "a webhook that hangs"])
async def test_a_copy_that_nobody_needs_is_no_trouble(error: ApiError) -> None:
    """It is tried again, and releases go on as ever: nothing waits for that version any more."""
    rig = Rig()
    first = await installed(rig)
    rig.configure(CONFIG, flag="on")
    await rig.go_on()
    rig.kube.fail(f"create ConfigMap {copy_of(first)}", error, times=1000)
    delete(rig, copy_of(first))
    rig.change(template=configured("2.0.0"))
    told = set()
    for _ in range(20):
        await rig.reconcile()
        rig.settle()
        told.add(rig.condition("Stalled")["status"])
        rig.clock.advance(15)
    assert (rig.phase, rig.boxes(), told) == ("Stable", {rig.stable: 4}, {"False"})
    rig.kube.heal()
    await rig.reconcile()
    assert live(rig, copy_of(first))["data"] == {"flag": "off"}


BROKEN = ApiError.of(500, "InternalError", "unable to transform key")


@pytest.mark.parametrize("restarts", [False, True], ids=["the same process", "a new one"])
async def test_a_way_back_does_not_wait_for_config_maps_that_cannot_be_read(restarts: bool) -> None:
    """Their encryption at rest may be broken, and nothing else (P3)."""
    rig = Rig()
    old = await installed(rig)
    rig.change(template=configured("2.0.0"), strategy=baking("1h"))
    await rig.go_on("Bake")
    if restarts:
        rig.restart()
    rig.configure(CONFIG, flag="on")
    rig.kube.fail(f"get ConfigMap {CONFIG}", BROKEN, times=1000)
    rig.alarms.state = State.ALARM
    await rig.pass_by(12)
    assert rig.boxes() == {old: 4}
    assert "unable to transform key" in rig.condition("ConfigReady")["message"]


@pytest.mark.parametrize("restarts", [False, True], ids=["the same process", "a new one"])
@pytest.mark.parametrize("what", ["forged", "gone"])
async def test_no_box_starts_on_a_bad_copy_though_other_config_maps_cannot_be_read(what: str, restarts: bool) -> None:
    """What is known of copies is as of now: boxes that serve are not given up for such that never start (P5)."""
    rig = Rig()
    for name in (CONFIG, "other"):
        rig.configure(name, flag="off")
    old = await rig.installed(template=configured("1.0.0", CONFIG, "other"), config=[CONFIG, "other"])
    rig.change(template=configured("2.0.0", CONFIG, "other"), strategy=baking("1h"))
    rig.configure(CONFIG, flag="on")
    await rig.go_on("Bake")
    bad = rig.status["artifacts"]["current"]
    rig.is_watching = False
    forged = clone(live(rig, copy_of(old)))
    delete(rig, copy_of(old))
    if what == "forged":
        rig.server.create("kubectl", kinds.CONFIG_MAPS, NAMESPACE, {**forged, "data": {"flag": "forged"}})
    if restarts:
        rig.restart()
    rig.is_watching = True
    rig.relist()
    rig.configure("other", flag="on")
    rig.kube.fail("get ConfigMap other", BROKEN, times=1000)
    rig.alarms.state = State.ALARM
    await rig.pass_by(12)
    assert rig.boxes() == {bad: 4}
    assert "ConfigLost" in rig.recorder.reasons
    assert copy_of(old) in rig.status["message"]

    rig.kube.heal()
    if what == "forged":
        delete(rig, copy_of(old))
    rig.configure(CONFIG, flag="off")
    await rig.go_on("Blocked")  # the next version, by the alarm
    assert rig.boxes() == {old: 4}


async def test_a_config_map_that_cannot_be_read_starts_nothing_and_loses_nothing() -> None:
    """It stays known what was wanted before, since when that waits, and that what runs is stable."""
    rig = Rig()
    old = await installed(rig)
    rig.configure(CONFIG, flag="on")
    rig.kube.fail("get ConfigMap", BROKEN, times=1)
    with pytest.raises(ApiError):
        await rig.reconcile()
    assert (rig.phase, rig.stable) == ("Stable", old)
    assert rig.condition("ConfigReady")["status"] == "False"

    rig.change(paused=True)
    await rig.reconcile()
    waits = rig.status["queue"]
    assert rig.phase == "Blocked"
    rig.clock.advance(600)
    rig.configure(CONFIG, flag="dark")
    rig.kube.fail("get ConfigMap", BROKEN, times=2)
    for _ in range(2):
        with pytest.raises(ApiError):
            await rig.reconcile()
    assert (rig.status["queue"], rig.boxes()) == (waits, {old: 4})
    assert rig.status["waitingFor"]["who"] == "whoever runs the API server"
    rig.change(paused=False)
    await rig.go_on()
    assert rig.stable != old
    assert live(rig, copy_of(rig.stable))["data"] == {"flag": "dark"}
