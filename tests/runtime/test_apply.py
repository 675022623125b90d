"""Every action becomes exactly one request, conditional on what it was decided from; answers are known at once."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from ombak.core import manifests, naming, plan
from ombak.core.identity import digest_of
from ombak.core.plan import Action
from ombak.runtime import kinds
from ombak.runtime.apply import Refused
from ombak.runtime.dry_run import in_users_words
from ombak.runtime.kube_port import AlreadyExists, ApiError, Conflict, Kind, NotFound, Object, Unreachable
from ombak.runtime.store import Store
from support.bench import Bench
from support.rig import KEY, NAME, NAMESPACE, Rig, template


@pytest.fixture
async def bench() -> Bench:
    """Four boxes of one version, stable."""
    rig = Rig()
    return Bench(rig, await rig.installed())


@pytest.mark.parametrize(
    ("action", "body"),
    [
        pytest.param(
            plan.Prepare(finalizer=True, replicas=None),
            {"metadata": {"finalizers": ["mine", "orphan"]}},
            id="finalizer",
        ),
        pytest.param(plan.Prepare(finalizer=False, replicas=4), {"metadata": {}, "spec": {"replicas": 4}}, id="size"),
        pytest.param(
            plan.Prepare(finalizer=True, replicas=4),
            {"metadata": {"finalizers": ["mine", "orphan"]}, "spec": {"replicas": 4}},
            id="both",
        ),
        pytest.param(
            plan.ClearCommand(naming.RETRY), {"metadata": {"annotations": {naming.RETRY: None}}}, id="command"
        ),
    ],
)
async def test_the_rollout_is_patched_as_it_was_seen(bench: Bench, action: Action, body: dict[str, Any]) -> None:
    """Finalizers of others stay; nothing else of the spec is ever written."""
    bench.rig.server.patch("kubectl", kinds.ROLLOUTS, *KEY, {"metadata": {"finalizers": ["mine"]}})
    bench.again()
    version = bench.version_of(kinds.ROLLOUTS, NAME)
    request = await bench.do(action)
    assert (request.told, request.version) == (f"patch Rollout {NAME}", version)
    body["metadata"]["resourceVersion"] = version
    assert request.body == body


async def test_each_write_of_the_rollout_rests_on_the_one_before(bench: Bench) -> None:
    """Two patches and the status in one pass: none of them conflicts with our own."""
    await bench.applier.apply(plan.Prepare(finalizer=False, replicas=5))
    after = bench.version_of(kinds.ROLLOUTS, NAME)
    assert bench.applier.version == after
    bench.rig.annotate("x", "y")
    with pytest.raises(Conflict):
        await bench.applier.apply(plan.ClearCommand(naming.RETRY))
    stored = bench.rig.stores.rollouts.get(KEY)
    assert stored is not None
    assert stored.value.spec is not None
    assert stored.value.spec.replicas == 5


async def test_an_artifact_is_created_with_the_users_template(bench: Bench) -> None:
    """Under the name that its content gives it."""
    bench.rig.change(template=template("2.0.0"))
    bench.again()
    wanted = bench.record.artifact
    request = await bench.do(plan.CreateArtifact(wanted, 2))
    assert request.told == f"create Artifact {NAME}-{wanted}"
    assert request.body["spec"] == {
        "rollout": NAME,
        "id": wanted,
        "digest": digest_of(template("2.0.0")),
        "sequence": 2,
        "template": template("2.0.0"),
    }
    assert len(bench.rig.stores.artifacts.owned_by(KEY)) == 2


@pytest.mark.parametrize(
    ("make", "status"),
    [
        pytest.param(
            lambda a: plan.RecordStable(a, 7),
            {"stable": {"order": 7, "at": "2026-01-01T00:00:30+00:00"}},
            id="stable",
        ),
        pytest.param(
            lambda a: plan.RecordRejected(a, "AlarmFired", "x" * 2000),
            {"rejected": {"at": "2026-01-01T00:00:30+00:00", "reason": "AlarmFired", "message": "x" * 1024}},
            id="rejected",
        ),
        pytest.param(
            lambda a: plan.RecordRetry(a, f"{a}.2"), {"rejected": None, "retried": "A.2"}, id="retry takes it back"
        ),
    ],
)
async def test_a_verdict_goes_into_the_status_of_its_artifact(bench: Bench, make: Any, status: Object) -> None:
    """On condition that nobody else judged it meanwhile; what else is there stays."""
    version = bench.version_of(kinds.ARTIFACTS, bench.version)
    request = await bench.do(make(bench.stable))
    assert (request.told, request.version) == (f"patch Artifact/status {bench.version}", version)
    if "retried" in status:
        status = {**status, "retried": f"{bench.stable}.2"}
    assert request.body["status"] == status
    assert bench.live(kinds.ARTIFACTS, bench.version)["status"]["stable"]["order"] in (1, 7)


@pytest.mark.parametrize("kind", [kinds.REPLICA_SETS, kinds.DEPLOYMENTS, kinds.ARTIFACTS], ids=lambda k: k.kind)
async def test_what_was_left_behind_is_adopted(bench: Bench, kind: Kind) -> None:
    """By an owner reference alone."""
    name = {"ReplicaSet": bench.fleet, "Deployment": bench.box, "Artifact": bench.version}[kind.kind]
    bench.rig.edit(kind, name, {"metadata": {"ownerReferences": None}})
    bench.again()
    version = bench.version_of(kind, name)
    await bench.applier.apply(plan.Adopt(kind.kind, name, version))
    asked, request = bench.rig.kube.take()
    assert asked.told == f"get Rollout {NAME}"
    assert (request.told, request.version) == (f"patch {kind.kind} {name}", version)
    assert set(request.body) == {"metadata"}
    [owner] = bench.live(kind, name)["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"]) == (bench.record.meta.uid, True)


OTHER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "backup", "uid": "u7"}


@pytest.mark.parametrize("kind", [kinds.REPLICA_SETS, kinds.DEPLOYMENTS, kinds.ARTIFACTS], ids=lambda k: k.kind)
async def test_owners_that_control_nothing_stay(bench: Bench, kind: Kind) -> None:
    """Whoever put them there counts on them for the garbage collection; adopting adds ours."""
    name = {"ReplicaSet": bench.fleet, "Deployment": bench.box, "Artifact": bench.version}[kind.kind]
    bench.rig.edit(kind, name, {"metadata": {"ownerReferences": [OTHER]}})
    bench.again()
    await bench.applier.apply(plan.Adopt(kind.kind, name, bench.version_of(kind, name)))
    other, ours = bench.live(kind, name)["metadata"]["ownerReferences"]
    assert (other, ours["uid"]) == (OTHER, bench.record.meta.uid)


async def test_owners_that_control_nothing_stay_when_an_object_is_written_whole(bench: Bench) -> None:
    """A repair, and each new version of the one box."""
    for kind, name in ((kinds.REPLICA_SETS, bench.fleet), (kinds.DEPLOYMENTS, bench.box)):
        owners = bench.live(kind, name)["metadata"]["ownerReferences"]
        bench.rig.edit(kind, name, {"metadata": {"ownerReferences": [*owners, OTHER]}})
    bench.again()
    fleet, box = bench.version_of(kinds.REPLICA_SETS, bench.fleet), bench.version_of(kinds.DEPLOYMENTS, bench.box)
    await bench.applier.apply(plan.RepairFleet(bench.fleet, fleet, bench.stable, "", 3))
    await bench.applier.apply(plan.WriteOneBox("", bench.stable, 1, surge=True, resource_version=box))
    for kind, name in ((kinds.REPLICA_SETS, bench.fleet), (kinds.DEPLOYMENTS, bench.box)):
        uids = [owner["uid"] for owner in bench.live(kind, name)["metadata"]["ownerReferences"]]
        assert sorted(uids) == sorted([OTHER["uid"], bench.record.meta.uid])


async def test_what_a_rollout_that_goes_leaves_behind_is_not_adopted(bench: Bench) -> None:
    """P8: the watch may be late, and an owner that is gone would take every box with it."""
    bench.rig.edit(kinds.REPLICA_SETS, bench.fleet, {"metadata": {"ownerReferences": None}})
    bench.again()
    version = bench.version_of(kinds.REPLICA_SETS, bench.fleet)
    adopt = plan.Adopt("ReplicaSet", bench.fleet, version)

    bench.rig.is_watching = False
    bench.rig.server.delete("kubectl", kinds.ROLLOUTS, *KEY, propagation="Orphan")
    with pytest.raises((Conflict, NotFound)):
        await bench.applier.apply(adopt)
    assert not bench.live(kinds.REPLICA_SETS, bench.fleet)["metadata"].get("ownerReferences")


@pytest.mark.parametrize("kind", [kinds.REPLICA_SETS, kinds.ARTIFACTS], ids=lambda k: k.kind)
async def test_a_leftover_is_deleted_as_it_was_seen(bench: Bench, kind: Kind) -> None:
    """By uid and version; the store knows at once. What is gone already is as good as deleted."""
    name = {"ReplicaSet": bench.fleet, "Artifact": bench.version}[kind.kind]
    meta = bench.live(kind, name)["metadata"]
    action = plan.Delete(kind.kind, name, meta["uid"], meta["resourceVersion"])
    bench.rig.is_watching = False
    request = await bench.do(action)
    assert (request.told, request.uid, request.version) == (
        f"delete {kind.kind} {name}",
        action.uid,
        action.resource_version,
    )
    stores: dict[str, Store[Any]] = {"ReplicaSet": bench.rig.stores.replica_sets}
    store = (stores | {"Artifact": bench.rig.stores.artifacts})[kind.kind]
    assert store.get((NAMESPACE, name)) is None
    await bench.do(action)


async def test_a_leftover_that_changed_is_not_deleted(bench: Bench) -> None:
    """Somebody may have scaled it up."""
    meta = bench.live(kinds.REPLICA_SETS, bench.fleet)["metadata"]
    bench.rig.edit(kinds.REPLICA_SETS, bench.fleet, {"spec": {"replicas": 9}})
    with pytest.raises(Conflict):
        await bench.applier.apply(plan.Delete("ReplicaSet", bench.fleet, meta["uid"], meta["resourceVersion"]))


async def test_a_fleet_is_scaled_by_its_size_alone(bench: Bench) -> None:
    """And only if it is still as it was seen."""
    version = bench.version_of(kinds.REPLICA_SETS, bench.fleet)
    request = await bench.do(plan.ScaleFleet(bench.fleet, version, 3, 2))
    assert request.told == f"patch ReplicaSet {bench.fleet}"
    assert request.body == {"metadata": {"resourceVersion": version}, "spec": {"replicas": 2}}
    stored = bench.rig.stores.replica_sets.get((NAMESPACE, bench.fleet))
    assert stored is not None
    assert stored.value.desired == 2
    with pytest.raises(Conflict):
        await bench.applier.apply(plan.ScaleFleet(bench.fleet, version, 3, 1))


async def test_a_fleet_is_created_whole(bench: Bench) -> None:
    """In its zone, with the version that it is for."""
    request = await bench.do(plan.CreateFleet(bench.stable, "b", 2))
    assert request.told == f"create ReplicaSet {naming.fleet(NAME, bench.stable, 'b')}"
    assert request.body == manifests.fleet(bench.s.rollout, template(), bench.stable, "b", 2)


async def test_a_fleet_is_repaired_whole(bench: Bench) -> None:
    """At the size that is wanted anyway; annotations and finalizers are the business of others."""
    kept = {"annotations": {"deployment.kubernetes.io/x": "1"}, "finalizers": ["example.com/wait"]}
    bench.rig.edit(kinds.REPLICA_SETS, bench.fleet, {"spec": {"minReadySeconds": 9}, "metadata": kept})
    bench.again()
    version = bench.version_of(kinds.REPLICA_SETS, bench.fleet)
    request = await bench.do(plan.RepairFleet(bench.fleet, version, bench.stable, "", 3))
    wanted = manifests.fleet(bench.s.rollout, template(), bench.stable, "", 3)
    assert (request.told, request.version) == (f"replace ReplicaSet {bench.fleet}", version)
    assert request.body["spec"] == wanted["spec"]
    assert {k: request.body["metadata"][k] for k in kept} == kept
    bench.again()
    assert [f.drift for f in bench.s.fleet] == [""]


@pytest.mark.parametrize("surge", [True, False], ids=["surge", "in place"])
async def test_the_one_box_is_replaced_whole(bench: Bench, surge: bool) -> None:
    """Never patched: fields that strangers left in its template would stay."""
    version = bench.version_of(kinds.DEPLOYMENTS, bench.box)
    request = await bench.do(plan.WriteOneBox("", bench.stable, 1, surge, version))
    wanted = manifests.one_box(bench.s.rollout, template(), bench.stable, "", 1, surge)
    assert (request.told, request.version) == (f"replace Deployment {bench.box}", version)
    assert request.body["spec"] == wanted["spec"]
    rolling = request.body["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxSurge": int(surge), "maxUnavailable": int(not surge)}


async def test_the_one_box_of_a_zone_is_created(bench: Bench) -> None:
    """Without a version there is nothing to be conditional on but its name."""
    request = await bench.do(plan.WriteOneBox("b", bench.stable, 1, surge=False))
    assert (request.told, request.version) == (f"create Deployment {naming.one_box(NAME, 'b')}", None)


async def test_templates_of_the_records_are_never_changed(bench: Bench) -> None:
    """They are shared by all passes."""
    for _ in range(2):
        await bench.applier.apply(plan.CreateFleet(bench.stable, f"zone-{_}", 1))
    bench.again()
    assert bench.s.artifacts[0].template == template()


async def test_a_version_whose_artifact_is_gone_can_only_be_sized(bench: Bench) -> None:
    """Scaling goes on; boxes of it cannot be made anew, which people are told."""
    bench.rig.server.delete("kubectl", kinds.ARTIFACTS, NAMESPACE, bench.version)
    bench.rig.change(template=template("2.0.0"))
    bench.again()
    version = bench.version_of(kinds.DEPLOYMENTS, bench.box)
    request = await bench.do(plan.WriteOneBox("", bench.stable, 0, surge=False, resource_version=version))
    assert request.body == {"metadata": {"resourceVersion": version}, "spec": {"replicas": 0}}
    with pytest.raises(ApiError) as caught:
        await bench.applier.apply(plan.CreateFleet(bench.stable, "b", 1))
    refused = Refused("CreateFleet", caught.value)
    assert refused.is_for_people
    assert bench.version in refused.failure.message


def _child(bench: Bench, kind: str) -> tuple[Action, Kind, str]:
    if kind == "Artifact":
        bench.rig.change(template=template("2.0.0"))
        bench.again()
        wanted = bench.record.artifact
        return plan.CreateArtifact(wanted, 2), kinds.ARTIFACTS, naming.artifact(NAME, wanted)
    if kind == "ReplicaSet":
        return plan.CreateFleet(bench.stable, "b", 2), kinds.REPLICA_SETS, naming.fleet(NAME, bench.stable, "b")
    return plan.WriteOneBox("b", bench.stable, 1, surge=False), kinds.DEPLOYMENTS, naming.one_box(NAME, "b")


CHILDREN = pytest.mark.parametrize("child", ["ReplicaSet", "Deployment"])


@CHILDREN
async def test_one_of_that_name_that_is_ours_is_taken_up(bench: Bench, child: str) -> None:
    """The answer to its creation was lost, or the watch is late: it is decided upon anew."""
    action, _, name = _child(bench, child)
    bench.rig.is_watching = False
    bench.rig.kube.fail("create", Unreachable("cut"), after=True)
    with pytest.raises(Unreachable):
        await bench.applier.apply(action)
    with pytest.raises(Conflict):
        await bench.applier.apply(action)
    assert bench.rig.kube.told == [f"create {child} {name}"] * 2 + [f"get {child} {name}"]
    bench.again()
    assert name in {o.name for o in (*bench.s.fleet, *bench.s.one_boxes)}


@CHILDREN
@pytest.mark.parametrize("label", [naming.ROLLOUT, naming.BOX])
async def test_one_that_lost_its_label_gets_it_back(bench: Bench, child: str, label: str) -> None:
    """The watch selects by it; without it the object would be in the way for ever."""
    action, kind, name = _child(bench, child)
    await bench.applier.apply(action)
    before = bench.live(kind, name)["metadata"]["labels"]
    bench.rig.edit(kind, name, {"metadata": {"labels": {label: None}}})
    bench.rig.kube.take()
    with pytest.raises(Conflict):
        await bench.applier.apply(action)
    assert bench.rig.kube.told[-1] == f"patch {child} {name}"
    assert bench.live(kind, name)["metadata"]["labels"] == before
    bench.again()
    assert name in {o.name for o in (*bench.s.fleet, *bench.s.one_boxes)}


@pytest.mark.parametrize("child", ["ReplicaSet", "Deployment", "Artifact"])
@pytest.mark.parametrize(
    ("meta", "whose"),
    [
        pytest.param({}, "not made for this Rollout", id="nobody's"),
        pytest.param(
            {"labels": {naming.ROLLOUT: "other"}}, "not made for this Rollout", id="another Rollout's leftover"
        ),
        pytest.param(
            {
                "labels": {naming.ROLLOUT: NAME},
                "ownerReferences": [{"uid": "u9", "controller": True, "kind": "CronJob", "name": "nightly"}],
            },
            "belongs to CronJob nightly",
            id="owned by another",
        ),
    ],
)
async def test_one_of_that_name_that_is_a_strangers_is_told(bench: Bench, child: str, meta: Object, whose: str) -> None:
    """With its owner and the way out, and it is not touched."""
    action, kind, name = _child(bench, child)
    stranger: Object = {"metadata": {"name": name} | meta, "spec": {"replicas": 1, "template": template()}}
    bench.rig.server.create("kubectl", kind, NAMESPACE, stranger)
    before = bench.live(kind, name)
    with pytest.raises(AlreadyExists) as caught:
        await bench.applier.apply(action)
    refused = Refused(type(action).__name__, caught.value)
    assert (refused.is_for_people, refused.failure.reason) == (True, "Conflict")
    assert whose in refused.failure.message
    assert refused.failure.message.startswith(f"{child} {name} ")
    assert refused.failure.command == f"kubectl -n {NAMESPACE} delete {child.lower()} {name}"
    assert bench.rig.kube.writes == [f"create {child} {name}"]
    assert bench.live(kind, name) == before


async def test_one_of_that_name_that_is_going_is_waited_for(bench: Bench) -> None:
    """The garbage collector is about to take what an earlier Rollout of that name had: nobody needs to act."""
    action, kind, name = _child(bench, "ReplicaSet")
    going = {"name": name, "finalizers": ["example.com/wait"]}
    bench.rig.server.create("kubectl", kind, NAMESPACE, {"metadata": going, "spec": {"replicas": 1, "template": {}}})
    bench.rig.server.delete("kubectl", kind, NAMESPACE, name)
    with pytest.raises(Conflict):
        await bench.applier.apply(action)


@pytest.mark.parametrize(
    ("error", "is_for_people"),
    [
        pytest.param(ApiError.of(400, "BadRequest"), True, id="400"),
        pytest.param(ApiError.of(403, "Forbidden"), True, id="403"),
        pytest.param(ApiError.of(422, "Invalid"), True, id="422"),
        pytest.param(ApiError.of(409, "AlreadyExists"), True, id="a stranger's name"),
        pytest.param(ApiError.of(409, "Conflict"), False, id="409"),
        pytest.param(ApiError.of(404, "NotFound"), False, id="404"),
        pytest.param(ApiError.of(429, "TooManyRequests"), False, id="429"),
        pytest.param(ApiError.of(500, "InternalError"), False, id="500"),
        pytest.param(ApiError.of(401, "Unauthorized"), False, id="401"),
        pytest.param(Unreachable("cut"), False, id="no answer"),
    ],
)
def test_only_refusals_are_for_people(error: ApiError, is_for_people: bool) -> None:
    """Everything else goes away by itself, and is tried again."""
    refused = Refused("ScaleFleet", error)
    assert refused.is_for_people is is_for_people
    assert refused.failure.message.startswith("The new size of a set of boxes was refused by the API server: ")


@pytest.mark.parametrize("action", get_args(plan.Action))
def test_a_refusal_names_no_class_of_ours(action: type) -> None:
    """It stands in the status, for people who know Kubernetes and not our code."""
    message = Refused(action.__name__, ApiError.of(403, "Forbidden")).failure.message
    assert action.__name__ not in message
    assert " was refused by the API server: " in message


UNREADABLE = 'ReplicaSet in version "v1" cannot be handled as a ReplicaSet'


@pytest.mark.parametrize(
    ("said", "told"),
    [
        pytest.param(
            'ReplicaSet.apps "web-a1-check" is invalid: spec.template.spec.containers[0].image: Required value',
            'Rollout "web" is invalid: spec.template.spec.containers[0].image: Required value',
            id="422",
        ),
        pytest.param(
            "replicasets.apps \"web-a1-check\" is forbidden: ValidatingAdmissionPolicy 'p' denied request: no latest",
            "Rollout \"web\" is forbidden: ValidatingAdmissionPolicy 'p' denied request: no latest",
            id="403",
        ),
        pytest.param(
            f"{UNREADABLE}: json: cannot unmarshal string into Go struct field "
            "ContainerPort.spec.template.spec.containers.ports.containerPort of type int32",
            "spec.template cannot be read: spec.template.spec.containers.ports.containerPort is a string, "
            "int32 is wanted",
            id="a value of the wrong type",
        ),
        pytest.param(
            f"{UNREADABLE}: quantities must match the regular expression",
            "spec.template cannot be read: quantities (of resources, of a sizeLimit) must match the regular expression",
            id="a quantity",
        ),
        pytest.param(
            f"{UNREADABLE.replace('ReplicaSet', 'Deployment')}: json: cannot unmarshal number into Go struct field "
            "EnvVar.spec.template.spec.containers.env.value of type string",
            "spec.template cannot be read: spec.template.spec.containers.env.value is a number, string is wanted; "
            "put it in quotes",
            id="a number",
        ),
        pytest.param(
            f'{UNREADABLE}: strict decoding error: unknown field "spec.template.spec.restartpolicy"',
            'spec.template cannot be read: unknown field "spec.template.spec.restartpolicy"; remove it, or correct its '
            "name",
            id="a slip",
        ),
        pytest.param(
            'Deployment.apps "web-onebox-check" is invalid: spec.template.labels: Invalid value: "a b": no label',
            'Rollout "web" is invalid: spec.template.metadata.labels: Invalid value: "a b": no label',
            id="a label of the pods",
        ),
        pytest.param('admission webhook "w" denied web-a1-check', 'admission webhook "w" denied web', id="a webhook"),
    ],
)
def test_a_refused_dry_run_is_told_in_the_words_of_the_user(said: str, told: str) -> None:
    """As a 1.36 API server writes them: of the Rollout and its field, not of an object that there never was."""
    probe = "web-onebox-check" if "onebox" in said else "web-a1-check"
    assert in_users_words(said, probe, "web", {}) == told


ENV = [{"name": "a", "value": "1"}, {"name": "b", "value": True}, {"name": "c", "value": 1}]


@pytest.mark.parametrize(
    ("field", "kind", "template", "place"),
    [
        pytest.param("spec.containers.env.value", "number", {}, "spec.containers[1].env[2].value", id="an index"),
        pytest.param(
            "spec.containers.env.value", "bool", {}, "spec.containers[1].env[1].value", id="true is no number"
        ),
        pytest.param("metadata.annotations", "number", {}, 'metadata.annotations["example.com/b"]', id="a key"),
        pytest.param("spec.containers", "object", {"spec": {"containers": {}}}, "spec.containers", id="a mapping"),
        pytest.param("spec.containers.args", "array", {}, "spec.containers.args", id="nowhere to be seen"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_by_its_whole_place(
    field: str, kind: str, template: dict[str, Any], place: str
) -> None:
    """Among forty variables the field alone, which is all that the API server says, is a search."""
    pods = {
        "metadata": {"annotations": {"example.com/a": "1", "example.com/b": 2}},
        "spec": {"containers": [{"name": "web"}, {"name": "side", "env": ENV}]},
    } | template
    said = f"{UNREADABLE}: json: cannot unmarshal {kind} into Go struct field X.spec.template.{field} of type int32"
    told = f"spec.template cannot be read: spec.template.{place} is a {kind}, int32 is wanted"
    assert in_users_words(said, "web-a1-check", "web", pods) == told
