"""What the Rollouts of a file watch, as `ombak alarm eval` and `backtest` try it: expressions and signals."""

import dataclasses
from collections.abc import Iterator, Sequence

from ombak.alarms import parser, signals, template
from ombak.alarms.definition import Definition, ExpressionAlarm
from ombak.alarms.errors import AlarmError
from ombak.alarms.resolve import AlarmKey, Broken
from ombak.cli.alarm_files import RolloutManifest
from ombak.runtime.alarm_interest import Wanted
from ombak.runtime.alarm_reader import ONE_BOX, WatchName, own_wanted


@dataclasses.dataclass(frozen=True, slots=True)
class Watched:
    """One thing that a Rollout watches; `key` is what it is called, which no object can be."""

    key: AlarmKey
    wanted: Wanted

    @property
    def definition(self) -> Definition | Broken:
        """What it means in its context."""
        try:
            if self.wanted.own is not None:
                if problem := signals.problem_of((self.wanted.own.signal,)):
                    return Broken(problem.removeprefix("spec.signals[0]."))
                return signals.define_signal(self.wanted.own.signal, self.wanted.context)
            parsed = parser.parse(self.wanted.expression)
            return ExpressionAlarm(parsed.expression, parsed.warnings)
        except AlarmError as error:
            return Broken(str(error))


def watched_by(rollouts: Sequence[RolloutManifest], context: template.Context) -> Iterator[Watched]:
    """Everything that they watch, in the order of the file; artifact and region are those of `context`."""
    for rollout in rollouts:
        if rollout.spec is not None:
            found = own_wanted(rollout.namespace, rollout.name, rollout.spec, context.artifact, context.region)
            for name, one in found.items():
                alone = dataclasses.replace(one.context, crowd="", member="")  # there are no others to share with
                wanted = dataclasses.replace(one, context=alone)
                yield Watched(AlarmKey(rollout.namespace, f"{rollout.name} (Rollout) {_told(name)}"), wanted)


def _told(name: WatchName) -> str:
    if name.signal:
        return f"signal {name.signal} of {'the one box' if name.part == ONE_BOX else 'all boxes'}"
    return f"spec.alarms.{name.part}"
