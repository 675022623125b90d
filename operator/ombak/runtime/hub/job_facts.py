"""What the Job of a test says: whether it ended and how, why it does not begin, and the end of its log."""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from ombak.api.wording import clause
from ombak.core.conveyor.snapshot import JobFacts, JobState
from ombak.runtime import kinds
from ombak.runtime.kube_port import ApiError, LogReader, Object, listed, mapping, metadata

LINES = 20
"""So many lines of the log are shown, and of them so many characters: a status is no place for a whole log."""
LONGEST = 700
_MOST_BYTES = 64 * 1024
_WITHIN = timedelta(seconds=5)
"""A verdict does not wait long for a log that nobody brings."""
_JOB_NAME = "batch.kubernetes.io/job-name"
_ENDING = ("Complete", "Failed", "FailureTarget")
_PATIENT = frozenset({"", "ContainerCreating", "PodInitializing"})
"""Reasons of waiting that say nothing."""


async def read_job(client: LogReader, found: Object, before: JobFacts | None) -> JobFacts:
    """Return what a Job says; `before` is what it said last, for a log may be gone when the Job has ended.

    What says neither Complete nor Failed is running. Raises `ApiError`.
    """
    name, conditions = str(found["metadata"]["name"]), _true_conditions(found)
    if "Complete" in conditions:
        return JobFacts(name, JobState.PASSED)
    if not conditions.keys() & set(_ENDING):
        is_up = mapping(found.get("status")).get("ready", 0)
        return JobFacts(name, JobState.RUNNING, "" if is_up else await _trouble(client, found))
    state = JobState.FAILED if "Failed" in conditions else JobState.RUNNING
    why = conditions.get("Failed") or conditions["FailureTarget"]
    told = clause(str(why.get("message") or why.get("reason") or "it failed"))
    tail = await _tail(client, found) or _known(before, told)
    return JobFacts(name, state, f"{told}; {tail}" if tail else told)


def _known(before: JobFacts | None, told: str) -> str:
    """What was known of it before, without what is said anew: its pods may be gone by now."""
    return before.message.removeprefix(told).removeprefix("; ") if before is not None else ""


def _true_conditions(found: Object) -> dict[str, Mapping[str, Any]]:
    conditions = map(mapping, listed(mapping(found.get("status")).get("conditions")))
    return {str(c.get("type")): c for c in conditions if c.get("status") == "True"}


async def _pods(client: LogReader, found: Object) -> list[Object]:
    """Return the pods of a Job, the newest first."""
    meta = found["metadata"]
    answer = await client.list(kinds.PODS, meta["namespace"], f"{_JOB_NAME}={meta['name']}", resource_version="")
    return sorted(answer["items"], key=lambda pod: str(metadata(pod).get("creationTimestamp")), reverse=True)


async def _trouble(client: LogReader, found: Object) -> str:
    """Return why the pod of a Job does not run, empty if nothing is known."""
    try:
        pods = await _pods(client, found)
    except ApiError:
        return ""
    return next(filter(None, map(_trouble_of, pods)), "")[:LONGEST]


def _trouble_of(pod: Object) -> str:
    for status in _containers(pod):
        waiting = mapping(mapping(status.get("state")).get("waiting"))
        reason, message = str(waiting.get("reason") or ""), clause(str(waiting.get("message") or ""))
        if reason not in _PATIENT:
            return f"{reason}: {message}" if message else reason
    conditions = map(mapping, listed(mapping(pod.get("status")).get("conditions")))
    unplaced = (c for c in conditions if (c.get("type"), c.get("status")) == ("PodScheduled", "False"))
    return next((clause(str(c.get("message") or c.get("reason") or "")) for c in unplaced), "")


async def _tail(client: LogReader, found: Object) -> str:
    """Return the end of the log of a Job that failed, or why it cannot be read; empty where there is none any more."""
    try:
        async with asyncio.timeout(_WITHIN.total_seconds()):
            for pod in await _pods(client, found):
                text = await _log(client, pod)
                if text:
                    return f"its log ends:\n{text[-LONGEST:].strip()}"
    except (ApiError, TimeoutError) as error:
        return f"its log cannot be read: {clause(str(error) or 'no answer')}"[:LONGEST]
    return ""


async def _log(client: LogReader, pod: Object) -> str:
    meta = metadata(pod)
    where = str(meta.get("namespace")), str(meta.get("name"))
    return (await client.log(*where, _spoken(pod), lines=LINES, most=_MOST_BYTES)).strip()


def _containers(pod: Object) -> Iterator[Mapping[str, Any]]:
    status = mapping(pod.get("status"))
    for kind in ("initContainerStatuses", "containerStatuses"):
        yield from map(mapping, listed(status.get(kind)))


def _spoken(pod: Object) -> str:
    """Return the container whose log tells why: the first one that failed, else the first one."""
    for status in _containers(pod):
        ended = mapping(mapping(status.get("state")).get("terminated"))
        if ended.get("exitCode"):
            return str(status.get("name"))
    containers = listed(mapping(pod.get("spec")).get("containers"))
    return str(mapping(containers[0]).get("name")) if containers else ""
