"""The Jobs of tests, looked at one by one while they run: there are few, and each is known by its name."""

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from datetime import timedelta

import structlog

from ombak.core.conveyor import plan
from ombak.core.conveyor.snapshot import JobFacts, JobState
from ombak.runtime import kinds
from ombak.runtime.kube_port import ApiError, KubeClient, NotFound, Object, listed, mapping
from ombak.runtime.regions import Regions
from ombak.runtime.store import Key

log = structlog.get_logger(__name__)

EVERY = timedelta(seconds=2)
WITHIN = timedelta(seconds=15)
_LONGEST = 256


@dataclasses.dataclass(slots=True)
class _Followed:
    region: str
    namespace: str
    facts: JobFacts | None = None


class JobBook:
    """Which Jobs a Pipeline waits for, and how they fare. A restart forgets them: they are found again by name."""

    def __init__(self, client: KubeClient, regions: Regions, wake: Callable[[Key], None]) -> None:
        self._client, self._regions, self._wake = client, regions, wake
        self._jobs: dict[Key, dict[str, _Followed]] = {}

    def facts(self, key: Key) -> Mapping[str, JobFacts]:
        """Return what is known of the Jobs of a Pipeline, by name."""
        return {name: job.facts for name, job in self._jobs.get(key, {}).items() if job.facts is not None}

    def follow(self, key: Key, action: plan.RunTest) -> None:
        """Look at a Job from now on; whether it was made is seen then."""
        name = action.manifest["metadata"]["name"]
        self._jobs.setdefault(key, {}).setdefault(name, _Followed(action.region, action.namespace))

    def forget(self, key: Key) -> None:
        """The Pipeline is gone, or nothing of it is being tested."""
        self._jobs.pop(key, None)

    async def run(self) -> None:
        """Look until cancelled; each region by itself."""
        busy: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                await asyncio.sleep(EVERY.total_seconds())
                busy = {region: task for region, task in busy.items() if not task.done()}
                for region in {job.region for _, _, job in self._running()} - busy.keys():
                    busy[region] = asyncio.create_task(self._look(region))
        finally:
            for task in busy.values():
                task.cancel()

    def _running(self) -> list[tuple[Key, str, _Followed]]:
        return [
            (key, name, job)
            for key, jobs in self._jobs.items()
            for name, job in jobs.items()
            if job.facts is None or job.facts.state is JobState.RUNNING
        ]

    async def _look(self, region: str) -> None:
        try:
            async with asyncio.timeout(WITHIN.total_seconds()):
                for key, name, job in [each for each in self._running() if each[2].region == region]:
                    found = await self._read(name, job)
                    if found != job.facts:
                        job.facts = found
                        self._wake(key)
        except (ApiError, TimeoutError) as error:
            log.info("tests are looked at later", region=region or "(hub)", error=str(error))

    async def _read(self, name: str, job: _Followed) -> JobFacts | None:
        try:
            if job.region:
                found = await self._regions.get(job.region, kinds.JOBS, job.namespace, name)
            else:
                found = await self._client.get(kinds.JOBS, job.namespace, name)
        except NotFound:
            return None
        return job_facts(found)


def job_facts(found: Object) -> JobFacts:
    """Read a Job; what says neither Complete nor Failed is running."""
    conditions = [mapping(c) for c in listed(mapping(found.get("status")).get("conditions"))]
    ended = {str(c.get("type")): c for c in conditions if c.get("status") == "True"}
    name = str(found["metadata"]["name"])
    if "Complete" in ended:
        return JobFacts(name, JobState.PASSED)
    if "Failed" in ended:
        return JobFacts(name, JobState.FAILED, str(ended["Failed"].get("message") or "")[:_LONGEST])
    return JobFacts(name, JobState.RUNNING)
