"""The CRDs of Windows and Blockers on a real API server: bad ones are refused helpfully, and `kubectl get` tells."""

import pathlib
from typing import Any

import pytest
import yaml
from api_manifests import ABSENT, Manifest, with_field

from ombak.api import kinds
from ombak.api.parse import parse_blocker_spec, parse_cluster_blocker_spec, parse_window_spec
from ombak.sandbox import KubectlError, Region

pytestmark = pytest.mark.cluster

ROOT = pathlib.Path(__file__).parents[2]
PARSERS = {"Window": parse_window_spec, "Blocker": parse_blocker_spec, "ClusterBlocker": parse_cluster_blocker_spec}


@pytest.fixture(scope="module")
def served(region: Region) -> Region:
    """The region, with our kinds in it."""
    region.kubectl("apply", "-f", str(ROOT / "crds"))
    names = [f"crd/{kind.crd_name}" for kind in kinds.KINDS]
    region.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
    return region


def window() -> Manifest:
    """A Window that says everything once."""
    return {
        "apiVersion": "ombak.dev/v1alpha1",
        "kind": "Window",
        "metadata": {"name": "office-hours"},
        "spec": {
            "timeZone": "Europe/Berlin",
            "owner": "platform",
            "open": [
                {"days": ["Mon", "Tue"], "from": "09:00", "to": "24:00"},
                {"rrule": "FREQ=MONTHLY;BYDAY=1TU", "start": "2026-01-06T10:00", "for": "2h"},
                {"cron": "0 9 * * MON-THU", "for": "7h"},
            ],
            "holidays": [{"country": "DE", "subdivision": "BY"}],
            "ics": [{"text": "BEGIN:VCALENDAR"}, {"configMap": {"namespace": "platform", "name": "company"}}],
            "closed": [{"from": "2026-11-20", "to": "2026-12-01", "reason": "sale"}, {"from": "2026-12-24T12:00"}],
            "staffed": [{"days": ["Mon"], "from": "08:00", "to": "18:00"}],
        },
    }


def blocker(kind: str = "Blocker") -> Manifest:
    """A Blocker that says everything once."""
    spec: dict[str, Any] = {
        "selector": {"matchLabels": {"tier": "web"}},
        "stops": "Steps",
        "reason": "payments fail",
        "owner": "sre",
        "begins": "2026-11-23T08:00:00Z",
        "expires": "2026-11-24T08:00:00Z",
    }
    if kind == "ClusterBlocker":
        spec["namespaces"] = ["shop"]
    return {"apiVersion": "ombak.dev/v1alpha1", "kind": kind, "metadata": {"name": "freeze"}, "spec": spec}


BAD_WINDOWS = [
    pytest.param("spec.open", ABSENT, ["spec.open: Required"], id="no-opening"),
    pytest.param("spec.open", [], ["spec.open", "at least 1"], id="empty"),
    pytest.param("spec.open", [{}], ["write exactly one of days"], id="no-form"),
    pytest.param("spec.open.0.cron", "0 9 * * *", ["write exactly one of days"], id="two-forms"),
    pytest.param("spec.open.0.to", ABSENT, ["days goes with from and to"], id="no-end"),
    pytest.param("spec.open.0.for", "2h", ["days goes with from and to"], id="days-and-length"),
    pytest.param("spec.open.0.to", "09:00", ["from and to are the same"], id="empty-day"),
    pytest.param("spec.open.0.from", "24:00", ["spec.open[0].from"], id="from-24"),
    pytest.param("spec.open.0.from", "9:00", ["spec.open[0].from"], id="one-digit"),
    pytest.param("spec.open.0.days", ["Monday"], ["spec.open[0].days", '"Mon"'], id="long-day"),
    pytest.param("spec.open.1.start", ABSENT, ["rrule goes with start and for"], id="rrule-without-start"),
    pytest.param("spec.open.1.for", ABSENT, ["rrule goes with start and for"], id="rrule-without-length"),
    pytest.param("spec.open.1.rrule", "FREQ=HOURLY", ["spec.open[1].rrule", "write cron"], id="hourly"),
    pytest.param("spec.open.1.for", "0s", ["longer than 0s"], id="no-length"),
    pytest.param("spec.open.2.cron", "0 0 9 * * MON", ["spec.open[2].cron"], id="six-fields"),
    pytest.param("spec.open.2.for", ABSENT, ["cron goes with for"], id="cron-without-length"),
    pytest.param("spec.holidays.0.country", "Germany", ["spec.holidays[0].country"], id="country"),
    pytest.param("spec.ics.0.configMap", {"namespace": "a", "name": "b"}, ["exactly one of text"], id="two-texts"),
    pytest.param("spec.closed.0.to", "2026-11-01", ["to comes before from"], id="backwards"),
    pytest.param("spec.closed.0.from", "20.11.2026", ["spec.closed[0].from"], id="day"),
    pytest.param("spec.timeZone", "Europe/ Berlin", ["spec.timeZone"], id="zone"),
    pytest.param("spec.opens", [], ['unknown field "spec.opens"'], id="unknown"),
]
BAD_BLOCKERS = [
    pytest.param("spec.reason", ABSENT, ["spec.reason: Required"], id="no-reason"),
    pytest.param("spec.owner", ABSENT, ["spec.owner: Required"], id="no-owner"),
    pytest.param("spec.owner", "", ["spec.owner", "at least 1"], id="empty-owner"),
    pytest.param("spec.stops", "Reverts", ["spec.stops", '"Starts", "Steps"'], id="reverts"),
    pytest.param("spec.expires", "2026-11-23T07:00:00Z", ["spec.expires", "later than begins"], id="backwards"),
    pytest.param("spec.expires", "tomorrow", ["spec.expires", "date-time"], id="no-time"),
]


def refusal(region: Region, manifest: Manifest) -> str:
    """Return what kubectl says of a manifest that must be refused."""
    with pytest.raises(KubectlError) as refused:
        region.kubectl(
            *("apply", "-n", "default", "--validate=strict", "--dry-run=server", "-f", "-"),
            input=yaml.safe_dump(manifest),
        )
    return str(refused.value)


@pytest.mark.parametrize(("path", "value", "fragments"), BAD_WINDOWS)
def test_a_bad_window_is_refused(served: Region, path: str, value: object, fragments: list[str]) -> None:
    """The sentence names the field and the fix; what reads it in the cluster refuses it too."""
    made = with_field(window(), path, value)
    said = refusal(served, made)

    assert [part for part in fragments if part not in said] == [], said
    assert parse_window_spec(made["spec"]).problem


@pytest.mark.parametrize("kind", ["Blocker", "ClusterBlocker"])
@pytest.mark.parametrize(("path", "value", "fragments"), BAD_BLOCKERS)
def test_a_bad_blocker_is_refused(served: Region, kind: str, path: str, value: object, fragments: list[str]) -> None:
    """The sentence names the field and the fix; what reads it in the cluster refuses it too."""
    made = with_field(blocker(kind), path, value)
    said = refusal(served, made)

    assert [part for part in fragments if part not in said] == [], said
    assert PARSERS[kind](made["spec"]).problem


@pytest.mark.parametrize(
    "made", [window(), blocker(), blocker("ClusterBlocker")], ids=["window", "blocker", "cluster-blocker"]
)
def test_a_good_one_is_taken_as_it_is(served: Region, made: Manifest) -> None:
    """By the server, and by what reads it."""
    served.kubectl(
        *("apply", "-n", "default", "--validate=strict", "--dry-run=server", "-f", "-"), input=yaml.safe_dump(made)
    )

    assert PARSERS[made["kind"]](made["spec"]).problem == ""
