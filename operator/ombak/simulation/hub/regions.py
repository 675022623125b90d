"""The port to the regions, as a hub process of the simulation has it."""

from collections.abc import Mapping

from ombak.runtime import kinds
from ombak.runtime.kube_port import Kind, Object
from ombak.runtime.region_records import RegionAlarm
from ombak.runtime.regions import Contact, NotTravelling, RegionView, UnknownRegion
from ombak.runtime.store import Key
from ombak.simulation.hub.link import Link, RegionClient


class LinkedRegions:
    """Implements `Regions` over links."""

    def __init__(self, links: Mapping[str, Link]) -> None:
        self._links = links

    def names(self) -> tuple[str, ...]:
        """See `Regions.names`."""
        return tuple(sorted(self._links))

    def contact(self, region: str) -> Contact | None:
        """See `Regions.contact`."""
        found = self._links.get(region)
        return found.contact if found is not None else None

    def view(self, region: str, key: Key) -> RegionView | None:
        """See `Regions.view`."""
        found = self._links.get(region)
        return found.view(key) if found is not None else None

    def alarm(self, region: str, key: Key) -> RegionAlarm | None:  # noqa: ARG002 - the port's
        """Return none: the alarms of a simulation are no objects."""
        return None

    def client(self, region: str) -> RegionClient:
        """See `Regions.client`."""
        return self._link(region).client

    async def get(self, region: str, kind: Kind, namespace: str, name: str) -> Object:
        """See `Regions.get`."""
        return self._noted(region, kind, await self.client(region).get(kind, namespace, name))

    async def create(self, region: str, manifest: Object) -> Object:
        """See `Regions.create`."""
        kind, namespace = _place(manifest)
        return self._noted(region, kind, await self.client(region).create(kind, namespace, manifest))

    async def apply(self, region: str, manifest: Object, *, force: bool = False) -> Object:
        """See `Regions.apply`; nobody else owns a field of what travels along here, so nothing has to be forced."""
        kind, namespace = _place(manifest)
        assert force or kind != kinds.ROLLOUTS
        return self._noted(region, kind, await self.client(region).apply(kind, namespace, manifest))

    async def patch(self, region: str, kind: Kind, namespace: str, name: str, patch: Object) -> Object:
        """See `Regions.patch`."""
        return self._noted(region, kind, await self.client(region).patch(kind, namespace, name, patch))

    def names_config(self, region: str, namespace: str, name: str) -> bool:  # noqa: ARG002 - the port's
        """Return that it does: no ConfigMap travels in a simulation, so none may be taken away."""
        return True

    async def delete(self, region: str, kind: Kind, namespace: str, name: str, resource_version: str) -> None:
        """See `Regions.delete`."""
        await self.client(region).delete(kind, namespace, name, resource_version=resource_version)

    def _link(self, region: str) -> Link:
        found = self._links.get(region)
        if found is None:
            raise UnknownRegion(f"there is no usable Region {region}")
        return found

    def _noted(self, region: str, kind: Kind, answer: Object) -> Object:
        if kind == kinds.ROLLOUTS:
            self._link(region).rollouts.upsert(answer)
        return answer


def _place(manifest: Object) -> tuple[Kind, str]:
    kind = kinds.TRAVELLING.get(str(manifest["kind"]))
    if kind is None:
        raise NotTravelling(str(manifest["kind"]))
    return kind, str(manifest["metadata"].get("namespace") or "")
