"""The exporter process: `python -m ombak.sandbox.traffic KUBECONFIG PORT`."""

import sys
import threading
import time
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from ombak.sandbox.client import ApiClient, ApiStatusError, Json
from ombak.sandbox.traffic.boxes import ROLLOUT_LABEL, Box, box_of
from ombak.sandbox.traffic.collector import TrafficCollector
from ombak.sandbox.traffic.model import TrafficModel

PODS = "/api/v1/pods"
PAUSE_S = 0.3
"""Between attempts to reach the API server; meanwhile traffic goes on to the boxes last seen."""


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """One line per scrape helps nobody."""


def main(kubeconfig: Path, port: int) -> None:
    """Serves until killed."""
    model, lock = TrafficModel(), threading.Lock()
    registry = CollectorRegistry()
    registry.register(TrafficCollector(model, lock))
    client = ApiClient.from_kubeconfig(kubeconfig)
    threading.Thread(target=_follow, args=(client, model, lock), daemon=True).start()
    # Compressing for a scraper on the same machine would cost more than everything else here.
    application = make_wsgi_app(registry, disable_compression=True)
    make_server("127.0.0.1", port, application, handler_class=_SilentHandler).serve_forever()


def _follow(client: ApiClient, model: TrafficModel, lock: threading.Lock) -> None:
    while True:
        try:
            _list_and_watch(client, model, lock)
        except (OSError, ValueError, ApiStatusError) as error:
            sys.stderr.write(f"watch of pods ended: {error}\n")
        time.sleep(PAUSE_S)


def _list_and_watch(client: ApiClient, model: TrafficModel, lock: threading.Lock) -> None:
    listed = client.call("GET", PODS, labelSelector=ROLLOUT_LABEL, resourceVersion="0")
    boxes = [box for box in map(_box_or_none, listed["items"]) if box]
    with lock:
        model.replace(boxes, time.time())
    version = listed["metadata"]["resourceVersion"]
    for event in client.watch(PODS, labelSelector=ROLLOUT_LABEL, resourceVersion=version):
        if event["type"] == "ERROR":
            return
        with lock:
            _apply(event, model, time.time())


def _apply(event: Json, model: TrafficModel, now: float) -> None:
    pod = event["object"]
    box = None if event["type"] == "DELETED" else _box_or_none(pod)
    if box:
        model.put(box, now)
        return
    metadata = pod["metadata"]
    rollout = (metadata["namespace"], metadata["labels"][ROLLOUT_LABEL])
    model.remove(rollout, (metadata["namespace"], metadata["name"]), now)


def _box_or_none(pod: Json) -> Box | None:
    try:
        return box_of(pod)
    except ValueError as error:
        # One bad annotation must not end the traffic of everybody else.
        sys.stderr.write(f"{pod['metadata']['namespace']}/{pod['metadata']['name']}: {error}\n")
        return None


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
