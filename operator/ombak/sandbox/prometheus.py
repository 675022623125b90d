"""A real Prometheus that scrapes and evaluates every second; targets and rules can be added at any time.

It scrapes itself, as every Prometheus does: one that has no sample at all knows nothing, and Ombak believes it nothing.
"""

import http.client
import json
import urllib.parse
from datetime import timedelta
from pathlib import Path

from ombak.sandbox.process import Process, SandboxError, free_ports, wait_for
from ombak.sandbox.workdir import Workdir

_CONFIG = """\
global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
  external_labels: {{region: "{region}"}}
rule_files: ["{folder}/rules/*.yaml"]
scrape_configs:
- job_name: prometheus
  static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
  metric_relabel_configs: [{{source_labels: [__name__], regex: prometheus_build_info, action: keep}}]
- job_name: sandbox
  honor_labels: true
  file_sd_configs: [{{files: ["{folder}/targets/*.json"], refresh_interval: 1s}}]
"""


class Prometheus:
    """Data live in the workdir and survive `kill` and `restart`."""

    def __init__(self, region: str, workdir: Workdir, binary: Path) -> None:
        """Writes the configuration; nothing runs yet."""
        self._folder = workdir.folder("prometheus")
        for name in ("rules", "targets"):
            (self._folder / name).mkdir(exist_ok=True)
        self._port = free_ports(1)[0]
        config = self._folder / "prometheus.yaml"
        config.write_text(_CONFIG.format(region=region, folder=self._folder, port=self._port))
        command: list[str | Path] = [
            binary,
            f"--config.file={config}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--web.enable-lifecycle",
            "--log.level=warn",
        ]
        self.process = Process("prometheus", command, workdir.logs / "prometheus.log")

    @property
    def url(self) -> str:
        """Base URL of the HTTP API."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Starts it and waits until it answers queries."""
        self.process.start()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Returns when queries are answered. Raises SandboxError after 30 s."""
        wait_for("prometheus ready", self._is_ready, timedelta(minutes=2), processes=[self.process])

    def stop(self) -> None:
        """Ends it in order, for good or until `restart`."""
        self.process.stop()

    def kill(self) -> None:
        """An outage as in a crash: SIGKILL."""
        self.process.kill()

    def restart(self) -> None:
        """Ends the outage (or makes a short one) with the data that were there."""
        self.process.kill()
        self.start()

    def add_target(self, name: str, address: str) -> None:
        """Scrapes `http://<address>/metrics` from now on, as job `name`; labels in the metrics win."""
        content = [{"targets": [address], "labels": {"job": name}}]
        self._replace(self._folder / "targets" / f"{name}.json", json.dumps(content))

    def remove_target(self, name: str) -> None:
        """Stops scraping it; its series end at once."""
        (self._folder / "targets" / f"{name}.json").unlink(missing_ok=True)

    def set_rules(self, name: str, rules: str) -> None:
        """Loads a rule file (YAML text with `groups`) as `name`. Raises SandboxError if it is refused."""
        self._replace(self._folder / "rules" / f"{name}.yaml", rules)
        status, answer = self._ask("POST", "/-/reload")
        if status != http.client.OK:
            raise SandboxError(f"prometheus refused the rules {name}: {answer}")

    def query(self, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
        """The instant vector now, as sorted label pairs to value.

        Raises OSError while Prometheus is down, SandboxError for a bad expression.
        """
        status, answer = self._ask("GET", "/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        if status != http.client.OK:
            raise SandboxError(f"prometheus refused {expression!r}: {answer}")
        result = json.loads(answer)["data"]["result"]
        return {tuple(sorted(sample["metric"].items())): float(sample["value"][1]) for sample in result}

    def value(self, expression: str) -> float | None:
        """The value of an expression with at most one series, None for no data; ValueError for several."""
        samples = self.query(expression)
        if len(samples) > 1:
            raise ValueError(f"{expression!r} has {len(samples)} series")
        return next(iter(samples.values()), None)

    def _is_ready(self) -> bool:
        return self._ask("GET", "/-/ready")[0] == http.client.OK

    def _ask(self, method: str, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()

    def _replace(self, path: Path, text: str) -> None:
        # In one step, because Prometheus may read at any moment; not with the watched suffix until whole.
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(text)
        unfinished.rename(path)
