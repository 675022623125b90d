"""When news of boxes may be gathered for longer: while a batch comes up, nothing follows before it is complete."""

from collections.abc import Sequence

from ombak.core.memory import Mode
from ombak.runtime.known import Known
from ombak.runtime.records import WorkloadRecord


def awaits_more(known: Known, one_boxes: Sequence[WorkloadRecord], fleet: Sequence[WorkloadRecord]) -> bool:
    """Tell whether all boxes of a batch are asked for and some do not serve yet, or some that go are still there.

    On a way back, and while boxes are exchanged one for another, each box counts (P3). A box that is lost after its
    batch has served is a loss (P2). What others do to a set is put back at once, whatever comes up beside it.
    """
    release = known.memory.release
    if release is None or known.memory.reverting is not None or release.mode is Mode.BACK:
        return False
    workloads = (*one_boxes, *fleet)
    asked = sum(w.desired for w in workloads if w.artifact == release.artifact)
    is_exchange = asked < release.step.goal or sum(w.desired for w in workloads) > release.position.replicas
    if release.step.arrived_at is not None or is_exchange or _is_meddled_with(known, one_boxes, fleet):
        return False
    return not all(w.is_complete if w.artifact == release.artifact else w.is_settled for w in workloads)


def _is_meddled_with(known: Known, one_boxes: Sequence[WorkloadRecord], fleet: Sequence[WorkloadRecord]) -> bool:
    workloads = (*one_boxes, *fleet)
    is_edited = any(w.edits.fields or w.edits.labels for w in workloads)
    is_scaled = any(w.scaled_by for w in fleet) or any(w.scaled_by and w.desired != 1 for w in one_boxes)
    return is_edited or is_scaled or not known.children <= {w.meta.name for w in workloads}
