"""The kinds of objects that the operator reads and writes."""

from ombak.api.common import GROUP, VERSION
from ombak.runtime.kube_port import Kind

ROLLOUTS = Kind(GROUP, VERSION, "rollouts", "Rollout")
ALARMS = Kind(GROUP, VERSION, "alarms", "Alarm")
ARTIFACTS = Kind(GROUP, VERSION, "artifacts", "Artifact")
DEPLOYMENTS = Kind("apps", "v1", "deployments", "Deployment")
REPLICA_SETS = Kind("apps", "v1", "replicasets", "ReplicaSet")
PODS = Kind("", "v1", "pods", "Pod")
NAMESPACES = Kind("", "v1", "namespaces", "Namespace")
CONFIG_MAPS = Kind("", "v1", "configmaps", "ConfigMap")
EVENTS = Kind("", "v1", "events", "Event")

BY_NAME = {k.kind: k for k in (ROLLOUTS, ALARMS, ARTIFACTS, DEPLOYMENTS, REPLICA_SETS)}
