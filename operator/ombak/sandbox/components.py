"""The command line and the configuration files of every component of a control plane."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ombak.sandbox.credentials import AUDITED

SIMULATED = "sandbox.ombak.dev/node=simulated"
"""Annotation of the nodes that kwok keeps alive."""

STAGES = Path(__file__).with_name("stages.yaml")

# Watches are seen when they begin (ResponseStarted); the rest when answered. Only what the audited users do
# is written, as writing delays every answer.
AUDIT_POLICY = f"""\
apiVersion: audit.k8s.io/v1
kind: Policy
omitManagedFields: true
rules:
- level: Metadata
  userGroups: ["{AUDITED}"]
  omitStages: [RequestReceived]
- level: None
"""

# No container runs, so the log of every one is the same file, in the format of a kubelet's.
LOGS_CONFIG = """\
apiVersion: kwok.x-k8s.io/v1alpha1
kind: ClusterLogs
metadata: {{name: all}}
spec:
  logs:
  - {{logsFile: "{file}"}}
"""

SCHEDULER_CONFIG = """\
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection: {{leaderElect: false}}
clientConnection: {{kubeconfig: "{kubeconfig}", qps: 500, burst: 1000}}
"""


@dataclass(frozen=True, slots=True)
class Ports:
    """Loopback ports of one control plane."""

    etcd: int
    etcd_peer: int
    apiserver: int
    kwok: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Where one control plane keeps its files."""

    binaries: dict[str, Path]
    config: Path
    data: Path

    @property
    def ca_file(self) -> Path:
        """The API server's own certificate, which clients take as CA; it survives restarts."""
        return self.config / "pki" / "apiserver.crt"

    @property
    def audit_log(self) -> Path:
        """One JSON line per stage of a request of an audited user."""
        return self.data / "audit.log"

    @property
    def container_log(self) -> Path:
        """What all containers have said."""
        return self.data / "container.log"

    def kubeconfig(self, user: str) -> Path:
        """The kubeconfig of one user."""
        return self.config / f"{user.replace(':', '-')}.kubeconfig"


def etcd(layout: Layout, ports: Ports) -> list[str | Path]:
    """Without fsync: a sandbox outlives crashes of processes, not of machines. Progress as kubeadm sets it."""
    client, peer = f"http://127.0.0.1:{ports.etcd}", f"http://127.0.0.1:{ports.etcd_peer}"
    return [
        layout.binaries["etcd"],
        f"--data-dir={layout.data / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--watch-progress-notify-interval=5s",
        "--quota-backend-bytes=8589934592",
        "--log-level=warn",
    ]


def apiserver(layout: Layout, ports: Ports) -> list[str | Path]:
    """Default admission; half as many requests again in flight as by default, for 1,000 releases at once."""
    key = layout.config / "service-account.key"
    return [
        layout.binaries["kube-apiserver"],
        f"--etcd-servers=http://127.0.0.1:{ports.etcd}",
        "--bind-address=127.0.0.1",
        f"--secure-port={ports.apiserver}",
        f"--cert-dir={layout.ca_file.parent}",
        f"--token-auth-file={layout.config / 'tokens.csv'}",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-account-issuer=https://sandbox.ombak.dev",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--endpoint-reconciler-type=none",
        f"--audit-policy-file={layout.config / 'audit-policy.yaml'}",
        f"--audit-log-path={layout.audit_log}",
        "--audit-log-maxsize=0",
        "--max-requests-inflight=600",
        "--max-mutating-requests-inflight=300",
    ]


def controller_manager(layout: Layout) -> list[str | Path]:
    """With a long grace period, so that an outage of the API server does not make every pod not ready."""
    return [
        layout.binaries["kube-controller-manager"],
        f"--kubeconfig={layout.kubeconfig('kube-controller-manager')}",
        f"--service-account-private-key-file={layout.config / 'service-account.key'}",
        f"--root-ca-file={layout.ca_file}",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        "--node-monitor-grace-period=10m",
    ]


def scheduler(layout: Layout) -> list[str | Path]:
    """Its client limits are in the configuration file alone."""
    return [
        layout.binaries["kube-scheduler"],
        f"--config={layout.config / 'scheduler.yaml'}",
        "--secure-port=0",
    ]


def kwok(layout: Layout, ports: Ports) -> list[str | Path]:
    """Plays the kubelets of the nodes annotated as simulated, so that real ones may stand beside them."""
    return [
        layout.binaries["kwok"],
        f"--kubeconfig={layout.kubeconfig('kwok')}",
        f"--config={STAGES}",
        f"--config={layout.config / 'logs.yaml'}",
        "--manage-all-nodes=false",
        f"--manage-nodes-with-annotation-selector={SIMULATED}",
        f"--server-address=127.0.0.1:{ports.kwok}",
        f"--node-port={ports.kwok}",
        "--node-lease-duration-seconds=40",
    ]


def write_configuration(layout: Layout) -> None:
    """The files that the command lines refer to, except credentials."""
    (layout.config / "audit-policy.yaml").write_text(AUDIT_POLICY)
    (layout.config / "logs.yaml").write_text(LOGS_CONFIG.format(file=layout.container_log))
    say(layout, "the sandbox runs no containers: this is the log of all of them")
    kubeconfig = layout.kubeconfig("kube-scheduler")
    (layout.config / "scheduler.yaml").write_text(SCHEDULER_CONFIG.format(kubeconfig=kubeconfig))


def say(layout: Layout, *lines: str) -> None:
    """Add lines to the log of every container."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    with layout.container_log.open("a") as log:
        log.writelines(f"{stamp} stdout F {line}\n" for line in lines)
