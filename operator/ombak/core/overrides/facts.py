"""The Overrides of one Rollout or Pipeline together, to be judged at any moment."""

import dataclasses
from datetime import datetime

from ombak.api.override import OverrideState
from ombak.core.overrides.view import OverrideView, Permit, permit_of


@dataclasses.dataclass(frozen=True, slots=True)
class OverrideFacts:
    """All Overrides that name one target. Of several active ones only the newest counts: the lane has one artifact."""

    views: tuple[OverrideView, ...] = ()

    def counting(self, now: datetime) -> OverrideView | None:
        """Return the Override that counts now, if any does."""
        active = [view for view in self.views if view.state(now) is OverrideState.ACTIVE]
        return max(active, key=lambda view: (view.created, view.name), default=None)

    def state(self, view: OverrideView, now: datetime) -> OverrideState:
        """Return where one of them stands."""
        found = view.state(now)
        if found is OverrideState.ACTIVE and self.counting(now) != view:
            return OverrideState.OVERTAKEN
        return found

    def active(self, now: datetime) -> Permit | None:
        """Return what is allowed now, whatever the artifact."""
        view = self.counting(now)
        return None if view is None else permit_of(view)

    def permit(self, artifact: str, now: datetime) -> Permit | None:
        """Return what an artifact is allowed now."""
        found = self.active(now)
        return found if found is not None and found.artifact == artifact else None

    def alarms(self, artifact: str, now: datetime) -> frozenset[str]:
        """Return the names of the alarms that an artifact may go ahead in spite of now."""
        permit = self.permit(artifact, now)
        return frozenset() if permit is None else permit.alarms

    def unseen(self, now: datetime) -> OverrideView | None:
        """Return one that may be active, for all that is known: nobody has looked how it came about."""
        return next((view for view in self.views if view.must_be_looked_at(now)), None)


NO_OVERRIDES = OverrideFacts()
