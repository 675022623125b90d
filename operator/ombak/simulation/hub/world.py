"""Everything around a hub's process: its cluster, its regions, the people who use it, and who runs Jobs."""

import asyncio
import dataclasses
import random
from collections.abc import Callable, Mapping
from typing import Any

from ombak.api.common import API_VERSION
from ombak.core.conveyor import content
from ombak.runtime import kinds
from ombak.runtime.kube_port import NotFound, Object
from ombak.simulation.controllers import MANAGER
from ombak.simulation.faults import CALM
from ombak.simulation.hub.process import HubProcess
from ombak.simulation.hub.site import Site
from ombak.simulation.process import Machine
from ombak.simulation.region import KEY, NAME, NAMESPACE, USER
from ombak.simulation.run import RESTART_AFTER
from ombak.simulation.server import Server

Tell = Callable[[str], None]


class World:
    """One hub cluster with one Pipeline, and the regions that it delivers to."""

    def __init__(self, sites: Mapping[str, Site], seed: str, tell: Tell) -> None:
        self.loop = asyncio.get_running_loop()
        self.sites = sites
        self.server = Server(self.loop)
        self.rng = random.Random(f"hub-{seed}")  # noqa: S311 - chance of a simulation, guards nothing
        self.machine = Machine(self.loop)
        self.faults = dataclasses.replace(CALM)
        self.failing: set[str] = set()
        """Versions whose tests fail."""
        self._tell = tell
        self._down_until = 0.0
        self._writes = 0
        for name in sites:
            self._register(name)
        for server in (self.server, *(site.region.server for site in sites.values())):
            server.listeners.append(self._jobs_of(server))
        self.hub = self._start()

    def _register(self, name: str) -> None:
        access = {"kubeconfig": {"secretRef": {"namespace": "regions", "name": name}}}
        body: Object = {"metadata": {"name": name}, "spec": {"access": access}}
        self.server.create(USER, kinds.REGIONS, "", body)

    # --- the hub -------------------------------------------------------------------------------------------

    def _start(self) -> HubProcess:
        return HubProcess(self.server, self.sites, self.machine, self.faults, self.rng, self._tell)

    def kill(self, seconds: float, skew: float | None = None) -> None:
        """Kill the hub; it is started again after so many seconds, maybe on a machine with another clock."""
        self._down_until = self.loop.time() + max(seconds, RESTART_AFTER)
        self.hub.end()
        if skew is not None:
            self.machine.skew = skew

    def look(self) -> None:
        """Start the hub if it died, and look after every region."""
        if not self.hub.is_alive and self.loop.time() >= self._down_until:
            self._writes += self.hub.writes
            self.hub = self._start()
        self.hub.check()
        for site in self.sites.values():
            site.look()

    @property
    def writes(self) -> int:
        """How much the hub wrote so far, Events and statuses of Regions included."""
        return self._writes + self.hub.writes

    async def stop(self) -> None:
        """End everything."""
        await self.hub.stop()
        for site in self.sites.values():
            await site.stop()

    # --- Jobs ----------------------------------------------------------------------------------------------

    def _jobs_of(self, server: Server) -> Callable[[str, str, Object], None]:
        def see(kind: str, event: str, obj: Object) -> None:
            if kind == "Job" and event == "ADDED":
                self.loop.call_later(self.rng.uniform(2.0, 40.0), self._end_job, server, obj)

        return see

    def _end_job(self, server: Server, job: Object) -> None:
        env = job["spec"]["template"]["spec"]["containers"][0]["env"]
        artifact = next(each["value"] for each in env if each["name"] == "OMBAK_ARTIFACT")
        kind = "Failed" if artifact in self.failing else "Complete"
        status = {"conditions": [{"type": kind, "status": "True", "message": "exit code 1"}]}
        meta, body = job["metadata"], {"metadata": {}, "status": status}
        if server.find("Job", meta["namespace"], meta["name"]) is not None:
            server.replace(MANAGER, kinds.JOBS, meta["namespace"], meta["name"], body, subresource="status")

    # --- people --------------------------------------------------------------------------------------------

    @property
    def pipeline(self) -> Object:
        """The Pipeline as it is stored."""
        return self.server.get(kinds.PIPELINES, *KEY)

    @property
    def status(self) -> Object:
        """Its status, empty if there is none."""
        status: Object = self.pipeline.get("status") or {}
        return status

    @property
    def waits(self) -> list[Object]:
        """What it says that it waits for."""
        return list(self.status.get("waitingFor") or ())

    def apply(self, spec: Object) -> None:
        """Create the Pipeline."""
        body = {"apiVersion": API_VERSION, "kind": "Pipeline", "metadata": {"name": NAME}, "spec": spec}
        self.server.create(USER, kinds.PIPELINES, NAMESPACE, body)

    def change(self, **fields: Any) -> None:
        """Set fields of its spec."""
        found = self.pipeline
        self.server.replace(USER, kinds.PIPELINES, *KEY, {**found, "spec": {**found["spec"], **fields}})

    def push(self, template: Object) -> None:
        """Ask for another version."""
        rollout = self.pipeline["spec"]["rollout"]["spec"]
        self.change(rollout={"spec": {**rollout, "template": template}})

    def annotate(self, name: str, value: str) -> None:
        """Say something on the Pipeline."""
        self.server.patch(USER, kinds.PIPELINES, *KEY, {"metadata": {"annotations": {name: value}}})

    def erase_status(self) -> None:
        """Erase its whole status."""
        self.server.replace(USER, kinds.PIPELINES, *KEY, {"metadata": {}, "status": {}}, subresource="status")

    def delete(self, kind: Any, name: str) -> None:
        """Delete an object of the namespace, if it is there."""
        try:
            self.server.delete(USER, kind, NAMESPACE, name)
        except NotFound:
            return

    @property
    def is_whole(self) -> bool:
        """Every region can be reached, so that what the hub forgot can be read there."""
        return not any(site.cable.is_cut for site in self.sites.values())

    @property
    def wished(self) -> str:
        """The version that is asked for."""
        return version_of(self.pipeline["spec"]["rollout"]["spec"]["template"])


def version_of(template: Object) -> str:
    """Return what a version without objects and values is called."""
    return content.content_id(template, ())
