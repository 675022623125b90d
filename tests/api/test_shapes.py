"""What a CRD takes unseen has the shape that decisions read, or is refused with its place (P9)."""

import copy
import itertools
from typing import Any

import pytest

from ombak.api.parse import parse_pipeline_spec
from ombak.api.shapes import POD_TEMPLATE, misshapen
from support.conveyor import spec, stage

CONTAINER = {"name": "test", "image": "registry.example/tests:7"}
ODD = (True, 1.5, "text", ["text"], [{}], [None], {"name": {}}, {1: 2})


def changed(found: Any, path: tuple[str | int, ...], value: object) -> Any:
    """The same with something else in one place, which is made where it is not there."""
    made = copy.deepcopy(found)
    place = made
    for step, following in itertools.pairwise(path):
        if isinstance(place, dict):
            place.setdefault(step, [{}] if following == 0 else {})
        place = place[step]
    place[path[-1]] = value
    return made


def job(path: tuple[str | int, ...] = (), value: object = None) -> dict[str, Any]:
    """A Pipeline's spec with a test, of which something was changed."""
    template = {"spec": {"template": {"spec": {"containers": [CONTAINER]}}}}
    tests = [{"name": "smoke", "template": changed(template, path, value) if path else template}]
    return spec("v1", [stage("alpha", "r-1", tests=tests)])


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("spec", "template", "spec", "containers", 0, "env"), {"A": "b"}, "spec.containers[0].env must be a list"),
        (("spec", "template", "spec", "containers"), {}, "spec.template.spec.containers must be a list"),
        (("spec", "template", "spec"), None, "spec.template.spec is missing; write a Job's"),
        (("spec", "template"), {}, "spec.template.spec is missing; write a Job's"),
        (("spec",), None, "spec.template.spec is missing; write a Job's"),
        (("spec", "ttlSecondsAfterFinished"), "1h", "spec.ttlSecondsAfterFinished must be a number"),
        (("metadata", "labels"), ["a"], "metadata.labels must be a mapping"),
    ],
)
def test_a_test_that_is_no_job_is_refused_with_the_place(path: tuple[str | int, ...], value: object, told: str) -> None:
    """Before a change is in its stage, where nothing could be said of it any more."""
    found = parse_pipeline_spec(job(path, value)).problem

    assert found.startswith("spec.stages[0].tests[0].template: ")
    assert told in found


def test_a_job_as_people_write_it_is_taken() -> None:
    """With null where nothing is meant, too."""
    assert parse_pipeline_spec(job()).problem == ""
    assert parse_pipeline_spec(job(("spec", "template", "spec", "containers", 0, "env"), None)).problem == ""


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (("spec", "containers", 0, "env"), "spec.containers[0].env must be a list"),
        (("spec", "volumes", 0, "configMap"), "spec.volumes[0].configMap must be a mapping"),
        (("metadata", "annotations"), "metadata.annotations must be a mapping"),
    ],
)
def test_a_pod_template_of_another_shape_is_refused(path: tuple[str | int, ...], told: str) -> None:
    """Of a Pipeline, whose hub sets variables in it, and gives ConfigMaps their own names."""
    made = spec("v1", [stage("alpha", "r-1")])
    found = parse_pipeline_spec(changed(made, ("rollout", "spec", "template", *path), "text")).problem

    assert found == f"spec.rollout.spec.template: {told}, as in every pod template"


def test_an_object_of_another_shape_is_refused() -> None:
    """Its labels are read before it travels."""
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "labels": ["a"]}}
    found = parse_pipeline_spec(spec("v1", [stage("alpha", "r-1")], objects=[service])).problem

    assert found == "spec.objects: Service web: metadata.labels must be a mapping"


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_every_place_that_is_known_is_looked_at(value: object) -> None:
    """What is neither absent, null nor of the shape is told, wherever it stands."""
    whole: dict[str, Any] = {"spec": {"containers": [CONTAINER | {"env": [{"name": "A", "value": "b"}]}]}}

    assert misshapen(whole, POD_TEMPLATE) == ""
    assert misshapen(changed(whole, ("spec", "containers", 0), value), POD_TEMPLATE) != "" or value == {"name": {}}
    assert misshapen(changed(whole, ("spec", "containers", 0, "env"), value), POD_TEMPLATE) != "" or value == [{}]
