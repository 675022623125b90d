"""What others changed in what we own is told from who manages which field; defaults and sizes are nobody's edit."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ombak.core import manifests, naming
from ombak.core.manifests import Manifest
from ombak.runtime.drift import MANAGER, drift, edits_of, missing
from ombak.runtime.observe import view_of
from ombak.runtime.records import decode_rollout
from support.rig import NAME, NAMESPACE, spec, template

CONTAINER = 'k:{"name":"app"}'


def _wanted() -> Manifest:
    made = template()
    made["spec"]["containers"][0] |= {
        "env": [{"name": "LEVEL", "value": "info"}],
        "ports": [{"containerPort": 8080}],
    }
    view = view_of(decode_rollout({"metadata": {"name": NAME, "namespace": NAMESPACE}, "spec": spec()}))
    return manifests.fleet(view, made, "a1c0ffee0000", "", 3)


def _defaulted(wanted: Manifest) -> dict[str, Any]:
    """As the API server stores it: with its defaults, managed by whoever wrote the object."""
    live: dict[str, Any] = copy.deepcopy(wanted)
    pod = live["spec"]["template"]["spec"]
    pod |= {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "securityContext": {}}
    pod["containers"][0] |= {"imagePullPolicy": "IfNotPresent", "terminationMessagePath": "/dev/termination-log"}
    pod["containers"][0]["ports"][0]["protocol"] = "TCP"
    _managed(live, MANAGER, {"replicas": 3, "template": _under(restartPolicy={})})
    return live


def _managed(live: dict[str, Any], manager: str, fields: dict[str, Any], subresource: str = "") -> None:
    entry: dict[str, Any] = {
        "manager": manager,
        "operation": "Update",
        "apiVersion": "apps/v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {f"f:{name}": below for name, below in fields.items()}},
    }
    entry |= {"subresource": subresource} if subresource else {}
    live["metadata"].setdefault("managedFields", []).append(entry)


def _under(**fields: Any) -> dict[str, Any]:
    """Managed fields of the pod spec."""
    return {"f:spec": {f"f:{name}": below for name, below in fields.items()}}


def _in_container(fields: dict[str, Any]) -> dict[str, Any]:
    return {"template": _under(containers={CONTAINER: {f"f:{name}": below for name, below in fields.items()}})}


def _told(live: dict[str, Any]) -> str:
    """As the operator sees it: what decoding kept, compared with what it would write."""
    return drift(edits_of(live), _wanted())


def _is_edited(live: dict[str, Any]) -> bool:
    return bool(edits_of(live).fields or edits_of(live).labels)


def _missed(live: dict[str, Any]) -> list[str]:
    return list(missing(_wanted()["spec"]["template"], live["spec"]["template"], "spec.template"))


def _pod(live: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = live["spec"]["template"]["spec"]
    return found


def test_defaults_are_no_drift() -> None:
    """What the API server fills in belongs to whoever wrote the object."""
    live = _defaulted(_wanted())
    assert live["spec"] != _wanted()["spec"]
    assert not _is_edited(live)
    assert _told(live) == ""
    assert _missed(live) == []


def test_an_edited_field_is_drift() -> None:
    """`kubectl edit` becomes the manager of what it changed."""
    live = _defaulted(_wanted())
    _pod(live)["containers"][0]["image"] = "registry.example/evil:1"
    _managed(live, "kubectl-edit", _in_container({"image": {}}))
    assert _told(live) == "spec.template.spec.containers[app].image set by kubectl-edit"


def test_an_edit_is_told_with_its_own_author() -> None:
    """Others who manage something else, or the same value, have nothing to do with it."""
    live = _defaulted(_wanted())
    _managed(live, "argocd", {"minReadySeconds": {}})
    _pod(live)["containers"][0]["image"] = "registry.example/evil:1"
    _managed(live, "kubectl-edit", _in_container({"image": {}}))
    assert _told(live).endswith("set by kubectl-edit")


@pytest.mark.parametrize(
    ("pod", "fields"),
    [
        pytest.param(
            {"containers": [{"name": "app"}, {"name": "debug", "image": "busybox"}]},
            {"template": _under(containers={'k:{"name":"debug"}': {".": {}, "f:image": {}, "f:name": {}}})},
            id="a container more",
        ),
        pytest.param(
            {"containers": [{"name": "app", "env": [{"name": "DEBUG", "value": "1"}]}]},
            _in_container({"env": {'k:{"name":"DEBUG"}': {".": {}, "f:name": {}, "f:value": {}}}}),
            id="an environment variable",
        ),
        pytest.param(
            {"containers": [{"name": "app", "ports": [{"containerPort": 9090, "protocol": "TCP"}]}]},
            _in_container({"ports": {'k:{"containerPort":9090,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}}}),
            id="a port",
        ),
        pytest.param(
            {"tolerations": [{"operator": "Exists"}]},
            {"template": _under(tolerations={})},
            id="a list that is one value",
        ),
        pytest.param(
            {"securityContext": {"supplementalGroups": [7]}},
            {"template": _under(securityContext={"f:supplementalGroups": {"v:7": {}}})},
            id="an element of a set",
        ),
    ],
)
def test_an_added_element_is_drift(pod: dict[str, Any], fields: dict[str, Any]) -> None:
    """Elements of lists are found by their keys, not by their places."""
    live = _defaulted(_wanted())
    live["spec"]["template"]["spec"] |= pod
    _managed(live, "kubectl-edit", fields)
    assert _told(live)


def test_a_restart_by_annotation_is_drift() -> None:
    """`kubectl rollout restart` would replace the one box outside of any release."""
    live = _defaulted(_wanted())
    live["spec"]["template"]["metadata"]["annotations"] = {"kubectl.kubernetes.io/restartedAt": "now"}
    restarted: dict[str, Any] = {"f:annotations": {".": {}, "f:kubectl.kubernetes.io/restartedAt": {}}}
    _managed(live, "kubectl-rollout", {"template": {"f:metadata": restarted}})
    assert "restartedAt set by kubectl-rollout" in _told(live)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(_in_container({"image": {}, "name": {}}), id="in a list"),
        pytest.param(_in_container({"env": {'k:{"name":"LEVEL"}': {".": {}, "f:value": {}}}}), id="two lists deep"),
        pytest.param(
            _in_container({"ports": {'k:{"containerPort":8080,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}}}),
            id="by a key that we leave to its default",
        ),
        pytest.param({"minReadySeconds": {}}, id="at the top"),
    ],
)
def test_another_owner_of_equal_values_is_no_drift(fields: dict[str, Any]) -> None:
    """Server-side apply of the same values makes a second owner and changes nothing."""
    live = _defaulted(_wanted())
    _managed(live, "argocd", fields)
    assert _is_edited(live)
    assert _told(live) == ""


@pytest.mark.parametrize("subresource", [pytest.param("scale", id="scale"), pytest.param("", id="edit")])
def test_a_size_is_no_drift(subresource: str) -> None:
    """The planner compares sizes, whoever set them."""
    live = _defaulted(_wanted())
    live["spec"]["replicas"] = 9
    _managed(live, "kubectl", {"replicas": {}}, subresource)
    assert (_is_edited(live), _told(live)) == (False, "")


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param({"subresource": "status", "fieldsV1": {"f:status": {"f:replicas": {}}}}, id="status"),
        pytest.param({"fieldsV1": {"f:metadata": {"f:annotations": {"f:deployment.x/revision": {}}}}}, id="annotation"),
        pytest.param({"fieldsV1": {}}, id="nothing"),
    ],
)
def test_who_manages_nothing_of_the_spec_changed_nothing(entry: dict[str, Any]) -> None:
    """Controllers write status and annotations all the time."""
    live = _defaulted(_wanted())
    live["metadata"]["managedFields"].append({"manager": "kube-controller-manager", "operation": "Update", **entry})
    assert not _is_edited(live)


def test_a_foreign_label_is_drift() -> None:
    """A stray Deployment that selects by it would adopt the object."""
    live = _defaulted(_wanted())
    live["metadata"]["labels"]["app"] = NAME
    assert _told(live) == "label app set by somebody"
    fields = {"f:metadata": {"f:labels": {"f:app": {}}}}
    live["metadata"]["managedFields"].append({"manager": "kubectl-label", "operation": "Update", "fieldsV1": fields})
    assert _told(live) == "label app set by kubectl-label"


@pytest.mark.parametrize(("value", "told"), [(None, "removed by somebody"), ("a1other", "set by somebody")])
def test_a_label_of_ours_that_the_object_lost_is_drift(value: str | None, told: str) -> None:
    """The pods still carry it, by which it is known."""
    live = _defaulted(_wanted())
    del live["metadata"]["labels"][naming.ARTIFACT]
    live["metadata"]["labels"] |= {naming.ARTIFACT: value} if value else {}
    assert _told(live) == f"label {naming.ARTIFACT} {told}"


def test_labels_of_ours_are_no_drift() -> None:
    """All of them are in our own domain."""
    live = _defaulted(_wanted())
    assert set(live["metadata"]["labels"]) == {naming.ROLLOUT, naming.BOX, naming.ARTIFACT}
    assert _told(live) == ""


def test_the_size_is_left_out_of_what_is_kept() -> None:
    """So that scaling does not make it another edit."""
    live = _defaulted(_wanted())
    _managed(live, "kubectl-edit", {"minReadySeconds": {}})
    first = edits_of(live)
    live["spec"]["replicas"] = 50
    assert edits_of(live) == first
    assert "replicas" not in first.spec
    assert first.spec["template"] == live["spec"]["template"]


@pytest.mark.parametrize(
    ("remove", "path"),
    [
        pytest.param(lambda app: app.pop("env"), ".env", id="a whole list"),
        pytest.param(lambda app: app["env"].pop(), ".env[LEVEL]", id="an element"),
        pytest.param(lambda app: app["env"][0].pop("value"), ".env[LEVEL].value", id="a value"),
        pytest.param(lambda app: app["ports"].pop(), ".ports[8080]", id="by another key"),
        pytest.param(lambda app: app.update(name="other"), "", id="a container"),
    ],
)
def test_what_is_missing_is_found(remove: Any, path: str) -> None:
    """In lists by what tells their elements apart; one more element in front changes nothing."""
    live = _defaulted(_wanted())
    assert _missed(live) == []
    remove(_pod(live)["containers"][0])
    _pod(live)["containers"].insert(0, {"name": "side", "image": "x"})
    assert _missed(live) == [f"spec.template.spec.containers[app]{path}"]


@pytest.mark.parametrize(
    ("wanted", "live"),
    [
        pytest.param({"a": None, "b": "", "c": 0, "d": [], "e": {}}, {}, id="empty values"),
        pytest.param({"a": "1000m"}, {"a": "1"}, id="another spelling"),
        pytest.param({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]}, id="defaults in an element without a key"),
        pytest.param({"args": ["a", "b"]}, {"args": ["c"]}, id="plain values"),
    ],
)
def test_what_the_api_server_makes_of_a_value_is_not_missed(wanted: Any, live: Any) -> None:
    """Only whether there is a value counts."""
    assert list(missing(wanted, live, "spec")) == []


def test_false_is_a_value() -> None:
    """`automountServiceAccountToken: false` is no default."""
    assert list(missing({"a": False}, {}, "spec")) == ["spec.a"]
