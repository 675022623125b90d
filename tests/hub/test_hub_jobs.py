"""The Jobs of tests: made once, looked at until they end, and told with the end of their log."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from ombak.core.conveyor import content, manifests, plan
from ombak.core.conveyor.snapshot import JobFacts, JobState
from ombak.runtime.hub.job_facts import LONGEST, read_job
from ombak.runtime.hub.jobs import JobBook
from ombak.runtime.kube_port import AlreadyExists, ApiError, Forbidden, Invalid, Kind, NotFound, Object, Unreachable
from ombak.runtime.store import Key
from support.clusters import eventually

KEY = ("shop", "front-end")
MANIFEST = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "smoke-1", "namespace": "shop"}, "spec": {}}
FAILED = {"type": "Failed", "status": "True", "message": "Job has reached the specified backoff limit."}


class Cluster:
    """Keeps Jobs and pods, and does what it is told."""

    def __init__(self) -> None:
        self.jobs: dict[str, Object] = {}
        self.pods: list[Object] = []
        self.logs: dict[str, str | ApiError] = {}
        self.error: ApiError | None = None
        self.told: list[str] = []

    def say(self, verb: str) -> None:
        self.told.append(verb)
        if self.error is not None:
            raise self.error

    async def create(self, kind: Kind, namespace: str, body: Object) -> Object:
        self.say("create")
        if body["metadata"]["name"] in self.jobs:
            raise AlreadyExists(409, "AlreadyExists", "it is there")
        self.jobs[body["metadata"]["name"]] = {**body, "status": {}}
        return body

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        self.say("get")
        if name not in self.jobs:
            raise NotFound(404, "NotFound", "no such Job")
        return self.jobs[name]

    async def list(self, kind: Kind, namespace: str, selector: str, **_: Any) -> Object:
        assert selector == "batch.kubernetes.io/job-name=smoke-1"
        self.say("list")
        return {"items": self.pods}

    async def log(self, namespace: str, pod: str, container: str, *, lines: int, most: int) -> str:
        self.say("log")
        found = self.logs.get(f"{pod}/{container}", "")
        if isinstance(found, ApiError):
            raise found
        return found

    def ends(self, *conditions: Object, **status: Any) -> None:
        """Let the Job end."""
        self.jobs["smoke-1"] = {**MANIFEST, "status": {"conditions": list(conditions), **status}}


def pod(name: str = "smoke-1-x", **status: Any) -> Object:
    """A pod of the Job with two containers."""
    containers = [{"name": "proxy"}, {"name": "test"}]
    meta = {"name": name, "namespace": "shop", "creationTimestamp": f"2026-01-05T12:00:0{len(name) % 10}Z"}
    return {"metadata": meta, "spec": {"containers": containers}, "status": status}


def container(name: str, **state: Any) -> Object:
    """The status of a container."""
    return {"name": name, "state": state}


class Followed:
    """A book that follows one Job, and what it woke."""

    def __init__(self, region: str) -> None:
        self.cluster, self.woken = Cluster(), list[Key]()
        port: Any = self.cluster
        self.region = region
        self.book = JobBook(port, self, self.woken.append)  # type: ignore[arg-type]  # of the regions only the client
        self.action = plan.RunTest(region, "shop", MANIFEST)
        self.task: asyncio.Task[None] | None = None

    def client(self, region: str) -> Any:
        assert region == self.region
        return self.cluster

    @property
    def facts(self) -> JobFacts | None:
        return self.book.facts(KEY).get("smoke-1")

    async def until(self, state: JobState) -> None:
        await eventually(lambda: self.facts is not None and self.facts.state is state)


@pytest.fixture(params=["", "eu-1"], ids=["on the hub", "in a region"])
async def followed(request: pytest.FixtureRequest) -> AsyncIterator[Followed]:
    made = Followed(request.param)
    task = asyncio.create_task(made.book.run())
    made.book.follow(KEY, made.action)
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ombak.runtime.hub.jobs.PAUSES", (0.0,))
    monkeypatch.setattr("ombak.runtime.hub.jobs.EVERY", timedelta(milliseconds=2))


async def test_a_job_is_made_once_and_its_end_is_told(followed: Followed) -> None:
    """Following it again changes nothing; when it has ended nobody asks any more."""
    await followed.until(JobState.RUNNING)
    followed.book.follow(KEY, followed.action)
    followed.cluster.ends({"type": "Complete", "status": "True"})
    await followed.until(JobState.PASSED)
    asked = len(followed.cluster.told)
    followed.book.follow(KEY, followed.action)
    await asyncio.sleep(0)

    assert followed.cluster.told.count("create") == 1
    assert len(followed.cluster.told) == asked
    assert followed.woken == [KEY, KEY]


async def test_after_a_restart_it_is_found_by_its_name(followed: Followed) -> None:
    """The hub that made it died: creating it again says that it is there."""
    await followed.until(JobState.RUNNING)
    followed.book.forget(KEY)
    followed.cluster.ends(FAILED)
    followed.book.follow(KEY, followed.action)

    await followed.until(JobState.FAILED)


async def test_jobs_of_a_change_that_is_over_are_forgotten_while_another_one_is_tested(followed: Followed) -> None:
    """A Pipeline on which something is always on its way would keep every Job that there ever was."""
    told = {"annotations": {manifests.SEQUENCE: "2"}, "name": "smoke-2", "namespace": "shop"}
    followed.book.follow(KEY, plan.RunTest(followed.region, "shop", {**MANIFEST, "metadata": told}))
    await eventually(lambda: len(followed.book.facts(KEY)) == 2)
    followed.book.keep(KEY, {2})
    assert set(followed.book.facts(KEY)) == {"smoke-2"}
    followed.book.keep(KEY, set())
    assert not followed.book.facts(KEY)


async def test_one_that_somebody_deletes_is_made_again_when_it_is_asked_for(followed: Followed) -> None:
    """It is unknown until then."""
    await followed.until(JobState.RUNNING)
    del followed.cluster.jobs["smoke-1"]
    await eventually(lambda: followed.facts is None)
    assert followed.woken[-1] == KEY
    followed.book.follow(KEY, followed.action)

    await followed.until(JobState.RUNNING)
    assert followed.cluster.told.count("create") == 2


@pytest.mark.parametrize(
    "error", [Invalid(422, "Invalid", "spec.template is wrong."), Forbidden(403, "Forbidden", "exceeded quota.")]
)
async def test_what_the_server_refuses_is_told_and_tried_again(followed: Followed, error: ApiError) -> None:
    """In its own words; a quota may be raised."""
    followed.cluster.error = error
    followed.book.forget(KEY)
    followed.cluster.jobs.clear()
    followed.book.follow(KEY, followed.action)
    await followed.until(JobState.REFUSED)
    assert followed.facts is not None
    assert followed.facts.message == error.message.rstrip(".")
    followed.cluster.error = None

    await followed.until(JobState.RUNNING)


async def test_one_that_was_refused_gives_way_to_a_corrected_one(followed: Followed) -> None:
    """But one that is there stays, whatever is asked for."""
    corrected = {**MANIFEST, "spec": {"backoffLimit": 0}}
    other = {**MANIFEST, "spec": {"backoffLimit": 1}}
    followed.cluster.error = Invalid(422, "Invalid", "spec.template is wrong.")
    followed.book.forget(KEY)
    followed.cluster.jobs.clear()
    followed.book.follow(KEY, followed.action)
    await followed.until(JobState.REFUSED)
    assert followed.facts is not None
    assert followed.facts.made_of == content.short_hash(MANIFEST)
    followed.cluster.error = None
    followed.book.follow(KEY, dataclasses.replace(followed.action, manifest=corrected))
    followed.book.follow(KEY, followed.action)  # of a pass that has no answer about the corrected one yet
    await followed.until(JobState.RUNNING)
    followed.book.follow(KEY, dataclasses.replace(followed.action, manifest=other))

    assert followed.facts.state is JobState.RUNNING
    assert followed.cluster.jobs["smoke-1"]["spec"] == corrected["spec"]


async def test_one_that_cannot_be_asked_stays_as_it_was(followed: Followed) -> None:
    """A region that is away neither passes nor fails anything."""
    await followed.until(JobState.RUNNING)
    followed.cluster.error = Unreachable("refused")
    asked = len(followed.cluster.told)
    await eventually(lambda: len(followed.cluster.told) > asked)
    assert followed.facts == JobFacts("smoke-1", JobState.RUNNING)
    followed.cluster.error = None
    followed.cluster.ends({"type": "Complete", "status": "True"})

    await followed.until(JobState.PASSED)


EXITED = (container("proxy", running={}), container("test", terminated={"exitCode": 2}))
PULLING = container("test", waiting={"reason": "ImagePullBackOff", "message": "no such image."})
CREATING = container("test", waiting={"reason": "ContainerCreating"})
UNPLACED = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available."}
TOLD = "Job has reached the specified backoff limit"
Case = tuple[list[Object], list[Object], dict[str, str | ApiError], JobFacts | None, str]
CASES: dict[str, Case] = {
    "the log of the container that failed": (
        [FAILED],
        [pod(containerStatuses=list(EXITED))],
        {"smoke-1-x/test": "1 of 3\n2 of 3 failed\n", "smoke-1-x/proxy": "nothing"},
        None,
        f"{TOLD}; its log ends:\n1 of 3\n2 of 3 failed",
    ),
    "the log of an init container": (
        [FAILED],
        [pod(initContainerStatuses=[container("setup", terminated={"exitCode": 1})])],
        {"smoke-1-x/setup": "no database"},
        None,
        f"{TOLD}; its log ends:\nno database",
    ),
    "only the end of a long one": (
        [FAILED],
        [pod()],
        {"smoke-1-x/proxy": "x" * 5000 + "the end"},
        None,
        f"{TOLD}; its log ends:\n{'x' * (LONGEST - 7)}the end",
    ),
    "no log that can be read": (
        [FAILED],
        [pod()],
        {"smoke-1-x/proxy": ApiError(500, "InternalError", "dial tcp: refused.")},
        None,
        f"{TOLD}; its log cannot be read: 500 InternalError: dial tcp: refused",
    ),
    "a condition that does not hold": ([{**FAILED, "status": "False"}], [], {}, None, ""),
    "no pod any more": ([FAILED], [], {}, None, TOLD),
    "no pod any more, but its log is known": (
        [FAILED],
        [],
        {},
        JobFacts("smoke-1", JobState.RUNNING, f"{TOLD}; its log ends:\nit hangs"),
        f"{TOLD}; its log ends:\nit hangs",
    ),
    "no pod any more, but its trouble is known": (
        [FAILED],
        [],
        {},
        JobFacts("smoke-1", JobState.RUNNING, "ImagePullBackOff: no such image"),
        f"{TOLD}; ImagePullBackOff: no such image",
    ),
    "an image that is not there": ([], [pod(containerStatuses=[PULLING])], {}, None, "ImagePullBackOff: no such image"),
    "no node": ([], [pod(conditions=[UNPLACED])], {}, None, "0/3 nodes are available"),
    "a pod that is being made": ([], [pod(containerStatuses=[CREATING])], {}, None, ""),
}


@pytest.mark.parametrize(("conditions", "pods", "logs", "before", "message"), CASES.values(), ids=CASES)
async def test_it_says_why(
    conditions: list[Object], pods: list[Object], logs: dict[str, str | ApiError], before: JobFacts | None, message: str
) -> None:
    """Why it failed with the end of its log, or why it does not begin."""
    cluster: Any = Cluster()
    cluster.pods, cluster.logs = pods, logs
    cluster.ends(*conditions)
    found = await read_job(cluster, cluster.jobs["smoke-1"], before)

    assert found == JobFacts("smoke-1", JobState.FAILED if FAILED in conditions else JobState.RUNNING, message)


async def test_a_deadline_is_told_before_the_pods_are_gone() -> None:
    """The Job is about to fail: its pods still speak, so they are read now."""
    cluster: Any = Cluster()
    cluster.pods, cluster.logs = [pod()], {"smoke-1-x/proxy": "still waiting"}
    late = {"message": "Job was active longer than specified deadline", "status": "True"}
    cluster.ends({"type": "FailureTarget", **late})
    ending = await read_job(cluster, cluster.jobs["smoke-1"], None)
    cluster.pods = []
    cluster.ends({"type": "FailureTarget", **late}, {"type": "Failed", **late})
    ended = await read_job(cluster, cluster.jobs["smoke-1"], ending)

    assert (ending.state, ended.state) == (JobState.RUNNING, JobState.FAILED)
    assert ended.message == "Job was active longer than specified deadline; its log ends:\nstill waiting"


async def test_who_may_not_read_pods_hears_of_the_failure_all_the_same() -> None:
    """The verdict does not hang on the log."""
    cluster: Any = Cluster()
    cluster.ends(FAILED)
    job = cluster.jobs["smoke-1"]
    cluster.error = Forbidden(403, "Forbidden", "no pods for you")

    assert await read_job(cluster, job, None) == JobFacts(
        "smoke-1", JobState.FAILED, f"{TOLD}; its log cannot be read: 403 Forbidden: no pods for you"
    )
