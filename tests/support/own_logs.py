"""Logging as it comes, whatever another test has configured: loggers used meanwhile keep nothing of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog


@contextmanager
def own_logs() -> Iterator[None]:
    """Use the defaults for a while; loggers that are cached for other settings find those again."""
    before = structlog.get_config()
    structlog.reset_defaults()
    try:
        yield
    finally:
        structlog.configure(**before)
