"""The Windows, Blockers and Overrides of a cluster, as decisions read them, and whom a change of them concerns."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from ombak.api.override import TargetKind
from ombak.api.window import ConfigMapKey, Ics, WindowSpec
from ombak.core.floors import NO_FLOORS, Floors
from ombak.core.gates.blockers import BlockerView
from ombak.core.gates.compile import compile_window
from ombak.core.gates.facts import GateFacts
from ombak.core.gates.problems import UnreadableWindow
from ombak.core.gates.windows import WindowView
from ombak.core.overrides.facts import NO_OVERRIDES, OverrideFacts
from ombak.core.snapshot import RolloutView
from ombak.runtime import kinds
from ombak.runtime.gate_records import (
    BlockerRecord,
    WindowRecord,
    decode_blocker,
    decode_cluster_blocker,
    decode_window,
)
from ombak.runtime.kube_port import Kind
from ombak.runtime.override_book import OverrideBook
from ombak.runtime.override_records import TargetKey
from ombak.runtime.records import RolloutRecord
from ombak.runtime.store import Key, Store

FORBIDDEN = "the operator may not read Windows; bind the ClusterRole of charts/rbac.yaml in the whole cluster"
_NO_FACTS = GateFacts()


class GateReader(Protocol):
    """What a reconcile needs of the gates."""

    def facts(self, rollout: RolloutView) -> GateFacts:
        """Return the Windows that a Rollout names, the Blockers in whose reach it is, its Overrides. Never waits."""
        ...

    def floors(self) -> Floors:
        """Return the Region's shortest bakes. Never waits."""
        ...


class NoGates:
    """Where nobody watches Windows and Blockers: nothing stops anything."""

    def facts(self, rollout: RolloutView) -> GateFacts:  # noqa: ARG002 - the port's
        """Return nothing."""
        return _NO_FACTS

    def floors(self) -> Floors:
        """Return none."""
        return NO_FLOORS


@dataclass(frozen=True, slots=True)
class CalendarText:
    """What was found under a key of a ConfigMap; `problem` where there is nothing."""

    text: str = ""
    problem: str = "was not read yet"


