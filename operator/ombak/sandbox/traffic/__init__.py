"""Traffic on the simulated pods: an exporter of what a load balancer would have sent to each ready pod.

`boxes` reads a pod, `model` counts, `collector` shows the counts to prometheus_client, `__main__` is the process
that watches the pods and serves `/metrics`, `service` starts and stops it.
"""

from ombak.sandbox.traffic.service import Traffic

__all__ = ["Traffic"]
