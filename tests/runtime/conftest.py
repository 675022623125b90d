"""Fixtures of the tests of the runtime."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from support.rig import Rig


@pytest.fixture
def quiet() -> Iterator[None]:
    """No lines of the log, which would make up most of the time of tests with many passes."""
    with capture_logs():
        yield


@pytest.fixture
async def rig(quiet: None) -> Rig:
    """Four boxes of the first version, stable; nothing asked since."""
    made = Rig()
    await made.installed()
    return made
