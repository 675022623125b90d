"""`ombak alarm truth` and `lint`: what a person sees."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from ombak.alarms.metric import Rule
from ombak.alarms.resolve import AlarmKey
from ombak.alarms.verdict import unknown_verdict
from ombak.api.alarm import Comparison
from ombak.cli.alarm_backtest import Track, print_backtest
from ombak.cli.main import main

DAY = Path(__file__).with_name("alarm_day.yaml")


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["alarm", *arguments])


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        pytest.param(("ALARM(a)", "a=ALARM"), "ALARM Certain", id="alarm"),
        pytest.param(("ALARM(a)", "a=ok"), "OK Certain", id="any case"),
        pytest.param(("ALARM(a)",), "OK Uncertain", id="not named"),
        pytest.param(("ALARM(a)", "a=UNKNOWN"), "OK Uncertain", id="unknown"),
        pytest.param(("ALARM(a) OR ALARM(b)", "a=ALARM"), "ALARM Certain", id="however b turns out"),
        pytest.param(("NOT OK(a)", "a=INSUFFICIENT_DATA"), "ALARM Uncertain", id="no data"),
        pytest.param(("INSUFFICIENT_DATA(a)", "a=INSUFFICIENT_DATA"), "ALARM Certain", id="known to have no data"),
        pytest.param(('ALARM("ns/a b") OR ALARM(c=d)', "ns/a b=ALARM", "c=d=OK"), "ALARM Certain", id="odd names"),
        pytest.param(("AT_LEAST(50%, ALARM, (a, b))", "b=ALARM", "a=OK"), "ALARM Certain", id="at least"),
    ],
)
def test_the_first_line_is_the_truth(arguments: tuple[str, ...], first: str) -> None:
    """And the exit code says that there is one."""
    found = _run("truth", *arguments)
    assert (found.exit_code, found.stdout.splitlines()[0]) == (0, first)


def test_why_is_told_alarm_by_alarm() -> None:
    """Who made it so, and who is not known."""
    found = _run("truth", "ALARM(a) OR ALARM(b) OR ALARM(c)", "a=ALARM", "b=OK")
    assert found.stdout.splitlines()[1:] == [
        "  a is ALARM, and makes it ALARM",
        "  b is OK",
        "  c is unknown: was not given",
    ]


def test_what_makes_it_alarm_need_not_be_in_alarm() -> None:
    """`OK(a)` is met by an alarm in OK."""
    found = _run("truth", "OK(a) OR INSUFFICIENT_DATA(b)", "a=OK", "b=OK")
    assert found.stdout.splitlines() == ["ALARM Certain", "  a is OK, and makes it ALARM", "  b is OK"]


def test_the_caret_stands_under_wide_letters_too() -> None:
    """Which take two columns of a terminal; an accent of its own takes none."""
    found = _run("truth", 'ALARM("エラー") e\u0301 XOR')
    assert found.stderr.splitlines()[1:] == ['  ALARM("エラー") e\u0301 XOR', " " * 18 + "^"]


@pytest.mark.parametrize("moment", ["9999999d", "0001-01-01T00:00:00+14:00", "1969-01-01", "9999-12-31T23:59:59"])
@pytest.mark.parametrize("command", [("eval", "--at"), ("backtest", "--from")])
def test_a_moment_before_all_time_is_refused(command: tuple[str, str], moment: str) -> None:
    """In a sentence, not by a traceback."""
    found = _run(command[0], str(DAY), "--prometheus", "http://127.0.0.1:9", command[1], moment)
    assert found.exit_code == 2
    assert "no moment" in found.stderr or "no Prometheus was there" in found.stderr


@pytest.mark.parametrize(
    ("comparison", "shown"),
    [
        pytest.param("LessThanThreshold", ("▁", "down to 0"), id="low is bad"),
        pytest.param("GreaterThanThreshold", ("█", "up to 100"), id="high is bad"),
    ],
)
def test_a_backtest_shows_what_is_bad(comparison: str, shown: tuple[str, str]) -> None:
    """A dip in a line of full bars, where the alarm is about dips."""
    values = {"{}": [100.0] * 100 + [0.0] + [100.0] * 99}
    verdict = unknown_verdict("x", "is not asked")
    is_low = Rule(Comparison(comparison), 1, 1, 1).is_low_bad
    at, step = datetime(2026, 1, 1, tzinfo=UTC), timedelta(seconds=30)
    track = Track(AlarmKey("shop", "x"), at, step, [verdict] * 200, values, 1.0, is_low)
    with CliRunner().isolation() as (out, *_):
        print_backtest([track])
        line = out.getvalue().decode().splitlines()[1]
    assert line.endswith(shown[1])
    assert line.strip()[36] == shown[0]


def test_bad_syntax_exits_with_2_and_the_caret() -> None:
    """Under what was found, with what was expected."""
    found = _run("truth", "ALARM(a) XOR ALARM(b)", "a=OK")
    assert (found.exit_code, found.stdout) == (2, "")
    assert found.stderr.splitlines()[0] == "line 1, column 10: found 'XOR', expected one of: AND, OR, end of text"
    assert found.stderr.splitlines()[1:] == ["  ALARM(a) XOR ALARM(b)", "           ^"]


@pytest.mark.parametrize(
    ("states", "says"),
    [
        pytest.param(("a=BAD",), "'BAD' is no state", id="no state"),
        pytest.param(("a",), "is not NAME=STATE", id="no sign"),
        pytest.param(("a/b/c/d=OK",), "namespace/name", id="no name"),
        pytest.param(("a=OK", "a=ALARM"), "a is said to be in two states", id="two states"),
    ],
)
def test_a_state_that_cannot_be_read_exits_with_2(states: tuple[str, ...], says: str) -> None:
    """Nothing is guessed."""
    found = _run("truth", "ALARM(a)", *states)
    assert found.exit_code == 2
    assert says in found.stderr


def test_what_could_be_misunderstood_is_warned_of() -> None:
    """Mixed operators, and a name that the expression does not have; on stderr, for scripts read the rest."""
    found = _run("truth", "ALARM(a) AND ALARM(b) OR ALARM(c)", "d=OK")
    assert "AND and OR are mixed" in found.stderr
    assert "d is not in the expression" in found.stderr
    assert found.stdout.startswith("OK Uncertain")


def test_a_good_file_passes_lint() -> None:
    """Other kinds in it are nobody's business."""
    found = _run("lint", str(DAY), "--strict")
    assert (found.exit_code, found.stdout) == (0, "")


