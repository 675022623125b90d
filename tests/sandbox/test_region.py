"""A region as its users meet it: a real control plane, behaviours on demand, a Prometheus with traffic."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ombak.sandbox import KubectlError, Region, SandboxError, wait_for
from ombak.sandbox.audit import RequestCounts
from ombak.sandbox.client import ApiStatusError
from ombak.sandbox.families import KUBERNETES, PROMETHEUS

pytestmark = pytest.mark.cluster

SOON = timedelta(seconds=90)
VISITOR = "visitor"
"""Not the operator, who may be at work in this region for other tests, with rights of its own."""
VIEWER = """
apiVersion: v1
kind: Namespace
metadata: {name: comes-with-the-rights}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: sandbox-test}
rules:
- {apiGroups: [""], resources: [configmaps], verbs: [get, list, watch, create, update]}
- {apiGroups: [""], resources: [events], verbs: [create]}
"""


def behaviour(**annotations: str) -> dict[str, str]:
    """Keyword `error_rate` becomes annotation `sandbox.ombak.dev/error-rate`, and so on."""
    return {f"sandbox.ombak.dev/{key.replace('_', '-')}": value for key, value in annotations.items()}


def template(name: str, annotations: dict[str, str]) -> dict[str, Any]:
    """A pod template whose pods have traffic."""
    labels = {"app": name, "ombak.dev/rollout": name, "ombak.dev/box": "fleet", "ombak.dev/artifact": "v1-x"}
    return {
        "metadata": {"labels": labels, "annotations": annotations},
        "spec": {"containers": [{"name": "main", "image": "example/main:1"}]},
    }


def deploy(region: Region, namespace: str, name: str, replicas: int, **annotations: str) -> None:
    """Applies a Deployment with a behaviour."""
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}}
    content = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace}}
    content |= {"spec": spec | {"template": template(name, behaviour(**annotations))}}
    region.kubectl("apply", "-f", "-", input=json.dumps(content))


def pods(region: Region, namespace: str, name: str) -> list[dict[str, Any]]:
    """The pods of one deployment."""
    query = {"labelSelector": f"app={name}"}
    items: list[dict[str, Any]] = region.plane.client.call("GET", f"/api/v1/namespaces/{namespace}/pods", **query)[
        "items"
    ]
    return items


def is_ready(pod: dict[str, Any]) -> bool:
    """Whether the pod says so."""
    conditions = pod["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def ready_count(region: Region, namespace: str, name: str) -> int:
    """How many pods of a deployment are ready."""
    return sum(map(is_ready, pods(region, namespace, name)))


def container(region: Region, namespace: str, name: str) -> dict[str, Any]:
    """Status of the only container of the only pod, {} before there is one."""
    found = pods(region, namespace, name)
    statuses = found[0]["status"].get("containerStatuses", []) if found else []
    return statuses[0] if statuses else {}


def never(what: str, happens: Callable[[], bool], for_: timedelta) -> None:
    """Fails if it happens within that time."""
    with pytest.raises(SandboxError, match="not within"):
        wait_for(what, happens, for_)


def test_nodes_are_ready_and_spread_over_zones(region: Region) -> None:
    """Six nodes, two in each of three zones."""
    nodes = region.plane.client.call("GET", "/api/v1/nodes")["items"]
    zones = [node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in nodes]

    assert sorted(zones) == ["a", "a", "b", "b", "c", "c"]
    assert all(is_ready(node) for node in nodes)


def test_versions_are_those_of_the_table(region: Region) -> None:
    """Clients decide by them what they may ask for."""
    assert region.plane.client.call("GET", "/version")["gitVersion"] == f"v{KUBERNETES.version}"


def test_targets_can_be_added_and_removed_at_run_time(region: Region) -> None:
    """As the operator's own metrics; here Prometheus watches itself, and tells its version."""
    region.prometheus.add_target("itself", region.prometheus_url.removeprefix("http://"))
    build = f'prometheus_build_info{{job="itself",version="{PROMETHEUS.version}"}}'
    wait_for("its metrics", lambda: region.prometheus.value(build) == 1, SOON)
    region.prometheus.remove_target("itself")

    wait_for("their end", lambda: region.prometheus.value(build) is None, SOON)


