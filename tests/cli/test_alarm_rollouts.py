"""`ombak alarm eval` and `backtest` of what Rollouts watch, and of files in which something is wrong."""

from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from ombak.cli import alarm
from ombak.cli.main import main
from ombak.core import naming
from ombak.runtime.metrics_port import QueryError, QueryErrorKind, QueryResult, Series
from support.fake_metrics import FakeSource


class Fleet(FakeSource):
    """The one box of `front` is bad, its other boxes are well; a query with `gone` in it is refused."""

    async def query_range(self, query: str, start: datetime, end: datetime, step: timedelta) -> QueryResult:
        self.asked.append(query)
        if "gone" in query:
            raise QueryError(QueryErrorKind.BAD_QUERY, "no such thing")
        if "timestamp(up)" in query:
            return QueryResult(())
        value = 1000.0 if "increase" in query else 0.5 if naming.one_box_pods("front") in query else 0.001
        count = round((end - start) / step) + 1
        return QueryResult((Series({}, tuple(((start + i * step).timestamp(), value) for i in range(count))),))


def _alarm(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "ombak.dev/v1alpha1",
        "kind": "Alarm",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": spec,
    }


def _metric(query: str) -> dict[str, Any]:
    return {"query": query, "comparison": "GreaterThanThreshold", "threshold": 0.1, "period": "1m"}


def _rollout(**changes: Any) -> dict[str, Any]:
    labels = {"app": "front"}
    pods = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "front:1"}]}}
    spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": pods, **changes}
    meta = {"name": "front", "namespace": "shop"}
    return {"apiVersion": "ombak.dev/v1alpha1", "kind": "Rollout", "metadata": meta, "spec": spec}


ERRORS = {"name": "errors", "ratio": {"bad": 'r{code="500"}', "total": "r"}, "above": "1%"}
SIGNALS = _rollout(signals=[ERRORS])
TEMPLATE = _alarm("bad", metric=_metric('ratio{pod=~"$(pods)"}'))
BOTH = _rollout(alarms={"revert": 'ALARM("bad")', "oneBox": 'ALARM("bad")'})
BY_ZONE = _alarm("bad", metric=_metric('ratio{pod=~"$(pods)", zone="$(zone)"}'))
IN_ZONES = _rollout(zones=["a", "b"], alarms=BOTH["spec"]["alarms"])
FINE = _alarm("fine", metric=_metric("x"))
TITLE = "shop/front (Rollout)"


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """Instead of the Prometheus that is named."""
    found = Fleet()
    opened = SimpleNamespace(by_name={"": found}, close=lambda: None)
    monkeypatch.setattr(alarm, "open_sources", lambda *_: opened)
    return found


