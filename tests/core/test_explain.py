"""What is told of boxes that do not come up: enough to mend most of it without another command."""

from typing import Any

import pytest

from ombak.core.explain import explain_pods


def pod(state: dict[str, Any] | None = None, *, last: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    """A pod whose container `app` is in a state, or which has some other status."""
    if state is None:
        return {"status": status}
    container = {"name": "app", "state": state, "lastState": {"terminated": last or {}}}
    return {"status": {"phase": "Pending", "containerStatuses": [container]} | status}


def waits(reason: str, message: str = "", /, **last: Any) -> dict[str, Any]:
    """A pod whose container waits."""
    return pod({"waiting": {"reason": reason, "message": message}}, last=last)


UNSCHEDULED = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/6 nodes are free."}


@pytest.mark.parametrize(
    ("found", "told"),
    [
        pytest.param(
            waits("CreateContainerConfigError", 'secret "db" not found'),
            'CreateContainerConfigError of container app (secret "db" not found)',
            id="what-is-missing",
        ),
        pytest.param(
            waits("ErrImagePull", "rpc error:\n  web:2: not found."),
            "ErrImagePull of container app (rpc error: web:2: not found)",
            id="which-image",
        ),
        pytest.param(
            waits("CrashLoopBackOff", "back-off 5m0s restarting failed container=app pod=a-1", exitCode=1),
            "CrashLoopBackOff of container app, exit code 1",
            id="crash",
        ),
        pytest.param(
            waits("CrashLoopBackOff", "back-off", exitCode=137, reason="OOMKilled"),
            "CrashLoopBackOff of container app, exit code 137 (OOMKilled)",
            id="memory",
        ),
        pytest.param(
            pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory. "),
            "Evicted (The node was low on resource: memory)",
            id="evicted",
        ),
        pytest.param(pod(conditions=[UNSCHEDULED]), "Unschedulable: 0/6 nodes are free.", id="no-node"),
        pytest.param(pod({"running": {}}, phase="Running"), "not ready (Running)", id="probe"),
        pytest.param(waits("ErrImagePull", "x" * 999), f"ErrImagePull of container app ({'x' * 200})", id="long"),
    ],
)
def test_the_cause_is_told(found: dict[str, Any], told: str) -> None:
    """With what the node says, where that names what to mend."""
    assert explain_pods([found]) == f"1 x {told}"


def test_pods_with_one_trouble_are_counted_together() -> None:
    """Though each node says it in its own words; those of the first pod are quoted, and a pod that serves is none."""
    ready = pod(conditions=[{"type": "Ready", "status": "True"}])
    pulls = [waits("ErrImagePull", f"no space left on node-{n}") for n in range(3)]

    found = explain_pods([waits("CrashLoopBackOff", exitCode=2), *pulls, ready])

    assert found == (
        "3 x ErrImagePull of container app (no space left on node-0); "
        "1 x CrashLoopBackOff of container app, exit code 2"
    )


def test_nothing_is_told_of_pods_that_serve() -> None:
    """Nor of none at all."""
    assert explain_pods([pod(conditions=[{"type": "Ready", "status": "True"}])]) == ""
    assert explain_pods([]) == ""