def test_deployment_becomes_ready_and_goes(region: Region, namespace: str) -> None:
    """All controllers, the scheduler and the simulated kubelets work together."""
    deploy(region, namespace, "web", 50)
    wait_for("50 ready", lambda: ready_count(region, namespace, "web") == 50, SOON)
    region.kubectl("delete", "deployment", "web", "-n", namespace)

    wait_for("no pods", lambda: not pods(region, namespace, "web"), SOON)


def test_slow_start_is_slow(region: Region, namespace: str) -> None:
    """`ready-after` delays readiness."""
    deploy(region, namespace, "slow", 1, ready_after="4s")
    wait_for("ready", lambda: ready_count(region, namespace, "slow") == 1, SOON)
    (pod,) = pods(region, namespace, "slow")
    ready = next(c["lastTransitionTime"] for c in pod["status"]["conditions"] if c["type"] == "Ready")

    took = datetime.fromisoformat(ready) - datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
    assert took >= timedelta(seconds=4)


def test_never_ready_runs_but_is_never_ready(region: Region, namespace: str) -> None:
    """Its container runs, its probe fails."""
    deploy(region, namespace, "never", 1, behaviour="never-ready")
    wait_for("running", lambda: "running" in container(region, namespace, "never").get("state", {}), SOON)

    never("ready", lambda: ready_count(region, namespace, "never") > 0, timedelta(seconds=2))


def test_crash_loop_restarts_again_and_again(region: Region, namespace: str) -> None:
    """The restart count grows, the container waits, the pod is never ready."""
    deploy(region, namespace, "crash", 1, behaviour="crash-loop", crash_every="500ms")
    wait_for("three restarts", lambda: container(region, namespace, "crash").get("restartCount", 0) >= 3, SOON)
    status = container(region, namespace, "crash")

    assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert status["lastState"]["terminated"]["exitCode"] == 1
    assert ready_count(region, namespace, "crash") == 0


def test_flapping_pod_comes_and_goes(region: Region, namespace: str) -> None:
    """Ready, not ready, ready again; each time with a restart more."""
    deploy(region, namespace, "flap", 1, behaviour="flap", flap_every="700ms")
    for ready in (1, 0, 1, 0):
        wait_for(f"{ready} ready", lambda want=ready: ready_count(region, namespace, "flap") == want, SOON)

    assert container(region, namespace, "flap")["restartCount"] >= 2


@pytest.mark.parametrize(
    ("annotations", "condition"), [({}, "Complete"), ({"behaviour": "fail"}, "Failed")], ids=["good", "bad"]
)
def test_job_ends_as_its_annotation_says(
    region: Region, namespace: str, annotations: dict[str, str], condition: str
) -> None:
    """Tests of a release run as Jobs."""
    content = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job", "namespace": namespace}}
    pod = template("job", behaviour(**annotations))
    pod["spec"]["restartPolicy"] = "Never"
    region.kubectl("apply", "-f", "-", input=json.dumps(content | {"spec": {"backoffLimit": 0, "template": pod}}))

    region.kubectl("wait", f"--for=condition={condition}", "job/job", "-n", namespace, "--timeout=90s")


def test_logs_are_what_the_sandbox_says(region: Region, namespace: str) -> None:
    """The API server asks the simulated kubelet, as it asks a real one."""
    deploy(region, namespace, "talks", 1)
    wait_for("ready", lambda: ready_count(region, namespace, "talks") == 1, SOON)
    region.plane.say("one more line", "and the last one")

    told = region.kubectl("logs", "deployment/talks", "-n", namespace, "--tail=2").splitlines()
    assert told == ["one more line", "and the last one"]


