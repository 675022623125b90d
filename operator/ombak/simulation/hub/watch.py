"""Monitors of a hub, told of every write to its cluster and to the regions: the conveyor's promises, from outside."""

from collections.abc import Callable, Mapping

from ombak.core.conveyor import manifests
from ombak.core.identity import canonical_json
from ombak.runtime.kube_port import Object
from ombak.runtime.regions import HUB_MANAGER
from ombak.simulation.hub.site import Site
from ombak.simulation.hub.world import World

Fail = Callable[[str, str], None]
SILENT_FOR = 180.0
"""So long a change may be on its way without a word on what it waits for, in seconds."""


class HubWatch:
    """No overtaking, nothing rejected enters, the order of stages, one content, one change in a slot, and P10."""

    def __init__(self, world: World, fail: Fail) -> None:
        self._world, self._fail = world, fail
        self._contents: dict[str, str] = {}
        self._were_stable: dict[str, set[str]] = {name: set() for name in world.sites}
        self._cut: set[str] = set()
        """Regions that were ever cut off: one may have gone on without them."""
        self._spoke_at = 0.0
        world.server.monitors.append(self._hub_written)
        for site in world.sites.values():
            site.region.server.monitors.append(self._of_region(site))

    @property
    def _now(self) -> float:
        return self._world.loop.time()

    # --- what is written in regions ------------------------------------------------------------------------

    def _of_region(self, site: Site) -> Callable[[str, str, Object | None, Object | None], None]:
        def written(by: str, kind: str, old: Object | None, new: Object | None) -> None:
            if kind == "Artifact" and new is not None and ((new.get("status") or {}).get("stable") or {}).get("order"):
                self._were_stable[site.name].add(new["spec"]["id"])
            if kind == "Rollout" and new is not None and by == HUB_MANAGER and _spec(old) != _spec(new):
                self._check_write(site, old, new)

        return written

    def _check_write(self, site: Site, old: Object | None, new: Object) -> None:
        told, before = _annotations(new), _annotations(old)
        version, sequence = told[manifests.VERSION], int(told[manifests.SEQUENCE])
        self._check_content(site, version, new)
        rejected = self._rejected()
        is_news = version != before.get(manifests.VERSION) and version not in self._were_stable[site.name]
        if is_news and version in rejected:
            self._fail("rejection", f"{version} enters {site.name} although it was rejected")
        if before and sequence < int(before[manifests.SEQUENCE]) and before[manifests.VERSION] not in rejected:
            self._fail("no overtaking", f"change {sequence} comes after {before[manifests.SEQUENCE]} in {site.name}")
        if old is not None and old["spec"].get("replicas") != new["spec"].get("replicas"):
            self._fail("size", f"the hub changes the size in {site.name}")
        if is_news:
            self._check_order(site, told[manifests.STAGE], version)

    def _check_content(self, site: Site, version: str, new: Object) -> None:
        """Every region gets the same bytes (P5)."""
        content = canonical_json(new["spec"]["template"])
        if self._contents.setdefault(version, content) != content:
            self._fail("P5", f"{site.name} gets another content of {version}")

    def _check_order(self, site: Site, stage: str, version: str) -> None:
        """It is, or was, stable in every region of every stage before, but for those that were passed over."""
        for each in self._world.pipeline["spec"]["stages"]:
            if each["name"] == stage:
                return
            for name in each["regions"]["names"]:
                if version not in self._were_stable[name] and name not in self._cut:
                    self._fail("stages", f"{version} enters {site.name} before it is stable in {name}")

    def _rejected(self) -> set[str]:
        found = [a for a in self._world.server.all("Artifact") if (a.get("status") or {}).get("rejected")]
        return {str(a["metadata"]["name"]).rpartition(".")[2] for a in found}

    # --- what is written in the hub's cluster ----------------------------------------------------------------

    def _hub_written(self, by: str, kind: str, _old: Object | None, new: Object | None) -> None:
        if kind == "Pipeline" and new is not None and by == HUB_MANAGER:
            self._check_status(new.get("status") or {})

    def _check_status(self, status: Object) -> None:
        """One change in each slot; every wait names its reason, whose turn it is, since when, and the command."""
        items: list[Object] = (status.get("memory") or {}).get("items") or []
        slots = [item["stage"] for item in items if item.get("isInside")]
        if len(set(slots)) != len(slots):
            self._fail("slots", f"two changes in one: {slots}")
        for wait in status.get("waitingFor") or ():
            needed = ("what", "who", "since", *(("command",) if wait.get("artifact") else ()))
            if missing := [name for name in needed if not wait.get(name)]:
                self._fail("P10", f"{wait} has no {', '.join(missing)}")

    def look(self) -> None:
        """Hold what is on its way to telling what it waits for."""
        self._cut |= {site.name for site in self._world.sites.values() if site.cable.is_cut}
        status = self._world.status
        if status.get("waitingFor") or status.get("reason") == "Delivered" or not self._world.hub.is_alive:
            self._spoke_at = self._now
        elif self._now - self._spoke_at > SILENT_FOR:
            self._fail("P10", f"nothing is said for {SILENT_FOR:g} s: {status.get('reason')} {status.get('message')}")
            self._spoke_at = self._now


def _annotations(obj: Object | None) -> Mapping[str, str]:
    return ((obj or {}).get("metadata") or {}).get("annotations") or {}


def _spec(obj: Object | None) -> object:
    return (obj or {}).get("spec")
