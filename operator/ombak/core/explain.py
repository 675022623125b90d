"""Why boxes do not come up, told from their pods."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ombak.api.wording import clause

_MOST = 3
_LONGEST = 200
"""Characters of what a node says; the rest is in `kubectl describe`."""
_SAYS_NOTHING = ("CrashLoopBackOff", "ContainerCreating", "PodInitializing")
"""Reasons whose message says no more than they do, or only names the pod."""


def explain_pods(pods: Iterable[Mapping[str, Any]]) -> str:
    """Return one short sentence with the commonest troubles of pods that are not ready, empty if none has any.

    Pods with one trouble are counted together, though a node may tell of each in other words: those of one are quoted.
    """
    found = [trouble for pod in pods if (trouble := _trouble(pod))[0]]
    words = dict(reversed(found))
    troubles = Counter(what for what, _ in found).most_common(_MOST)
    return "; ".join(f"{count} x {what}{words[what]}" for what, count in troubles)


def explain_none(count: int) -> str:
    """Return what to say of so many pods of which none has any trouble, where boxes were too late."""
    if not count:
        return "0 pods of it are there: its controller has made none in time"
    return f"{count} pods of it are there, and ready by now"


def _trouble(pod: Mapping[str, Any]) -> tuple[str, str]:
    """Return what ails a pod, empty if nothing does, and the words of whoever knows more."""
    status = pod.get("status") or {}
    conditions = {c.get("type"): c for c in status.get("conditions") or ()}
    if (conditions.get("Ready") or {}).get("status") == "True":
        return "", ""
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        if (trouble := _of_container(container))[0]:
            return trouble
    scheduled = conditions.get("PodScheduled") or {}
    if scheduled.get("status") == "False":
        return f"{scheduled.get('reason', 'Unschedulable')}: {scheduled.get('message', '')}".strip(": "), ""
    if status.get("reason"):  # it was evicted, or its node shut down
        return str(status["reason"]), _quoted(status)
    return f"not ready ({status.get('phase', 'Unknown')})", ""


def _of_container(container: Mapping[str, Any]) -> tuple[str, str]:
    waiting = (container.get("state") or {}).get("waiting") or {}
    ended = (container.get("lastState") or {}).get("terminated") or {}
    if not waiting.get("reason"):
        return "", ""
    code = f", exit code {ended['exitCode']}" if "exitCode" in ended else ""
    killed = " (OOMKilled)" if ended.get("reason") == "OOMKilled" else ""
    what = f"{waiting['reason']} of container {container.get('name')}{code}{killed}"
    return what, "" if waiting["reason"] in _SAYS_NOTHING else _quoted(waiting)


def _quoted(told: Mapping[str, Any]) -> str:
    message = clause(" ".join(str(told.get("message") or "").split())[:_LONGEST])
    return f" ({message})" if message else ""
