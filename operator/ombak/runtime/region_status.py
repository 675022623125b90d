"""The status of Region objects, written seldom: when `Reachable` changes, and every few minutes for `lastContact`."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NoReturn

import structlog

from ombak.api.region import DISTINCT, OPERATED, REACHABLE
from ombak.core.conditions import condition, stamp, written
from ombak.runtime.clock import Clock
from ombak.runtime.decode_alarm import moment_of
from ombak.runtime.kinds import REGIONS
from ombak.runtime.kube_port import ApiError, KubeClient
from ombak.runtime.pulse import Sign
from ombak.runtime.region_records import RegionRecord
from ombak.runtime.regions import NOT_LOOKED_AT, Contact, Regions, cluster_of
from ombak.runtime.store import Store

log = structlog.get_logger(__name__)

CONTACT_EVERY = timedelta(minutes=5)
"""How old a written `lastContact` may get while the region answers; twice that means that no hub is looking."""
SWEEP_EVERY = timedelta(seconds=30)
_NO_NEWS = (NOT_LOOKED_AT, "Listening")

Status = dict[str, Any]


class RegionReporter:
    """Keeps the status of every Region true; a write that fails is tried again at the next look or sweep."""

    def __init__(self, client: KubeClient, records: Store[RegionRecord], regions: Regions, clock: Clock) -> None:
        self._client = client
        self._records = records
        self._regions = regions
        self._clock = clock
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Something may be different."""
        self._news.set()

    async def run(self) -> NoReturn:
        """Write what is new until cancelled."""
        while True:
            self._news.clear()
            clusters = self._clusters()
            for key in list(self._records):
                await self._report(key[1], clusters)
            try:
                async with asyncio.timeout(SWEEP_EVERY.total_seconds()):
                    await self._news.wait()
            except TimeoutError:
                continue

    def _clusters(self) -> Mapping[str, list[str]]:
        """Return the Regions that lead to each cluster, as far as that is known."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for name in self._regions.names():
            stored = self._records.get(("", name))
            cluster = cluster_of(stored.value.status if stored is not None else {}, self._regions.contact(name))
            if cluster:
                found[cluster].append(name)
        return found

    async def _report(self, name: str, clusters: Mapping[str, list[str]]) -> None:
        stored, contact = self._records.get(("", name)), self._regions.contact(name)
        if stored is None or contact is None:
            return
        record = stored.value
        twins = [other for other in clusters.get(cluster_of(record.status, contact), ()) if other != name]
        status = region_status(record, contact, twins)
        if not is_worth_a_write(record, status):
            return
        body = {
            "apiVersion": REGIONS.api_version,
            "kind": REGIONS.kind,
            "metadata": {"name": name, "resourceVersion": record.meta.resource_version},
            "status": status,
        }
        try:
            self._records.upsert(await self._client.replace(REGIONS, "", name, body, subresource="status"))
        except ApiError as error:
            log.info("the status of a region is written later", region=name, error=str(error))


def region_status(record: RegionRecord, contact: Contact, twins: Sequence[str] = ()) -> Status:
    """The status from what is known; what an earlier hub knew of the last contact and the version is kept.

    `twins` are other Regions that lead to the same cluster.
    """
    old = record.status
    last = stamp(contact.last) if contact.last is not None else old.get("lastContact")
    version = contact.server_version or old.get("serverVersion")
    fact = (REACHABLE, contact.reach.value, contact.reason, contact.message)
    reachable = condition(fact, old, record.meta.generation, contact.since)  # a restart of the hub does not turn it
    conditions = [reachable, _operated(record, contact)]
    if twins:
        conditions.append(_not_distinct(record, contact, twins))
    status: Status = {"observedGeneration": record.meta.generation, "conditions": conditions}
    cluster = contact.cluster or ("" if contact.is_reachable else old.get("cluster"))
    told = {"lastContact": last, "serverVersion": version, "cluster": cluster}
    return status | {name: value for name, value in told.items() if value}


def _operated(record: RegionRecord, contact: Contact) -> Status:
    """Whether the operator there lives; of a region that does not answer nobody can tell."""
    sign = contact.operator
    if not contact.is_reachable:
        sign = Sign(None, contact.reason, "the region does not answer, so nobody can tell")
    value = "Unknown" if sign.lives is None else str(sign.lives)
    fact = (OPERATED, value, sign.reason, sign.message)
    return condition(fact, record.status, record.meta.generation, contact.last or contact.since)


def _not_distinct(record: RegionRecord, contact: Contact, twins: Sequence[str]) -> Status:
    """Only there while it says something: mostly each Region is a cluster of its own."""
    others = ", ".join(f"Region {name}" for name in twins)
    message = (
        f"it leads to the same cluster as {others}; a Pipeline that is to deliver into the same namespace by two of "
        "them delivers by none: correct spec.access, or delete one"
    )
    fact = (DISTINCT, "False", "SameCluster", message)
    return condition(fact, record.status, record.meta.generation, contact.last or contact.since)


def is_worth_a_write(record: RegionRecord, status: Status) -> bool:
    """Whether anything but the words is different, or `lastContact` has become too old.

    Which cluster it is goes with that: a hub whose CRDs are of before could not keep it, and would write for ever.
    """
    for kind in (REACHABLE, OPERATED):
        before, after = written(record.status, kind), written(status, kind)
        names = ("status", "reason", "observedGeneration")
        if any(before.get(name) != after.get(name) for name in names):
            # Right after its start a hub knows nothing yet, and that is no news about the region.
            return after.get("reason") not in _NO_NEWS or not before
    if written(record.status, DISTINCT).get("message") != written(status, DISTINCT).get("message"):
        return True
    if record.status.get("serverVersion") != status.get("serverVersion"):
        return True
    old, new = moment_of(record.status.get("lastContact")), moment_of(status.get("lastContact"))
    return new is not None and (old is None or _age(old, new) >= CONTACT_EVERY)


def _age(old: datetime, new: datetime) -> timedelta:
    return abs(new - old)  # a clock that went back is news too
