"""People with and without rights to Overrides, on a region of its own that has the policy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml
from lab import Lab

from harness import ROOT
from ombak.api import override_policy
from ombak.core.overrides.guard import SETTLES
from ombak.sandbox import wait_for
from ombak.sandbox.client import ApiStatusError, Json

API = "ombak.dev/v1alpha1"
POLICY = ROOT / "charts" / "override-policy.yaml"
ADMISSION = f"/apis/{override_policy.API_VERSION}"
GUARDS = ("validatingadmissionpolicies", "validatingadmissionpolicybindings")
NAMESPACE = "governed"
USERS = ("ombak", "alice", "bob", "mallory")
"""alice may ask, bob may approve, and mallory may write Overrides as she likes, but has not the verb `approve`."""
WITHIN = timedelta(seconds=180)


@contextlib.contextmanager
def governed() -> Iterator[Lab]:
    """A lab in which these people have their rights, and the policy holds."""
    with Lab.running("overrides", users=USERS) as lab:
        region = lab.region
        region.kubectl("create", "namespace", NAMESPACE)
        roles = {
            r["metadata"]["name"]: r for r in yaml.safe_load_all((ROOT / "charts/override-roles.yaml").read_text())
        }
        asker, approver = roles["ombak-override-requester"], roles["ombak-override-approver"]
        # What mallory and alice may do besides is more than the shipped roles give: the policy must hold all the same.
        writer = _role("writer", ["get", "list", "create", "patch", "update", "delete"])
        region.kubectl("apply", "-f", "-", input=yaml.safe_dump_all([asker, approver, writer]))
        for user, role in (("alice", asker), ("alice", writer), ("bob", approver), ("mallory", writer)):
            name = role["metadata"]["name"]
            region.kubectl("create", "clusterrolebinding", f"{user}-{name}", f"--clusterrole={name}", f"--user={user}")
        for user, verb in (("alice", "patch"), ("bob", "approve"), ("mallory", "patch")):
            wait_for(f"the rights of {user}", lambda user=user, verb=verb: _may(lab, user, verb), WITHIN)
        install_policy(lab)
        yield lab


def _role(name: str, verbs: list[str]) -> Json:
    rules = [{"apiGroups": ["ombak.dev"], "resources": ["overrides"], "verbs": verbs}]
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}} | {
        "rules": rules
    }


def _may(lab: Lab, user: str, verb: str) -> bool:
    wanted = {"verb": verb, "group": "ombak.dev", "resource": "overrides", "namespace": NAMESPACE}
    review = {"spec": {"user": user, "resourceAttributes": wanted}}
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    return bool(lab.region.plane.client.call("POST", path, review)["status"]["allowed"])


def install_policy(lab: Lab) -> None:
    """Apply the shipped file, and return when it holds and is old enough for Overrides to count."""
    lab.region.kubectl("apply", "-f", str(POLICY))
    wait_for("the policy to hold", lambda: _is_refused(lab), WITHIN)
    objects = (lab.region.plane.client.call("GET", f"{ADMISSION}/{kind}/{override_policy.NAME}") for kind in GUARDS)
    made = max(datetime.fromisoformat(found["metadata"]["creationTimestamp"]) for found in objects)
    wait_for("the policy to be old enough", lambda: datetime.now(UTC) > made + SETTLES + timedelta(seconds=1), WITHIN)


def _is_refused(lab: Lab) -> bool:
    try:
        ask(lab, "alice", dry_run=True, requestedBy="carol")
    except ApiStatusError as error:
        return "write requestedBy: alice" in str(error)
    return False


def uninstall(lab: Lab, kind: str) -> None:
    """Delete the policy or its binding, and return when it holds nobody any more."""
    lab.region.plane.client.call("DELETE", f"{ADMISSION}/{kind}/{override_policy.NAME}")
    wait_for("the policy to be gone", lambda: not _is_refused(lab), WITHIN)


def audit(lab: Lab, *, is_all: bool) -> None:
    """Let the binding only tell of what breaks the policy, or refuse it again; returns when that holds."""
    change = {"spec": {"validationActions": ["Audit" if is_all else "Deny"]}}
    lab.region.plane.client.call("PATCH", f"{ADMISSION}/{GUARDS[1]}/{override_policy.NAME}", change)
    wait_for("the binding to hold otherwise", lambda: _is_refused(lab) != is_all, WITHIN)


def stamp(ahead: timedelta) -> str:
    """A moment so far ahead, as the API server writes it."""
    return (datetime.now(UTC) + ahead).strftime("%Y-%m-%dT%H:%M:%SZ")


def path(namespace: str = NAMESPACE, name: str = "", subresource: str = "") -> str:
    """The URL path of Overrides."""
    return "/".join(filter(None, (f"/apis/{API}/namespaces/{namespace}/overrides", name, subresource)))


def body(name: str = "fix", **spec: Any) -> Json:
    """An Override that alice asks for; None leaves a field out."""
    fields: dict[str, Any] = {
        "target": {"kind": "Rollout", "name": "front-end"},
        "artifact": "a1ffffffffff",
        "requestedBy": "alice",
        "reason": "CVE-2026-1",
        "urgency": "it is exploited",
        "expires": stamp(timedelta(hours=1)),
        "bake": {"oneBox": "1s", "batch": "1s", "bake": "1s"},
    }
    made = {key: value for key, value in (fields | spec).items() if value is not None}
    return {"apiVersion": API, "kind": "Override", "metadata": {"name": name}, "spec": made}


def ask(
    lab: Lab, user: str, name: str = "fix", *, namespace: str = NAMESPACE, dry_run: bool = False, **spec: Any
) -> Json:
    """Somebody creates an Override. Raises ApiStatusError."""
    query = {"dryRun": "All"} if dry_run else {}
    return lab.region.plane.client_for(user).call("POST", path(namespace), body(name, **spec), **query)


def patch(lab: Lab, user: str, change: Mapping[str, Any], name: str = "fix", namespace: str = NAMESPACE) -> Json:
    """Somebody merges something into an Override. Raises ApiStatusError."""
    return lab.region.plane.client_for(user).call("PATCH", path(namespace, name), dict(change))


def approval(made: Json, by: str = "bob", **more: str) -> Json:
    """The change that approves an Override, after the approvals that it has."""
    before = made["spec"].get("approvals") or []
    return {"spec": {"approvals": [*before, {"by": by, "uid": made["metadata"]["uid"], **more}]}}


def forged(lab: Lab, name: str, namespace: str = NAMESPACE, **spec: Any) -> Json:
    """Mallory writes an Override in the names of others, already approved: possible only where nothing guards it."""
    made = ask(lab, "mallory", name, namespace=namespace, **spec)
    return patch(lab, "mallory", approval(made), name, namespace)


def read(lab: Lab, name: str = "fix", namespace: str = NAMESPACE) -> Json:
    """An Override as it is stored."""
    return lab.region.plane.client.call("GET", path(namespace, name))


def in_state(lab: Lab, state: str, name: str, namespace: str, said: str = "") -> Json:
    """Wait until an Override says this of itself, in these words; returns its status."""

    def found() -> Json:
        return dict(read(lab, name, namespace).get("status") or {})

    def is_so() -> bool:
        now = found()
        return now.get("state") == state and said in now["message"]

    wait_for(f"{name} to be {state} {said}", is_so, timedelta(seconds=150))
    return found()
