"""Sets the stage for the story of regions: a hub and three regions, an operator in each, and nothing left behind."""

import base64
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.text import Text

from ombak.api.common import API_VERSION
from ombak.cli.demo.keep import regions_instructions
from ombak.cli.demo.regions_story import NAME, NAMESPACE, PLACES, RegionsStory, regions_versions
from ombak.cli.demo.regions_view import RegionsOutcome, outcome_sentences, outcome_table
from ombak.cli.demo.stage import LOG_WIDTH, USER, install, manifests, progress, start_operator, wait_for_ctrl_c
from ombak.cli.pipeline_text import pipeline_lines
from ombak.sandbox import Process, Region, start_regions

HUB = "hub"
_SECRETS = "ombak-regions"
LABELS = {"dev-1": {"env": "dev"}, "id-1": {"env": "prod", "wave": "1"}, "sg-1": {"env": "prod"}}
_LENIENT = 0.6
"""Share of failed requests that alpha takes: its callers are tests that provoke errors."""
_PRE_PRODUCTION = "shop-alpha"


def demonstrate_regions(keep: bool) -> str:
    """Play it all; returns why it did not go as promised, empty if it did.

    With `keep` it stays until Ctrl-C. Raises SandboxError, BuildError, ToolMissingError.
    """
    console = Console(highlight=False, width=None if sys.stdout.isatty() else LOG_WIDTH)
    with ExitStack() as stack:
        with progress(console) as say:
            planes = stack.enter_context(start_regions((HUB, *LABELS), users=(USER,), nodes=3, progress=say))
        is_fine = False
        try:
            outcome = _demonstrate(planes, keep, console, stack)
            is_fine = not outcome.problem
        except KeyboardInterrupt:
            is_fine = True
            raise
        finally:
            if not is_fine:
                console.print(f"the logs are kept in {_kept_logs(planes)}", soft_wrap=True)
    return outcome.problem


def _kept_logs(planes: Sequence[Region]) -> Path:
    """Copy the logs out of the folders that are removed with the planes."""
    kept = Path(tempfile.mkdtemp(prefix="ombak-demo-regions-"))
    for plane in planes:
        shutil.copytree(plane.workdir.logs, kept / plane.name)
    return kept


def _demonstrate(planes: Sequence[Region], keep: bool, console: Console, stack: ExitStack) -> RegionsOutcome:
    hub, *others = planes
    regions = {region.name: region for region in others}
    console.print(f"A hub and the regions {', '.join(regions)} are up: four whole control planes", soft_wrap=True)
    operators = []
    for plane in planes:
        install(plane)
        operators.append(start_operator(plane, *(("--hub",) if plane is hub else ())))
        stack.callback(operators[-1].stop)
    register(hub, regions, LABELS)
    hub.kubectl("create", "namespace", NAMESPACE)
    for place in PLACES:
        _prepare(regions[place.region], place.namespace)
    played = regions_versions(yaml.safe_load((manifests() / "pipeline.yaml").read_text()))
    outcome = RegionsStory(hub, regions, operators, played).play(lambda line: console.print(Text(line), soft_wrap=True))
    _tell(outcome, hub, console)
    if keep:
        _keep(planes, operators, console)
    return outcome


def service_account_token(region: Region) -> str:
    """Return a token of the ServiceAccount that a region gives to the hub."""
    return region.kubectl("create", "token", "hub", "-n", "ombak-hub", "--duration=2h").strip()


def register(
    hub: Region,
    regions: Mapping[str, Region],
    labels: Mapping[str, Mapping[str, str]],
    token_of: Callable[[Region], str] = service_account_token,
) -> None:
    """Do what a platform team does once: let the hub into each region, and write the central list."""
    with resources.as_file(manifests() / "hub-rbac.yaml") as rbac:
        hub.grant(USER, rbac)
    for name, region in regions.items():
        region.kubectl("apply", "-f", "-", input=(manifests() / "region-rbac.yaml").read_text())
        text = kubeconfig_of(region.plane.url, region.plane.ca_file, token_of(region))
        data = base64.b64encode(text.encode()).decode()
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": _SECRETS}}
        hub.kubectl("apply", "-f", "-", input=json.dumps(secret | {"data": {"kubeconfig": data}}))
        hub.kubectl("apply", "-f", "-", input=json.dumps(region_manifest(name, labels[name])))


def kubeconfig_of(server: str, ca_file: Path, token: str) -> str:
    """Return a kubeconfig as docs/regions.md makes it: all of it inline."""
    ca = base64.b64encode(ca_file.read_bytes()).decode()
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "region",
            "contexts": [{"name": "region", "context": {"cluster": "region", "user": "hub"}}],
            "clusters": [{"name": "region", "cluster": {"server": server, "certificate-authority-data": ca}}],
            "users": [{"name": "hub", "user": {"token": token}}],
        }
    )


def region_manifest(name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return a Region that is entered by the Secret of its name."""
    access = {"kubeconfig": {"secretRef": {"namespace": _SECRETS, "name": name}}}
    metadata = {"name": name, "labels": dict(labels)}
    into = [f"{NAMESPACE}/{p.namespace}" for p in PLACES if p.region == name and p.namespace != NAMESPACE]
    allow = {"allow": {"namespaces": [NAMESPACE], "into": into}} if into else {}
    return {"apiVersion": API_VERSION, "kind": "Region", "metadata": metadata, "spec": {"access": access, **allow}}


def region_alarms(namespace: str) -> list[dict[str, Any]]:
    """Return the Alarms of a namespace: those of the example, in alpha with a limit for tests that provoke errors."""
    found = list(yaml.safe_load_all((manifests() / "region-alarms.yaml").read_text()))
    for alarm in found:
        if namespace == _PRE_PRODUCTION:
            alarm["spec"]["metric"]["threshold"] = _LENIENT
    return found


def _prepare(region: Region, namespace: str) -> None:
    """Do what a service team does once in each region: a namespace and the Alarms."""
    region.kubectl("create", "namespace", namespace)
    region.kubectl("apply", "-n", namespace, "-f", "-", input=yaml.safe_dump_all(region_alarms(namespace)))


def _tell(outcome: RegionsOutcome, hub: Region, console: Console) -> None:
    console.print("\n[bold]What happened[/]")
    console.print(outcome_table(outcome.acts, PLACES))
    for sentence in outcome_sentences(outcome):
        console.print(sentence, soft_wrap=not console.is_terminal)
    console.print("\n[bold]What kubectl shows on the hub[/] [dim](kubectl get pipelines,regions -A)[/]")
    console.print(Text(hub.kubectl("get", "pipelines,regions", "-A")), soft_wrap=True)
    console.print(f"[bold]What ombak pipeline show {NAME} -n {NAMESPACE} shows[/]")
    found = json.loads(hub.kubectl("get", "ompl", NAME, "-n", NAMESPACE, "-o", "json"))
    for line in pipeline_lines(found, outcome.ended):
        console.print(Text(line), soft_wrap=True)


def _keep(planes: Sequence[Region], operators: Sequence[Process], console: Console) -> None:
    """Say how to look around, and wait for Ctrl-C."""
    console.print(f"\n{regions_instructions(planes)}", soft_wrap=True, markup=False)
    wait_for_ctrl_c(operators, console)
