"""`ombak alarm show` on the objects of a cluster: what a person reads, also where there is nothing to read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ombak.cli.main import main
from ombak.core.baseline import identity
from support.clusters import write_kubeconfig
from support.fake_apiserver import FakeApiServer, Fault, answer, cut, text
from support.rig import spec

API = "/apis/ombak.dev/v1alpha1/namespaces"
ERRORS = {
    "name": "errors",
    "ratio": {"bad": 'http_requests_total{code="500"}', "total": "http_requests_total"},
    "above": "1%",
}
SINCE = "2026-11-22T09:00:00Z"


class Cluster:
    """An API server with what a test puts there."""

    def __init__(self, server: FakeApiServer, kubeconfig: Path) -> None:
        self.server, self.kubeconfig = server, kubeconfig

    def put(self, kind: str, name: str, namespace: str = "shop", **fields: Any) -> None:
        """Store an object."""
        labels = fields.pop("labels", {})
        meta = {"name": name, "namespace": namespace, "generation": 1, "resourceVersion": "1", "labels": labels}
        self.server.objects[f"{API}/{namespace}/{kind}", name] = {"metadata": meta, **fields}

    def rollout(self, status: dict[str, Any] | None = None, **changes: Any) -> None:
        """The Rollout front-end, of the tier web."""
        wanted = {k: v for k, v in spec(**changes).items() if v is not None}
        told = {"observedGeneration": 1, "phase": "Stable"} | (status or {})
        self.put("rollouts", "front-end", labels={"tier": "web"}, spec=wanted, status=told)

    def alarm(self, name: str, found: dict[str, Any], state: str = "OK", namespace: str = "shop", **more: Any) -> None:
        """An Alarm, and what its status says."""
        certainty = "Uncertain" if state == "INSUFFICIENT_DATA" else "Certain"
        status = {"observedGeneration": 1, "state": state, "certainty": certainty, "since": SINCE} | more
        self.put("alarms", name, namespace, spec=found, status=status)

    def team(self, *namespaces: str) -> None:
        """Namespaces of one team."""
        for name in namespaces:
            meta = {"name": name, "labels": {"ombak.dev/team": "red"}}
            self.server.objects["/api/v1/namespaces", name] = {"metadata": meta}

    async def show(self, target: str = "rollout/front-end", *more: str) -> Result:
        """What the command does."""
        command = ["alarm", "show", target, "--kubeconfig", str(self.kubeconfig), *(more or ("-n", "shop"))]
        return await asyncio.to_thread(CliRunner().invoke, main, command)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with FakeApiServer().serve() as server:
        yield Cluster(server, write_kubeconfig(tmp_path / "config", server.url, "good"))


def metric(query: str = "x", **changes: Any) -> dict[str, Any]:
    """A metric alarm's spec."""
    made = {"query": query, "comparison": "GreaterThanThreshold", "threshold": 0.5, "period": "30s"}
    return {"metric": made | {"evaluationPeriods": 3, "datapointsToAlarm": 2} | changes}


def view(state: str, message: str, certainty: str = "Certain", **more: Any) -> dict[str, Any]:
    """What a Rollout's status tells of an alarm."""
    return {"state": state, "certainty": certainty, "message": message, "since": SINCE} | more


def release(mode: str = "Forward", **more: Any) -> dict[str, Any]:
    """A memory with a release on its way."""
    step = {"number": 1, "approvedAt": SINCE, "goal": 4, "highWater": 4, "progressAt": SINCE}
    position = {"segment": 1, "boxes": 3, "of": 3}
    return {
        "release": {"artifact": "a1c0ffee0123", "mode": mode, "beganAt": SINCE, "position": position, "step": step}
    } | more


def lines(result: Result) -> list[str]:
    """What was printed, line by line without indentation."""
    assert result.exit_code == 0, result.output
    return [line.strip() for line in result.stdout.splitlines()]


