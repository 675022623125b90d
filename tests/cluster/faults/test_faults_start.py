"""An operator that lacks something it needs says so, waits, and does not beat upon the API server: see `start.py`."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.proof, pytest.mark.timeout(600)]

Runs = dict[str, Future[None]]


@pytest.mark.parametrize("prometheus", ["absent", "silent"])
def test_without_prometheus_nothing_is_promoted(start_runs: Runs, prometheus: str) -> None:
    """The first version is brought up all the same; its bake waits, and says for whom."""
    start_runs[prometheus].result()


def test_a_missing_right_to_create_boxes_is_told_in_the_status(start_runs: Runs) -> None:
    """The condition quotes the API server; nothing is hammered; with the right given it goes on by itself."""
    start_runs["boxes"].result()


def test_a_missing_right_to_write_the_status_is_told_in_the_log(start_runs: Runs) -> None:
    """Where nothing can be recorded, the log says what is refused, and no box is made without a record."""
    start_runs["status"].result()


def test_a_missing_right_to_read_is_told_at_the_start(start_runs: Runs) -> None:
    """It does not begin with half a view: it waits, writes nothing, and the log names what it may not list."""
    start_runs["reading"].result()
