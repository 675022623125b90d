"""Failures that go away by themselves, for `parametrize`."""

from datetime import timedelta

import pytest

from ombak.runtime.kube_port import ApiError, Conflict, TooManyRequests, Unreachable

OUTAGES = [
    pytest.param(Unreachable("cut"), id="no answer"),
    pytest.param(ApiError.of(500, "InternalError"), id="500"),
    pytest.param(TooManyRequests(429, "TooManyRequests", "slow down", timedelta(seconds=9)), id="429"),
    pytest.param(Conflict(409, "Conflict", "modified"), id="conflict"),
]