async def test_everything_that_watches_is_shown_with_its_state_and_reason(cluster: Cluster) -> None:
    """Both expressions down to their alarms, guards of the team, and both alarms of each signal."""
    cluster.team("shop", "platform")
    cluster.alarm(
        "errors", {"expression": 'ALARM("high") OR ALARM("gone")'}, message="high: 0.1", detectionLatency="45s"
    )
    cluster.alarm(
        "high", metric("sum(x)"), message="high: 0.1 (alarms when > 0.5; 0 of 3 points breach, 2 of 3 needed)"
    )
    cluster.alarm("box", metric('x{pod=~"$(pods)"}'), "INSUFFICIENT_DATA")
    guards = {"matchLabels": {"tier": "web"}}
    cluster.alarm("team-high", {"alertingRule": {"name": "HighErrors"}, "guards": guards}, namespace="platform")
    cluster.alarm("other-tier", metric() | {"guards": {"matchLabels": {"tier": "db"}}})
    fine = view("OK", "signal errors of all boxes: 0.002 (alarms when > 0.01; 0 of 3 points breach, 2 of 3 needed)")
    silent = view("INSUFFICIENT_DATA", "has 3 samples, 10 are needed", unknownChildren=[])
    cluster.rollout(
        {
            "phase": "Bake",
            "progress": {"boxes": "4/4"},
            "waitingFor": {"what": "the bake: 4m of 10m proven good", "since": SINCE},
            "alarms": {"revert": view("OK", "fine"), "oneBox": view("INSUFFICIENT_DATA", "not known", "Uncertain")},
            "signals": [{"name": "errors", "service": fine, "oneBox": silent}],
            "memory": release(),
        },
        signals=[ERRORS],
        alarms={"revert": 'ALARM("errors")', "oneBox": 'ALARM("box")'},
    )

    shown = lines(await cluster.show())

    assert shown[:3] == [
        "Rollout shop/front-end: Bake, 4/4 boxes",
        "waits for the bake: 4m of 10m proven good",
        "right now no alarm would take a1c0ffee0123 back",
    ]
    text = "\n".join(shown)
    for expected in (
        "All boxes: OK Certain since 2026-11-22 09:00:00 UTC, as the operator told",
        "The one box: INSUFFICIENT_DATA Uncertain since 2026-11-22 09:00:00 UTC, as the operator told",
        "errors (expression): OK Certain since 2026-11-22 09:00:00 UTC",
        "notices what is bad within 45s",
        "high (metric): OK Certain since",
        "why: high: 0.1 (alarms when > 0.5; 0 of 3 points breach, 2 of 3 needed)",
        "query: sum(x)",
        "every 30s: ALARM when 2 of 3 points are > 0.5; treatMissingData: missing",
        "gone: unknown, there is no such Alarm",
        "guard platform/team-high (alertingRule): OK Certain",
        "the alerting rule HighErrors",
        "signal errors of all boxes: OK Certain since 2026-11-22 09:00:00 UTC",
        "why: signal errors of all boxes: 0.002 (alarms when > 0.01;",
        "with fewer than 10 samples in 3m it is unknown: increase(http_requests_total{",
        "notices what is bad within 37s500ms, and the wait for a scrape",
        "signal errors of the one box: INSUFFICIENT_DATA Certain since",
        "box is a template, which has a state only for a Rollout; add --prometheus URL to ask now",
    ):
        assert expected in text
    assert "other-tier" not in text
    assert 'pod=~"front-end-' in text


@pytest.mark.parametrize(
    ("status", "told"),
    [
        pytest.param(
            {"phase": "Bake", "memory": release()},
            "right now signal errors of all boxes would take a1c0ffee0123 back",
            id="on its way",
        ),
        pytest.param(
            {"phase": "Bake", "memory": release("Install", wait={"key": "alarm", "since": SINCE})},
            "in ALARM since before a1c0ffee0123 went ahead, which only holds it: signal errors of all boxes",
            id="it was there before",
        ),
        pytest.param(
            {"phase": "Blocked"},
            "no release is on its way; a change would wait for the end of signal errors of all boxes",
            id="nothing is on its way",
        ),
    ],
)
async def test_what_an_alarm_would_do_now_is_said_first(cluster: Cluster, status: dict[str, Any], told: str) -> None:
    """In a word for where the Rollout stands."""
    bad = view("ALARM", "signal errors of all boxes: 0.2", contributors=["signal errors of all boxes {}"])
    fine = view("OK", "fine")
    signals = [{"name": "errors", "service": bad, "oneBox": fine}]
    cluster.rollout(
        status | {"alarms": {"revert": bad, "oneBox": fine}, "signals": signals}, signals=[ERRORS], alarms=None
    )

    shown = lines(await cluster.show())

    assert told in shown
    assert "in ALARM: signal errors of all boxes {}" in shown


