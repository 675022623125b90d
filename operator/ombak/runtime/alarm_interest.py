"""Who wants to know which expression, and on which questions to a Prometheus that rests."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from ombak.alarms import alerting, lookback, metric, parser, resolve, template, zoned
from ombak.alarms.definition import REGION, Definition, LeafAlarm, MetricAlarm, RuleAlarm
from ombak.alarms.errors import AlarmError
from ombak.alarms.resolve import AlarmKey, Registry, Resolution
from ombak.alarms.signals import alarm_name, define_signal
from ombak.alarms.syntax import Is, Ref, in_region, print_expression
from ombak.alarms.verdict import Certainty, State, Verdict, unknown_verdict
from ombak.api.signal import Signal
from ombak.runtime.alarm_queries import Pace, QueryKey, RulesKey, View

DEFAULT_ENDPOINT = REGION
"""The Prometheus of the region, where an Alarm names none."""


@dataclass(frozen=True, slots=True)
class SignalAlarm:
    """The alarm that a signal makes; `key` is the name that its expression gives it, which no object can have."""

    key: AlarmKey
    signal: Signal


@dataclass(frozen=True, slots=True)
class Wanted:
    """An expression, the namespace in which its references are written, and the values for its templates."""

    expression: str
    namespace: str
    context: template.Context
    own: SignalAlarm | None = None
    """What the name in the expression means, where it means no Alarm object but a signal of the Rollout."""


@dataclass(frozen=True, slots=True)
class Common:
    """A question asked for many at once, and whose share of the answer is that of the own question."""

    query: QueryKey
    member: str


@dataclass(frozen=True, slots=True)
class MetricLeaf:
    """A metric alarm in one context: its own query, the rule to judge it by, and what counts its samples.

    With `common` the same answer is to be had together with others.
    """

    query: QueryKey
    rule: metric.Rule
    samples: "MetricLeaf | None" = None
    common: Common | None = None

    @property
    def alone(self) -> "MetricLeaf":
        """The same, asked by its own query."""
        return replace(self, common=None)

    @property
    def asked(self) -> QueryKey:
        """What is asked for it."""
        return self.query if self.common is None else self.common.query

    @property
    def view(self) -> View:
        """What it looks at in the answer."""
        return View(self.rule, "" if self.common is None else self.common.member)

    @property
    def parts(self) -> tuple["MetricLeaf", ...]:
        """The questions, each by itself."""
        return (self,) if self.samples is None else (replace(self, samples=None), self.samples)


@dataclass(frozen=True, slots=True)
class RuleLeaf:
    """Alerting rules of one Prometheus."""

    query: RulesKey
    rule: alerting.Selector

    @property
    def asked(self) -> RulesKey:
        """The rules of its Prometheus."""
        return self.query

    @property
    def view(self) -> alerting.Selector:
        """Its own rules among them."""
        return self.rule

    @property
    def parts(self) -> tuple["RuleLeaf", ...]:
        """The one question."""
        return (self,)


Leaf: TypeAlias = MetricLeaf | RuleLeaf
"""What an alarm asks of a Prometheus."""


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
        return frozenset({*r.leaves, *r.expressions, *r.unknown})


@dataclass(slots=True)
class Watch:
    """What one watcher wants, by the names it gave, and how urgently."""

    key: Hashable
    wanted: Mapping[str, Wanted]
    pace: Pace
    bound: Mapping[str, Bound]

    @property
    def is_active(self) -> bool:
        """Whether a release of it is under way."""
        return self.pace is Pace.RELEASE

    @property
    def questions(self) -> frozenset[Leaf]:
        """Everything to be asked for it."""
        leaves = (leaf for bound in self.bound.values() for leaf in bound.leaves.values())
        return frozenset(part for leaf in leaves for part in leaf.parts)


LeafVerdict = Callable[[AlarmKey, Leaf, str], Verdict]
"""The verdict on the leaf of an alarm, which is called by this name."""


def bind(wanted: Wanted, registry: Registry, region: str | None = None) -> Bound:
    """Resolve an expression against the Alarms there are; never raises, what is wrong makes it unknown."""
    try:
        expression = in_region(parser.parse(wanted.expression).expression, region)
    except AlarmError as error:
        return Bound(None, {}, {}, str(error))
    if wanted.own is not None:
        registry = {wanted.own.key: _defined(wanted.own, wanted.context)}
    resolution = zoned.resolve_in_zones(expression, wanted.namespace, registry, wanted.context)
    leaves, problems = {}, {}
    for key, alarm in resolution.leaves.items():
        try:
            leaves[key] = leaf_of(alarm, zoned.context_of(key, wanted.context))
        except AlarmError as error:
            problems[key] = str(error)
    return Bound(resolution, leaves, problems)


def _defined(own: SignalAlarm, context: template.Context) -> Definition | resolve.Broken:
    try:
        return define_signal(own.signal, context)
    except AlarmError as error:
        return resolve.Broken(str(error))


def wanted_signal(signal: Signal, context: template.Context, whose: str) -> Wanted:
    """A signal as something to watch; `whose` says of what, for people: `OF_ALL_BOXES`."""
    name = alarm_name(signal.name, whose)
    key = AlarmKey(context.namespace, name)
    return Wanted(print_expression(Is(State.ALARM, Ref(name))), context.namespace, context, SignalAlarm(key, signal))


def leaf_of(alarm: LeafAlarm, context: template.Context) -> Leaf:
    """What an alarm asks in this context; raises AlarmError where that is no query because of the context."""
    if isinstance(alarm, RuleAlarm):
        return RuleLeaf(RulesKey(alarm.source), alarm.selector)
    text = _checked(template.render(alarm.query, context, alarm.period))
    query = QueryKey(alarm.source, text, alarm.period)
    return MetricLeaf(
        query, alarm.rule, _samples(alarm, context), _common(alarm, alarm.crowd.query if alarm.crowd else "")
    )


def _common(alarm: MetricAlarm, text: str) -> Common | None:
    if alarm.crowd is None or not text:
        return None
    try:
        _checked(text)
    except AlarmError:  # longer than a query may be, by what tells them apart
        return None
    return Common(QueryKey(alarm.source, text, alarm.period), alarm.crowd.member)


def _samples(alarm: MetricAlarm, context: template.Context) -> MetricLeaf | None:
    if alarm.samples is None:
        return None
    rule = alarm.samples.rule
    # The line ends keep a comment at the end of the query from swallowing the bracket.
    text = _checked(f"sum(\n{template.render(alarm.samples.query, context, alarm.samples.window)}\n)")
    common = _common(alarm, alarm.crowd.samples if alarm.crowd else "")
    return MetricLeaf(QueryKey(alarm.source, text, alarm.period), rule, common=common)


def _checked(text: str) -> str:
    """The text, if it is a query with the values of this context too: what is asked of it later raises nothing then."""
    lookback.lookback(text)
    return text


def leaf_verdicts(wanted: Wanted, bound: Bound, verdict_of: LeafVerdict) -> dict[AlarmKey, Verdict]:
    """The verdicts on the alarms of a Prometheus that an expression rests on."""
    verdicts = {}
    for key in {*bound.leaves, *bound.problems}:
        name = key.seen_from(wanted.namespace)
        leaf = bound.leaves.get(key)
        verdicts[key] = unknown_verdict(name, bound.problems[key]) if leaf is None else verdict_of(key, leaf, name)
    return verdicts


def guarded(own: Verdict, counted: Verdict, name: str, found: float | None, needed: float) -> Verdict:
    """A verdict that holds only if enough samples stand behind it; `counted` is in ALARM if there are too few."""
    if own.evaluated_at is None:
        return own
    if counted.evaluated_at is None or counted.is_unknown:
        why = "; ".join(line.partition(": ")[2] for line in counted.unknown) or "nothing is known of them"
        return unknown_verdict(name, f"its samples cannot be counted, {why}")
    both = replace(
        own, evaluated_at=min(own.evaluated_at, counted.evaluated_at), window=max(own.window, counted.window)
    )
    if counted.is_alarm:
        return held_back(both, name, f"has {0 if found is None else found:.6g} samples, {needed:g} are needed")
    return both


def held_back(own: Verdict, name: str, why: str) -> Verdict:
    """The verdict on an alarm that was evaluated, but has not the right to a state yet."""
    if own.evaluated_at is None:
        return own
    return replace(
        own,
        state=State.INSUFFICIENT_DATA,
        certainty=Certainty.Certain,
        contributors=(),
        unknown=(f"{name}: {why}",),
        message=f"{name} {why}",
        causes=(),
        unclear=(name,),
    )