def test_pod_that_node_lifecycle_marked_heals(region: Region, namespace: str) -> None:
    """After a long outage the controller-manager writes Ready=False on every pod; they must come back."""
    deploy(region, namespace, "web", 1)
    wait_for("ready", lambda: ready_count(region, namespace, "web") == 1, SOON)
    name = pods(region, namespace, "web")[0]["metadata"]["name"]
    mark = {"type": "Ready", "status": "False", "reason": "NodeNotReady"}
    patch = json.dumps({"status": {"conditions": [mark]}})
    marked = region.kubectl("patch", "pod", name, "-n", namespace, "--subresource=status", "-p", patch, "-o", "json")
    assert not is_ready(json.loads(marked))

    wait_for("ready again", lambda: ready_count(region, namespace, "web") == 1, SOON)


def test_apiserver_comes_back_with_everything(region: Region, namespace: str) -> None:
    """An outage: same etcd, port and credentials; what runs goes on, and new work is done."""
    deploy(region, namespace, "before", 2)
    wait_for("ready", lambda: ready_count(region, namespace, "before") == 2, SOON)
    region.plane.kill_apiserver()
    with pytest.raises(KubectlError, match="refused"):
        region.kubectl("get", "nodes")
    region.plane.restart_apiserver()
    deploy(region, namespace, "after", 2)

    wait_for("ready", lambda: ready_count(region, namespace, "after") == 2, SOON)
    assert ready_count(region, namespace, "before") == 2


def test_user_has_exactly_the_granted_rights(region: Region, namespace: str, tmp_path: Path) -> None:
    """Nothing before the grant, and nothing beyond it."""
    client = region.plane.client_for(VISITOR)
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    with pytest.raises(ApiStatusError, match="403"):
        client.call("GET", path)
    manifest = tmp_path / "rbac.yaml"
    manifest.write_text(VIEWER)
    region.grant(VISITOR, manifest, namespace)
    client.call("GET", path)

    with pytest.raises(ApiStatusError, match="403"):
        client.call("DELETE", f"{path}/kube-root-ca.crt")
    assert region.plane.client.call("GET", "/api/v1/namespaces/comes-with-the-rights")["kind"] == "Namespace"


def test_admin_may_impersonate(region: Region) -> None:
    """What depends on who asks can be tested without certificates."""
    said = region.kubectl("auth", "whoami", "--as=alice", "--as-group=approvers", "-o", "json")

    assert json.loads(said)["status"]["userInfo"]["username"] == "alice"


def test_audit_counts_what_a_user_asked(region: Region, namespace: str, tmp_path: Path) -> None:
    """Each kind of request that the operator makes, counted once; what others do does not count."""
    manifest = tmp_path / "rbac.yaml"
    manifest.write_text(VIEWER)
    region.grant(VISITOR, manifest, namespace)
    client, mark = region.plane.client_for(VISITOR), region.audit.mark()
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    content = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}}
    client.call("POST", path, content)
    client.call("POST", path, content | {"metadata": {"name": "dry"}}, dryRun="All")
    client.call("PUT", f"{path}/mine", content | {"data": {"a": "b"}})
    client.call("GET", f"{path}/mine")
    client.call("GET", path)
    client.call("GET", path, resourceVersion="0")
    event = {"metadata": {"name": "e"}, "involvedObject": {"namespace": namespace}}
    client.call("POST", f"/api/v1/namespaces/{namespace}/events", event)
    watch = client.watch(path)
    next(watch)
    watch.close()
    region.kubectl("delete", "configmap", "mine", "-n", namespace)
    counts: RequestCounts = region.audit.counts(VISITOR, since=mark)

    assert dict(counts.writes) == {("create", "configmaps"): 1, ("update", "configmaps"): 1}
    assert dict(counts.dry_run) == {("create", "configmaps"): 1}
    assert counts.events == 1
    assert dict(counts.gets) == {("get", "configmaps"): 1}
    assert dict(counts.lists) == {("list", "configmaps"): 2}
    assert dict(counts.watches) == {("watch", "configmaps"): 1}
    assert dict(counts.uncached) == {("list", "configmaps"): 1, ("watch", "configmaps"): 1}
    assert not counts.failed


