"""One stream of log lines for everything in the process: JSON for machines, colours for people.

Our own lines take structlog's native path (three times cheaper than through the standard library); the lines of
libraries join it in a `ProcessorFormatter`. kopf attaches its whole settings object to every line: it is removed.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor

QUIET = {
    "asyncio": logging.WARNING,
    "kopf.objects": logging.WARNING,  # else one line per event: "Handler 'x' succeeded"
    "urllib3.connectionpool": logging.ERROR,
}
"""Libraries that say too much."""


def configure_logging(level: str = "INFO", json: bool | None = None, stream: TextIO | None = None) -> None:
    """Configure structlog and the standard library, once, at the start of the process.

    `level` is a standard name; `json` None means: unless `stream` (stderr) is a terminal.
    """
    stream = stream or sys.stderr
    threshold = logging.getLevelNamesMapping()[level.upper()]
    as_json = not stream.isatty() if json is None else json
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    after = _renderers(as_json, stream)
    structlog.configure(
        processors=[*before, *after],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(stream),
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                *before,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                lift_kopf_fields,
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *after],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    for name, quiet in QUIET.items():
        logging.getLogger(name).setLevel(max(quiet, threshold))


def lift_kopf_fields(_logger: Any, _method: str, event_dict: EventDict) -> EventDict:
    """Replace what kopf attaches to a line by kind, namespace, name and uid of the object it is about."""
    event_dict.pop("settings", None)
    event_dict.pop("k8s_skip", None)
    reference = event_dict.pop("k8s_ref", None) or {}
    for field in ("kind", "namespace", "name", "uid"):
        if reference.get(field):
            event_dict.setdefault(field, reference[field])
    return event_dict


def _renderers(as_json: bool, stream: TextIO) -> list[Processor]:
    if as_json:
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    # Never structlog's default: with rich at hand it shows the local variables of every frame, tokens among them.
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain)]