def _alarm(name: str, spec: str) -> str:
    return f"apiVersion: ombak.dev/v1alpha1\nkind: Alarm\nmetadata: {{name: {name}}}\nspec: {spec}\n---\n"


def _metric(query: str, more: str = "") -> str:
    return f"{{metric: {{query: '{query}', comparison: GreaterThanThreshold, threshold: 1{more}}}}}"


@pytest.mark.parametrize(
    ("spec", "code", "says"),
    [
        pytest.param(_metric("errors > 0.1"), 1, "the comparison > drops every series", id="comparison"),
        pytest.param(_metric("rate(errors)"), 1, "rate(errors)\n      ^", id="syntax with the caret"),
        pytest.param(_metric("up", ", perod: 30s"), 1, "did you mean period?", id="a misspelled field"),
        pytest.param("{expression: [}", 1, "is not YAML", id="no YAML"),
        pytest.param("{expression: 'ALARM(a OR'}", 1, "expected ')'", id="expression"),
        pytest.param("{expression: ALARM(x)}", 1, "part of a cycle", id="cycle"),
        pytest.param("{expression: ALARM(y)}", 0, "warning: names y, which is not in this file", id="not in the file"),
        pytest.param("{expression: TRUE AND FALSE OR TRUE}", 0, "warning: AND and OR are mixed", id="mixed"),
    ],
)
def test_lint_complains(tmp_path: Path, spec: str, code: int, says: str) -> None:
    """Errors fail; warnings fail only if asked to."""
    file = tmp_path / "alarms.yaml"
    file.write_text(_alarm("x", spec))
    found = _run("lint", str(file))
    assert found.exit_code == code
    assert says in found.output
    assert code == 1 or _run("lint", str(file), "--strict").exit_code == 1


