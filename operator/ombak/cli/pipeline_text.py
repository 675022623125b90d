"""`ombak pipeline show` for a person: stages and regions, what is on its way, what waits for what, and what helps."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from ombak.api.duration import format_duration
from ombak.api.wording import clause
from ombak.core.commands import in_context
from ombak.core.conveyor.provenance import sentence
from ombak.runtime.decode_alarm import moment_of
from ombak.runtime.kube_port import listed, mapping

_MARKS = {
    "Stable": "●",
    "Moving": "◐",
    "Held": "◌",
    "Busy": "◌",
    "Edited": "!",
    "TakenBack": "✗",
    "Conflict": "✗",
    "SameCluster": "✗",
    "Unknown": "?",
    "Later": "●",
    "Rejected": "!",
}
_NOTHING = "○"
_WIDTH = 118
_HOUR, _MINUTE = timedelta(hours=1), timedelta(minutes=1)
Part = Mapping[str, Any]


def pipeline_lines(found: Part, now: datetime, context: str = "") -> Iterator[str]:
    """A Pipeline as its status tells it; `context` is that by which the hub is reached, for its commands."""
    meta, status = mapping(found.get("metadata")), mapping(found.get("status"))
    if not status:
        yield f"Pipeline {meta.get('name')}: no hub has looked at it yet; is one running with --hub?"
        return
    yield f"Pipeline {meta.get('name')}: {status.get('reason') or 'Idle'}"
    if status.get("message"):
        yield from (f"  {line}" for line in str(status["message"]).splitlines())
    if status.get("observedGeneration") != meta.get("generation"):
        yield "  (the hub has not seen the newest spec yet)"
    travelling = _parts(status, "travelling")
    yield from (f"  {told}" for told in map(_origin, travelling[-1:]) if told)
    yield ""
    waits, stages = _parts(status, "waitingFor"), _parts(status, "stages")
    for stage in stages:
        yield from _stage(stage, waits, now)
    last = stages[-1].get("name") if stages else ""
    yield from _travelling([t for t in travelling if not _is_done(t, last)], now)
    yield from _waits(waits, now, context)
    yield from _override(mapping(status.get("override")), meta, context)
    untrue = {c.get("type"): c.get("message") for c in _parts(status, "conditions") if c.get("status") == "False"}
    if "Applied" in untrue:
        yield f"could not be written: {untrue['Applied']}"
    if "CommandHeard" in untrue:
        yield f"the last command had no effect: {untrue['CommandHeard']}"


def _parts(status: Part, name: str) -> list[Part]:
    return [mapping(part) for part in listed(status.get(name))]


def _stage(stage: Part, waits: Sequence[Part], now: datetime) -> Iterator[str]:
    batch = f", {stage['batch']} changes at once" if stage.get("batch", 0) > 1 else ""
    content = f"  {stage['artifact']}{batch}{_since(stage, now)}" if stage.get("artifact") else ""
    yield f"{stage.get('name'):<16} {stage.get('state'):<10}{content}"
    told = [(_standing(region, stage, waits, now), str(region.get("name"))) for region in _parts(stage, "regions")]
    for (mark, state, rest), group in groupby(sorted(told), key=lambda pair: pair[0]):
        names = ", ".join(name for _, name in group)
        first, *others = textwrap.wrap(f"{names}{rest}", _WIDTH - 29, break_long_words=False)
        yield f"  {mark} {state:<24} {first}"
        yield from (f"{'':<29}{line}" for line in others)


def _standing(region: Part, stage: Part, waits: Sequence[Part], now: datetime) -> tuple[str, str, str]:
    """The mark, the state, and what else there is to say of a region; those of which it is the same go together."""
    state = str(region.get("state"))
    phase = f" ({region['phase']})" if region.get("phase") and state != "Stable" else ""
    other = region.get("artifact", "") if region.get("artifact") != stage.get("artifact") else ""
    runs = f", asked for {other}" if other else ""
    place = (stage.get("name"), region.get("name"))
    wait = next((w for w in waits if (w.get("stage"), w.get("region")) == place), {})
    until = moment_of(wait.get("expected"))
    left = f", {_length(until - now)} left" if until is not None and until > now else ""
    return _MARKS.get(state, _NOTHING), f"{state}{phase}", f"{runs}{left}"


def _is_done(item: Part, last: object) -> bool:
    return item.get("state") != "Inside" and item.get("stage") == last


def _origin(item: Part) -> str:
    """Since when the Pipeline asks for a change, and who made it, as far as that is known (R97)."""
    began = moment_of(item.get("began"))
    if began is None:
        return ""
    when = f"change {item.get('sequence')}, of {began.astimezone(UTC):%Y-%m-%d %H:%M}Z"
    return f"{item.get('artifact')} is {when}{_by(item)}"


def _by(item: Part) -> str:
    told = sentence(mapping(item.get("provenance")))
    return f", {told}" if told else ""


def _travelling(items: Sequence[Part], now: datetime) -> Iterator[str]:
    if items:
        yield ""
        yield "On their way, oldest first"
    for item in items:
        inside, stage = item.get("state") == "Inside", item.get("stage")
        where = f"in {stage}" if inside else f"behind {stage}" if stage else "before the first stage"
        batch = f", {item['batch']} changes at once" if item.get("batch", 0) > 1 else ""
        skipped = f", without {', '.join(item['skipped'])}" if item.get("skipped") else ""
        rest = f"{_since(item, now)}{batch}{skipped}{_by(item)}"
        yield f"  {item.get('sequence'):>4}  {item.get('artifact')}  {where}{rest}"


def _waits(waits: Sequence[Part], now: datetime, context: str) -> Iterator[str]:
    if waits:
        yield ""
        yield "What waits for what"
    alike: dict[tuple[object, ...], list[Part]] = {}
    for wait in waits:
        region = str(wait.get("region") or "")
        shape = str(wait.get("what")).replace(f"Region {region}", "") if region else wait.get("what")
        alike.setdefault((wait.get("artifact"), wait.get("stage"), shape, wait.get("who")), []).append(wait)
    for same in alike.values():
        yield from _wait(same, now, context)


def _wait(same: Sequence[Part], now: datetime, context: str) -> Iterator[str]:
    """One wait; of those that are the same for several regions the first one is told."""
    wait, others = same[0], [str(w.get("region")) for w in same[1:]]
    subject = " ".join(str(wait[k]) for k in ("artifact", "stage", "region") if wait.get(k)) or "the Pipeline"
    what, *log = str(wait.get("what")).splitlines()
    yield f"  {subject}: {clause(what)}{_since(wait, now)}{_expected(wait)}"
    yield from (f"    | {line}" for line in log)
    if others:
        yield from textwrap.wrap(
            f"the same for {', '.join(others)}", _WIDTH, initial_indent="    ", subsequent_indent="    "
        )
    if wait.get("who"):
        yield f"    lifted by {wait['who']}"
    if wait.get("command"):
        yield f"    $ {in_context(str(wait['command']), context)}"


def _override(found: Part, meta: Part, context: str) -> Iterator[str]:
    """The Override that counts: what it lets through faster, by whom, until when, and how to end it."""
    if not found:
        return
    who = f"of {found.get('requestedBy')}, approved by {', '.join(map(str, listed(found.get('approvedBy'))))}"
    yield ""
    yield f"Override {found.get('name')} for {found.get('artifact')}, {who}, until {found.get('until')}"
    yield from textwrap.wrap(f"{found.get('reason')}", _WIDTH, initial_indent="  ", subsequent_indent="  ")
    yield "  every other change waits until that one is everywhere, or was taken back; to end the Override:"
    command = f"kubectl -n {meta.get('namespace')} delete override {found.get('name')}"
    yield f"    $ {in_context(command, context)}"


def _since(found: Part, now: datetime) -> str:
    since = moment_of(found.get("since"))
    return f", for {_length(now - since)}" if since is not None and since <= now else ""


def _expected(wait: Part) -> str:
    expected = moment_of(wait.get("expected"))
    return f", until {expected.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z" if expected is not None else ""


def _length(length: timedelta) -> str:
    """To the second, or what is longer than an hour to the minute."""
    step = _MINUTE if length >= _HOUR else timedelta(seconds=1)
    return format_duration(length // step * step)
