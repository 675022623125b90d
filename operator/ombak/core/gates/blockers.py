"""The gate of the Blockers: somebody stops starts, or also the steps of what is under way (R85-R88)."""

import dataclasses
from collections.abc import Mapping
from datetime import datetime

from ombak.api.blocker import BlockerState, Stops
from ombak.api.common import GROUP
from ombak.api.wording import clause
from ombak.core.gates.gate import Context, Held, Moment

KIND = "blocker"
NAME_LABEL = f"{GROUP}/name"
"""Stands for the name of what is delivered, in selectors."""


@dataclasses.dataclass(frozen=True, slots=True)
class BlockerView:
    """A Blocker, or with an empty namespace a ClusterBlocker."""

    namespace: str
    name: str
    owner: str
    reason: str
    stops: Stops = Stops.STARTS
    match_labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    namespaces: frozenset[str] | None = None
    """Of a ClusterBlocker: only these; None for all."""
    begins: datetime | None = None
    expires: datetime | None = None
    created: datetime | None = None

    @property
    def kind(self) -> str:
        """What it is called in manifests."""
        return "Blocker" if self.namespace else "ClusterBlocker"

    def state(self, now: datetime) -> BlockerState:
        """Return whether it stops anything."""
        if self.expires is not None and now >= self.expires:
            return BlockerState.EXPIRED
        if self.begins is not None and now < self.begins:
            return BlockerState.PENDING
        return BlockerState.ACTIVE

    def selects(self, context: Context) -> bool:
        """Tell whether it speaks of this delivery."""
        if self.namespace and self.namespace != context.namespace:
            return False
        if self.namespaces is not None and context.namespace not in self.namespaces:
            return False
        own = {**context.labels, NAME_LABEL: context.name}.items()
        return self.match_labels.items() <= own | context.region_labels.items()

    def stops_at(self, moment: Moment) -> bool:
        """Tell whether it stops deliveries that stand there."""
        return moment is Moment.START or self.stops is Stops.STEPS


@dataclasses.dataclass(frozen=True, slots=True)
class BlockerGate:
    """Holds what an active Blocker selects; several are one wait that ends with the last of them."""

    blockers: tuple[BlockerView, ...]

    def holds(self, context: Context, now: datetime) -> Held | None:
        """See `Gate`."""
        found = [
            each
            for each in self.blockers
            if each.state(now) is BlockerState.ACTIVE and each.stops_at(context.moment) and each.selects(context)
        ]
        if not found:
            return None
        ends = [each.expires for each in found if each.expires is not None]
        starts = [max(filter(None, (each.begins, each.created))) for each in found if each.begins or each.created]
        return Held(
            kind=KIND,
            what="; and ".join(f"{_called(each)} to be lifted: {clause(each.reason)}" for each in found),
            who="; ".join(dict.fromkeys(each.owner for each in found)),
            command=" && ".join(map(_command, found)),
            since=min(starts, default=None),
            expected=max(ends) if len(ends) == len(found) else None,
            names=tuple(f"{each.namespace}/{each.name}".lstrip("/") for each in found),
        )


def _called(blocker: BlockerView) -> str:
    return f"Blocker {blocker.namespace}/{blocker.name}" if blocker.namespace else f"ClusterBlocker {blocker.name}"


def _command(blocker: BlockerView) -> str:
    if blocker.namespace:
        return f"kubectl -n {blocker.namespace} delete blocker {blocker.name}"
    return f"kubectl delete clusterblocker {blocker.name}"
