"""The commands that lift a wait, as a person would type them (P10)."""

from ombak.core import naming
from ombak.core.snapshot import RolloutView


def _kubectl(rollout: RolloutView, verb: str) -> str:
    return f"kubectl -n {rollout.namespace} {verb} omr {rollout.name}"


def unpause(rollout: RolloutView) -> str:
    """Lift `spec.paused`."""
    return _kubectl(rollout, "patch") + """ --type merge -p '{"spec":{"paused":false}}'"""


def scale_up(rollout: RolloutView) -> str:
    """Leave zero replicas."""
    return _kubectl(rollout, "scale") + " --replicas=1"


def delete_config_map(rollout: RolloutView, name: str) -> str:
    """Make room for a copy under its name."""
    return f"kubectl -n {rollout.namespace} delete configmap {name}"


def abort(rollout: RolloutView, artifact: str) -> str:
    """Take back what is on its way."""
    return _kubectl(rollout, "annotate") + f" --overwrite {naming.ABORT}={artifact}"


def retry(rollout: RolloutView, artifact: str, retried: str) -> str:
    """Try a rejected version again."""
    return _kubectl(rollout, "annotate") + f" --overwrite {naming.RETRY}={next_retry(artifact, retried)}"


def next_retry(artifact: str, retried: str) -> str:
    """Return the value of `ombak.dev/retry` that was not used yet: an id, then `id.2`, `id.3`, ..."""
    if not retried:
        return artifact
    count = retried.partition(".")[2]
    return f"{artifact}.{int(count) + 1 if count.isdigit() else 2}"
