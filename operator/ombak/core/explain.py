"""Why boxes do not come up, told from their pods."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

_MOST = 3


def explain_pods(pods: Iterable[Mapping[str, Any]]) -> str:
    """Return one short sentence with the commonest troubles of pods that are not ready, empty if none has any."""
    troubles = Counter(filter(None, (_trouble(pod) for pod in pods)))
    return "; ".join(f"{count} x {what}" for what, count in troubles.most_common(_MOST))


def _trouble(pod: Mapping[str, Any]) -> str:
    status = pod.get("status") or {}
    conditions = {c.get("type"): c for c in status.get("conditions") or ()}
    if (conditions.get("Ready") or {}).get("status") == "True":
        return ""
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (container.get("state") or {}).get("waiting") or {}
        ended = (container.get("lastState") or {}).get("terminated") or {}
        if waiting.get("reason"):
            code = f", exit code {ended['exitCode']}" if "exitCode" in ended else ""
            return f"{waiting['reason']} of container {container.get('name')}{code}"
    scheduled = conditions.get("PodScheduled") or {}
    if scheduled.get("status") == "False":
        return f"{scheduled.get('reason', 'Unschedulable')}: {scheduled.get('message', '')}".strip(": ")
    return f"not ready ({status.get('phase', 'Unknown')})"
