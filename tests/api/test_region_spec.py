"""What a Region may say, read as it is in the cluster."""

import pytest
from api_manifests import with_field
from region_manifests import BAD_REGIONS, region

from ombak.api.parse import parse_region_spec


def test_a_region_is_read() -> None:
    """All of it, and the least there can be."""
    full = parse_region_spec(region()["spec"])
    least = parse_region_spec({"access": {"inCluster": {}}})

    assert (full.problem, least.problem) == ("", "")
    assert full.spec is not None
    assert full.spec.access.kubeconfig is not None
    assert full.spec.access.kubeconfig.secret_ref.key == "config"


@pytest.mark.parametrize(("path", "value", "fragments"), BAD_REGIONS)
def test_a_bad_region_has_a_problem(path: str, value: object, fragments: list[str]) -> None:
    """It names the field."""
    parsed = parse_region_spec(with_field(region(), path, value)["spec"])

    assert parsed.spec is None
    assert [part for part in fragments if part not in parsed.problem] == [], parsed.problem


@pytest.mark.parametrize(
    ("allow", "expected"),
    [
        pytest.param(None, True, id="not-said"),
        pytest.param(["*"], True, id="any"),
        pytest.param(["other", "shop"], True, id="named"),
        pytest.param(["other"], False, id="another"),
        pytest.param([], False, id="none"),
    ],
)
def test_who_may_deploy_there(allow: list[str] | None, expected: bool) -> None:
    """Everybody where nothing is said."""
    spec = {"access": {"inCluster": {}}} | ({} if allow is None else {"allow": {"namespaces": allow}})
    parsed = parse_region_spec(spec).spec

    assert parsed is not None
    assert parsed.allows("shop") is expected


def test_selectors_see_what_the_spec_says() -> None:
    """Under ombak.dev/, where no label of the object can pretend otherwise; what is not said is no label."""
    parsed = parse_region_spec({"access": {"inCluster": {}}, "cloud": "gcp"}).spec

    assert parsed is not None
    assert parsed.selection_labels("eu-1", {"env": "prod", "ombak.dev/cloud": "aws"}) == {
        "env": "prod",
        "ombak.dev/cloud": "gcp",
        "ombak.dev/name": "eu-1",
    }
