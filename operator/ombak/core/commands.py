"""The commands that lift a wait, or show what stands in its way, as a person would type them (P10)."""

import re
import shlex
from typing import Protocol

from ombak.core import naming
from ombak.core.snapshot import RolloutView, Snapshot

_KUBECTL = re.compile(r"(^|&& )kubectl (?!--context )")


def in_context(command: str, context: str) -> str:
    """Return a command with the context by which its cluster is reached: each kubectl of several, unless it has one."""
    if not context:
        return command
    return _KUBECTL.sub(lambda found: f"{found[1]}kubectl --context {shlex.quote(context)} ", command)


class Named(Protocol):
    """An object of which no more is known than where it is."""

    @property
    def namespace(self) -> str:
        """Where it is."""
        ...

    @property
    def name(self) -> str:
        """What it is called."""
        ...


def _kubectl(rollout: Named, verb: str) -> str:
    return f"kubectl -n {rollout.namespace} {verb} omr {rollout.name}"


def edit(rollout: Named) -> str:
    """Correct the spec."""
    return _kubectl(rollout, "edit")


def look(rollout: Named) -> str:
    """See all that is told of it, where no command by itself would lift a wait."""
    return _kubectl(rollout, "describe")


def look_at_boxes(rollout: RolloutView, artifact: str = "") -> str:
    """See why boxes do not serve; of one version, or of all."""
    return _describe(rollout, "pods", artifact)


def look_for_boxes(s: Snapshot, artifact: str) -> str:
    """See why boxes of a version do not serve; where none are made, no pod could tell, but whatever makes them does."""
    is_unmade = bool(s.unmade_of(artifact)) and not s.boxes_trouble.get(artifact)
    return _describe(s.rollout, "replicasets,deployments" if is_unmade else "pods", artifact)


def _describe(rollout: RolloutView, kinds: str, artifact: str) -> str:
    chosen = f"{naming.ROLLOUT}={rollout.name}" + (f",{naming.ARTIFACT}={artifact}" if artifact else "")
    return f"kubectl -n {rollout.namespace} describe {kinds} -l {chosen}"


def look_at_alarms(rollout: RolloutView) -> str:
    """See what alarms say: those that are Alarms, or where there are only signals, these."""
    if rollout.spec.alarms is None:
        return look(rollout)
    return f"kubectl -n {rollout.namespace} describe alarms"


def permit(rollout: RolloutView, artifact: str) -> str:
    """Let a version leave its one box."""
    return _kubectl(rollout, "annotate") + f" --overwrite {naming.PERMIT}={artifact}"


def unpause(rollout: RolloutView) -> str:
    """Lift `spec.paused`."""
    return _kubectl(rollout, "patch") + """ --type merge -p '{"spec":{"paused":false}}'"""


def scale_up(rollout: RolloutView) -> str:
    """Leave zero replicas."""
    return _kubectl(rollout, "scale") + " --replicas=1"


def delete(rollout: RolloutView, kind: str, name: str) -> str:
    """Remove an object beside the Rollout."""
    return f"kubectl -n {rollout.namespace} delete {kind.lower()} {name}"


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
