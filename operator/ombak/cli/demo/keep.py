"""What `ombak demo --keep` says at the end: the exact commands to go on with."""

from pathlib import Path

from ombak.cli.demo.story import NAMESPACE
from ombak.sandbox import Region
from ombak.sandbox.toolchain import find_kubectl

_TEXT = """\
It is all still running. In another terminal:

  export KUBECONFIG={kubeconfig}
  export PATH={tools}:"$PATH"       # for kubectl

  kubectl -n {namespace} get rollouts,artifacts,alarms,pods
  kubectl -n {namespace} get rollout front-end -o wide --watch
  kubectl -n {namespace} describe rollout front-end

  # a version of your own, without errors
  kubectl -n {namespace} patch rollout front-end --type json -p '[
    {{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "registry.example/front-end:1.3.0"}},
    {{"op": "replace", "path": "/spec/template/metadata/annotations/sandbox.ombak.dev~1error-rate", "value": "0"}}]'
  # more boxes, at any time
  kubectl -n {namespace} scale rollout front-end --replicas=20

  Prometheus: {prometheus}    the operator's log: {log}

Ctrl-C ends it and removes everything."""


def instructions(region: Region) -> str:
    """Return the text, with this region's paths and addresses."""
    return _TEXT.format(
        kubeconfig=region.kubeconfig,
        tools=Path(find_kubectl()).parent,
        namespace=NAMESPACE,
        prometheus=region.prometheus_url,
        log=region.workdir.logs / "operator.log",
    )