def test_prometheus_sees_the_traffic(region: Region, namespace: str) -> None:
    """Rates, error rates and latencies are those that the annotations ask for."""
    deploy(region, namespace, "web", 4, requests_per_second="40", error_rate="0.25", latency="80ms")
    wait_for("ready", lambda: ready_count(region, namespace, "web") == 4, SOON)
    of = f'namespace="{namespace}",rollout="web"'
    total = f"sum(rate(http_requests_total{{{of}}}[5s]))"
    errors = f'sum(rate(http_requests_total{{{of},code=~"5.."}}[5s]))'
    buckets = f"sum by (le) (rate(http_request_duration_seconds_bucket{{{of}}}[5s]))"

    def sees(expression: str, wanted: float, rel: float) -> None:
        # A scrape that comes late or not at all bends rates for as long as they reach back to it.
        expected = pytest.approx(wanted, rel)
        wait_for(f"{expression} = {wanted}", lambda: region.prometheus.value(expression) == expected, SOON)

    sees(total, 40, 0.02)
    sees(f"{errors} / {total}", 0.25, 0.001)
    sees(f"histogram_quantile(0.5, {buckets})", 0.08, 0.1)
    series = f'last_over_time(http_requests_total{{{of},code="200"}}[1m])'
    labels = dict(next(iter(region.prometheus.query(series))))

    assert labels["pod"].startswith("web-")
    assert (labels["box"], labels["artifact"], labels["job"]) == ("fleet", "v1-x", "traffic")


def test_series_of_removed_pods_end(region: Region, namespace: str) -> None:
    """And the rest of the pods take over their requests."""
    deploy(region, namespace, "web", 3, requests_per_second="30")
    series = f'count(http_requests_total{{namespace="{namespace}",code="200"}})'
    wait_for("three series", lambda: region.prometheus.value(series) == 3, SOON)
    region.kubectl("scale", "deployment", "web", "--replicas=1", "-n", namespace)
    wait_for("one series", lambda: region.prometheus.value(series) == 1, SOON)
    rate = f'sum(rate(http_requests_total{{namespace="{namespace}"}}[5s]))'

    wait_for("the whole rate on one", lambda: (region.prometheus.value(rate) or 0) > 29.5, SOON)


def test_prometheus_keeps_its_data_over_an_outage(region: Region) -> None:
    """Killed and started again, it still knows what was before."""
    wait_for("a scrape", lambda: region.prometheus.value('up{job="traffic"}') == 1, SOON)
    region.prometheus.kill()
    with pytest.raises(OSError, match="refused"):
        region.prometheus.query("up")
    region.prometheus.restart()

    assert region.prometheus.value('max_over_time(up{job="traffic"}[5m])') == 1
    wait_for("the next scrape", lambda: region.prometheus.value('up{job="traffic"}') == 1, SOON)


def test_rules_can_be_added_at_run_time(region: Region) -> None:
    """Alerting rules are part of what the operator watches; a bad file is refused with Prometheus's own words."""
    rules = {"groups": [{"name": "g", "rules": [{"alert": "AlwaysOn", "expr": "vector(1)"}]}]}
    region.prometheus.set_rules("test", json.dumps(rules))
    wait_for("the alert", lambda: region.prometheus.value('ALERTS{alertname="AlwaysOn"}') == 1, SOON)

    with pytest.raises(SandboxError, match="refused the rules"):
        region.prometheus.set_rules("test", "groups: nonsense")
    region.prometheus.set_rules("test", "groups: []")