def test_lint_blames_who_names_what_is_not_there(tmp_path: Path) -> None:
    """Not those who name that one in turn."""
    file = tmp_path / "alarms.yaml"
    file.write_text(_alarm("a", "{expression: ALARM(gone)}") + _alarm("b", "{expression: 'ALARM(a) OR ALARM(r/n/x)'}"))
    assert _run("lint", str(file)).stdout.splitlines() == [
        f"{file}: default/a: warning: names gone, which is not in this file",
        f"{file}: default/b: warning: names r/n/x, which is not in this file",
    ]


def _rollout(**changes: object) -> str:
    labels = {"app": "front"}
    spec = {
        "replicas": 3,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "front:1"}]}},
        **({"alarms": {"revert": "ALARM(x)"}} if "signals" not in changes else {}),
        **changes,
    }
    meta = {"name": "front", "namespace": "shop"}
    return yaml.safe_dump({"apiVersion": "ombak.dev/v1alpha1", "kind": "Rollout", "metadata": meta, "spec": spec})


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        pytest.param({}, 0, "warning: spec.alarms.revert: names x, which is not", id="not in the file"),
        pytest.param(
            {"alarms": {"revert": "TRUE AND FALSE OR ALARM(x)"}},
            0,
            "spec.alarms.revert: AND and OR are mixed",
            id="mixed",
        ),
        pytest.param(
            {"alarms": {"revert": "ALARM(x)", "oneBox": "ALARM(a"}},
            1,
            "spec.alarms.oneBox: line 1, column 8",
            id="syntax",
        ),
        pytest.param(
            {"signals": [{"name": "e", "query": "rate(x[5m]) > 1", "above": 1}]}, 1, "spec.signals[0].query", id="trap"
        ),
        pytest.param({"signals": [{"name": "e", "query": "up"}]}, 1, "error: spec.signals", id="a spec that is none"),
    ],
)
def test_lint_reads_what_a_rollout_watches(tmp_path: Path, changes: dict[str, object], code: int, says: str) -> None:
    """Its expressions and its signals, in which all of this is found at `apply` or in status only otherwise."""
    file = tmp_path / "rollout.yaml"
    file.write_text(_rollout(**changes))
    found = _run("lint", str(file))
    assert found.exit_code == code, found.output
    assert "rollout shop/front: " in found.stdout
    assert says in found.stdout


def test_lint_knows_the_alarms_beside_a_rollout(tmp_path: Path) -> None:
    """Of its own namespace, or as it names them."""
    file = tmp_path / "both.yaml"
    file.write_text(_alarm("x", "{expression: 'TRUE'}") + _rollout(alarms={"revert": "ALARM(default/x)"}))
    assert (_run("lint", str(file)).exit_code, _run("lint", str(file)).stdout) == (0, "")


def test_a_name_twice_is_an_error(tmp_path: Path) -> None:
    """Also inside a List."""
    file = tmp_path / "alarms.yaml"
    one = "{apiVersion: ombak.dev/v1alpha1, kind: Alarm, metadata: {name: x}, spec: {expression: 'TRUE'}}"
    file.write_text(f"kind: List\nitems: [{one}, {one}]\n")
    assert "default/x: error: is in the file twice" in _run("lint", str(file)).stdout


def test_a_prometheus_has_to_be_named() -> None:
    """There is no default that could be the wrong one."""
    found = _run("eval", str(DAY))
    assert found.exit_code == 2
    assert "give --prometheus URL or --prometheus-config FILE" in found.stderr


@pytest.mark.parametrize("spec", [_metric("errors{"), _metric("up", ", period: soon"), "{expression: 'ALARM(a'}"])
def test_what_cannot_be_understood_is_not_called_ok(tmp_path: Path, spec: str) -> None:
    """As AWS's rule would for an ALARM() of it: nothing is known, and that is what `eval` says."""
    file = tmp_path / "alarms.yaml"
    file.write_text(_alarm("x", spec))
    found = _run("eval", str(file), "--prometheus", "http://127.0.0.1:9")
    assert found.stdout.splitlines()[0] == "default/x: INSUFFICIENT_DATA Uncertain"


def test_an_unknown_variable_is_refused() -> None:
    """With those that there are."""
    found = _run("eval", str(DAY), "--prometheus", "http://127.0.0.1:9", "--var", "pod=x")
    assert "pod is no variable of a query; there are namespace, name, pods, region, zone, artifact" in found.stderr
