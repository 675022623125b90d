"""The control plane that all cluster tests share, and how properties are tried."""

import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler.loadscope import LoadScopeScheduling

from ombak.sandbox import Region, ensure_binaries
from ombak.sandbox.region import OPERATOR_USER

# A machine that is busy with something else must not fail a property. The check (.ci/run) tries the same examples each
# time, so that it speaks of the change it is run for; whoever runs the tests elsewhere tries new ones.
settings.register_profile(
    "ombak", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow]
)
# For `make test-fast`; `make test` tries all examples.
settings.register_profile("quick", settings.get_profile("ombak"), max_examples=20)
settings.load_profile("ombak")

_kept_logs = pytest.StashKey[list[str]]()


_SCOPES = {
    "_on_prometheus.py": "prometheus",
    "faults/test_faults_crash.py": "operators",
    "faults/test_faults_gap.py": "operators",
    "faults/test_faults_stale.py": "operators",
    "faults/test_faults_start.py": "operators",
    "faults/test_faults_upgrade.py": "operators",
    "faults/test_faults_": "faults",
    "tests/hub/": "hub",
}
"""What a file is called, and the group of tests that share a process, and in it their control planes."""


class _Sides(LoadScopeScheduling):
    """Groups of tests, one after another in each process: they mostly wait, so some groups at a time fill two cores.

    Told apart by the names of files. (pytest 9.2 gives a node another id than xdist 3.8 thinks, so its groups by
    marker do nothing.)
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return next((scope for part, scope in _SCOPES.items() if part in path), "scenarios")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """With `--dist loadscope`, for what needs a control plane or a Prometheus."""
    return _Sides(config, log) if config.getoption("dist") == "loadscope" else None


def pytest_collection_finish(session: pytest.Session) -> None:
    """Builds what cluster tests need before the first of them, so that no test's time limit ends a build."""
    if session.config.option.collectonly or not any(item.get_closest_marker("cluster") for item in session.items):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    ensure_binaries(progress=reporter.write_line if reporter else None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Says where the logs are when a test failed."""
    for path in config.stash.get(_kept_logs, []):
        terminalreporter.write_line(f"the control plane's logs are kept in {path}")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Takes over what another process has to say of its logs."""
    node.config.stash.setdefault(_kept_logs, []).extend(getattr(node, "workeroutput", {}).get("kept_logs", ()))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hands on where the logs are, where this is one of several processes."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["kept_logs"] = session.config.stash.get(_kept_logs, [])


@pytest.fixture(scope="session")
def region(request: pytest.FixtureRequest) -> Iterator[Region]:
    """One region for the whole session (with xdist only by `--dist loadscope`: else every worker would start its own).

    Tests work in a `namespace` of their own, and start what they stop.
    """
    running = Region.start("tests", zones=("a", "b", "c"), nodes=6, users=(OPERATOR_USER, "visitor"))
    try:
        yield running
    finally:
        failed = request.session.testsfailed > 0
        running.stop(keep_logs=failed)
        if failed:
            request.config.stash.setdefault(_kept_logs, []).append(str(running.workdir.logs))


@pytest.fixture
def namespace(region: Region) -> Iterator[str]:
    """A namespace of the test's own in the shared region; its deletion is begun afterwards and not waited for."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    metadata = {"name": name}
    region.plane.client.call("POST", "/api/v1/namespaces", {"kind": "Namespace", "metadata": metadata})
    yield name
    region.kubectl("delete", "namespace", name, "--wait=false")
