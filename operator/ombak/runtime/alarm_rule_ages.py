"""How old the samples were that an alerting rule was evaluated by; asked while a release waits for its evidence.

A plain selector takes the last sample of up to five minutes, as in a query of ours (see `freshness`). Where it is not
told how old that was, it counts as that old.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from ombak.alarms import freshness
from ombak.alarms.alerting import USUAL_LOOKBACK, AlertRule
from ombak.runtime.alarm_asking import Asker
from ombak.runtime.alarm_queries import QueryKey, SharedRules, oldest_age
from ombak.runtime.metrics_port import QueryError

Ages = Mapping[tuple[str, datetime], timedelta]
"""By the query of a rule and the moment of its evaluation."""


async def ages(asker: Asker, rules: SharedRules, answered: Sequence[AlertRule]) -> Ages:
    """The ages for every rule that a release rests on; one evaluation is asked about once."""
    selectors = [selector for selector, state in rules.rules.items() if state.watchers & rules.active]
    found: dict[tuple[str, datetime], timedelta] = {}
    for rule in answered:
        at = rule.last_evaluation
        if at is not None and any(selector.matches(rule) for selector in selectors):
            known = rules.ages.get((rule.query, at))
            found[rule.query, at] = await _age(asker, rules, rule.query, at) if known is None else known
    return found


async def _age(asker: Asker, rules: SharedRules, query: str, at: datetime) -> timedelta:
    try:
        times = freshness.oldest_query(query)
        answer = await asker.once(QueryKey(rules.key.endpoint, times, rules.key.period), at) if times else None
    except (QueryError, ValueError):  # the rule may be written in a PromQL that is newer than our parser
        return USUAL_LOOKBACK
    return timedelta(0) if answer is None else oldest_age(answer)
