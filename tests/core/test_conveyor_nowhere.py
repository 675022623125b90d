"""Pipelines that would go nowhere, or without the zones that they ask for: they wait, and say what is missing."""

from support.conveyor import hours, push, region, running, spec, stage, version_of, world

V2 = version_of("v2")


def test_a_pipeline_without_any_region_is_never_delivered() -> None:
    """Neither before the first one is there, nor after the last one is gone; between them everything goes by itself."""
    w = world(spec("v1", [stage("rest", regions="Unplaced")]), [])
    before = w.run(w.now + hours(1))
    w.add(region("p-1"))
    between = w.run(w.now + hours(3))
    del w.regions["p-1"]
    after = w.run(w.now + hours(3))
    push(w, "v2")
    pushed = w.run(w.now + hours(3))

    assert [made.reason for made in (before, between, after, pushed)] == ["Invalid", "Delivered", "NoRegion", "Invalid"]
    assert after.waits[0].command == "kubectl -n shop edit ompl front-end"


def test_what_is_on_its_way_ends_nowhere_when_the_last_region_goes() -> None:
    """It waits for one, and goes on there."""
    w = world(spec("v1", [stage("rest", regions="Unplaced")]), [region("p-1")])
    w.run(w.now + hours(3))
    push(w, "v2")
    w.step()
    del w.regions["p-1"]
    last = w.run(w.now + hours(3))
    w.add(region("p-2"))
    w.run(w.now + hours(3))

    assert (last.reason, running(w)) == ("NoRegion", {"p-2": V2})


def test_a_change_never_starts_without_the_zones_that_were_asked_for() -> None:
    """All zones of a region at once is what nobody asked for: it waits until the Region and the stage agree."""
    w = world(spec("v1", [stage("alpha", "a-1", zones=["a"])]), [region("a-1", zones=("a", "b"))])
    w.run(w.now + hours(3))
    push(w, "v2")
    w.add(region("a-1", zones=("b", "c")))
    held = w.run(w.now + hours(3))
    w.add(region("a-1", zones=("a", "b")))
    w.run(w.now + hours(3))

    assert "none of the zones of Region a-1 (b, c)" in held.message
    assert w.regions["a-1"].rollouts["shop"].manifest["spec"]["zones"] == ["a"]
    assert set(running(w).values()) == {V2}
