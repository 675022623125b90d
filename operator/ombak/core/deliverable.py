"""What is wrong with a Rollout's spec that can be read, and that no schema can tell (P9)."""

import functools

from ombak.alarms import parser, signals
from ombak.alarms.errors import AlarmError
from ombak.api.rollout import RolloutSpec
from ombak.core import config


def problem_of(spec: RolloutSpec) -> str:
    """Return what is wrong with the alarm expressions, the signals or `config`, with the field; empty if nothing is."""
    return _unwatchable(spec) or config.unused(spec)


def _unwatchable(spec: RolloutSpec) -> str:
    alarms = spec.alarms
    expressions = (("revert", alarms.revert), ("oneBox", alarms.one_box)) if alarms is not None else ()
    for field, text in expressions:
        problem = _expression_problem(text) if text is not None else ""
        if problem:
            return f"spec.alarms.{field} is no alarm expression; correct it: {problem}"
    return signals.problem_of(spec.signals or ())


@functools.lru_cache(maxsize=1024)
def _expression_problem(text: str) -> str:
    try:
        parser.parse(text)
    except AlarmError as error:
        return str(error)
    return ""