def run(tmp_path: Path, command: str, *documents: dict[str, Any]) -> Result:
    file = tmp_path / "file.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    more = ["--from", "1h"] if command == "backtest" else []
    return CliRunner().invoke(main, ["alarm", command, str(file), *more])


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize(
    ("documents", "service", "box"),
    [
        pytest.param([SIGNALS], "signal errors of all boxes", "signal errors of the one box", id="signals"),
        pytest.param([TEMPLATE, BOTH], "spec.alarms.revert", "spec.alarms.oneBox", id="expressions"),
        pytest.param([BY_ZONE, IN_ZONES], "spec.alarms.revert", "spec.alarms.oneBox", id="zones"),
    ],
)
def test_what_a_rollout_watches_is_evaluated_in_its_own_context(
    tmp_path: Path, documents: list[dict[str, Any]], service: str, box: str
) -> None:
    """Of all its boxes and of the one box, without an Alarm object or a value for `$(pods)`."""
    found = run(tmp_path, "eval", *documents)
    assert found.exit_code == 0, found.output
    assert f"{TITLE} {service}: OK Certain" in found.stdout
    assert f"{TITLE} {box}: ALARM Certain" in found.stdout
    assert "(alarms when > 0." in found.stdout


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize(
    ("documents", "service", "box", "code"),
    [
        pytest.param([SIGNALS], "signal errors of all boxes", "signal errors of the one box", 0, id="signals"),
        pytest.param([TEMPLATE, BOTH], "spec.alarms.revert", "spec.alarms.oneBox", 0, id="expressions"),
        pytest.param([BY_ZONE, IN_ZONES], "spec.alarms.revert", "spec.alarms.oneBox", 0, id="zones"),
    ],
)
def test_what_a_rollout_watches_is_tried_on_the_past(
    tmp_path: Path, documents: list[dict[str, Any]], service: str, box: str, code: int
) -> None:
    """A template that only Rollouts give a meaning is no failure beside them."""
    found = run(tmp_path, "backtest", *documents)
    assert found.exit_code == code, found.output
    assert f"{TITLE} {service}: fired 0 times, 0s in ALARM" in found.stdout
    assert f"{TITLE} {box}: fired 1 times, 1h" in found.stdout


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize(
    ("broken", "says"),
    [
        pytest.param(_alarm("bad", metric=_metric("gone")), "shop/bad: error: bad query: no such thing", id="refused"),
        pytest.param(_alarm("bad", metric=_metric("sum(")), "shop/bad: error: line 1", id="no PromQL"),
        pytest.param(_alarm("bad", metric=_metric("x") | {"period": "soon"}), "shop/bad: error: ", id="no spec"),
        pytest.param(TEMPLATE, "shop/bad: error: $(pods) has no value here", id="no value"),
        pytest.param(
            _alarm("bad", metric=_metric("x"), source={"name": "far"}), "no Prometheus is configured as 'far'", id="far"
        ),
        pytest.param(_rollout(alarms={}), f"{TITLE}: error: ", id="no Rollout"),
        pytest.param(
            _rollout(signals=[{"name": "e", "query": "gone", "above": 1}]),
            f"{TITLE} signal e of all boxes: error: bad query",
            id="a signal",
        ),
        pytest.param(_rollout(alarms={"revert": "ALARM("}), f"{TITLE} spec.alarms.revert: error: ", id="no expression"),
    ],
)
def test_one_that_is_broken_does_not_end_a_backtest(tmp_path: Path, broken: dict[str, Any], says: str) -> None:
    """It is told, the others go on, also what rests on it, and the exit code says that something is wrong."""
    found = run(tmp_path, "backtest", broken, FINE, _alarm("any", expression="ALARM(bad) OR ALARM(fine)"))
    assert found.exit_code == 1
    assert says in found.stderr
    assert "shop/fine: fired 0 times" in found.stdout
    assert "shop/any: fired 0 times, 0s in ALARM, longest 0s, unknown for 1h" in found.stdout


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize(
    ("watched", "told"),
    [
        pytest.param(
            {"alarms": {"revert": "ALARM("}}, "spec.alarms.revert is unknown: line 1, column 7", id="expression"
        ),
        pytest.param(
            {"signals": [{"name": "e", "query": "x > 1", "above": 1}]},
            "signal e of all boxes is unknown: query: the comparison > drops every series that is well",
            id="a signal that the operator refuses",
        ),
    ],
)
def test_what_cannot_be_understood_is_told_by_its_own_name(tmp_path: Path, watched: dict[str, Any], told: str) -> None:
    """And is not asked, for the operator would not ask it either."""
    found = run(tmp_path, "eval", FINE, _rollout(**watched))
    assert f"  front (Rollout) {told}" in found.stdout


@pytest.mark.parametrize(
    ("error", "documents", "code"),
    [
        pytest.param(QueryErrorKind.UNREACHABLE, [FINE, SIGNALS], 1, id="Prometheus is down"),
        pytest.param(None, [FINE, _alarm("bad", metric=_metric("gone"))], 0, id="one of two"),
        pytest.param(None, [_alarm("bad", metric=_metric("gone"))], 1, id="the only one"),
        pytest.param(None, [FINE, _rollout(alarms={})], 1, id="a Rollout that is none"),
    ],
)
def test_eval_fails_if_nothing_could_be_asked(
    source: Fleet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: QueryErrorKind | None,
    documents: list[dict[str, Any]],
    code: int,
) -> None:
    """A check in CI that asks nobody must not pass."""

    async def fail(*_: Any) -> Any:
        raise QueryError(error or QueryErrorKind.FAILED, "gone")

    if error is not None:
        monkeypatch.setattr(source, "query_range", fail)
    assert run(tmp_path, "eval", *documents).exit_code == code
