"""Regions on a real API server: bad ones are refused with a sentence, good ones are stored as they are."""

import json
import pathlib

import pytest
import yaml
from api_manifests import with_field
from region_manifests import BAD_REGIONS
from region_manifests import region as manifest

from ombak.sandbox import KubectlError, Region

pytestmark = pytest.mark.cluster

CRD = pathlib.Path(__file__).parents[2] / "crds" / "ombak.dev_regions.yaml"


@pytest.fixture(scope="module")
def served(region: Region) -> Region:
    """The region, with our kind in it."""
    region.kubectl("apply", "-f", str(CRD))
    region.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd/regions.ombak.dev")
    return region


def apply(served: Region, content: object, *options: str) -> str:
    return served.kubectl("apply", "--validate=strict", *options, "-f", "-", input=yaml.safe_dump(content))


@pytest.mark.parametrize(
    ("path", "value", "fragments"),
    [
        *BAD_REGIONS,
        pytest.param("spec.zones", ["a", "a"], ["spec.zones[1]: Duplicate value"], id="zone-twice"),
        pytest.param("spec.timeZone", "Mars/Base", ["spec.timeZone", "Europe/Berlin"], id="time-zone"),
        pytest.param("spec.timeZone", "half past", ["spec.timeZone"], id="no-time-zone"),
        pytest.param("spec.clouds", "aws", ['unknown field "spec.clouds"'], id="unknown"),
        pytest.param("metadata.name", "e" * 64, ["metadata.name must be at most 63"], id="name"),
    ],
)
def test_a_bad_region_is_refused(served: Region, path: str, value: object, fragments: list[str]) -> None:
    """The sentence names the field and the fix."""
    with pytest.raises(KubectlError) as refused:
        apply(served, with_field(manifest(), path, value), "--dry-run=server")

    assert [part for part in fragments if part not in str(refused.value)] == [], str(refused.value)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Jakarta", "America/Argentina/Buenos_Aires", "Etc/GMT+5"])
def test_a_good_region_is_stored_as_it_is(served: Region, zone: str) -> None:
    """No default is written into it; it needs no namespace."""
    good = with_field(manifest(), "spec.timeZone", zone)
    apply(served, good)
    found = json.loads(served.kubectl("get", "omreg", "eu-1", "-o", "json"))
    served.kubectl("delete", "region", "eu-1")

    assert found["spec"] == good["spec"]
    assert "namespace" not in found["metadata"]
