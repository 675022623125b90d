"""A backtest as a picture: the values of every Alarm against its threshold, and when it was in ALARM or unknown."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ombak.alarms.verdict import State
from ombak.cli.alarm_backtest import Track

_MOST_SERIES = 20
_WIDTH, _ROW, _BAND = 12.0, 2.4, 0.9
_RED, _GREY, _GREEN = "#d62728", "#bbbbbb", "#2ca02c"


def draw(tracks: Sequence[Track], path: Path) -> None:
    """Draw a row for each Alarm into a PNG; raises click.ClickException without matplotlib."""
    try:
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
        from matplotlib.figure import Figure
    except ImportError as error:
        raise click.ClickException("a picture needs matplotlib: pip install 'ombak[backtest]'") from error
    heights = [_ROW if track.values else _BAND for track in tracks]
    figure = Figure(figsize=(_WIDTH, sum(heights) + 0.6), layout="constrained")
    axes = figure.subplots(len(tracks), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axis, track in zip(axes, tracks, strict=True):
        _draw_track(axis, track)
    locator = AutoDateLocator()
    axes[-1].xaxis.set_major_locator(locator)
    axes[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes[-1].set_xlabel("UTC")
    figure.savefig(path, format="png", dpi=110)


def _draw_track(axis: Any, track: Track) -> None:
    alarms = [episode for episode in track.episodes if episode.state is State.ALARM]
    axis.set_title(f"{track.key}  ({len(alarms)} x ALARM)", loc="left", fontsize=10)
    for episode in track.episodes:
        if episode.state is not State.OK or not track.values:
            colour = {State.ALARM: _RED, State.OK: _GREEN}.get(episode.state or State.INSUFFICIENT_DATA, _GREY)
            axis.axvspan(episode.start, episode.end, color=colour, alpha=0.3 if track.values else 0.8, linewidth=0)
    moments = [track.start + index * track.step for index in range(len(track.verdicts))]
    axis.set_xlim(moments[0], moments[-1] + track.step)
    if not track.values:
        axis.set_yticks([])
        return
    for name, values in list(track.values.items())[:_MOST_SERIES]:
        points = [float("nan") if value is None else value for value in values]
        axis.plot(moments, points, linewidth=0.9, label=name if name != "{}" else None)
    if track.threshold is not None:
        axis.axhline(track.threshold, color=_RED, linewidth=0.9, linestyle="--")
    if 1 < len(track.values) <= 6:
        axis.legend(fontsize=7, loc="upper left")
