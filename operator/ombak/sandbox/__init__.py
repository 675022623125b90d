"""Complete Kubernetes control planes as processes on loopback: no container, no root, no cluster.

    from ombak.sandbox import Region

    with Region.start("local", zones=("a", "b", "c"), nodes=6) as region:
        region.kubectl("apply", "-f", "-", input=manifest)  # as admin
        region.kubeconfig                                   # path; the admin may impersonate anybody
        region.grant("ombak", Path("deploy/rbac.yaml"))     # what the operator may do, and nothing else
        region.kubeconfig_for("ombak")                      # path; see region.audit.counts("ombak")
        region.prometheus_url                               # scrapes the traffic on the ready pods

The first use builds the programs into the user's cache (about 7.5 minutes on two cores, 8 GB of disk for
Go's caches); later a region starts in about three seconds. Everything dies with the process that started it,
however that ends.

Nodes and pods are simulated by kwok. What a pod does is said by annotations of its template, all under
`sandbox.ombak.dev/`, so that a bad version is just another manifest:

- `ready-after` (1s): from scheduled to ready, a slow start
- `terminates-after` (200ms): from deleted to gone
- `behaviour`: `never-ready`; `crash-loop`, never ready and restarts grow; `flap`, ready and not ready for
  ever; `fail`, a Job's pod ends as Failed
- `crash-every` (2s), `flap-every` (3s): their periods
- `completes-after` (500ms): from ready to Succeeded, of a Job's pod
- `requests-per-second` (100): traffic of the whole rollout; each of its n ready pods gets 1/n
- `error-rate` (0): share of requests answered with 500
- `latency` (50ms): latencies are spread evenly from half to one and a half of it
- `slow-burn-after`, `slow-burn-error-rate`: the error rate from that long after the pod became ready

`kubectl logs` shows the same few lines for every container, as none really runs; `region.plane.say(...)` adds to them.

Traffic exists for pods with the label `ombak.dev/rollout`. Durations are Go's.
"""

from ombak.sandbox.audit import AuditLog, RequestCounts
from ombak.sandbox.build import BuildError, ensure_binaries
from ombak.sandbox.plane import ControlPlane, KubectlError
from ombak.sandbox.process import Process, SandboxError, wait_for
from ombak.sandbox.prometheus import Prometheus
from ombak.sandbox.region import Region, start_regions
from ombak.sandbox.toolchain import ToolMissingError

__all__ = [
    "AuditLog",
    "BuildError",
    "ControlPlane",
    "KubectlError",
    "Process",
    "Prometheus",
    "Region",
    "RequestCounts",
    "SandboxError",
    "ToolMissingError",
    "ensure_binaries",
    "start_regions",
    "wait_for",
]