@pytest.mark.parametrize(
    ("query", "zones"),
    [
        pytest.param('x{pod=~"$(pods)"}', None, id="its pods"),
        pytest.param('x{zone="$(zone)"}', ["a", "b"], id="each of its zones"),
    ],
)
async def test_a_template_in_alarm_is_told_by_what_the_operator_says(
    cluster: Cluster, query: str, zones: list[str] | None
) -> None:
    """The Alarm object itself has no state."""
    cluster.alarm("errors", metric(query), "INSUFFICIENT_DATA")
    cluster.rollout({"memory": release(), "alarms": {"revert": view("ALARM", "errors: 0.7")}}, zones=zones)

    shown = lines(await cluster.show())

    assert "right now spec.alarms.revert would take a1c0ffee0123 back" in shown
    assert "why: errors: 0.7" in shown


async def test_where_the_status_does_not_tell_it_says_how_to_ask(cluster: Cluster) -> None:
    """While nothing is on its way the status holds no states of signals."""
    cluster.rollout(signals=[ERRORS], alarms=None)

    shown = lines(await cluster.show())

    assert "no release is on its way, and no alarm is known that would hold one" in shown
    assert "why: nothing is told while no release is on its way; add --prometheus URL to ask now" in shown


async def test_with_a_prometheus_it_is_asked_now(cluster: Cluster) -> None:
    """One that is not there makes all unknown, and says why."""
    old = identity("revert", "errors", "{}")
    cluster.alarm("errors", metric())
    made = release()
    made["release"]["baseline"] = [old]
    cluster.rollout({"memory": made}, signals=[ERRORS])

    shown = lines(await cluster.show("rollout/front-end", "-n", "shop", "--prometheus", "http://127.0.0.1:9"))

    assert any(
        line.startswith("not known for sure, which holds a release: spec.alarms.revert; signal") for line in shown
    )
    assert any("could not be evaluated" in line for line in shown)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"alarms": {"revert": "ALARM(a XOR"}}, "why: it cannot be understood", id="no expression"),
        pytest.param(
            {"signals": [ERRORS | {"ratio": {"bad": "rate(x[1m])", "total": "x"}}]},
            "note: its spec is invalid: spec.signals[0].ratio.bad: ",
            id="no selector",
        ),
        pytest.param(
            {"alarms": None, "unwatched": "a batch job"},
            "nothing watches it, so no alarm can take it back",
            id="nothing",
        ),
    ],
)
async def test_what_is_wrong_with_the_spec_is_told(cluster: Cluster, changes: dict[str, Any], told: str) -> None:
    """In its place; the rest is shown."""
    cluster.rollout(**changes)

    shown = lines(await cluster.show())

    assert any(line.startswith(told) for line in shown), shown


async def test_a_way_back_is_told(cluster: Cluster) -> None:
    """No alarm decides any more."""
    back = {"source": "a1c0ffee0123", "target": "a1decade4567", "beganAt": SINCE, "replicas": 4}
    memory = {"reverting": back | {"highWater": 0, "progressAt": SINCE}}
    cluster.rollout({"phase": "Reverting", "memory": memory})

    assert "it is on its way back already, whatever the alarms say" in lines(await cluster.show())


async def test_an_operator_that_has_not_looked_is_noted(cluster: Cluster) -> None:
    """A status of an older spec says nothing of this one."""
    cluster.rollout({"observedGeneration": 0})

    assert any("is it running?" in line for line in lines(await cluster.show()))


async def test_a_cycle_ends(cluster: Cluster) -> None:
    """Each of the two is shown once."""
    cluster.alarm("errors", {"expression": "ALARM(b)"})
    cluster.alarm("b", {"expression": "ALARM(errors)"})
    cluster.rollout()

    assert "errors: unknown, it is part of a cycle" in lines(await cluster.show())


async def test_alarms_of_other_namespaces_are_read_as_far_as_they_are_named(cluster: Cluster) -> None:
    """However deep; one that does not exist is unknown."""
    cluster.alarm("errors", {"expression": "ALARM(infra/disk)"})
    cluster.alarm("disk", {"expression": "ALARM(far/away)"}, namespace="infra")
    cluster.rollout()

    shown = lines(await cluster.show())

    assert "infra/disk (expression): OK Certain since 2026-11-22 09:00:00 UTC" in shown
    assert "far/away: unknown, there is no such Alarm" in shown


async def test_an_alarm_is_shown_with_those_whom_it_concerns(cluster: Cluster) -> None:
    """What it guards, and what names it, in its namespace and its team's."""
    cluster.alarm("high", metric() | {"guards": {}}, "ALARM", contributors=['{pod="a"}'], message="high: 0.9")
    cluster.alarm("errors", {"expression": "ALARM(high)"})
    cluster.rollout()

    shown = lines(await cluster.show("alarm/high"))

    assert shown[0] == "Alarm shop/high (metric): ALARM Certain since 2026-11-22 09:00:00 UTC"
    assert "why: high: 0.9" in shown
    assert 'in ALARM: {pod="a"}' in shown
    assert "guards, in its namespace and its team's: every Rollout" in shown
    assert "rollout/front-end in shop (spec.alarms.revert, guard high), Stable" in shown


