"""One line of the log for each pass that changed something or failed to: what was done, and what was not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from ombak.runtime.kube_port import ApiError, Unreachable
from support.rig import Rig, template

FORBIDDEN = ApiError.of(403, "Forbidden", "exceeded quota: pods")


@contextlib.contextmanager
def reconciled() -> Iterator[list[dict[str, Any]]]:
    """The canonical lines of what is done inside of it, once that is over."""
    found: list[dict[str, Any]] = []
    with capture_logs() as lines:
        yield found
    found += [line for line in lines if line["event"] == "reconciled"]


async def test_a_pass_that_changes_something_says_what(rig: Rig) -> None:
    """Facts, then the status, then boxes; nothing is left."""
    rig.change(template=template("2.0.0"))
    with reconciled() as lines:
        await rig.reconcile()

    (line,) = lines
    assert (line["actions"], line["not_done"]) == (["CreateArtifact", "WriteOneBox"], [])
    assert line["wrote_status"]


async def test_a_pass_that_changes_nothing_is_silent(rig: Rig) -> None:
    """At rest there is nothing to read."""
    with reconciled() as lines:
        await rig.reconcile()

    assert lines == []


@pytest.mark.parametrize("error", [FORBIDDEN, Unreachable("cut")], ids=["refused", "cut"])
async def test_what_failed_is_not_told_as_done(rig: Rig, error: ApiError) -> None:
    """The record was made, the box was not."""
    rig.change(template=template("2.0.0"))
    rig.kube.fail("replace Deployment", error)
    with reconciled() as lines, contextlib.suppress(Unreachable):
        await rig.reconcile()

    (line,) = lines
    assert (line["actions"], line["not_done"]) == (["CreateArtifact"], ["WriteOneBox"])
    assert line["wrote_status"]


async def test_a_fact_that_is_refused_is_told_too(rig: Rig) -> None:
    """Nothing was done, and what would have come after it is named."""
    rig.change(template=template("2.0.0"))
    rig.kube.fail("create Artifact", FORBIDDEN)
    with reconciled() as lines:
        await rig.reconcile()

    (line,) = lines
    assert (line["actions"], line["not_done"]) == ([], ["CreateArtifact", "WriteOneBox"])
