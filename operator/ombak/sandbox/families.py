"""What a sandbox is built from: Go modules pinned by go.mod and go.sum, and the binaries in them."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

GO_ROOT = Path(__file__).parent / "go"
"""One folder per family with its `go.mod` and `go.sum`, shipped as package data."""

MINIMUM_GO = (1, 26)


@dataclass(frozen=True, slots=True)
class Family:
    """Modules that are pinned and therefore cached together."""

    name: str
    version: str
    variables: dict[str, str] = field(default_factory=dict)
    """Go variables set by the linker; without them clients see version `v0.0.0`."""
    tags: str = ""

    @property
    def folder(self) -> Path:
        """Where the family's `go.mod` is; builds run here."""
        return GO_ROOT / self.name

    @property
    def ldflags(self) -> str:
        """Linker flags: no symbols, and the version that the binary reports."""
        return " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in self.variables.items())])


@dataclass(frozen=True, slots=True)
class Binary:
    """One executable, and how long it takes from nothing on two cores when built in the listed order."""

    name: str
    family: Family
    package: str
    usually: timedelta


_VERSION = "k8s.io/component-base/version"
KUBERNETES = Family(
    "kubernetes",
    "1.36.3",
    {
        f"{_VERSION}.gitVersion": "v1.36.3",
        f"{_VERSION}.gitMajor": "1",
        f"{_VERSION}.gitMinor": "36",
        f"{_VERSION}.gitTreeState": "clean",
        f"{_VERSION}.buildDate": "1970-01-01T00:00:00Z",
    },
)
ETCD = Family("etcd", "3.6.16")
KWOK = Family("kwok", "0.8.0")
PROMETHEUS = Family(
    "prometheus",
    "3.13.5",
    {"github.com/prometheus/common/version.Version": "3.13.5"},
    tags="remove_all_sd,enable_kubernetes_sd",
)


def _kubernetes(name: str, seconds: int) -> Binary:
    return Binary(name, KUBERNETES, f"k8s.io/kubernetes/cmd/{name}", timedelta(seconds=seconds))


BINARIES = {
    binary.name: binary
    for binary in (
        _kubernetes("kube-apiserver", 187),
        _kubernetes("kube-controller-manager", 49),
        _kubernetes("kube-scheduler", 3),
        _kubernetes("kubelet", 17),
        Binary("etcd", ETCD, "go.etcd.io/etcd/server/v3", timedelta(seconds=26)),
        Binary("kwok", KWOK, "sigs.k8s.io/kwok/cmd/kwok", timedelta(seconds=59)),
        Binary(
            "prometheus",
            PROMETHEUS,
            "github.com/prometheus/prometheus/cmd/prometheus",
            timedelta(seconds=108),
        ),
    )
}

CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "kwok", "prometheus")
"""What one region needs, in build order. The kubelet is only for real nodes."""
