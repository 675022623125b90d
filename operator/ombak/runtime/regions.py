"""The port to the regions of a hub: what is known of each, as of when, and a way to write there.

Each region is followed by itself: its own client with its own limits, its own watches, its own time limits. A slow
or dead one delays nobody, and what it said last stays readable, marked as not live.
"""

# Errors are named as the claims they make, as in `kube_port`.
# ruff: noqa: N818

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from ombak.runtime import kinds
from ombak.runtime.kube_port import ApiError, Kind, KubeClient, LogReader, Object, Unreachable, metadata
from ombak.runtime.pulse import ALIVE, Sign
from ombak.runtime.region_records import RegionAlarm, RegionArtifact, RegionRollout
from ombak.runtime.store import Key

HUB_MANAGER = "ombak-hub"
"""The field manager under which the hub writes into regions."""

OF_A_CLUSTER = "kube-system"
"""The namespace whose uid tells clusters apart: it is there from the first moment to the last."""

NOT_LOOKED_AT = "NotLookedAtYet"
"""The reason of a contact until this process has looked for the first time."""


class Reach(enum.StrEnum):
    """The status of the condition `Reachable`: No means refused, by the server or by us; no answer is Unknown."""

    YES = "True"
    NO = "False"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Contact:
    """Whether a region answers; `since` when it stands like this, `last` when it answered last (the hub's clock)."""

    reach: Reach
    reason: str
    message: str
    since: datetime
    last: datetime | None = None
    server_version: str = ""
    operator: Sign = ALIVE
    """Whether the region's own operator lives, where it was asked for; what it said counts only while it does."""
    cluster: str = ""
    """The uid of its namespace kube-system, which tells clusters apart; empty where nobody could tell."""

    @property
    def is_reachable(self) -> bool:
        """Whether it answers, and lets us in."""
        return self.reach is Reach.YES

    def seen(self, version: str, operator: Sign = ALIVE, cluster: str = "") -> Contact:
        """The same, of a server of this version and cluster and with this sign of life of the operator there."""
        return dataclasses.replace(self, server_version=version, operator=operator, cluster=cluster)

    def turned(self, reach: Reach, reason: str, message: str, now: datetime) -> Contact:
        """The contact after another look; `since` stays while reach and reason do."""
        since = self.since if (reach, reason) == (self.reach, self.reason) else now
        last = now if reach is Reach.YES else self.last
        return dataclasses.replace(self, reach=reach, reason=reason, message=message, since=since, last=last)


async def ask_cluster(client: KubeClient) -> str:
    """Return what tells the cluster of a client from all others; empty if it has no uid. Raises `ApiError`."""
    return str(metadata(await client.get(kinds.NAMESPACES, "", OF_A_CLUSTER)).get("uid") or "")


def cluster_of(status: Mapping[str, Any], contact: Contact | None) -> str:
    """Return which cluster a Region leads to: until this process has looked, what an earlier one wrote down.

    Else, of two Regions of one cluster, the one that answers first after a restart would be alone there for a moment.
    """
    if contact is None or contact.reason == NOT_LOOKED_AT:
        return str(status.get("cluster") or "")
    return contact.cluster


@dataclass(frozen=True, slots=True)
class RegionView:
    """What is known of one Rollout of one region.

    `rollout` None means that there is none, if `is_known`; before the first complete list nothing is known. `as_of` is
    the moment (the hub's clock) at which the region said something last; it is as of now while `is_live`.
    """

    region: str
    contact: Contact
    rollout: RegionRollout | None = None
    artifacts: tuple[RegionArtifact, ...] = ()
    is_known: bool = False
    is_live: bool = False
    as_of: datetime | None = None


class UnknownRegion(Unreachable):
    """There is no Region of this name, or none that can be used."""


class NotTravelling(ApiError):
    """An object of a kind that the hub does not bring into regions."""

    def __init__(self, kind: str) -> None:
        super().__init__(422, "Invalid", f"{kind} is no kind that the hub may write in a region; leave it out")


OnRollout = Callable[[str, Key], None]
"""Told the region and the key of a Rollout that changed there, or whose Artifacts did."""
OnAlarm = Callable[[str, Key], None]
"""Told the region and the key of an Alarm that changed there."""
OnBrought = Callable[[str], None]
"""Told the Pipeline (`namespace/name`) of an Alarm that travels along and was edited, deleted or written."""
OnContact = Callable[[str], None]
"""Told the region after each look at it."""


class Regions(Protocol):
    """All regions of a hub. Reads are from memory; writes end within the client's time and raise `ApiError` only."""

    def names(self) -> tuple[str, ...]:
        """The Regions that exist, in order."""
        ...

    def contact(self, region: str) -> Contact | None:
        """Whether the region answers; None for one that does not exist."""
        ...

    def view(self, region: str, key: Key) -> RegionView | None:
        """What is known of a Rollout there; None for a region that does not exist."""
        ...

    def alarm(self, region: str, key: Key) -> RegionAlarm | None:
        """What an Alarm there says, as it was heard last; None where there is none, or nothing is known."""
        ...

    def client(self, region: str) -> LogReader:
        """The client of a region, for what the other methods do not do; raises `Unreachable` at once if it is not."""
        ...

    async def get(self, region: str, kind: Kind, namespace: str, name: str) -> Object:
        """Read one object as it is now."""
        ...

    async def create(self, region: str, manifest: Object) -> Object:
        """Create an object whole, `replicas` included; `AlreadyExists` if there is one."""
        ...

    async def apply(self, region: str, manifest: Object, *, force: bool = False) -> Object:
        """Make what the manifest says true, and take back what an earlier manifest said and this one does not.

        Leave `replicas` out: it stays as it was created or scaled. `Conflict` names who else owns a field, unless
        `force` takes it from them.
        """
        ...

    def names_config(self, region: str, namespace: str, name: str) -> bool:
        """Whether any Rollout of a namespace there, or a version that is kept of one, refers to a ConfigMap."""
        ...

    async def delete(self, region: str, kind: Kind, namespace: str, name: str, resource_version: str) -> None:
        """Delete an object that is still as it was read; `Conflict` if it is not."""
        ...

    async def patch(self, region: str, kind: Kind, namespace: str, name: str, patch: Object) -> Object:
        """Merge a patch into an object; conditional when it carries `metadata.resourceVersion`."""
        ...
