"""Alarms, and what Rollouts watch, from manifests: what a person has in a file, before any cluster has seen it."""

import dataclasses
from pathlib import Path
from typing import Any

import click

from ombak.alarms.definition import Definition, define
from ombak.alarms.errors import AlarmError, PositionedError
from ombak.alarms.resolve import AlarmKey, Broken
from ombak.api.alarm import AlarmSpec
from ombak.api.common import GROUP
from ombak.api.parse import parse_alarm_spec, parse_rollout_spec
from ombak.api.rollout import RolloutSpec
from ombak.cli.manifest_files import DEFAULT_NAMESPACE, read_documents


@dataclasses.dataclass(frozen=True, slots=True)
class AlarmManifest:
    """One Alarm of a file; `spec` is a sentence where it cannot be read, `problem` (with a caret) why it is wrong."""

    key: AlarmKey
    spec: AlarmSpec | str
    definition: Definition | Broken
    problem: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class RolloutManifest:
    """One Rollout of a file; `problem` says why its spec cannot be read, and is empty if it can."""

    namespace: str
    name: str
    spec: RolloutSpec | None
    problem: str = ""


def read_all(path: Path) -> tuple[tuple[AlarmManifest, ...], tuple[RolloutManifest, ...]]:
    """The Alarms and the Rollouts of a YAML file, each in their order. Raises click.ClickException."""
    documents = read_documents(path)
    alarms = tuple(_manifest(document) for document in documents if _is(document, "Alarm"))
    rollouts = tuple(_rollout(document) for document in documents if _is(document, "Rollout"))
    if not alarms and not rollouts:
        raise click.ClickException(f"{path} has no Alarm and no Rollout in it")
    return alarms, rollouts


def _is(document: dict[str, Any], kind: str) -> bool:
    return document.get("kind") == kind and str(document.get("apiVersion", "")).startswith(f"{GROUP}/")


def _named(document: dict[str, Any]) -> AlarmKey:
    found = document.get("metadata")
    meta = found if isinstance(found, dict) else {}
    return AlarmKey(str(meta.get("namespace") or DEFAULT_NAMESPACE), str(meta.get("name") or "?"))


def _rollout(document: dict[str, Any]) -> RolloutManifest:
    key, parsed = _named(document), parse_rollout_spec(document.get("spec"))
    return RolloutManifest(key.namespace, key.name, parsed.spec, parsed.problem)


def _manifest(document: dict[str, Any]) -> AlarmManifest:
    key = _named(document)
    parsed = parse_alarm_spec(document.get("spec"))
    if parsed.spec is None:
        return AlarmManifest(key, parsed.problem, Broken(parsed.problem), parsed.problem)
    try:
        return AlarmManifest(key, parsed.spec, define(parsed.spec))
    except PositionedError as error:
        return AlarmManifest(key, parsed.spec, Broken(str(error)), error.render())
    except AlarmError as error:
        return AlarmManifest(key, parsed.spec, Broken(str(error)), str(error))
