"""Names, labels, ids and the objects that are written: the same for ever, and nobody else's."""

import copy
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ombak.core import manifests, naming
from ombak.core.identity import artifact_id, canonical_json, digest_of
from support.snapshots import id_of, rollout, spec, template

ROLLOUTS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?", fullmatch=True)
SAFE = "bcdfghjklmnpqrstvwxz2456789"
TAILS = st.text(SAFE, min_size=5, max_size=5)
HASHES = st.text(SAFE, min_size=1, max_size=10)
ZONES = st.sampled_from(["", "a", "eu-west-1b"])


def pod_names(draw: Any, name: str) -> tuple[str, str]:
    """The names of a pod of the fleet and of one of the one box."""
    zone, tail = draw(ZONES), draw(TAILS)
    fleet = naming.fleet(name, id_of(draw(st.sampled_from(["v1", "v2"]))), zone)
    return f"{fleet}-{tail}", f"{naming.one_box(name, zone)}-{draw(HASHES)}-{tail}"


@given(st.data(), ROLLOUTS)
def test_patterns_match_every_pod_of_a_rollout(data: Any, name: str) -> None:
    """And tell the one box from the fleet."""
    in_fleet, in_one_box = pod_names(data.draw, name)

    assert re.fullmatch(naming.all_pods(name), in_fleet)
    assert re.fullmatch(naming.all_pods(name), in_one_box)
    assert re.fullmatch(naming.one_box_pods(name), in_one_box)
    assert not re.fullmatch(naming.one_box_pods(name), in_fleet)


@given(st.data(), ROLLOUTS, st.sampled_from(["", "-admin", "-onebox", "-a10123456789", "-onebox-bcd", "-x-bcdfg"]))
def test_patterns_match_no_pod_of_another_rollout(data: Any, name: str, more: str) -> None:
    """`front-end` is a prefix of `front-end-admin`, and somebody may call a Rollout `front-end-onebox`."""
    other = data.draw(ROLLOUTS) if not more else (name + more)[:63].rstrip("-")
    if naming.base(other) == naming.base(name):
        return

    for pod in pod_names(data.draw, other):
        assert not re.fullmatch(naming.all_pods(name), pod)
        assert not re.fullmatch(naming.one_box_pods(name), pod)


@given(ROLLOUTS, ROLLOUTS)
def test_long_names_stay_apart(one: str, other: str) -> None:
    """Cut names carry a hash; and no child's name is longer than a pod's may be."""
    assert (naming.base(one) == naming.base(other)) == (one == other) or len(one) <= naming.MAX_BASE >= len(other)
    assert len(naming.fleet(one, id_of("v1"), "eu-west-1b")) <= 58


def test_ids_are_what_they_always_were() -> None:
    """P7: a new version of the operator must not find that everything changed."""
    assert (
        artifact_id({"spec": {"containers": [{"name": "app", "image": "a:1"}]}})
        == "a1" + digest_of({"spec": {"containers": [{"image": "a:1", "name": "app"}]}}).removeprefix("sha256:")[:10]
    )
    assert canonical_json({"b": [1, "ü"], "a": {"d": None, "c": True}}) == '{"a":{"c":true,"d":null},"b":[1,"ü"]}'
    assert id_of("v1") == "a1501d428c20"


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.dictionaries(st.text(), c)))
def test_an_id_depends_on_content_and_not_on_order(content: Any) -> None:
    """Two spellings of one template are one version."""
    one = {"a": content, "b": 1}
    other = {"b": 1, "a": copy.deepcopy(content)}

    assert artifact_id(one) == artifact_id(other)
    assert len(artifact_id(one)) == 12


VIEW = rollout(spec("v1", zones=["a", "b"], minReadySeconds=5))


def test_the_fleet_and_the_one_box_never_share_a_pod() -> None:
    """Selectors are disjoint, and contain only labels of ours."""
    fleet = manifests.fleet(VIEW, template("v1"), id_of("v1"), "a", 3)
    one_box = manifests.one_box(VIEW, template("v1"), id_of("v1"), "a", 1, surge=False)
    selectors = [m["spec"]["selector"]["matchLabels"] for m in (fleet, one_box)]

    assert selectors[0][naming.BOX] != selectors[1][naming.BOX]
    assert all(key.startswith("ombak.dev/") for s in selectors for key in s)
    for manifest, selector in zip((fleet, one_box), selectors, strict=True):
        assert selector.items() <= manifest["spec"]["template"]["metadata"]["labels"].items()
        assert all(key.startswith("ombak.dev/") for key in manifest["metadata"]["labels"])
        assert manifest["metadata"]["ownerReferences"][0]["controller"]


@pytest.mark.parametrize(
    ("surge", "strategy"),
    [
        pytest.param(False, {"maxSurge": 0, "maxUnavailable": 1}, id="in its place"),
        pytest.param(True, {"maxSurge": 1, "maxUnavailable": 0}, id="beside it first"),
    ],
)
def test_a_one_box_says_how_it_replaces_its_box(surge: bool, strategy: dict[str, int]) -> None:
    """The Deployment controller does what the budget allows."""
    made = manifests.one_box(VIEW, template("v1"), id_of("v1"), "", 1, surge)

    assert strategy == made["spec"]["strategy"]["rollingUpdate"]


def test_the_users_template_is_not_touched() -> None:
    """P5: our labels and the zone are added to a copy."""
    original = template("v1")
    before = copy.deepcopy(original)

    manifests.fleet(VIEW, original, id_of("v1"), "a", 3)

    assert before == original


def test_labels_of_ours_in_a_users_template_do_not_reach_a_pod() -> None:
    """Only the prefix that is ours alone: what the sandbox reads stays."""
    original = template("v1")
    others = {"app": "front-end", "sandbox.ombak.dev/x": "1"}
    original["metadata"]["labels"] = {**others, naming.ZONE: "b", "ombak.dev/x": "1"}

    made = manifests.fleet(VIEW, original, id_of("v1"), "", 3)

    assert made["spec"]["template"]["metadata"]["labels"] == others | made["spec"]["selector"]["matchLabels"]


@pytest.mark.parametrize(
    "terms",
    [
        pytest.param(None, id="no affinity"),
        pytest.param([], id="an empty list"),
        pytest.param([{"matchExpressions": [{"key": "disk", "operator": "Exists"}]}, {"matchFields": []}], id="two"),
    ],
)
def test_a_zone_is_required_in_every_alternative(terms: list[dict[str, Any]] | None) -> None:
    """Terms are alternatives: a term without the zone would let a box into another one."""
    made = template("v1")
    if terms is not None:
        node = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        made["spec"]["affinity"] = {"nodeAffinity": node}

    affinity = manifests.fleet(VIEW, made, id_of("v1"), "a", 3)["spec"]["template"]["spec"]["affinity"]

    found = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert len(found) == max(1, len(terms or []))
    for term in found:
        assert {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a"]} in term["matchExpressions"]


def test_an_artifact_holds_the_template_as_it_was_written() -> None:
    """Byte for byte what the user wrote, under the id that its content has."""
    made = manifests.artifact(VIEW, id_of("v1"), 4)

    assert made["spec"]["template"] == template("v1")
    assert artifact_id(made["spec"]["template"]) == made["spec"]["id"]
    assert made["metadata"]["name"] == naming.artifact("front-end", id_of("v1"))
