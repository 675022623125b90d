"""Configuration as a part of a version: its identity, and the references that lead to the version's own copy."""

import copy
import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ombak.core import config
from ombak.core.identity import artifact_id, digest_of
from support.snapshots import id_of, spec, template

UNHURRIED = settings(deadline=None)
NAMES = st.sampled_from(["app", "app-flags", "flags", "a.b", "x" * 253])
TEXTS = st.text(max_size=5)
CONTENTS = st.fixed_dictionaries(
    {},
    optional={
        "data": st.dictionaries(TEXTS, TEXTS, max_size=3),
        "binaryData": st.dictionaries(TEXTS, TEXTS, max_size=3),
    },
)
CONFIGS = st.dictionaries(NAMES, CONTENTS, max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS, lambda c: st.lists(c) | st.dictionaries(TEXTS, c)
)


def volume(name: object) -> dict[str, Any]:
    return {"name": "v", "configMap": {"name": name, "items": [{"key": "k", "path": name}]}}


def projected(name: object) -> dict[str, Any]:
    sources = [{"secret": {"name": name}}, {"configMap": {"name": name}}, {"downwardAPI": {}}]
    return {"name": name, "projected": {"sources": sources}}


def container(name: object) -> dict[str, Any]:
    return {
        "name": name,
        "image": f"registry.example/{name}",
        "env": [
            {"name": "A", "valueFrom": {"configMapKeyRef": {"name": name, "key": name}}},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}},
            {"name": "C", "value": name},
        ],
        "envFrom": [{"configMapRef": {"name": name}}, {"secretRef": {"name": name}, "prefix": name}],
    }


@st.composite
def templates(draw: st.DrawFn) -> dict[str, Any]:
    """Pod templates that use some ConfigMaps in every way there is, with things of the same names beside them."""
    names = st.lists(NAMES, max_size=3)
    made: dict[str, Any] = {"containers": [container(n) for n in draw(names)]}
    made |= {"initContainers": [container(n) for n in draw(names)]} if draw(st.booleans()) else {}
    made |= {"volumes": [draw(st.sampled_from([volume, projected]))(n) for n in draw(names)]}
    made |= {"volumes": [*made["volumes"], {"name": "app", "secret": {"secretName": "app"}}]}
    return {"metadata": {"labels": {"app": "app"}}, "spec": made}


def digests(contents: dict[str, Any]) -> dict[str, str]:
    return {name: config.content_digest(content) for name, content in contents.items()}


def reversed_keys(value: Any) -> Any:
    """The same content in another order."""
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(each) for each in value] if isinstance(value, list) else value


def meaning(contents: dict[str, Any]) -> str:
    """Contents in one spelling, in which what is empty is left out."""
    kept = {name: {k: v for k, v in content.items() if v} for name, content in contents.items()}
    return json.dumps(kept, sort_keys=True)


@UNHURRIED
@given(templates(), CONFIGS, templates(), CONFIGS)
def test_versions_are_the_same_only_if_template_and_config_are(one: Any, its: Any, other: Any, others: Any) -> None:
    """Identity is injective on the pair: nothing moves from the one into the other unseen."""
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True) and meaning(its) == meaning(others)

    assert (digest_of(one, digests(its)) == digest_of(other, digests(others))) == same
    assert (artifact_id(one, digests(its)) == artifact_id(other, digests(others))) == same


@UNHURRIED
@given(templates(), CONFIGS)
def test_an_id_does_not_depend_on_the_order_of_keys(one: Any, its: Any) -> None:
    """Whoever reads the same objects from another API server finds the same version (P5)."""
    assert artifact_id(one, digests(its)) == artifact_id(reversed_keys(one), digests(reversed_keys(its)))


@UNHURRIED
@given(templates())
def test_without_config_an_id_is_what_it_was(one: Any) -> None:
    """P7: no version that is there changes its id because configuration can travel now."""
    assert digest_of(one, {}) == digest_of(one)
    assert artifact_id(one, {}) == artifact_id(one)


def test_the_hashes_are_what_they_always_were() -> None:
    """P7: written down, so that no library and no new version of the operator changes them."""
    digest = config.content_digest({"data": {"b": "1", "a": "ü"}, "binaryData": {"c": "AAEC"}})

    assert digest == "c1:sha256:cf6d5cbf5dda50c50f1ef675d3e7b03750abb733a735ab0b209af52ecb4a93b2"
    assert artifact_id(template("v1"), {"app": digest}) == "a1f0833033cc"
    assert config.copy_name("front-end", id_of("v1"), "app") == "app-c141633efbfe"


