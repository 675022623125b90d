"""What `ombak demo --keep` says at the end: the exact commands to go on with."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ombak.cli.demo import regions_story
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


_REGIONS_TEXT = """\
It is all still running. In another terminal:

  export KUBECONFIG={kubeconfigs}
  export PATH={tools}:"$PATH"       # for kubectl and ombak

  # the hub, which is the context hub; that of a region is called as its Region
  kubectl get pipelines,regions -A
  ombak pipeline show {name} -n {namespace}
  kubectl --context {region} -n {namespace} get rollouts,artifacts,alarms,pods

  # a version of your own, without errors
  kubectl -n {namespace} patch pipeline {name} --type json -p '[
    {{"op": "replace", "path": "/spec/rollout/spec/template/spec/containers/0/image",
     "value": "registry.example/{name}:1.3.0"}},
    {{"op": "replace", "path": "/spec/rollout/spec/template/metadata/annotations/sandbox.ombak.dev~1error-rate",
     "value": "0"}}]'

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


def regions_instructions(planes: Sequence[Region]) -> str:
    """Return the text for a hub, which comes first, and its regions: one KUBECONFIG with a context for each."""
    tools = dict.fromkeys((Path(find_kubectl()).parent, Path(sys.executable).parent))
    return _REGIONS_TEXT.format(
        kubeconfigs=os.pathsep.join(str(plane.kubeconfig) for plane in planes),
        tools=os.pathsep.join(map(str, tools)),
        namespace=regions_story.NAMESPACE,
        name=regions_story.NAME,
        region=planes[1].name,
    )
