"""What a hub holds to whatever happens, watched from outside at every write that reaches a server."""

from __future__ import annotations

from ombak.core.conveyor import manifests
from ombak.runtime.kube_port import Object
from ombak.simulation.server import Server
from support.hub_regions import RigRegions


class Promises:
    """Watches writes to the hub's server and to the regions; what does not hold is kept, for the hub would catch it."""

    def __init__(self, server: Server, regions: RigRegions) -> None:
        self._server, self._regions = server, regions
        self._broken: list[Exception] = []
        regions.on_write = self._watch_write
        server.monitors.append(self._watch_status)

    def check(self) -> None:
        """Raise the first one that did not hold."""
        if self._broken:
            raise self._broken[0]

    def _watch_write(self, region: str, manifest: Object) -> None:
        try:
            self._check_write(region, manifest)
        except Exception as error:
            self._broken.append(error)

    def _check_write(self, region: str, manifest: Object) -> None:
        """Nothing overtakes, and nothing that was rejected enters, whatever goes wrong."""
        meta = manifest["metadata"]
        told, seen = (
            meta["annotations"],
            self._regions.by_name[region].model(meta["name"]).rollouts.get(meta["namespace"]),
        )
        version, sequence = told[manifests.VERSION], int(told[manifests.SEQUENCE])
        rejected = self._rejected()
        before = seen.manifest["metadata"]["annotations"] if seen else {}
        runs_there = seen is not None and version in (before[manifests.VERSION], seen.stable)
        assert runs_there or version not in rejected, f"{version} enters {region} although it was rejected"
        if seen is not None and sequence < int(before[manifests.SEQUENCE]):
            assert before[manifests.VERSION] in rejected, f"{sequence} comes after {before} in {region}"
        assert ("replicas" in manifest["spec"]) == (seen is None)

    def _rejected(self) -> set[str]:
        found = [a for a in self._server.all("Artifact") if (a.get("status") or {}).get("rejected")]
        return {str(a["metadata"]["name"]).rpartition(".")[2] for a in found}

    def _watch_status(self, _by: str, kind: str, _before: Object | None, after: Object | None) -> None:
        try:
            if kind == "Pipeline" and after is not None:
                self._check_status(after.get("status") or {})
        except Exception as error:
            self._broken.append(error)

    def _check_status(self, status: Object) -> None:
        """One change in each slot; and every wait names its reason and its command."""
        items = (status.get("memory") or {}).get("items") or []
        slots = [i["stage"] for i in items if i.get("isInside")]
        assert len(set(slots)) == len(slots), slots
        for wait in status.get("waitingFor") or ():
            assert wait["what"], wait
            assert wait["who"], wait
            assert wait["since"], wait
            assert wait.get("command"), wait
