"""What a Prometheus answers, read; whatever does not fit raises KeyError, TypeError or ValueError."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from ombak.alarms.alerting import AlertRule, Instance
from ombak.api.duration import parse_duration
from ombak.runtime.metrics_port import Series

_NEVER = datetime(1, 1, 2, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_series(result: Any) -> tuple[Series, ...]:
    """The series of a matrix, a vector or a scalar."""
    if result and not isinstance(result[0], dict):
        return (Series({}, (_point(result),)),)
    return tuple(
        Series(dict(one["metric"]), tuple(map(_point, one["values"] if "values" in one else (one["value"],))))
        for one in result
    )


def _point(pair: Any) -> tuple[float, float]:
    moment, value = pair
    return float(moment), float(value)


def read_alert_rules(body: Mapping[str, Any]) -> tuple[AlertRule, ...]:
    """The alerting rules of `/api/v1/rules`."""
    return tuple(
        _read_rule(rule, group)
        for group in body["data"]["groups"]
        for rule in group["rules"]
        if rule.get("type", "alerting") == "alerting"
    )


def _read_rule(rule: Mapping[str, Any], group: Mapping[str, Any]) -> AlertRule:
    return AlertRule(
        group=str(group["name"]),
        name=str(rule["name"]),
        labels=dict(rule.get("labels") or {}),
        query=str(rule["query"]),
        health=str(rule.get("health") or "unknown"),
        last_error=str(rule.get("lastError") or ""),
        last_evaluation=_read_moment(rule.get("lastEvaluation")),
        interval=timedelta(seconds=float(group["interval"])),
        holds=timedelta(seconds=float(rule.get("duration") or 0)),
        instances=tuple(Instance(dict(each["labels"]), str(each["state"])) for each in rule.get("alerts") or ()),
    )


def _read_moment(text: str | None) -> datetime | None:
    """A moment; Go writes the year 1 for never."""
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment > _NEVER else None


def read_start_time(body: Mapping[str, Any]) -> datetime | None:
    """Since when a Prometheus runs, from `/api/v1/status/runtimeinfo`."""
    return _read_moment(body["data"].get("startTime"))


def read_oldest_sample(body: Mapping[str, Any]) -> datetime | None:
    """The oldest sample in memory, from `/api/v1/status/tsdb`; None if there is none yet."""
    head = body["data"]["headStats"]
    try:
        return _EPOCH + timedelta(milliseconds=int(head["minTime"])) if head["numSeries"] else None
    except OverflowError:  # Go's greatest number, where there are series without a sample
        return None


def read_scrape_interval(body: Mapping[str, Any]) -> timedelta | None:
    """The interval at which all targets of `/api/v1/targets` are scraped; None if they differ or do not say."""
    found = {target.get("scrapeInterval") for target in body["data"]["activeTargets"]}
    only = found.pop() if len(found) == 1 else None
    return None if only is None else parse_duration(only)


def read_http_date(text: str | None) -> datetime | None:
    """The moment in a `Date` header; None if it is missing or not one."""
    try:
        return None if text is None else parsedate_to_datetime(text)
    except ValueError:
        return None
