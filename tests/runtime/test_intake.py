"""The stores of our own kinds are complete before the watch begins, and stay so when it is deaf."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from ombak.runtime.intake import DeafError, Intake, Rounds
from ombak.runtime.kube_port import ApiError, Kind, Object, Unreachable
from ombak.runtime.store import Key, Store
from ombak.simulation.agenda import run_virtual

ROLLOUTS = Kind("ombak.dev", "v1alpha1", "rollouts", "Rollout")
ALARMS = Kind("ombak.dev", "v1alpha1", "alarms", "Alarm")
ROUNDS = Rounds(every=timedelta(minutes=10), grace=timedelta(seconds=60))


class Lists:
    """A client that can only list; the cluster is what the test puts in."""

    def __init__(self) -> None:
        self.version = 100
        self.objects: dict[tuple[Kind, str, str], Object] = {}
        self.failures: list[ApiError] = []
        self.cached: list[Object] = []  # answers of an old cache, to be given first
        self.asked: list[tuple[str, str | None, str]] = []

    def put(self, kind: Kind, name: str, namespace: str = "shop") -> Object:
        self.version += 1
        meta = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": str(self.version)}
        self.objects[kind, namespace, name] = {"metadata": meta}
        return {"metadata": meta}

    async def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        label_selector: str = "",
        *,
        resource_version: str = "0",
        **_: int,
    ) -> Object:
        self.asked.append((kind.plural, namespace, resource_version))
        if self.failures:
            raise self.failures.pop(0)
        if self.cached and resource_version == "0":
            return self.cached.pop(0)
        found = [obj for (of, space, _), obj in self.objects.items() if of == kind and namespace in (None, space)]
        return {"metadata": {"resourceVersion": str(self.version)}, "items": found}


class World:
    """An intake with its stores over a client that only lists."""

    def __init__(self, namespaces: tuple[str, ...] = ()) -> None:
        self.lists = Lists()
        self.told: list[Key] = []
        self.rollouts: Store[Any] = Store(lambda obj: obj, on_event=self.told.append)
        self.alarms: Store[Any] = Store(lambda obj: obj, on_event=self.told.append)
        stores: dict[Kind, Store[Any]] = {ROLLOUTS: self.rollouts, ALARMS: self.alarms}
        client: Any = self.lists
        self.intake = Intake(client, stores, namespaces, random.Random(1), ROUNDS)


def in_virtual_time(scenario: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def test() -> None:
        run_virtual(scenario())

    test.__name__, test.__doc__ = scenario.__name__, scenario.__doc__
    return test


@in_virtual_time
async def test_everything_is_listed_before_the_watch() -> None:
    """After `sync`, every kind is there."""
    world = World()
    world.lists.put(ROLLOUTS, "a")
    world.lists.put(ALARMS, "b")
    await world.intake.sync()

    assert (list(world.rollouts), list(world.alarms)) == ([("shop", "a")], [("shop", "b")])
    assert world.intake.synced.is_set()
    assert world.told == [("shop", "a"), ("shop", "b")]
    assert world.intake.missed == 0


@in_virtual_time
async def test_missing_crds_and_outages_are_waited_out() -> None:
    """A list that fails is tried again for as long as it takes."""
    world = World()
    world.lists.put(ROLLOUTS, "a")
    world.lists.failures = [ApiError(404, "NotFound")] * 30 + [Unreachable("refused")] * 3
    await world.intake.sync()

    assert len(world.rollouts) == 1
    assert asyncio.get_running_loop().time() > 200, "the pauses grow"


@in_virtual_time
async def test_only_the_chosen_namespaces_are_listed() -> None:
    """In namespaced mode there is one list per namespace, and no right for more is needed."""
    world = World(namespaces=("shop", "lab"))
    for namespace in ("shop", "lab", "other"):
        world.lists.put(ROLLOUTS, f"in-{namespace}", namespace)
    await world.intake.sync()

    assert sorted(world.rollouts) == [("lab", "in-lab"), ("shop", "in-shop")]
    assert [asked[1] for asked in world.lists.asked] == ["shop", "lab"] * 2


@in_virtual_time
async def test_events_reach_the_store_of_their_kind() -> None:
    """Initial, added, modified and deleted objects."""
    world = World()
    await world.intake.sync()
    first = world.lists.put(ROLLOUTS, "a")
    world.intake.deliver(ROLLOUTS, None, first)
    world.intake.deliver(ROLLOUTS, "ADDED", first)
    world.intake.deliver(ROLLOUTS, "MODIFIED", world.lists.put(ROLLOUTS, "a"))
    assert world.told == [("shop", "a"), ("shop", "a")]

    world.intake.deliver(ROLLOUTS, "DELETED", world.lists.put(ROLLOUTS, "a"))
    assert (len(world.rollouts), len(world.told)) == (0, 3)
    assert world.intake.silent_for == {"Rollout": timedelta(0), "Alarm": None}


@in_virtual_time
async def test_a_lost_deletion_is_found_by_the_next_list() -> None:
    """The watch works but missed one deletion: the list repairs it and the run goes on."""
    world = World()
    world.lists.put(ROLLOUTS, "lost")
    await world.intake.sync()
    run = asyncio.create_task(world.intake.run())
    world.lists.objects.clear()
    await asyncio.sleep(60)
    world.intake.deliver(ROLLOUTS, "ADDED", world.lists.put(ROLLOUTS, "heard"))
    await asyncio.sleep(60 * 15)

    assert list(world.rollouts) == [("shop", "heard")]
    assert (run.done(), world.intake.missed) == (False, 1)
    run.cancel()


@in_virtual_time
async def test_a_deaf_watch_ends_the_run() -> None:
    """Objects change and the watch never says a word."""
    world = World()
    await world.intake.sync()
    run = asyncio.create_task(world.intake.run())
    await asyncio.sleep(60)
    world.lists.put(ALARMS, "unheard")

    with pytest.raises(DeafError, match="Alarm"):
        await run
    assert len(world.alarms) == 1


@in_virtual_time
async def test_a_late_event_is_not_deafness() -> None:
    """A list may be faster than the event of the same change."""
    world = World()
    await world.intake.sync()
    run = asyncio.create_task(world.intake.run())
    await asyncio.sleep(60)
    late = world.lists.put(ROLLOUTS, "late")
    while world.intake.missed == 0:  # noqa: ASYNC110 - virtual time
        await asyncio.sleep(1)
    await asyncio.sleep(5)
    world.intake.deliver(ROLLOUTS, "ADDED", late)
    await asyncio.sleep(60 * 30)

    assert not run.done()
    run.cancel()


@in_virtual_time
async def test_quiet_is_not_deaf() -> None:
    """Nothing changes for a day and nothing is said for a day."""
    world = World()
    world.lists.put(ROLLOUTS, "a")
    await world.intake.sync()
    run = asyncio.create_task(world.intake.run())
    await asyncio.sleep(24 * 3600)

    assert not run.done()
    assert 2 * 24 * 5 - 1 <= len(world.lists.asked) <= 2 * 24 * 6 + 2
    run.cancel()


@in_virtual_time
async def test_an_old_cache_is_asked_again_and_not_believed() -> None:
    """A list older than the last one is read once more, of the newest state."""
    world = World()
    old = {"metadata": {"resourceVersion": "50"}, "items": []}
    world.lists.put(ROLLOUTS, "a")
    await world.intake.sync()
    run = asyncio.create_task(world.intake.run())
    world.lists.cached = [old, old]
    await asyncio.sleep(60 * 13)

    assert list(world.rollouts) == [("shop", "a")]
    assert world.lists.asked[-4:] == [
        ("rollouts", None, "0"),
        ("rollouts", None, ""),
        ("alarms", None, "0"),
        ("alarms", None, ""),
    ]
    run.cancel()


@in_virtual_time
async def test_a_restored_backup_is_believed() -> None:
    """When even the newest state is older than what was seen, history was rewound."""
    world = World()
    world.lists.put(ROLLOUTS, "a")
    await world.intake.sync()
    run = asyncio.create_task(world.intake.run())
    world.lists.version, world.lists.objects = 10, {}
    world.lists.put(ROLLOUTS, "a")
    await asyncio.sleep(60 * 12.5)

    stored = world.rollouts.get(("shop", "a"))
    assert stored is not None
    assert stored.resource_version == 11
    run.cancel()


@pytest.mark.parametrize(
    "junk",
    [
        pytest.param({}, id="empty"),
        pytest.param({"metadata": {"resourceVersion": "1"}}, id="no items"),
        pytest.param({"metadata": {"resourceVersion": "x"}, "items": []}, id="odd version"),
        pytest.param({"metadata": {"resourceVersion": "1"}, "items": [{}]}, id="no objects"),
    ],
)
def test_what_is_no_list_is_an_outage(junk: Object) -> None:
    """Rubbish instead of a list is waited out like a refused connection."""

    async def scenario() -> int:
        world = World()
        world.lists.put(ROLLOUTS, "a")
        world.lists.cached = [junk]
        await world.intake.sync()
        return len(world.rollouts)

    assert run_virtual(scenario()) == 1