@pytest.mark.parametrize(
    "content", [{}, {"data": {}}, {"data": None, "binaryData": {}}], ids=["absent", "empty", "null"]
)
def test_what_is_empty_and_what_is_absent_are_the_same(content: dict[str, Any]) -> None:
    """The API server makes no difference, so neither does the hash."""
    assert config.content_digest(content) == config.content_digest({})


def test_only_content_is_hashed() -> None:
    """Labels, annotations, versions and `immutable` change nothing that a box sees."""
    noise = {"metadata": {"labels": {"a": "b"}, "resourceVersion": "7"}, "immutable": True, "kind": "ConfigMap"}

    assert config.content_digest(noise | {"data": {"a": "1"}}) == config.content_digest({"data": {"a": "1"}})
    assert config.content_digest({"data": {"a": "1"}}) != config.content_digest({"binaryData": {"a": "1"}})


@UNHURRIED
@given(templates(), st.sets(NAMES))
def test_rewriting_touches_the_references_and_nothing_else(one: dict[str, Any], listed: set[str]) -> None:
    """Written back by hand, the template is the one that it was; what is not listed stays live, Secrets always."""
    names = config.copy_names("front-end", "a1c0ffee0123", listed)
    before = copy.deepcopy(one)

    made = config.rewritten(one, names)

    assert one == before
    assert config.references(made) == {names.get(name, name) for name in config.references(one)}
    assert config.rewritten(made, {made: name for name, made in names.items()}) == one


@pytest.mark.parametrize("kind", ["containers", "initContainers"])
@pytest.mark.parametrize(
    "part",
    [
        {"envFrom": [{"configMapRef": {"name": "app"}}]},
        {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "app", "key": "k"}}}]},
    ],
    ids=["envFrom", "env"],
)
def test_every_container_reads_the_copy(kind: str, part: dict[str, Any]) -> None:
    """Written out, place by place: one that is forgotten would read what is live, and nothing would take it back."""
    made = config.rewritten({"spec": {kind: [part]}}, {"app": "app-c1"})

    assert json.dumps(made) == json.dumps({"spec": {kind: [part]}}).replace('"name": "app"', '"name": "app-c1"')


@pytest.mark.parametrize(
    "volume",
    [{"configMap": {"name": "app"}}, {"projected": {"sources": [{"configMap": {"name": "app"}}]}}],
    ids=["configMap", "projected"],
)
def test_every_volume_holds_the_copy(volume: dict[str, Any]) -> None:
    """As with containers."""
    made = config.rewritten({"spec": {"volumes": [volume]}}, {"app": "app-c1"})

    assert json.dumps(made) == json.dumps({"spec": {"volumes": [volume]}}).replace('"app"', '"app-c1"')


@UNHURRIED
@given(templates(), st.sets(NAMES))
def test_rewriting_twice_is_rewriting_once(one: dict[str, Any], listed: set[str]) -> None:
    """What refers to a copy already is left alone."""
    names = config.copy_names("front-end", "a1c0ffee0123", listed)
    made = config.rewritten(one, names)

    assert config.rewritten(made, names) == made


@UNHURRIED
@given(st.dictionaries(st.sampled_from(["spec", "metadata"]), JSON), JSON)
def test_rewriting_takes_whatever_a_template_holds(one: dict[str, Any], part: Any) -> None:
    """A template that the API server would refuse ends no pass."""
    for spoilt in (one, {"spec": {"volumes": part, "containers": part}}, {"spec": {"containers": [{"env": part}]}}):
        assert config.rewritten(spoilt, {"app": "app-c1"}).keys() == spoilt.keys()
        config.references(spoilt)


@UNHURRIED
@given(st.sampled_from(["a", "b"]), st.sampled_from(["a1", "a2"]), NAMES, NAMES)
def test_no_two_copies_have_the_same_name(rollout: str, artifact: str, name: str, other: str) -> None:
    """Of another Rollout, another version or another ConfigMap it is another one; and a long name is cut."""
    made = config.copy_name(rollout, artifact, name)

    assert len(made) <= 253
    assert made != config.copy_name("c", artifact, name)
    assert made != config.copy_name(rollout, "a3", name)
    assert made.startswith(name[:200])
    assume(name != other)
    assert made != config.copy_name(rollout, artifact, other)


def test_cut_names_end_well() -> None:
    """No dot or dash stands before the hash, which the API server would refuse after a dot."""
    assert ".-" not in config.copy_name("front-end", "a1c0ffee0123", "x" * 239 + "." + "y" * 13)


def test_a_name_that_the_template_does_not_use_is_told_with_the_fix() -> None:
    """Most often it is misspelt, and a change of it would be no change at all."""
    made = spec("v1", config=["app", "flags"])
    made.template["spec"]["volumes"] = [volume("app")]

    assert config.unused(made).startswith("spec.config names flags, which spec.template does not use; remove it")
    assert not config.unused(spec("v1"))
