"""Starts and stops the exporter process of one region."""

import socket
import sys
from datetime import timedelta
from pathlib import Path

from ombak.sandbox.process import Process, free_ports, wait_for
from ombak.sandbox.workdir import Workdir


class Traffic:
    """The exporter; its counts begin at zero with every start, as those of real programs do."""

    def __init__(self, kubeconfig: Path, workdir: Workdir) -> None:
        """Nothing runs yet; `kubeconfig` is of a user that may list and watch pods."""
        self._port = free_ports(1)[0]
        command = [sys.executable, "-m", "ombak.sandbox.traffic", str(kubeconfig), str(self._port)]
        self.process = Process("traffic", command, workdir.logs / "traffic.log")

    @property
    def address(self) -> str:
        """`host:port` for Prometheus to scrape."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Starts it; the API server need not be there yet."""
        self.process.start()

    def wait_ready(self) -> None:
        """Returns when it can be scraped. Raises SandboxError after 30 s."""
        wait_for("traffic exporter ready", self._listens, timedelta(seconds=30), processes=[self.process])

    def kill(self) -> None:
        """No more metrics from any pod, until `restart`."""
        self.process.kill()

    def restart(self) -> None:
        """Starts again from zero."""
        self.process.kill()
        self.start()
        self.wait_ready()

    def _listens(self) -> bool:
        socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
        return True
