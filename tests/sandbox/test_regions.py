"""Regions of one's own: several at once, and nothing left behind."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from ombak.sandbox import Region, start_regions, wait_for

pytestmark = pytest.mark.cluster

SOON = timedelta(seconds=60)
# Starts a region, tells the pids of its processes, and goes on for ever.
OWNER = """
import sys, time
from pathlib import Path
from ombak.sandbox import Region
region = Region.start("owned", workdir=Path(sys.argv[1]))
processes = [*region.plane.processes.values(), region.prometheus.process, region.traffic.process]
print(*[process.pid for process in processes], flush=True)
time.sleep(600)
"""


def test_two_regions_know_nothing_of_each_other(tmp_path: Path) -> None:
    """Started at once, by threads that end; all gone afterwards, with their folders."""
    with start_regions(2, zones=("a",), nodes=1, workdir=tmp_path) as regions:
        regions[0].kubectl("create", "namespace", "only-here")
        names = [region.kubectl("get", "namespaces", "-o", "name") for region in regions]
        pids = [process.pid for region in regions for process in region.plane.processes.values()]

    assert ["namespace/only-here" in name for name in names] == [True, False]
    assert [region.name for region in regions] == ["region-1", "region-2"]
    assert not any(psutil.pid_exists(pid) for pid in pids if pid)
    assert list(tmp_path.iterdir()) == []


def test_nothing_survives_a_killed_owner(tmp_path: Path) -> None:
    """SIGKILL to the process that started a region ends all of it; the next region removes the folder."""
    with subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        assert len(pids) == 7
        assert all(psutil.pid_exists(pid) for pid in pids)
        owner.kill()
        wait_for("the end of all", lambda: not any(map(runs, pids)), SOON)
    Region.start("next", zones=("a",), nodes=1, workdir=tmp_path, traffic=False).stop()

    assert list(tmp_path.iterdir()) == []


def runs(pid: int) -> bool:
    """Whether such a process runs; one that waits to be reaped does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
