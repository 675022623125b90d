"""One control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok as processes."""

import subprocess
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from ombak.sandbox import components, nodes
from ombak.sandbox.audit import AuditLog
from ombak.sandbox.client import ApiClient, ApiStatusError
from ombak.sandbox.credentials import (
    ADMIN,
    User,
    make_users,
    write_kubeconfig,
    write_signing_key,
    write_tokens,
)
from ombak.sandbox.process import Process, free_ports, wait_for
from ombak.sandbox.toolchain import find_kubectl
from ombak.sandbox.workdir import Workdir

COMPONENT_USERS = ("kube-controller-manager", "kube-scheduler", "kwok", "traffic")
START_TIMEOUT = timedelta(minutes=3)


class KubectlError(Exception):
    """kubectl ended with an error; the message is what it said."""


class ControlPlane:
    """A Kubernetes cluster of one API server and simulated nodes, on loopback.

    Everything is in `workdir`; the caller removes that after `stop()`.
    """

    def __init__(self, name: str, workdir: Workdir, binaries: dict[str, Path], clients: Sequence[str]) -> None:
        """Writes configuration and credentials; `clients` are users without rights, and counted."""
        self.name = name
        self._workdir = workdir
        self._layout = components.Layout(binaries, workdir.folder("config"), workdir.folder("data"))
        self._ports = components.Ports(*free_ports(4))
        self._users = make_users(COMPONENT_USERS, clients)
        self._clients = tuple(clients)
        self.audit = AuditLog(self._layout.audit_log)
        self.client = self.client_for(ADMIN)
        self._write_files()
        self._processes = self._make_processes()

    @property
    def url(self) -> str:
        """Base URL of the API server."""
        return f"https://127.0.0.1:{self._ports.apiserver}"

    @property
    def kubeconfig(self) -> Path:
        """Path of the admin's kubeconfig; the admin may also impersonate anybody."""
        return self._layout.kubeconfig(ADMIN)

    @property
    def ca_file(self) -> Path:
        """What clients verify the API server with."""
        return self._layout.ca_file

    @property
    def processes(self) -> dict[str, Process]:
        """The component processes by name, for tests that stop one of them."""
        return dict(self._processes)

    def user(self, name: str) -> User:
        """A user with its token. Raises KeyError for one that the plane was not started with."""
        if name not in self._users:
            raise KeyError(f"no user {name!r}; this plane was started with {', '.join(self._users)}")
        return self._users[name]

    def kubeconfig_for(self, user: str) -> Path:
        """Path of the kubeconfig of `user`. Raises KeyError for one that the plane was not started with."""
        return self._layout.kubeconfig(self.user(user).name)

    def client_for(self, user: str) -> ApiClient:
        """The harness's own small client, as `user`."""
        return ApiClient(self._ports.apiserver, self._layout.ca_file, self.user(user).token)

    def start(self, zones: Sequence[str], node_count: int) -> None:
        """Returns when all nodes are Ready. Raises SandboxError, PortCollisionError."""
        self._processes["etcd"].start()
        self._processes["kube-apiserver"].start()
        self._wait_for_apiserver()
        for process in self._processes.values():
            process.start()
        names = nodes.create_nodes(self.client, zones, node_count, self.name)
        self._wait("nodes ready", lambda: nodes.all_ready(self.client, names))
        self._wait(
            "default service account",
            lambda: self._exists("/api/v1/namespaces/default/serviceaccounts/default"),
        )

    def stop(self) -> None:
        """Kills everything: nothing here is worth an orderly end, and the API server would take a minute."""
        for process in reversed(self._processes.values()):
            process.kill()

    def kill_apiserver(self) -> None:
        """An outage as in a crash: SIGKILL. etcd and the other components go on."""
        self._processes["kube-apiserver"].kill()

    def restart_apiserver(self) -> None:
        """Ends the outage (or makes a short one): same etcd, port and certificate; returns when ready."""
        self.kill_apiserver()
        self._processes["kube-apiserver"].start()
        self._wait_for_apiserver()

    def say(self, *lines: str) -> None:
        """Add lines to what `kubectl logs` shows of every container, past and to come: none really runs."""
        components.say(self._layout, *lines)

    def kubectl(self, *args: str, input: str | None = None) -> str:  # noqa: A002 - as subprocess.run calls it
        """What kubectl prints when run as admin. Raises KubectlError with what it complained about."""
        # A discovery cache of its own: the usual one is keyed by port and would know another plane's CRDs.
        cache = self._workdir.folder("kubectl-cache")
        command: list[str | Path] = [
            find_kubectl(),
            f"--kubeconfig={self.kubeconfig}",
            f"--cache-dir={cache}",
            *args,
        ]
        result = subprocess.run(command, input=input, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(args)}: {result.stderr.strip()}")
        return result.stdout

    def _write_files(self) -> None:
        self._layout.ca_file.parent.mkdir(exist_ok=True)
        components.write_configuration(self._layout)
        write_tokens(self._layout.config / "tokens.csv", self._users.values())
        write_signing_key(self._layout.config / "service-account.key")
        for user in self._users.values():
            path = self._layout.kubeconfig(user.name)
            write_kubeconfig(path, user, self._ports.apiserver, self._layout.ca_file, self.name)

    def _make_processes(self) -> dict[str, Process]:
        layout, ports = self._layout, self._ports
        commands = {
            "etcd": components.etcd(layout, ports),
            "kube-apiserver": components.apiserver(layout, ports),
            "kube-controller-manager": components.controller_manager(layout),
            "kube-scheduler": components.scheduler(layout),
            "kwok": components.kwok(layout, ports),
        }
        logs = self._workdir.logs
        return {name: Process(name, command, logs / f"{name}.log") for name, command in commands.items()}

    def _wait_for_apiserver(self) -> None:
        self._wait("kube-apiserver ready", lambda: self._exists("/readyz"))

    def _wait(self, what: str, ready: Callable[[], bool]) -> None:
        wait_for(f"{self.name}: {what}", ready, START_TIMEOUT, processes=list(self._processes.values()))

    def _exists(self, path: str) -> bool:
        try:
            self.client.call("GET", path)
        except ApiStatusError:
            return False
        return True
