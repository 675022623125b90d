"""Crash anywhere (P4): see `crash.py` for what is done."""

from __future__ import annotations

from datetime import timedelta

import pytest
from crash import ONE_BOX_BAKE, RELEASE, WAY_BACK, CrashRuns, Story, WayBack
from lab import Lab
from stale import StaleRuns

from ombak.core.memory import load_memory

pytestmark = [pytest.mark.cluster, pytest.mark.proof, pytest.mark.timeout(1200)]

Runs = dict[str, CrashRuns]


@pytest.fixture(scope="module")
def runs(apart: Lab, stale_runs: StaleRuns, start_runs: object) -> Runs:
    """Both stories, side by side, while what mostly waits has begun."""
    return {"release": CrashRuns(apart, Story(), RELEASE), "way-back": CrashRuns(apart, WayBack(), WAY_BACK)}


@pytest.mark.parametrize("story", ["release", "way-back"])
def test_there_is_a_death_after_every_write(runs: Runs, story: str) -> None:
    """The variants cover all writes: each that lived on had fewer than its number, and as many died as there are.

    But for three: how many there are differs from run to run, for a status may come in one part or in two, and counts
    are told by the clock.
    """
    whole = runs[story].undisturbed
    variants = runs[story].all()
    killed = [n for n, variant in variants.items() if variant.was_killed]

    assert not whole.was_killed, f"more writes than variants: {whole.writes}"
    assert all(len(v.writes) < n for n, v in variants.items() if not v.was_killed)
    assert len(killed) >= len(whole.writes) - 3, f"after only {killed} of {whole.writes}"


@pytest.mark.parametrize("n", RELEASE)
def test_a_release_ends_the_same_after_a_crash(runs: Runs, n: int) -> None:
    """Killed after its n-th write, the operator goes on to the same stable version, the same objects and verdicts."""
    variant = runs["release"].variant(n)

    assert variant.end == runs["release"].undisturbed.end
    assert (variant.end["phase"], variant.end["boxes"]) == ("Stable", {variant.wanted: 4})


@pytest.mark.parametrize("n", WAY_BACK)
def test_a_way_back_ends_the_same_after_a_crash(runs: Runs, n: int) -> None:
    """Killed after its n-th write, and with the alarm silent again, it still ends where the last good version was."""
    variant = runs["way-back"].variant(n)

    assert variant.end == runs["way-back"].undisturbed.end
    assert (variant.end["phase"], variant.end["boxes"]) == ("Reverted", {variant.installed: 4})


def test_no_crash_invents_bake_time(runs: Runs) -> None:
    """Whoever died in the bake of the one box bakes on for all that was not written down or is proven afterwards."""
    seen = 0
    for n, variant in runs["release"].all().items():
        release = variant.died_with.release
        if release is None or release.step.number != 1 or variant.resumed_at is None:
            continue
        history = variant.shop.watcher.timeline.history(variant.shop.watcher.key)
        releases = [load_memory(state.status.get("memory")).release for state in history]
        second = next(r for r in releases if r is not None and r.artifact == variant.wanted and r.step.number == 2)
        left = ONE_BOX_BAKE - release.step.ledger.accrued
        since = release.step.ledger.proven_until or release.unknown_since or variant.resumed_at
        assert second.step.approved_at - since >= left, f"variant {n} lacks bake time"
        seen += left > timedelta(0)
    assert seen >= 2, "deaths before and in the bake; a third one where its first status comes in two parts"
