"""What the gates say to every stage of a Pipeline: asked by the hub, and by whoever plans ahead, in the same way."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from ombak.core.conveyor import placement
from ombak.core.conveyor.merge import Merged
from ombak.core.conveyor.snapshot import GateAnswer, Held, PipelineView
from ombak.core.gates.facts import GateFacts
from ombak.core.gates.gate import Context, Moment

FactsFor = Callable[[str, Iterable[str]], GateFacts]
"""What is known of the gates of a namespace and of the Windows of these names."""


def stage_windows(made: Merged) -> Iterator[tuple[str, tuple[str, ...], timedelta]]:
    """Return for every stage its name, the Windows that hold for it, and for how long it bakes."""
    if made.spec is None:
        return
    for stage in made.spec.stages:
        windows = stage.windows if stage.windows is not None else made.spec.windows or []
        bake = stage.bake.for_ if stage.bake is not None else placement.default_bake(made.spec, stage)
        yield stage.name, tuple(windows), bake


def answers(
    pipeline: PipelineView, labels: Mapping[str, str], plans: Iterable[Merged], facts_for: FactsFor, now: datetime
) -> Iterator[GateAnswer]:
    """Ask the gates for every stage; of several plans the first one that has a stage says which Windows it has."""
    answered = set[str]()
    for made in plans:
        for stage, windows, bake in stage_windows(made):
            if stage in answered:
                continue
            answered.add(stage)
            context = Context(pipeline.namespace, pipeline.name, Moment.START, labels, bake, "ompl")
            held = facts_for(pipeline.namespace, windows).hold(context, now)
            if held is not None:
                told = (held.kind, held.what, held.who, held.command, held.since, held.expected, held.names)
                yield GateAnswer(stage, Held(*told))
