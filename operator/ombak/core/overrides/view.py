"""One Override as decisions read it: whether it counts now, and what it allows."""

import dataclasses
from datetime import datetime, timedelta
from typing import Any

from ombak.alarms.signals import OF_ALL_BOXES, OF_THE_ONE_BOX, alarm_name
from ombak.api.duration import format_duration
from ombak.api.override import LONGEST, OverrideSpec, OverrideState, PassKind, TargetKind
from ombak.core.conditions import stamp


@dataclasses.dataclass(frozen=True, slots=True)
class OverrideView:
    """An Override of a namespace. What is wrong with it makes it void; what is not known yet allows nothing."""

    namespace: str
    name: str
    uid: str
    created: datetime
    spec: OverrideSpec | None
    problem: str = ""
    """What is wrong with its spec, with the field and the fix."""
    flaw: str | None = None
    """Why it did not come about as it must (`guard.flaw`), empty if it did; None while nobody has looked."""

    @property
    def void(self) -> str:
        """Why it allows nothing, whatever else holds; empty if nothing is against it as far as is known."""
        if self.spec is None:
            return self.problem
        if self.spec.expires - self.created > LONGEST:
            made = f"{self.created:%Y-%m-%dT%H:%M:%SZ}"
            return (
                f"spec.expires is more than {format_duration(LONGEST)} after its creation ({made}); "
                "delete it, and create another one with an earlier time"
            )
        return self.flaw or ""

    @property
    def approvers(self) -> tuple[str, ...]:
        """Return whose approvals count: of this very object, and not its author's."""
        if self.spec is None:
            return ()
        asked = self.spec.requested_by
        return tuple(sorted({a.by for a in self.spec.approvals if a.by != asked and a.uid == self.uid}))

    def is_over(self, now: datetime) -> bool:
        """Its time is over; the last moment is not in it."""
        return self.spec is not None and now >= self.spec.expires

    def state(self, now: datetime) -> OverrideState:
        """Return where it stands by itself; whether another one has overtaken it only all of them tell."""
        if self.void:
            return OverrideState.VOID
        if self.is_over(now):
            return OverrideState.EXPIRED
        if not self.approvers or self.flaw is None:
            return OverrideState.PENDING
        return OverrideState.ACTIVE

    def must_be_looked_at(self, now: datetime) -> bool:
        """It would be active if nobody found anything against how it came about, and nobody has looked yet."""
        return self.flaw is None and not self.void and not self.is_over(now) and bool(self.approvers)

    def is_for(self, kind: TargetKind, name: str) -> bool:
        """Tell whether it speaks of what has that kind and name in its namespace."""
        return self.spec is not None and (self.spec.target.kind, self.spec.target.name) == (kind, name)


@dataclasses.dataclass(frozen=True, slots=True)
class Shortened:
    """The shortest bakes that an Override asks for; None leaves a bake as it is."""

    one_box: timedelta | None = None
    batch: timedelta | None = None
    bake: timedelta | None = None


AS_IT_IS = Shortened()


@dataclasses.dataclass(frozen=True, slots=True)
class Permit:
    """What the Override that counts allows its artifact, and by whom."""

    namespace: str
    name: str
    artifact: str
    requested_by: str
    approved_by: tuple[str, ...]
    reason: str
    until: datetime
    bakes: Shortened = AS_IT_IS
    passes: frozenset[tuple[str, str]] = frozenset()
    """Kind and name of gates."""
    supersedes: bool = False

    @property
    def alarms(self) -> frozenset[str]:
        """The names that the contributors of the alarms bear that it passes."""
        named = {name for kind, name in self.passes if kind == PassKind.ALARM.value}
        signals = {name for kind, name in self.passes if kind == PassKind.SIGNAL.value}
        return frozenset(named | {alarm_name(n, whose) for n in signals for whose in (OF_ALL_BOXES, OF_THE_ONE_BOX)})

    @property
    def reference(self) -> str:
        """Return what is written where its effects are."""
        return f"{self.namespace}/{self.name}"

    @property
    def status(self) -> dict[str, Any]:
        """Return what stands in the status of what it is for."""
        return {
            "name": self.name,
            "artifact": self.artifact,
            "requestedBy": self.requested_by,
            "approvedBy": list(self.approved_by),
            "reason": self.reason,
            "until": stamp(self.until),
        }

    @property
    def by_whom(self) -> str:
        """Return the words that stand in Events: by which Override, of whom, until when."""
        return (
            f"by Override {self.name} of {self.requested_by}, approved by {', '.join(self.approved_by)}, "
            f"until {self.until:%Y-%m-%d %H:%M:%S} UTC"
        )


def permit_of(view: OverrideView) -> Permit:
    """Return what an active Override allows."""
    spec = view.spec
    assert spec is not None
    bake = spec.bake
    return Permit(
        namespace=view.namespace,
        name=view.name,
        artifact=spec.artifact,
        requested_by=spec.requested_by,
        approved_by=view.approvers,
        reason=spec.reason,
        until=spec.expires,
        bakes=Shortened(bake.one_box, bake.batch, bake.bake) if bake is not None else AS_IT_IS,
        passes=frozenset((each.kind.value, each.name) for each in spec.passes or ()),
        supersedes=spec.supersede,
    )
