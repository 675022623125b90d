"""Every line of the process is one JSON object, or one line for people; kopf's lines too."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import kopf
import pytest
import structlog

from ombak.runtime.logs import QUIET, configure_logging


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging is global: put it back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in QUIET}
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, quiet in levels.items():
        logging.getLogger(name).setLevel(quiet)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_own_lines_are_json_with_level_time_and_context() -> None:
    """Event, values, bound context."""
    stream = io.StringIO()
    configure_logging(stream=stream)
    with structlog.contextvars.bound_contextvars(rollout="front-end"):
        structlog.get_logger().bind(zone="a").info("batch done", boxes=3)

    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "batch done", "level": "info", "rollout": "front-end", "zone": "a", "boxes": 3}


def test_lines_of_libraries_join_the_stream() -> None:
    """Standard logging comes out in the same form, with its logger's name."""
    stream = io.StringIO()
    configure_logging(stream=stream)
    with structlog.contextvars.bound_contextvars(rollout="front-end"):
        logging.getLogger("aiohttp.client").warning("slow: %s", 7, extra={"host": "h"})

    (line,) = lines(stream)
    assert line | {"timestamp": ""} == {
        "event": "slow: 7",
        "level": "warning",
        "logger": "aiohttp.client",
        "host": "h",
        "rollout": "front-end",
        "timestamp": "",
    }


def test_kopfs_settings_never_get_into_a_line() -> None:
    """kopf attaches its settings and a reference: only the object's identity stays."""
    stream = io.StringIO()
    configure_logging(stream=stream)
    reference = {"apiVersion": "v1", "kind": "Rollout", "namespace": "shop", "name": "a", "uid": "u"}
    extra = {"settings": kopf.OperatorSettings(), "k8s_skip": False, "k8s_ref": reference}
    logging.getLogger("kopf.objects").warning("odd", extra=extra)

    (line,) = lines(stream)
    assert set(line) == {"event", "level", "logger", "timestamp", "kind", "namespace", "name", "uid"}
    assert (line["kind"], line["name"]) == ("Rollout", "a")


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        pytest.param("DEBUG", ["own debug", "own info", "lib info", "kopf warning"], id="debug"),
        pytest.param("INFO", ["own info", "lib info", "kopf warning"], id="info"),
        pytest.param("warning", ["kopf warning"], id="warning"),
        pytest.param("ERROR", [], id="error"),
    ],
)
def test_levels_hold_for_both_paths(level: str, expected: list[str]) -> None:
    """One threshold for all; kopf's line per event never shows."""
    stream = io.StringIO()
    configure_logging(level, stream=stream)
    structlog.get_logger().debug("own debug")
    structlog.get_logger().info("own info")
    logging.getLogger("lib").info("lib info")
    logging.getLogger("kopf.objects").info("Handler 'x' succeeded")
    logging.getLogger("kopf.objects").warning("kopf warning")

    assert [line["event"] for line in lines(stream)] == expected


def test_an_exception_is_one_line_of_json() -> None:
    """Tracebacks do not break the stream, on either path."""
    stream = io.StringIO()
    configure_logging(stream=stream)
    try:
        raise KeyError("missing")
    except KeyError:
        structlog.get_logger().exception("own")
        logging.getLogger("lib").exception("theirs")

    assert [line["event"] for line in lines(stream)] == ["own", "theirs"]
    assert all("KeyError: 'missing'" in line["exception"] for line in lines(stream))


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()], ids=["terminal", "pipe"])
@pytest.mark.parametrize("as_json", [True, False], ids=["json", "text"])
def test_a_traceback_shows_no_local_variables(stream: io.StringIO, as_json: bool) -> None:
    """What a function holds in its variables, such as a token, never gets into a line, on either path."""
    configure_logging(json=as_json, stream=stream)
    token = "secret".upper()  # which does not stand in the source, that a traceback quotes
    try:
        raise KeyError(f"missing in {len(token)} characters")
    except KeyError:
        structlog.get_logger().exception("own")
        logging.getLogger("lib").exception("theirs")

    assert stream.getvalue().count("missing in 6 characters") >= 2
    assert token not in stream.getvalue()


@pytest.mark.parametrize(
    ("stream", "chosen", "is_json"),
    [
        pytest.param(io.StringIO(), None, True, id="pipe"),
        pytest.param(Terminal(), None, False, id="terminal"),
        pytest.param(Terminal(), True, True, id="terminal, asked for json"),
        pytest.param(io.StringIO(), False, False, id="pipe, asked for text"),
    ],
)
def test_people_get_text_and_machines_json(stream: io.StringIO, chosen: bool | None, is_json: bool) -> None:
    """The choice follows the stream unless it is given."""
    configure_logging(json=chosen, stream=stream)
    structlog.get_logger().info("hello")
    logging.getLogger("lib").info("hello")

    assert [is_json] * 2 == [line.startswith("{") for line in stream.getvalue().splitlines()]


def test_an_unknown_level_is_refused() -> None:
    """A typing mistake must not silence the log."""
    with pytest.raises(KeyError):
        configure_logging("LOUD")
