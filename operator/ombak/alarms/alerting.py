"""Alerting rules that a Prometheus has: read as they are, and unknown where they say nothing (alarms-and-judge.md B3).

The series `ALERTS` cannot tell a healthy rule from one that does not exist, was never evaluated or fails; what the
rules API says can.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType

from ombak.alarms import lookback
from ombak.alarms.errors import AlarmError
from ombak.alarms.verdict import Certainty, Contributor, State, Verdict, unknown_verdict

STALE_AFTER = 3
"""Intervals of its group after which a rule that was not evaluated is late."""
_SLACK = timedelta(seconds=5)
USUAL_LOOKBACK = timedelta(minutes=5)
"""A plain selector takes a sample that is so old, by Prometheus' default."""
_MOST_NAMED = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Instance:
    """One alert of a rule: `state` is firing, pending or inactive."""

    labels: Mapping[str, str]
    state: str


@dataclasses.dataclass(frozen=True, slots=True)
class Uptime:
    """Since when a Prometheus runs, None if it does not say; and how long it has to before its rules count."""

    since: datetime | None = None
    least: timedelta = timedelta(0)


@dataclasses.dataclass(frozen=True, slots=True)
class AlertRule:
    """An alerting rule as the rules API shows it.

    `health` is ok, err or unknown; `last_evaluation` is None if there never was one; `holds` is its `for`.
    """

    group: str
    name: str
    labels: Mapping[str, str]
    query: str
    health: str
    last_error: str
    last_evaluation: datetime | None
    interval: timedelta
    holds: timedelta
    instances: Sequence[Instance] = ()

    @property
    def time_to_fire(self) -> timedelta:
        """From the first bad evaluation until it fires, with the wait for that evaluation."""
        return self.interval + self.holds

    @property
    def lookback(self) -> timedelta:
        """How far back an evaluation reads."""
        try:
            return lookback.lookback(self.query)
        except AlarmError:
            return USUAL_LOOKBACK

    def problem(self, now: datetime) -> str:
        """Why nothing can be concluded from it, empty if something can."""
        if self.last_evaluation is None:
            return f"rule {self.name!r} was never evaluated"
        if self.health != "ok":
            return f"rule {self.name!r} is broken ({self.last_error or f'health {self.health}'})"
        age = now - self.last_evaluation
        if age > STALE_AFTER * self.interval + _SLACK:
            last, each = f"{age.total_seconds():.0f} s ago", f"{self.interval.total_seconds():g} s"
            return f"rule {self.name!r} was last evaluated {last}, it should be every {each}"
        return ""

    def is_too_early(self, uptime: Uptime) -> str:
        """Why a Prometheus that just came cannot know better, empty if it can: its store may be empty.

        Without data a rule is inactive and in good health, or fires because of `absent()`.
        """
        if uptime.since is None or self.last_evaluation is None:
            return ""
        needed = max(uptime.least, STALE_AFTER * self.interval, self.lookback + self.holds)
        seen = self.last_evaluation - uptime.since
        if seen >= needed:
            return ""
        return (
            f"rule {self.name!r} is not relied upon until {needed.total_seconds():.0f} s after Prometheus started, "
            f"its store may have been empty"
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Selector:
    """Which rules an Alarm means; `labels` are those of the rule, an empty `name` is any."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()

    def matches(self, rule: AlertRule) -> bool:
        """Whether the rule is meant."""
        named = not self.name or rule.name == self.name
        return named and all(rule.labels.get(label) == value for label, value in self.labels)

    def __str__(self) -> str:
        """The selector as people read it."""
        pairs = ", ".join(f'{label}="{value}"' for label, value in self.labels)
        return f"{self.name}{{{pairs}}}" if pairs else self.name


@dataclasses.dataclass(frozen=True, slots=True)
class RuleResult:
    """What the rules of a selector say together; `why` says why they say nothing, empty if they do."""

    state: State
    certainty: Certainty
    contributors: tuple[str, ...]
    unknown: tuple[str, ...]
    evaluated_at: datetime | None
    window: timedelta
    message: str
    time_to_alarm: timedelta | None = None
    interval: timedelta = timedelta(0)

    def verdict(self, name: str) -> Verdict:
        """The verdict for an alarm of this name."""
        if self.evaluated_at is None:
            return unknown_verdict(name, "; ".join(self.unknown))
        return Verdict(
            state=self.state,
            certainty=self.certainty,
            evaluated_at=self.evaluated_at,
            window=self.window,
            contributors=self.contributors,
            unknown=tuple(f"{name}: {why}" for why in self.unknown),
            message=f"{name}: {self.message}",
            causes=tuple(Contributor(name, alert) for alert in self.contributors),
            unclear=(name,) if self.unknown else (),
        )


_LONG = Uptime()


def judge(
    selector: Selector,
    rules: Iterable[AlertRule],
    now: datetime,
    uptime: Uptime = _LONG,
    ages: Mapping[tuple[str, datetime], timedelta] = MappingProxyType({}),
) -> RuleResult:
    """The OR over the rules that are meant: `now` is the moment of the answer, by the clock of the Prometheus.

    `ages`: how old the samples of plain selectors were, by query and evaluation, as far as it is known.
    One that fires and is healthy makes it ALARM; else one of which nothing is known makes it unknown.
    """
    meant = [rule for rule in rules if selector.matches(rule)]
    if not meant:
        return _nothing((f"no alerting rule {selector} is loaded",))
    broken = {id(rule): why for rule in meant if (why := rule.problem(now) or rule.is_too_early(uptime))}
    sound = [rule for rule in meant if id(rule) not in broken]
    firing = [(rule, instance) for rule in sound for instance in rule.instances if instance.state == "firing"]
    problems = tuple(broken.values())
    if problems and not firing:
        return _nothing(problems)
    used = [rule for rule, _ in firing] or sound
    return RuleResult(
        state=State.ALARM if firing else State.OK,
        certainty=Certainty.Certain,
        contributors=tuple(dict.fromkeys(_named(rule, instance) for rule, instance in firing)),
        unknown=problems,
        evaluated_at=min(rule.last_evaluation for rule in used if rule.last_evaluation is not None),
        window=max(_window(rule, ages) for rule in used),
        message=_message(sound, firing),
        time_to_alarm=max(rule.time_to_fire for rule in meant),
        interval=max(rule.interval for rule in meant),
    )


def _nothing(why: tuple[str, ...]) -> RuleResult:
    return RuleResult(
        State.INSUFFICIENT_DATA, Certainty.Uncertain, (), why, evaluated_at=None, window=timedelta(0), message=""
    )


def _window(rule: AlertRule, ages: Mapping[tuple[str, datetime], timedelta]) -> timedelta:
    """How far back the data of an evaluation reaches; while one is pending, it must have had the time to fire."""
    is_pending = any(each.state == "pending" for each in rule.instances)
    age = timedelta(0) if rule.last_evaluation is None else ages.get((rule.query, rule.last_evaluation), timedelta(0))
    return rule.lookback + age + (rule.time_to_fire if is_pending else timedelta(0))


def _named(rule: AlertRule, instance: Instance) -> str:
    own = {label: value for label, value in sorted(instance.labels.items()) if label != "alertname"}
    pairs = ", ".join(f'{label}="{value}"' for label, value in own.items() if rule.labels.get(label) != value)
    return f"{rule.name}{{{pairs}}}"


def _message(sound: Sequence[AlertRule], firing: Sequence[tuple[AlertRule, Instance]]) -> str:
    if firing:
        named = list(dict.fromkeys(_named(rule, instance) for rule, instance in firing))
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        return f"{', '.join(named[:_MOST_NAMED])}{more} firing"
    pending = sum(each.state == "pending" for rule in sound for each in rule.instances)
    rules = "the rule" if len(sound) == 1 else f"all {len(sound)} rules"
    return f"no alert of {rules} fires" + (f", {pending} pending" if pending else "")
