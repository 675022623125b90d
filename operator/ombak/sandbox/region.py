"""A region as the operator meets it: a control plane, a Prometheus, and traffic on its pods."""

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from ombak.sandbox.audit import AuditLog
from ombak.sandbox.build import Progress, ensure_binaries
from ombak.sandbox.plane import ControlPlane
from ombak.sandbox.process import PortCollisionError, wait_for
from ombak.sandbox.prometheus import Prometheus
from ombak.sandbox.traffic import Traffic
from ombak.sandbox.workdir import Workdir

OPERATOR_USER = "ombak"
START_ATTEMPTS = 3
GRANTED_WITHIN = timedelta(minutes=2)


class Region:
    """Started by `Region.start`, ended by `stop` or by leaving the `with` block."""

    def __init__(self, name: str, workdir: Workdir, binaries: dict[str, Path], users: Sequence[str]) -> None:
        """Writes all configuration; nothing runs yet. Use `Region.start`."""
        self.name = name
        self.workdir = workdir
        self.plane = ControlPlane(name, workdir, binaries, users)
        self.prometheus = Prometheus(name, workdir, binaries["prometheus"])
        self.traffic = Traffic(self.plane.kubeconfig_for("traffic"), workdir)
        self.prometheus.add_target("traffic", self.traffic.address)

    @classmethod
    def start(
        cls,
        name: str = "local",
        *,
        zones: Sequence[str] = ("a", "b", "c"),
        nodes: int = 6,
        workdir: Path | None = None,
        users: Sequence[str] = (OPERATOR_USER,),
        traffic: bool = True,
        progress: Progress | None = None,
    ) -> Self:
        """A running region, its `nodes` Ready and spread over `zones`; takes about 3 s once all is built.

        `workdir` is the folder to make the region's own folder in (default: the system's temporary folder);
        `users` have tokens, no rights, and their requests are counted by `audit`. Without `traffic` the
        exporter stays down until `traffic.restart()`: for benchmarks, as it costs 0.1 s of CPU a second per
        500 pods. Raises SandboxError, BuildError.
        """
        binaries = ensure_binaries(progress=progress)
        for attempt in range(1, START_ATTEMPTS + 1):
            region = cls(name, Workdir(name, workdir), binaries, users)
            try:
                region._start(zones, nodes, traffic=traffic)
            except PortCollisionError:
                region.stop()
                if attempt == START_ATTEMPTS:
                    raise
            except BaseException:
                region.stop(keep_logs=True)
                raise
            else:
                return region
        raise AssertionError("the last attempt returns or raises")

    def _start(self, zones: Sequence[str], nodes: int, *, traffic: bool) -> None:
        self.prometheus.process.start()
        if traffic:
            self.traffic.start()
        self.plane.start(zones, nodes)
        self.prometheus.wait_ready()
        if traffic:
            self.traffic.wait_ready()

    def stop(self, *, keep_logs: bool = False) -> None:
        """Ends every process and removes the folder, or all of it but `logs`. May be called twice."""
        self.traffic.kill()
        self.prometheus.kill()
        self.plane.stop()
        self.workdir.remove(keep_logs=keep_logs)

    def __enter__(self) -> Self:
        """The region itself, already running."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops it."""
        self.stop()

    @property
    def kubeconfig(self) -> Path:
        """Path of the admin's kubeconfig."""
        return self.plane.kubeconfig

    def kubeconfig_for(self, user: str) -> Path:
        """Path of the kubeconfig of one of `users`."""
        return self.plane.kubeconfig_for(user)

    @property
    def prometheus_url(self) -> str:
        """Base URL of the region's Prometheus."""
        return self.prometheus.url

    @property
    def audit(self) -> AuditLog:
        """Counts the requests of `users`."""
        return self.plane.audit

    def kubectl(self, *args: str, input: str | None = None) -> str:  # noqa: A002 - as subprocess.run calls it
        """What kubectl prints when run as admin. Raises KubectlError."""
        return self.plane.kubectl(*args, input=input)

    def grant(self, user: str, manifest: Path, namespace: str | None = None) -> None:
        """Gives `user` the rights of the ClusterRoles and Roles in a manifest file, and makes the Namespaces in it.

        ClusterRoles are bound cluster-wide, or in `namespace` alone if given; Roles in their own namespace.
        Returns when the API server's authorizer knows them, a moment after the writes. Raises KeyError for an
        unknown user, KubectlError, SandboxError.
        """
        subject = {
            "kind": "User",
            "name": self.plane.user(user).name,
            "apiGroup": "rbac.authorization.k8s.io",
        }
        documents = [document for document in yaml.safe_load_all(manifest.read_text()) if document]
        for role in documents:
            if role["kind"] == "Namespace":
                self.kubectl("apply", "-f", "-", input=yaml.safe_dump(role))
            if role["kind"] in ("ClusterRole", "Role"):
                binding = _binding(role, subject, namespace)
                self.kubectl("apply", "-f", "-", input=yaml.safe_dump_all([role, binding]))
                scope = binding["metadata"].get("namespace", "")
                wait_for(f"the rights of {user}", partial(self._has_rights, user, role, scope), GRANTED_WITHIN)

    def _has_rights(self, user: str, role: dict[str, Any], namespace: str) -> bool:
        """Asked as admin, so that nothing is counted as a request of the user."""
        spec = {"user": self.plane.user(user).name} | _asked(role["rules"][-1], namespace)
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        return self.plane.client.call("POST", path, {"spec": spec})["status"]["allowed"] is True


def _asked(rule: dict[str, Any], namespace: str) -> dict[str, Any]:
    """One thing that the rule of a role allows, as a SubjectAccessReview asks for it."""
    verb = rule["verbs"][0]
    if "nonResourceURLs" in rule:
        return {"nonResourceAttributes": {"path": rule["nonResourceURLs"][0], "verb": verb}}
    resource, _, subresource = rule["resources"][0].partition("/")
    wanted = {"verb": verb, "group": rule["apiGroups"][0], "resource": resource, "subresource": subresource}
    name = rule.get("resourceNames", [""])[0]
    return {"resourceAttributes": wanted | {"namespace": namespace, "name": name}}


def _binding(role: dict[str, Any], subject: dict[str, str], namespace: str | None) -> dict[str, Any]:
    scope = role["metadata"].get("namespace", namespace)
    metadata = {"name": f"{role['metadata']['name']}-{subject['name']}"}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding" if scope else "ClusterRoleBinding",
        "metadata": metadata | ({"namespace": scope} if scope else {}),
        "roleRef": {"apiGroup": subject["apiGroup"], "kind": role["kind"], "name": role["metadata"]["name"]},
        "subjects": [subject],
    }


@contextlib.contextmanager
def start_regions(wanted: int | Sequence[str], **options: Any) -> Iterator[list[Region]]:
    """Regions of these names, or so many `region-1`, `region-2`, ..., started at once; else as `Region.start`."""
    names = [f"region-{index}" for index in range(1, wanted + 1)] if isinstance(wanted, int) else list(wanted)
    ensure_binaries(progress=options.get("progress"))
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(len(names)) as pool:
        starting = [pool.submit(Region.start, name, **options) for name in names]
        # Every one that came up is stopped, also when another one did not.
        for future in starting:
            if future.exception() is None:
                stack.enter_context(future.result())
        yield [future.result() for future in starting]
