"""A real Prometheus that is told its data, with their times, instead of scraping them; and a proxy that spoils it.

Samples go in by remote write, whose messages (protobuf in a snappy block) are simple enough to be written here.
"""

import http.client
import http.server
import shutil
import struct
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path

from ombak.sandbox.build import ensure_binaries
from ombak.sandbox.process import Process, free_ports, wait_for
from ombak.sandbox.workdir import Workdir

Labels = Mapping[str, str]
Sample = tuple[float, float]
"""(seconds since the epoch, value)."""
_BLOCK = 60_000


class HistoryPrometheus:
    """Takes samples as old as ten days; `rules` is the text of a rule file, evaluated every `interval`."""

    def __init__(self, workdir: Workdir, rules: str = "", interval: str = "1s") -> None:
        self._folder = workdir.folder("history")
        self.port = free_ports(1)[0]
        config = self._folder / "prometheus.yaml"
        (self._folder / "rules.yaml").write_text(rules or "groups: []\n")
        config.write_text(
            f"global: {{evaluation_interval: {interval}}}\n"
            f"rule_files: ['{self._folder}/rules.yaml']\n"
            "storage: {tsdb: {out_of_order_time_window: 10d}}\n"
        )
        command: list[str | Path] = [
            ensure_binaries(("prometheus",))["prometheus"],
            f"--config.file={config}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--web.enable-remote-write-receiver",
            "--web.enable-lifecycle",
            "--log.level=warn",
        ]
        self.process = Process("history", command, workdir.logs / "history.log")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process.start()
        wait_for("prometheus ready", self._is_ready, timedelta(seconds=30), processes=[self.process])

    def restart_empty(self) -> None:
        """Lose everything, as a pod without a volume does."""
        self.process.kill()
        shutil.rmtree(self._folder / "data")
        self.start()

    def _is_ready(self) -> bool:
        return self._post("/-/ready", b"", "GET") == http.client.OK

    def set_rules(self, rules: str) -> None:
        (self._folder / "rules.yaml").write_text(rules)
        assert self._post("/-/reload", b"") == http.client.OK

    def write(self, series: Iterable[tuple[Labels, Sequence[Sample]]]) -> None:
        """Store samples, oldest first within each series; raises OSError where they are not taken."""
        batch: list[bytes] = []
        for labels, samples in series:
            batch.append(_time_series(labels, samples))
            if sum(map(len, batch)) > 1_000_000:
                self._send(batch)
                batch = []
        if batch:
            self._send(batch)

    def now(self, name: str, value: float, **labels: str) -> None:
        """Store one sample of this moment."""
        self.write([({"__name__": name, **labels}, [(time.time(), value)])])

    def _send(self, batch: Sequence[bytes]) -> None:
        body = _snappy(b"".join(_field(1, one) for one in batch))
        status = self._post("/api/v1/write", body)
        if status // 100 != 2:  # as one that is starting does
            raise ConnectionError(f"remote write was answered with {status}")

    def _post(self, path: str, body: bytes, method: str = "POST") -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"} if body else {}
        try:
            connection.request(method, path, body, headers)
            return connection.getresponse().status
        finally:
            connection.close()


@contextmanager
def running_history(name: str, rules: str = "", interval: str = "1s") -> Iterator[HistoryPrometheus]:
    """Start one with an empty store, and leave nothing behind."""
    workdir = Workdir(name)
    made = HistoryPrometheus(workdir, rules, interval)
    try:
        made.start()
        yield made
    finally:
        made.process.stop()
        workdir.remove()


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _time_series(labels: Labels, samples: Sequence[Sample]) -> bytes:
    """The message `TimeSeries` of remote write 1.0."""
    pairs = (_field(1, _field(1, name.encode()) + _field(2, labels[name].encode())) for name in sorted(labels))
    points = (_field(2, b"\x09" + struct.pack("<d", v) + b"\x10" + _varint(round(t * 1000))) for t, v in samples)
    return b"".join(pairs) + b"".join(points)


def _snappy(raw: bytes) -> bytes:
    """A snappy block of literals only: valid, and not compressed at all."""
    parts = [_varint(len(raw))]
    for start in range(0, len(raw), _BLOCK):
        piece = raw[start : start + _BLOCK]
        parts += [b"\xf4" + struct.pack("<H", len(piece) - 1), piece]
    return b"".join(parts)


@dataclass
class Spoiler:
    """What the proxy does to every answer; all of it may be changed while it runs."""

    delay: float = 0.0
    status: int = 0
    """Answer with this status instead of asking."""
    warning: str = ""
    cut: bool = False
    """Hang up in the middle of the answer."""
    skew: timedelta = timedelta(0)
    """How far the clock of the server seems to be ahead."""
    requests: list[str] = field(default_factory=list)


class _Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        spoil = self.server.spoiler
        spoil.requests.append(self.path)
        if spoil.delay:
            self.server.closing.wait(spoil.delay)
        if spoil.status:
            return self._answer(spoil.status, b'{"status": "error", "error": "spoiled"}', None)
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        kept = {
            name: value for name, value in self.headers.items() if name.lower() in ("content-type", "authorization")
        }
        try:
            connection.request(self.command, self.path, body, kept)
            answer = connection.getresponse()
            content, date = answer.read(), answer.headers["Date"]
        except OSError:
            return self._answer(502, b"bad gateway", None)
        finally:
            connection.close()
        if spoil.warning:
            content = content.replace(
                b'{"status":"success",', b'{"status":"success","warnings":["%s"],' % spoil.warning.encode(), 1
            )
        return self._answer(answer.status, content, date)

    do_GET = do_POST  # noqa: N815 - the name is the base class's

    def _answer(self, status: int, content: bytes, date: str | None) -> None:
        self.send_response_only(status)
        if date is not None:
            moved = parsedate_to_datetime(date) + self.server.spoiler.skew
            self.send_header("Date", format_datetime(moved, usegmt=True))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.server.spoiler.cut:
            content, self.close_connection = content[: len(content) // 2], True
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Says nothing."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Proxy)
        self.port, self.spoiler, self.closing = port, Spoiler(), threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that gave up is what the tests want."""


@contextmanager
def spoiled(port: int) -> Iterator[tuple[str, Spoiler]]:
    """A proxy before the Prometheus at this port: its base URL, and what it does to the answers."""
    server = _Server(port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", server.spoiler
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