class GateBook:
    """Keeps the stores of the kinds, and a schedule of every Window. To be used from one event loop only."""

    def __init__(
        self,
        rollouts: Store[RolloutRecord],
        wake: Callable[[Key], None],
        region_zone: str = "UTC",
        changed: Callable[[Kind, Key], None] = lambda _kind, _key: None,
    ) -> None:
        """`wake` looks at a Rollout again; `changed` at a gate object itself; `region_zone` is the Region's."""
        self._rollouts, self._wake, self._changed = rollouts, wake, changed
        self._region_zone = region_zone
        self.windows: Store[WindowRecord] = Store(decode_window, on_event=self._window_changed)
        self.blockers: Store[BlockerRecord] = Store(
            decode_blocker, on_event=lambda key: self._blocker_changed(kinds.BLOCKERS, key)
        )
        self.cluster_blockers: Store[BlockerRecord] = Store(
            decode_cluster_blocker, on_event=lambda key: self._blocker_changed(kinds.CLUSTER_BLOCKERS, key)
        )
        self.overrides = OverrideBook(self._target_changed, lambda key: changed(kinds.OVERRIDES, key))
        self.may_read_windows = True
        self.region_floors: Callable[[], Floors] = lambda: NO_FLOORS
        """Where the Region's floors are read."""
        self.listeners: list[Callable[[], None]] = []
        """Told that some gate may answer otherwise now."""
        self._views: dict[tuple[str, str], tuple[object, WindowView]] = {}
        """By name and the time zone that a Region has."""
        self._calendars: dict[ConfigMapKey, CalendarText] = {}
        self._reach: defaultdict[str, dict[Key, BlockerView]] = defaultdict(dict)
        """By namespace; those of the whole cluster under the empty one."""

    def stores(self) -> dict[Kind, Store[Any]]:
        """Return the stores, which a watch feeds."""
        return {
            kinds.WINDOWS: self.windows,
            kinds.BLOCKERS: self.blockers,
            kinds.CLUSTER_BLOCKERS: self.cluster_blockers,
            kinds.OVERRIDES: self.overrides.store,
        }

    def optional(self) -> dict[Kind, Callable[[], None]]:
        """Return the kinds of the whole cluster, which an operator of one namespace may have no right to read.

        Windows are closed to it then. ClusterBlockers it cannot know of: who grants no right to read them exempts it.
        """
        return {kinds.WINDOWS: self._close_windows, kinds.CLUSTER_BLOCKERS: lambda: None}

    def _close_windows(self) -> None:
        self.may_read_windows = False

    def floors(self) -> Floors:
        """See `GateReader`."""
        return self.region_floors()

    def facts(self, rollout: RolloutView) -> GateFacts:
        """See `GateReader`."""
        found = self.overrides.facts(TargetKind.ROLLOUT, rollout.namespace, rollout.name)
        return self.facts_for(rollout.namespace, rollout.spec.windows or (), found)

    def facts_for(
        self, namespace: str, names: Iterable[str], overrides: OverrideFacts = NO_OVERRIDES, *, region_zone: str = ""
    ) -> GateFacts:
        """Return the Windows of these names, the Blockers in whose reach a namespace is, and these Overrides.

        `region_zone` as for `window`.
        """
        windows = tuple(self.window(name, region_zone) for name in names)
        blockers = (*self._reach.get(namespace, {}).values(), *self._reach.get("", {}).values())
        return GateFacts(windows, blockers, overrides) if windows or blockers or overrides.views else _NO_FACTS

    def window(self, name: str, region_zone: str = "") -> WindowView:
        """Return what is known of a Window, there or not; reckoned once for each version of it.

        `region_zone` is that of another Region than the one where this runs.
        """
        zone = region_zone or self._region_zone
        stored = self.windows.get(("", name))
        if stored is None:
            return WindowView(name, problem="" if self.may_read_windows else FORBIDDEN)
        record = stored.value
        calendars = tuple(self._calendar(each) for each in _calendars_of(record))
        version = (stored.uid, record.meta.generation, calendars)
        known = self._views.get((name, zone))
        if known is None or known[0] != version:
            known = self._views[name, zone] = version, _compiled(record, calendars, zone)
        return known[1]

    def take_calendar(self, where: ConfigMapKey, found: CalendarText) -> None:
        """Take in what a ConfigMap holds now, and look again at whoever waits for a Window that rests on it."""
        if self._calendars.get(where) == found:
            return
        self._calendars[where] = found
        for key in self.windows:
            stored = self.windows.get(key)
            if stored is not None and any(each.config_map == where for each in _calendars_of(stored.value)):
                self._wake_namers(key[1])
        self._tell()

    def _tell(self) -> None:
        for listener in self.listeners:
            listener()

    def _calendar(self, source: Ics) -> CalendarText:
        if source.config_map is None:
            return CalendarText(source.text or "", "")
        return self._calendars.get(source.config_map, CalendarText())

    def _window_changed(self, key: Key) -> None:
        before = self._views.get((key[1], self._region_zone))
        if self.windows.get(key) is None:
            self._views = {known: view for known, view in self._views.items() if known[0] != key[1]}
            self._wake_namers(key[1])
        elif before is None or self.window(key[1]) is not before[1]:
            self.window(key[1])
            self._wake_namers(key[1])
        self._changed(kinds.WINDOWS, key)
        self._tell()

    def _wake_namers(self, window: str) -> None:
        for key in self._rollouts:
            stored = self._rollouts.get(key)
            spec = stored.value.spec if stored is not None else None
            if spec is not None and window in (spec.windows or ()):
                self._wake(key)

    def _target_changed(self, target: TargetKey) -> None:
        """An Override of this target counts otherwise now."""
        kind, *key = target
        if kind is TargetKind.ROLLOUT and self._rollouts.get((key[0], key[1])) is not None:
            self._wake((key[0], key[1]))
        self._tell()

    def _blocker_changed(self, kind: Kind, key: Key) -> None:
        store = self.blockers if kind.namespaced else self.cluster_blockers
        stored, views = store.get(key), self._reach[key[0]]
        before = views.pop(key, None)
        after = None if stored is None else stored.value.view
        if after is not None:
            views[key] = after
        if before != after:
            for rollout in self._rollouts:
                if rollout[0] == key[0] or not kind.namespaced:
                    self._wake(rollout)
        self._changed(kind, key)
        self._tell()


def calendar_places(record: WindowRecord) -> tuple[ConfigMapKey, ...]:
    """Return the ConfigMaps that a Window rests on."""
    return tuple(each.config_map for each in _calendars_of(record) if each.config_map is not None)


def _calendars_of(record: WindowRecord) -> tuple[Ics, ...]:
    return record.spec.ics if isinstance(record.spec, WindowSpec) else ()


def _compiled(record: WindowRecord, calendars: tuple[CalendarText, ...], region_zone: str) -> WindowView:
    name, spec = record.meta.name, record.spec
    if isinstance(spec, str):
        return WindowView(name, problem=spec)
    for source, found in zip(spec.ics, calendars, strict=True):
        if found.problem and source.config_map is not None:
            where = f"{source.config_map.namespace}/{source.config_map.name}"
            problem = f"the calendar {source.config_map.key} of ConfigMap {where} {found.problem}"
            return WindowView(name, problem=problem, owner=spec.owner)
    try:
        schedule = compile_window(spec, region_zone, [found.text for found in calendars])
    except UnreadableWindow as error:
        return WindowView(name, problem=str(error), owner=spec.owner)
    return WindowView(name, schedule, owner=spec.owner)
