"""Windows and Blockers on a real control plane: they hold starts and steps, open by themselves, and never a revert."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import manifests
from harness import Shop
from parallel import side_by_side

pytestmark = pytest.mark.cluster

DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]


def window(name: str, closed_until: datetime) -> manifests.Manifest:
    """A Window that is open, but for a stretch of time that ends then."""
    days = [{"days": DAYS, "from": "00:00", "to": "24:00"}]
    spec = {"timeZone": "UTC", "open": days, "closed": closed(closed_until), "owner": "platform"}
    return {"apiVersion": manifests.API, "kind": "Window", "metadata": {"name": name}, "spec": spec}


def closed(until: datetime) -> list[dict[str, str]]:
    """The stretch of time for which a Window is closed."""
    return [{"from": "2026-01-01", "to": f"{until:%Y-%m-%dT%H:%M:%S}", "reason": "the big sale"}]


def blocker(name: str, kind: str = "Blocker", **spec: Any) -> manifests.Manifest:
    """Somebody stops something."""
    content = {"owner": "sre@shop.example", "reason": "payments fail", **spec}
    return {"apiVersion": manifests.API, "kind": kind, "metadata": {"name": name}, "spec": content}


def soon() -> datetime:
    """A moment that nobody has to hurry for, but to wait."""
    return datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=4)


async def active(shop: Shop, kind: str, name: str) -> None:
    """Wait until the operator knows of a blocker: what starts after that is held."""

    async def is_so() -> bool:
        return (await shop.get(kind, name)).get("status", {}).get("state") == "Active"

    await shop.settled(is_so, f"{kind} {name} to be active")


def stamp(moment: datetime) -> str:
    """As the API server writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@side_by_side
async def test_a_closed_window_holds_a_change_until_it_opens(shop: Shop) -> None:
    """Status tells why and until when; a later change overtakes the first, and goes at the opening, by itself."""
    old = await shop.installed(manifests.rollout(replicas=3))
    opens = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    name = f"sale-{shop.namespace[-6:]}"
    await shop.create(window(name, opens))
    second = await shop.release("1.1.0", windows=[name])
    held = await shop.until(lambda now: name in now.waits_for, "the Window")

    assert held.phase == "Blocked"
    waiting = held.status["waitingFor"]
    assert f"Window {name} to open (the big sale; opens" in waiting["what"]
    assert waiting["expected"] == stamp(opens)
    assert (waiting["who"], waiting["command"]) == ("time, or platform", f"kubectl edit window {name}")
    third = await shop.release("1.2.0")
    queued = await shop.until(lambda now: now.artifact("queued") == third, "the later change in the queue")
    assert queued.status["queue"]["superseded"] == 1
    assert await shop.boxes() == {old: 3}
    table = await shop.kubectl("get", "window", name)
    shop.notes.append(table)
    assert "Closed" in table
    await shop.note_table()
    opens = soon()
    await shop.patch("Window", name, {"spec": {"closed": closed(opens)}})

    stable = await shop.phase("Stable")

    assert stable.artifact("stable") == third
    assert shop.watcher.judgement().most(second) == 0
    started = await shop.event("Started", third)
    assert "1 change was overtaken" in started["message"]
    assert datetime.fromisoformat(started["firstTimestamp"]) >= opens
    await shop.call("DELETE", shop.path("Window", name))


@side_by_side
async def test_a_missing_window_holds_until_somebody_makes_it(shop: Shop) -> None:
    """The first version, too."""
    name = f"later-{shop.namespace[-6:]}"
    await shop.create(manifests.rollout(replicas=2, windows=[name]))
    held = await shop.until(lambda now: name in now.waits_for, "the Window")
    assert "it does not exist" in held.waits_for
    assert await shop.boxes() == {}

    await shop.create(window(name, datetime(2026, 1, 2, tzinfo=UTC)))

    await shop.phase("Stable")
    await shop.call("DELETE", shop.path("Window", name))


@side_by_side
async def test_a_blocker_stops_steps_and_starts_while_a_revert_goes_on(shop: Shop) -> None:
    """In the middle of a release: no further box, but back it goes; nothing starts until the told command is typed."""
    old = await shop.installed(manifests.switch(), manifests.rollout(replicas=10, alarms=manifests.alarms()))
    new = await shop.release("1.1.0", strategy=manifests.strategy(rolling="1h"))
    await shop.until(lambda now: (now.release.get("step") or {}).get("goal") == 4, "four boxes approved")
    await shop.create(blocker("freeze", stops="Steps", selector={"matchLabels": {"ombak.dev/name": shop.name}}))
    await active(shop, "Blocker", "freeze")
    await shop.change(strategy=manifests.strategy())
    held = await shop.until(lambda now: "Blocker" in now.waits_for, "the Blocker")

    assert held.phase == "Rolling"
    assert held.status["waitingFor"]["who"] == "sre@shop.example"
    await shop.scale(12)
    await shop.sized(12)
    boxes = await shop.boxes()
    assert boxes[new] <= 4
    assert sum(boxes.values()) == 12
    table = await shop.kubectl("get", "blockers")
    shop.notes.append(table)
    assert table.splitlines()[1].split()[:3] == ["freeze", "Active", "Steps"]

    await shop.switch(manifests.FIRING)
    back = await shop.phase("Reverted")
    assert back.artifact("rejected") == new
    assert await shop.boxes() == {old: 12}
    await shop.switch(manifests.OK)
    fixed = await shop.release("1.2.0")
    blocked = await shop.until(lambda now: now.phase == "Blocked" and "Blocker" in now.waits_for, "the Blocker again")
    assert shop.watcher.goals(new) == [1, 4]
    words = shlex.split(blocked.status["waitingFor"]["command"])
    assert words == ["kubectl", "-n", shop.namespace, "delete", "blocker", "freeze"]
    await shop.kubectl(*words[3:])

    stable = await shop.phase("Stable")
    assert stable.artifact("stable") == fixed


@side_by_side
async def test_a_cluster_blocker_expires_by_itself(shop: Shop) -> None:
    """It says so, and what waited goes on; other namespaces never waited."""
    await shop.installed(manifests.rollout(replicas=2))
    other = await shop.beside("b")
    await other.installed(manifests.rollout(replicas=2))
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    name = f"event-{shop.namespace[-6:]}"
    await shop.create(blocker(name, "ClusterBlocker", namespaces=[shop.namespace], expires=stamp(ends)))
    await active(shop, "ClusterBlocker", name)
    await shop.release("1.1.0")
    free = await other.release("1.1.0")
    held = await shop.until(lambda now: "ClusterBlocker" in now.waits_for, "the ClusterBlocker")
    assert held.status["waitingFor"]["expected"] == stamp(ends)
    assert (await other.phase("Stable")).artifact("stable") == free
    ends = soon()
    await shop.patch("ClusterBlocker", name, {"spec": {"expires": stamp(ends)}})

    await shop.phase("Stable")
    assert datetime.now(UTC) >= ends

    async def is_expired() -> bool:
        return "Expired" in await shop.kubectl("get", "clusterblocker", name)

    await shop.settled(is_expired, "the word Expired")
    version = (await shop.get("ClusterBlocker", name))["metadata"]["resourceVersion"]
    await shop.scale(3)
    await shop.sized(3)
    assert (await shop.get("ClusterBlocker", name))["metadata"]["resourceVersion"] == version
    await shop.call("DELETE", shop.path("ClusterBlocker", name))
