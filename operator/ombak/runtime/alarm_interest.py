"""Who wants to know which expression, and on which rendered queries that rests."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

from ombak.alarms import metric, parser, resolve, template
from ombak.alarms.definition import MetricAlarm
from ombak.alarms.errors import AlarmError
from ombak.alarms.resolve import AlarmKey, Registry, Resolution
from ombak.alarms.verdict import Verdict, unknown_verdict
from ombak.runtime.alarm_queries import QueryKey

DEFAULT_ENDPOINT = ""
"""The Prometheus of the region, where an Alarm names none."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An expression, the namespace in which its references are written, and the values for its templates."""

    expression: str
    namespace: str
    context: template.Context


@dataclass(frozen=True, slots=True)
class Leaf:
    """A metric alarm in one context: the query to ask and the rule to judge it by."""

    query: QueryKey
    rule: metric.Rule


@dataclass(frozen=True, slots=True)
class Bound:
    """A wanted expression, resolved: its leaves by alarm, and why the others have none."""

    resolution: Resolution | None
    leaves: Mapping[AlarmKey, Leaf]
    problems: Mapping[AlarmKey, str]
    error: str = ""

    @property
    def alarms(self) -> frozenset[AlarmKey]:
        """Every Alarm object, also a missing one, whose change changes this."""
        if self.resolution is None:
            return frozenset()
        r = self.resolution
        return frozenset({*r.metrics, *r.expressions, *r.unknown})


@dataclass(slots=True)
class Watch:
    """What one watcher wants, by the names it gave, and how urgently."""

    key: Hashable
    wanted: Mapping[str, Wanted]
    is_active: bool
    bound: Mapping[str, Bound]

    @property
    def leaves(self) -> frozenset[Leaf]:
        """Everything to be evaluated for it."""
        return frozenset(leaf for bound in self.bound.values() for leaf in bound.leaves.values())


LeafVerdict = Callable[[Leaf, str], Verdict]
"""The verdict on a leaf, for an alarm of this name."""


def bind(wanted: Wanted, registry: Registry) -> Bound:
    """Resolve an expression against the Alarms there are; never raises, what is wrong makes it unknown."""
    try:
        expression = parser.parse(wanted.expression).expression
    except AlarmError as error:
        return Bound(None, {}, {}, str(error))
    resolution = resolve.resolve(expression, wanted.namespace, registry)
    leaves, problems = {}, {}
    for key, alarm in resolution.metrics.items():
        try:
            leaves[key] = _leaf(alarm, wanted.context)
        except AlarmError as error:
            problems[key] = str(error)
    return Bound(resolution, leaves, problems)


def _leaf(alarm: MetricAlarm, context: template.Context) -> Leaf:
    text = template.render(alarm.query, context, alarm.period)
    return Leaf(QueryKey(DEFAULT_ENDPOINT, text, alarm.period, alarm.rule.points), alarm.rule)


def leaf_verdicts(wanted: Wanted, bound: Bound, verdict_of: LeafVerdict) -> dict[AlarmKey, Verdict]:
    """The verdicts on the metric alarms that an expression rests on."""
    verdicts = {}
    for key in {*bound.leaves, *bound.problems}:
        name = key.seen_from(wanted.namespace)
        leaf = bound.leaves.get(key)
        verdicts[key] = unknown_verdict(name, bound.problems[key]) if leaf is None else verdict_of(leaf, name)
    return verdicts
