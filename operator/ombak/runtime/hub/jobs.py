"""The Jobs of tests: made, and looked at one by one while they run; there are few, and each is known by its name."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta

import structlog

from ombak.api.wording import clause
from ombak.core.conveyor import content, manifests, plan
from ombak.core.conveyor.snapshot import JobFacts, JobState
from ombak.runtime import kinds
from ombak.runtime.hub.job_facts import LONGEST, read_job
from ombak.runtime.kube_port import AlreadyExists, ApiError, LogReader, NotFound, Object, mapping, metadata
from ombak.runtime.regions import Regions
from ombak.runtime.store import Key

log = structlog.get_logger(__name__)

EVERY = timedelta(seconds=1)
"""How often it is seen which Jobs are due."""
PAUSES = (1.0, 2.0, 2.0, 3.0, 5.0, 8.0, 15.0)
"""Seconds between two looks at the same Job: many tests may run for long, and a region's requests are counted."""
WITHIN = timedelta(seconds=15)
_OPEN = (JobState.RUNNING, JobState.REFUSED)


@dataclasses.dataclass(slots=True)
class _Followed:
    """One Job: where it belongs, how it fares, and when to look again, by the loop's time."""

    region: str
    namespace: str
    manifest: Object
    facts: JobFacts | None = None
    is_made: bool = False
    looks: int = 0
    due: float = 0.0

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"]["name"])

    @property
    def change(self) -> int:
        """The number of the change that it tests."""
        return int(mapping(metadata(self.manifest).get("annotations")).get(manifests.SEQUENCE) or 0)

    @property
    def is_open(self) -> bool:
        """There is something to be done or learned."""
        return self.facts is None or self.facts.state in _OPEN


class JobBook:
    """Which Jobs a Pipeline waits for, and how they fare. A restart forgets them: they are found again by name."""

    def __init__(self, client: LogReader, regions: Regions, wake: Callable[[Key], None]) -> None:
        """`client` is that of the hub's own cluster."""
        self._client, self._regions, self._wake = client, regions, wake
        self._jobs: dict[Key, dict[str, _Followed]] = {}
        self._turn = asyncio.Event()

    def facts(self, key: Key) -> Mapping[str, JobFacts]:
        """Return what is known of the Jobs of a Pipeline, by name."""
        return {name: job.facts for name, job in self._jobs.get(key, {}).items() if job.facts is not None}

    def follow(self, key: Key, action: plan.RunTest) -> None:
        """Make a Job, unless it is there, and look at it from now on; a refused one gives way to a corrected one."""
        made, known = _Followed(action.region, action.namespace, action.manifest), self._jobs.setdefault(key, {})
        before = known.get(made.name)
        is_refused = before is not None and before.facts is not None and not before.is_made
        if before is None or (is_refused and before.manifest != made.manifest):
            known[made.name] = made
        self._turn.set()

    def forget(self, key: Key) -> None:
        """The Pipeline is gone."""
        self._jobs.pop(key, None)

    def keep(self, key: Key, changes: Collection[int]) -> None:
        """Forget the Jobs of all other changes: they have left their last stage, or were taken back.

        A Pipeline that always has something on its way would keep every Job that there ever was.
        """
        kept = {name: job for name, job in self._jobs.get(key, {}).items() if job.change in changes}
        if kept:
            self._jobs[key] = kept
        else:
            self._jobs.pop(key, None)

    async def run(self) -> None:
        """Look until cancelled; each region by itself, so that one that hangs delays no other."""
        busy: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                busy = {region: task for region, task in busy.items() if not task.done()}
                for region in {job.region for _, job in self._due()} - busy.keys():
                    busy[region] = asyncio.create_task(self._look(region), name=f"tests {region or 'of the hub'}")
                self._turn.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(EVERY.total_seconds()):
                        await self._turn.wait()
        finally:
            for task in busy.values():
                task.cancel()

    def _due(self) -> list[tuple[Key, _Followed]]:
        now = asyncio.get_running_loop().time()
        return [
            (key, job) for key, jobs in self._jobs.items() for job in jobs.values() if job.is_open and job.due <= now
        ]

    async def _look(self, region: str) -> None:
        try:
            for key, job in [each for each in self._due() if each[1].region == region]:
                async with asyncio.timeout(WITHIN.total_seconds()):
                    await self._one(key, job)
        except (ApiError, TimeoutError) as error:
            log.info("tests are looked at later", region=region or "(hub)", error=str(error) or "it took too long")
        except Exception:
            # A mistake of ours about one Job must not end the tests of all others.
            log.exception("looking at tests failed", region=region or "(hub)")

    async def _one(self, key: Key, job: _Followed) -> None:
        """Take one Job one look further."""
        job.due = asyncio.get_running_loop().time() + PAUSES[min(job.looks, len(PAUSES) - 1)]
        job.looks += 1
        client = self._client if not job.region else self._regions.client(job.region)
        before = job.facts
        job.facts = await self._read(client, job) if job.is_made else await self._make(client, job)
        if job.facts is None:
            # Somebody deleted it. Whether it is run again is decided anew.
            self._jobs.get(key, {}).pop(job.name, None)
        if job.facts != before:
            self._wake(key)

    async def _make(self, client: LogReader, job: _Followed) -> JobFacts:
        """Create it. What the server refuses is told, and tried again: a quota may be raised, a namespace made."""
        try:
            await client.create(kinds.JOBS, job.namespace, job.manifest)
        except AlreadyExists:
            pass
        except ApiError as error:
            if not 400 <= error.status < 500 or error.status in (401, 408, 429):
                raise
            return JobFacts(
                job.name, JobState.REFUSED, clause(error.message)[:LONGEST], content.short_hash(job.manifest)
            )
        job.is_made = True
        return JobFacts(job.name, JobState.RUNNING)

    async def _read(self, client: LogReader, job: _Followed) -> JobFacts | None:
        try:
            found = await client.get(kinds.JOBS, job.namespace, job.name)
        except NotFound:
            return None
        return await read_job(client, found, job.facts)
