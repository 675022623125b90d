"""A Prometheus that serves several regions, cut down to one of them: matchers in every query, and in every alert."""

import dataclasses
from collections.abc import Mapping
from datetime import datetime, timedelta

from ombak.alarms.alerting import AlertRule, Instance
from ombak.alarms.enforce import Matchers, enforce
from ombak.alarms.errors import AlarmError
from ombak.runtime.metrics_port import MetricsSource, QueryError, QueryErrorKind, QueryResult, RulesResult


class ScopedSource:
    """Implements `MetricsSource` for one region of a Prometheus; what cannot be told apart is unknown, never good."""

    def __init__(self, source: MetricsSource, matchers: Mapping[str, str]) -> None:
        """`matchers` are labels and the values that every series of this region has."""
        self._source = source
        self._matchers: Matchers = tuple(sorted(matchers.items()))

    def use(self, source: MetricsSource, matchers: Mapping[str, str]) -> None:
        """Ask another one, or with other matchers, from the next question on."""
        self._source, self._matchers = source, tuple(sorted(matchers.items()))

    @property
    def matchers(self) -> Matchers:
        """What every selector gets."""
        return self._matchers

    @property
    def limit(self) -> timedelta:
        """See `MetricsSource.limit`."""
        return self._source.limit

    async def query_range(self, query: str, start: datetime, end: datetime, step: timedelta) -> QueryResult:
        """See `MetricsSource.query_range`."""
        return await self._source.query_range(self._own(query), start, end, step)

    async def query(self, query: str, at: datetime) -> QueryResult:
        """See `MetricsSource.query`."""
        return await self._source.query(self._own(query), at)

    async def has_series(self, selector: str, start: datetime, end: datetime) -> bool:
        """See `MetricsSource.has_series`."""
        return await self._source.has_series(self._own(selector), start, end)

    async def scrape_interval(self) -> timedelta | None:
        """See `MetricsSource.scrape_interval`; that of all regions together."""
        return await self._source.scrape_interval()

    async def alert_rules(self) -> RulesResult:
        """The rules without those, and without the alerts, of other regions."""
        found = await self._source.alert_rules()
        kept = [rule for rule in found.rules if self._is_not_elsewhere(rule.labels)]
        return dataclasses.replace(found, rules=tuple(map(self._cut_down, kept)))

    def _own(self, query: str) -> str:
        try:
            return enforce(query, self._matchers)
        except AlarmError as error:
            raise QueryError(QueryErrorKind.BAD_QUERY, str(error)) from None

    def _is_not_elsewhere(self, labels: Mapping[str, str]) -> bool:
        return all(labels.get(label, value) == value for label, value in self._matchers)

    def _cut_down(self, rule: AlertRule) -> AlertRule:
        """A rule with our alerts only; one that fires without saying where is broken for us."""
        instances = tuple(each for each in rule.instances if self._is_not_elsewhere({**rule.labels, **each.labels}))
        lost = sorted({label for each in instances for label in self._missing(rule, each)})
        if not lost:
            return dataclasses.replace(rule, instances=instances)
        problem = (
            f"it fires without the label {', '.join(lost)}, so nobody knows in which region: keep it in `by (...)`"
        )
        return dataclasses.replace(rule, instances=(), health="err", last_error=problem)

    def _missing(self, rule: AlertRule, alert: Instance) -> list[str]:
        told = {**rule.labels, **alert.labels}
        return [label for label, _ in self._matchers if alert.state != "inactive" and label not in told]
