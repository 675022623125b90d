"""One API server in memory: versions, conflicts, subresources, owners of fields, finalizers, dry runs."""

import itertools
import json
from collections.abc import Callable
from typing import Any

from ombak.core import naming
from ombak.runtime.kube_port import AlreadyExists, ApiError, Conflict, Invalid, Kind, NotFound, Object
from ombak.simulation import agenda
from ombak.simulation.agenda import Timeline
from ombak.simulation.fields import Path, applied, changed, clone, fields_v1, has, merged

Listener = Callable[[str, str, Object], None]
"""Gets kind, type of the event, and the object as it is now."""
Write = Callable[[str, str, Object | None, Object | None], None]
"""Gets the writer, the kind, and the object before and after."""
REFUSED = "sim.ombak.dev/refused"
"""An annotation of a template that the server refuses; its value is the message."""
WITH_STATUS = (
    *("Rollout", "Artifact", "Pipeline", "Region", "Deployment", "ReplicaSet", "Job"),
    *("Window", "Blocker", "ClusterBlocker", "Override"),
)
APPLIED = ("Rollout", "Service", "ConfigMap", "Alarm")
"""Kinds of which it is kept what was applied last, so that what is no longer applied goes."""


class Server:
    """What is stored. Objects that it hands out are never to be changed."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._objects: dict[str, dict[tuple[str, str], Object]] = {}
        self._managers: dict[str, dict[str, set[Path]]] = {}
        self._applied: dict[str, Object] = {}
        """By uid: what was created or applied, without the size."""
        self._uids = itertools.count(1)
        self.revision = 100
        self.listeners: list[Listener] = []
        """Controllers and watches."""
        self.monitors: list[Write] = []
        """Told of every change before anybody else."""

    def find(self, kind: str, namespace: str, name: str) -> Object | None:
        """Return an object, or None."""
        return self._objects.get(kind, {}).get((namespace, name))

    def all(self, kind: str) -> list[Object]:
        """Return all objects of a kind."""
        return list(self._objects.get(kind, {}).values())

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """Return an object; raises `NotFound`."""
        found = self.find(kind.kind, namespace, name)
        if found is None:
            raise NotFound(404, "NotFound", f'{kind.plural} "{name}" not found')
        return found

    def create(self, by: str, kind: Kind, namespace: str, body: Object, *, dry_run: bool = False) -> Object:
        """Store a new object; raises `AlreadyExists` or `Invalid`."""
        name = body["metadata"]["name"]
        if self.find(kind.kind, namespace, name) is not None:
            raise AlreadyExists(409, "AlreadyExists", f'{kind.plural} "{name}" already exists')
        made = clone(body)
        self._check(kind, made)
        if kind.kind in WITH_STATUS:
            made["status"] = {}
        made["metadata"] |= {
            "namespace": namespace,
            "uid": f"uid-{next(self._uids)}",
            "generation": 1,
            "creationTimestamp": agenda.at(self._timeline.time()).isoformat(),
        }
        if dry_run:
            return dict(made)
        if kind.kind in APPLIED:
            self._applied[made["metadata"]["uid"]] = _without_size(body)
        self._store(by, kind.kind, None, made)
        return dict(made)

    def apply(self, by: str, kind: Kind, namespace: str, body: Object) -> Object:
        """Make what the body says true, for the one who alone applies here; raises `Conflict` or `NotFound`.

        What it said last time and says no more goes, what others set beside it stays, and so does the size.
        """
        wanted = dict(body["metadata"])
        uid, version = wanted.pop("uid", ""), wanted.pop("resourceVersion", "")
        if not uid and self.find(kind.kind, namespace, wanted["name"]) is None:
            return self.create(by, kind, namespace, body)
        old = self.get(kind, namespace, wanted["name"])
        meta = old["metadata"]
        if (uid and uid != meta["uid"]) or (version and version != meta["resourceVersion"]):
            raise Conflict(409, "Conflict", f'{kind.plural} "{wanted["name"]}": the object has been modified')
        said = clone({**body, "metadata": wanted})
        self._check(kind, said)
        made = applied(old, self._applied.get(meta["uid"], {}), said)
        if "template" in said.get("spec", {}):
            made["spec"]["template"] = said["spec"]["template"]  # atomic
        self._applied[meta["uid"]] = _without_size(said)
        return self._update(by, kind, old, made)

    def _check(self, kind: Kind, body: Object) -> None:
        template = (body.get("spec") or {}).get("template") or {}
        refused = ((template.get("metadata") or {}).get("annotations") or {}).get(REFUSED)
        if refused and kind.kind in ("Deployment", "ReplicaSet"):
            raise Invalid(422, "Invalid", refused)

    def replace(self, by: str, kind: Kind, namespace: str, name: str, body: Object, *, subresource: str = "") -> Object:
        """Write an object whole, or its status; raises `Conflict` if it is not the one that was read."""
        old = self.get(kind, namespace, name)
        wanted = (body.get("metadata") or {}).get("resourceVersion")
        if wanted and wanted != old["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", f'{kind.plural} "{name}": the object has been modified')
        if subresource == "status":
            return self._update(by, kind, old, {**old, "status": clone(body.get("status") or {})})
        self._check(kind, body)
        made = clone(body)
        kept = ("namespace", "uid", "generation", "creationTimestamp", "deletionTimestamp", "managedFields")
        made["metadata"] = {
            **made["metadata"],
            **{k: old["metadata"][k] for k in kept if k in old["metadata"]},
            "resourceVersion": old["metadata"]["resourceVersion"],
        }
        if kind.kind in WITH_STATUS:
            made["status"] = old.get("status") or {}
        return self._update(by, kind, old, made)

    def patch(self, by: str, kind: Kind, namespace: str, name: str, patch: Object, *, subresource: str = "") -> Object:
        """Merge fields into an object; conditional when the patch holds a resource version."""
        old = self.get(kind, namespace, name)
        wanted = (patch.get("metadata") or {}).get("resourceVersion")
        if wanted and wanted != old["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", f'{kind.plural} "{name}": the object has been modified')
        made = merged(old, patch)
        made = {**old, "status": made.get("status") or {}} if subresource == "status" else made
        if subresource != "status" and kind.kind in WITH_STATUS:
            made["status"] = old.get("status") or {}
        self._check(kind, made)
        return self._update(by, kind, old, made)

    def _update(self, by: str, kind: Kind, old: Object, made: Object) -> Object:
        if made == old:
            return old
        metadata = made["metadata"] = dict(made["metadata"])
        if made.get("spec") != old.get("spec"):
            metadata["generation"] = old["metadata"]["generation"] + 1
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            self._remove(by, kind.kind, old)
            return made
        self._store(by, kind.kind, old, made)
        return made

    def delete(
        self,
        by: str,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: str = "",
    ) -> None:
        """Delete an object on conditions; finalizers are waited for, an explicit propagation lifts `orphan`."""
        old = self.get(kind, namespace, name)
        meta = old["metadata"]
        if (uid and uid != meta["uid"]) or (resource_version and resource_version != meta["resourceVersion"]):
            raise Conflict(409, "Conflict", f'{kind.plural} "{name}": the precondition does not hold')
        finalizers = [f for f in meta.get("finalizers") or [] if f != naming.ORPHAN or propagation != "Background"]
        if not finalizers:
            self._remove(by, kind.kind, old)
        elif not meta.get("deletionTimestamp"):
            stamp = agenda.at(self._timeline.time()).isoformat()
            made = {**old, "metadata": {**meta, "finalizers": finalizers, "deletionTimestamp": stamp}}
            self._store(by, kind.kind, old, made)

    def _store(self, by: str, kind: str, old: Object | None, made: Object) -> None:
        self.revision += 1
        metadata = made["metadata"]
        metadata["resourceVersion"] = str(self.revision)
        if kind in ("Deployment", "ReplicaSet"):
            self._manage(by, old, made)
        self._objects.setdefault(kind, {})[metadata["namespace"], metadata["name"]] = made
        self._tell(by, kind, "MODIFIED" if old else "ADDED", old, made)

    def _manage(self, by: str, old: Object | None, made: Object) -> None:
        """Keep who else than the operator set which field of the spec (all that drift is told from)."""
        paths = {("f:spec", *p) for p in changed((old or {}).get("spec"), made["spec"])} if old else set()
        if not paths:
            return
        owners = self._managers.setdefault(made["metadata"]["uid"], {})
        for fields in owners.values():
            fields -= paths
        owners.setdefault(by, set()).update(p for p in paths if has({"spec": made["spec"]}, p))
        made["metadata"]["managedFields"] = [
            {"manager": manager, "operation": "Update", "fieldsV1": fields_v1(fields)}
            for manager, fields in sorted(owners.items())
            if fields
        ]

    def _remove(self, by: str, kind: str, old: Object) -> None:
        self.revision += 1
        meta = old["metadata"]
        del self._objects[kind][meta["namespace"], meta["name"]]
        last = {**old, "metadata": {**meta, "resourceVersion": str(self.revision)}}
        self._tell(by, kind, "DELETED", old, last)

    def _tell(self, by: str, kind: str, event: str, old: Object | None, made: Object) -> None:
        for monitor in self.monitors:
            monitor(by, kind, old, None if event == "DELETED" else made)
        for listener in list(self.listeners):
            listener(kind, event, made)


def _without_size(body: Object) -> Object:
    spec = {name: value for name, value in (body.get("spec") or {}).items() if name != "replicas"}
    return {**body, "spec": spec}


def behaviour_text(template: Object, name: str) -> Any:
    """Return what an annotation of a template says, as JSON."""
    raw = ((template.get("metadata") or {}).get("annotations") or {}).get(name)
    return json.loads(raw) if raw else {}


def explain(error: ApiError) -> str:
    """Return an error in few words, for traces."""
    return f"{error.status} {error.reason}"
