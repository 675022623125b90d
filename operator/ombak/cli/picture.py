"""The picture of one release in the README: drawn from the decisions themselves, so that it cannot be wrong."""

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime

from ombak.api.duration import format_duration
from ombak.api.rollout import RolloutSpec
from ombak.core import bake, layout
from ombak.core.capacity import limits
from ombak.core.layout import Segment
from ombak.core.memory import Mode, Position, Release, Step

REPLICAS = 10
_WIDTH, _HEIGHT = 760, 372
_LEFT, _TOP = 60, 84
_COLUMN, _ROW, _BOX = 130, 22, 16
_OLD, _NEW, _BAD, _INK, _FAINT = "#9db4c0", "#2f9e6e", "#c0443c", "#253237", "#5c6b73"
_START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclasses.dataclass(frozen=True, slots=True)
class Stop:
    """One step of a release: how many boxes have the new version, and what is watched for how long."""

    name: str
    new: int
    told: str


def stops() -> tuple[Stop, ...]:
    """Return the steps of a change to ten boxes with nothing configured."""
    spec = RolloutSpec.model_validate(
        {
            "replicas": REPLICAS,
            "selector": {"matchLabels": {"app": "a"}},
            "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{}]}},
            "unwatched": "a picture",
        }
    )
    parts = layout.segments(spec, REPLICAS)
    rolling = spec.strategy.rolling
    batch = limits(rolling.batch, rolling.min_available, rolling.max_surge, REPLICAS).batch
    return (Stop("before", 0, "1.0 is stable"), *_steps(spec, parts, batch))


def _steps(spec: RolloutSpec, parts: tuple[Segment, ...], batch: int) -> Iterator[Stop]:
    position, number = layout.first_position(parts), 0
    while True:
        new = sum(layout.reached(parts, position))
        is_last = layout.is_everywhere(parts, position)
        yield Stop("one box" if number == 0 else f"batch {number}", new, _bake(spec, parts, position))
        if is_last:
            return
        position, number = layout.next_position(parts, position, batch), number + 1


def _bake(spec: RolloutSpec, parts: tuple[Segment, ...], position: Position) -> str:
    step = Step(number=1, approved_at=_START, goal=1, high_water=0, progress_at=_START)
    release = Release("a1", Mode.FORWARD, _START, position, step)
    return f"bake {format_duration(bake.bake_of(spec, release, parts).for_)}"


def release_svg() -> str:
    """Return the picture, the same bytes for the same decisions."""
    found = stops()
    body = [
        _text(_LEFT, 34, "One release of ten boxes", size=17, weight="bold"),
        _text(_LEFT, 56, "a change of the pod template, with nothing configured", colour=_FAINT),
    ]
    for index, stop in enumerate(found):
        body += _column(_LEFT + index * _COLUMN, stop)
    below = _TOP + REPLICAS * _ROW + 44
    last = _LEFT + (len(found) - 1) * _COLUMN + _BOX
    body.append(_arrow(_LEFT, last, below))
    body.append(
        _text(_LEFT, below + 20, "An alarm, a missed deadline or an abort, at any step: every box back on 1.0,", _BAD)
    )
    body.append(_text(_LEFT, below + 37, "three at a time, with seven of ten serving throughout; by itself.", _BAD))
    inside = "\n".join(body)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT + 24}" role="img" '
        f'aria-label="One release of ten boxes: one box, three batches, bakes in between, and the way back">\n'
        f'<rect width="{_WIDTH}" height="{_HEIGHT + 24}" rx="10" fill="#ffffff"/>\n{inside}\n</svg>\n'
    )


def _column(x: int, stop: Stop) -> Iterator[str]:
    """Ten boxes, the one box at the top with a frame, and what happens at this step."""
    yield _text(x, _TOP, stop.name, weight="bold")
    for row in range(REPLICAS):
        y = _TOP + 12 + row * _ROW
        colour = _NEW if row < stop.new else _OLD
        yield f'<rect x="{x}" y="{y}" width="{_BOX}" height="{_BOX}" rx="3" fill="{colour}"/>'
        if row == 0:
            yield (
                f'<rect x="{x - 3}" y="{y - 3}" width="{_BOX + 6}" height="{_BOX + 6}" rx="5" '
                f'fill="none" stroke="{_INK}" stroke-width="1.5"/>'
            )
    middle = _TOP + 12 + 5 * _ROW
    yield _text(x + 28, middle - 2, f"{stop.new} of {REPLICAS}")
    yield _text(x + 28, middle + 16, stop.told, colour=_FAINT)


def _arrow(left: int, right: int, y: int) -> str:
    return (
        f'<path d="M{right} {y} H{left} m8 -5 l-8 5 l8 5" fill="none" stroke="{_BAD}" stroke-width="2" '
        f'stroke-linecap="round" stroke-linejoin="round"/>'
    )


def _text(x: int, y: int, text: str, colour: str = _INK, size: int = 13, weight: str = "normal") -> str:
    return (
        f'<text x="{x}" y="{y}" font-family="system-ui, sans-serif" font-size="{size}" font-weight="{weight}" '
        f'fill="{colour}">{text}</text>'
    )