# --- what stands in the way ------------------------------------------------------------------------------

FORBIDDEN = answer(403, "Forbidden", 'rollouts.ombak.dev "front-end" is forbidden: User "me" cannot get')


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        pytest.param(FORBIDDEN, "ask for the rights get and list on rollouts and alarms", id="no rights"),
        pytest.param(text(404, "404 page not found"), "this cluster does not know rollouts", id="not installed"),
        pytest.param(cut, "is that the right cluster? see --kubeconfig and --context", id="no answer"),
        pytest.param(answer(503, "ServiceUnavailable"), "gives no usable answer", id="it is ill"),
    ],
)
async def test_what_stands_in_the_way_is_one_sentence_with_the_fix(cluster: Cluster, fault: Fault, says: str) -> None:
    """An exit code, and no traceback."""
    cluster.rollout()
    cluster.server.fail("GET", fault, times=5)

    found = await cluster.show()

    assert found.exit_code == 1
    assert says in found.stderr
    assert len(found.stderr.splitlines()) == 1
    assert found.stdout == ""


async def test_a_rollout_that_is_not_there_names_those_that_are(cluster: Cluster) -> None:
    """Perhaps it was misspelled, or is in another namespace."""
    cluster.rollout()

    found = await cluster.show("rollout/frontend")
    elsewhere = await cluster.show("rollout/front-end", "-n", "nowhere")

    assert (found.exit_code, found.stderr) == (
        1,
        "Error: no Rollout frontend is in namespace shop; there are front-end\n",
    )
    assert (
        elsewhere.stderr
        == "Error: no Rollout front-end is in namespace nowhere; there is none; name another one with -n\n"
    )


async def test_bad_credentials_are_told(cluster: Cluster) -> None:
    """The server says 401."""
    cluster.server.token = "another"

    found = await cluster.show()

    assert found.exit_code == 1
    assert "does not accept these credentials" in found.stderr


async def test_rights_that_lack_for_a_part_are_a_note(cluster: Cluster) -> None:
    """The Rollout is shown all the same."""
    cluster.rollout(signals=[ERRORS])
    cluster.server.fail("list", answer(403, "Forbidden", "namespaces is forbidden"))
    cluster.server.fail("list", answer(403, "Forbidden", "alarms is forbidden"))

    shown = lines(await cluster.show())

    assert (
        "note: could not read teams (list on namespaces), so guards of other namespaces are not shown: "
        in "\n".join(shown)
    )
    assert "note: could not read Alarms of namespace shop: alarms is forbidden" in shown


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["front-end"], "is neither rollout/NAME nor alarm/NAME", id="no kind"),
        pytest.param(["pod/x"], "is neither rollout/NAME nor alarm/NAME", id="another kind"),
        pytest.param(["rollout/"], "is neither rollout/NAME nor alarm/NAME", id="no name"),
        pytest.param(["rollout/x", "--kubeconfig", "/nonexistent"], "does not exist", id="no such file"),
    ],
)
def test_what_cannot_be_understood_exits_with_2(arguments: list[str], says: str) -> None:
    """Before anything is asked."""
    found = CliRunner().invoke(main, ["alarm", "show", *arguments])

    assert found.exit_code == 2
    assert says in found.stderr


def test_a_kubeconfig_that_is_none_is_told(tmp_path: Path) -> None:
    """With the option that names another one."""
    file = tmp_path / "config"
    file.write_text("nonsense: [")

    found = CliRunner().invoke(main, ["alarm", "show", "rollout/x", "--kubeconfig", str(file)])

    assert found.exit_code == 1
    assert "name a usable file with --kubeconfig" in found.stderr


async def test_the_namespace_is_that_of_the_context(cluster: Cluster) -> None:
    """As kubectl takes it."""
    file = cluster.kubeconfig
    file.write_text(file.read_text().replace('"cluster": "it", "user"', '"cluster": "it", "namespace": "shop", "user"'))
    cluster.rollout()
    command = ["alarm", "show", "rollout/front-end", "--kubeconfig", str(file)]

    found = await asyncio.to_thread(CliRunner().invoke, main, command)

    assert found.exit_code == 0, found.output
    assert found.stdout.startswith("Rollout shop/front-end")
