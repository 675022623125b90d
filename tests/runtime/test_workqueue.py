"""The work queue loses no key, never runs one twice at once, and wakes when it said it would."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ombak.runtime.backoff import Backoff
from ombak.runtime.workqueue import ShutDown, WorkQueue
from ombak.simulation.agenda import run_virtual

SECOND = timedelta(seconds=1)


def make_queue(backoff: Backoff | None = None, seed: int = 1) -> WorkQueue[str]:
    return WorkQueue(random.Random(seed), backoff)


step = st.tuples(
    st.sampled_from(["add", "after", "retry"]),
    st.sampled_from("abcd"),
    st.integers(0, 20),  # delay of the wake-up, in seconds
    st.sampled_from([0, 0.137, 2.137]),  # pause before the next step: never ends just as a timer fires
)


@given(steps=st.lists(step, max_size=40), workers=st.integers(1, 4), takes=st.sampled_from([0, 0.5, 2]))
def test_every_added_key_gets_a_turn_that_began_after_it_was_added(
    steps: list[tuple[str, str, int, float]], workers: int, takes: float
) -> None:
    """No key is lost, none runs concurrently, and no turn lacks a reason."""

    async def scenario() -> None:
        queue = make_queue()
        loop = asyncio.get_running_loop()
        began: dict[str, list[float]] = defaultdict(list)
        wishes: list[tuple[str, float]] = []  # key, when its turn has to come
        planned: dict[str, float] = {}
        running: Counter[str] = Counter()

        async def handle(key: str) -> None:
            running[key] += 1
            assert running[key] == 1
            began[key].append(loop.time())
            await asyncio.sleep(takes)
            running[key] -= 1

        def wish(key: str, delay: float) -> None:
            due, before = loop.time() + delay, planned.get(key, -1)
            if delay > 0 and before >= loop.time():  # one timer per key: the earlier of the two
                due = min(due, before)
                wishes[:] = [(k, due if (k, at) == (key, before) else at) for k, at in wishes]
            if delay > 0:
                planned[key] = due
            wishes.append((key, due))

        work = asyncio.create_task(queue.run(handle, workers))
        for what, key, delay, pause in steps:
            if what == "add":
                queue.add(key)
                wish(key, 0)
            elif what == "after":
                queue.add_after(key, delay * SECOND)
                wish(key, delay)
            else:
                wish(key, queue.retry(key).total_seconds())
            await asyncio.sleep(pause)
        await asyncio.sleep(10_000)
        queue.shutdown()
        await work

        assert (queue.depth, queue.delayed) == (0, 0)
        longest_wait = takes * (len(wishes) + 1)
        for key, due in wishes:
            assert any(-1e-6 <= start - due <= longest_wait + 1e-6 for start in began[key])
        for key, starts in began.items():
            assert len(starts) <= sum(1 for wished, _ in wishes if wished == key)

    run_virtual(scenario())


def test_keys_added_many_times_before_their_turn_are_worked_on_once() -> None:
    """Adds coalesce."""

    async def scenario() -> list[str]:
        queue, seen = make_queue(), []

        async def handle(key: str) -> None:
            seen.append(key)

        for _ in range(1000):
            queue.add("a")
            queue.add("b")
        work = asyncio.create_task(queue.run(handle, 3))
        await asyncio.sleep(1)
        queue.shutdown()
        await work
        return seen

    assert run_virtual(scenario()) == ["a", "b"]


def test_a_key_added_during_its_turn_gets_exactly_one_more() -> None:
    """What changed while the reconcile was reading is not overlooked."""

    async def scenario() -> int:
        queue, turns = make_queue(), 0

        async def handle(key: str) -> None:
            nonlocal turns
            turns += 1
            if turns == 1:
                for _ in range(5):
                    queue.add(key)
                    await asyncio.sleep(1)

        queue.add("a")
        work = asyncio.create_task(queue.run(handle, 4))
        await asyncio.sleep(100)
        queue.shutdown()
        await work
        return turns

    assert run_virtual(scenario()) == 2


@pytest.mark.parametrize(
    ("delays", "woken"),
    [
        pytest.param([5], [5], id="alone"),
        pytest.param([5, 9], [5], id="later wish changes nothing"),
        pytest.param([9, 5], [5], id="earlier wish wins"),
        pytest.param([0], [0], id="no delay is now"),
        pytest.param([-3], [0], id="the past is now"),
    ],
)
def test_of_several_wake_ups_the_earliest_stays(delays: list[int], woken: list[float]) -> None:
    """`add_after` keeps one timer per key, the earliest."""

    async def scenario() -> list[float]:
        queue, at = make_queue(), []

        async def handle(key: str) -> None:
            at.append(asyncio.get_running_loop().time())

        for delay in delays:
            queue.add_after("a", delay * SECOND)
        work = asyncio.create_task(queue.run(handle))
        await asyncio.sleep(60)
        queue.shutdown()
        await work
        return at

    assert woken == run_virtual(scenario())


@pytest.mark.parametrize(
    ("planned", "at_least", "woken"),
    [
        pytest.param(10, 40, [40], id="put off"),
        pytest.param(50, 40, [40], id="the later plan changes nothing"),
        pytest.param(0.1, 0, [0.1], id="nothing was asked for"),
    ],
)
def test_a_pause_that_was_asked_for_puts_off_what_was_planned(
    planned: float, at_least: float, woken: list[float]
) -> None:
    """A Retry-After is kept although the plan wanted to look again before; a mere back-off yields to the plan."""

    async def scenario() -> list[float]:
        queue, at = make_queue(), []

        async def handle(key: str) -> None:
            at.append(asyncio.get_running_loop().time())

        queue.add_after("a", planned * SECOND)
        queue.retry("a", at_least * SECOND)
        work = asyncio.create_task(queue.run(handle))
        await asyncio.sleep(60)
        queue.shutdown()
        await work
        return at

    assert woken == run_virtual(scenario())


@given(seed=st.integers(0, 1000))
def test_back_off_doubles_within_its_jitter_and_ends_with_forget(seed: int) -> None:
    """Each pause lies in the upper half of its doubling step, under the cap."""

    async def scenario() -> None:
        queue = make_queue(Backoff(SECOND, 60 * SECOND), seed)
        for failures in range(1, 12):
            full = min(60 * SECOND, SECOND * 2 ** (failures - 1))
            assert full / 2 <= queue.retry("a") <= full
        assert queue.failures("a") == 11
        queue.forget("a")
        assert queue.retry("a") <= SECOND
        assert queue.retry("a", at_least=timedelta(hours=1)) == timedelta(hours=1)

    run_virtual(scenario())


def test_shutdown_lets_turns_end_and_hands_out_nothing_more() -> None:
    """After shutdown, `run` ends with the last turn and nothing can be added."""

    async def scenario() -> tuple[list[str], float]:
        queue, ended = make_queue(), []

        async def handle(key: str) -> None:
            await asyncio.sleep(7)
            ended.append(key)

        for key in "abc":
            queue.add(key)
        queue.add_after("d", 3 * SECOND)
        work = asyncio.create_task(queue.run(handle, 2))
        await asyncio.sleep(1)
        queue.shutdown()
        queue.shutdown()
        queue.add("e")
        queue.add_after("e", SECOND)
        await work
        with pytest.raises(ShutDown):
            await queue.get()
        return sorted(ended), asyncio.get_running_loop().time()

    assert run_virtual(scenario()) == (["a", "b"], 7)


def test_a_defect_of_the_handler_ends_the_run() -> None:
    """An exception is not swallowed: the process has to end."""

    async def scenario() -> None:
        queue = make_queue()

        async def handle(key: str) -> None:
            raise KeyError(key)

        queue.add("a")
        await queue.run(handle, 3)

    with pytest.RaisesGroup(KeyError):
        run_virtual(scenario())


def test_metrics_tell_what_waits_and_for_how_long() -> None:
    """Depth, delayed, age of the oldest and the longest turn."""

    async def scenario() -> None:
        queue = make_queue()
        assert (queue.oldest_age, queue.longest_turn) == (timedelta(0), timedelta(0))
        queue.add("a")
        await asyncio.sleep(2)
        queue.add("b")
        queue.add_after("c", SECOND * 60)
        await asyncio.sleep(3)
        assert (queue.depth, queue.delayed, queue.oldest_age) == (2, 1, 5 * SECOND)
        key = await queue.get()
        await asyncio.sleep(4)
        assert (key, queue.depth, queue.oldest_age, queue.longest_turn) == ("a", 1, 7 * SECOND, 4 * SECOND)
        queue.add("a")
        assert queue.depth == 2
        queue.done("a")
        assert queue.longest_turn == timedelta(0)

    run_virtual(scenario())


def test_a_cancelled_wait_takes_no_key_away() -> None:
    """A worker that is cancelled while it waits leaves the key to the others."""

    async def scenario() -> str:
        queue = make_queue()
        waiting = asyncio.create_task(queue.get())
        await asyncio.sleep(1)
        queue.add("a")
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return await asyncio.wait_for(queue.get(), 5)

    assert run_virtual(scenario()) == "a"
