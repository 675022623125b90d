"""The kinds of objects that the operator reads and writes."""

from ombak.api.common import GROUP, VERSION
from ombak.api.override_policy import BINDING_KIND, POLICY_KIND
from ombak.runtime.kube_port import Kind

ROLLOUTS = Kind(GROUP, VERSION, "rollouts", "Rollout")
ALARMS = Kind(GROUP, VERSION, "alarms", "Alarm")
ARTIFACTS = Kind(GROUP, VERSION, "artifacts", "Artifact")
PIPELINES = Kind(GROUP, VERSION, "pipelines", "Pipeline")
REGIONS = Kind(GROUP, VERSION, "regions", "Region", namespaced=False)
WINDOWS = Kind(GROUP, VERSION, "windows", "Window", namespaced=False)
BLOCKERS = Kind(GROUP, VERSION, "blockers", "Blocker")
OVERRIDES = Kind(GROUP, VERSION, "overrides", "Override")
CLUSTER_BLOCKERS = Kind(GROUP, VERSION, "clusterblockers", "ClusterBlocker", namespaced=False)
DEPLOYMENTS = Kind("apps", "v1", "deployments", "Deployment")
REPLICA_SETS = Kind("apps", "v1", "replicasets", "ReplicaSet")
CONFIG_MAPS = Kind("", "v1", "configmaps", "ConfigMap")
PODS = Kind("", "v1", "pods", "Pod")
NAMESPACES = Kind("", "v1", "namespaces", "Namespace")
EVENTS = Kind("", "v1", "events", "Event")
SECRETS = Kind("", "v1", "secrets", "Secret")
SERVICES = Kind("", "v1", "services", "Service")
POLICIES = Kind("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", POLICY_KIND, namespaced=False)
POLICY_BINDINGS = Kind(
    "admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings", BINDING_KIND, namespaced=False
)
LEASES = Kind("coordination.k8s.io", "v1", "leases", "Lease")
JOBS = Kind("batch", "v1", "jobs", "Job")

BY_NAME = {k.kind: k for k in (ROLLOUTS, ALARMS, ARTIFACTS, DEPLOYMENTS, REPLICA_SETS)}

TRAVELLING = {k.kind: k for k in (ROLLOUTS, ALARMS, CONFIG_MAPS, SERVICES, JOBS)}
"""What a hub may write in a region; `charts/region-rbac.yaml` gives the rights."""
