"""Alarms from manifests: what a person has in a file, before any cluster has seen it."""

import dataclasses
from pathlib import Path
from typing import Any

import click

from ombak.alarms.definition import Definition, define
from ombak.alarms.errors import AlarmError, PositionedError
from ombak.alarms.resolve import AlarmKey, Broken
from ombak.api.alarm import AlarmSpec
from ombak.api.common import GROUP
from ombak.api.parse import parse_alarm_spec
from ombak.cli.manifest_files import DEFAULT_NAMESPACE, read_documents


@dataclasses.dataclass(frozen=True, slots=True)
class AlarmManifest:
    """One Alarm of a file; `spec` is a sentence where it cannot be read, `problem` (with a caret) why it is wrong."""

    key: AlarmKey
    spec: AlarmSpec | str
    definition: Definition | Broken
    problem: str = ""


def read_alarms(path: Path) -> tuple[AlarmManifest, ...]:
    """Every Alarm of a YAML file, in its order; other kinds are passed over. Raises click.ClickException."""
    found = tuple(_manifest(document) for document in read_documents(path) if _is_alarm(document))
    if not found:
        raise click.ClickException(f"{path} has no Alarm in it")
    return found


def _is_alarm(document: dict[str, Any]) -> bool:
    return document.get("kind") == "Alarm" and str(document.get("apiVersion", "")).startswith(f"{GROUP}/")


def _manifest(document: dict[str, Any]) -> AlarmManifest:
    found = document.get("metadata")
    meta = found if isinstance(found, dict) else {}
    key = AlarmKey(str(meta.get("namespace") or DEFAULT_NAMESPACE), str(meta.get("name") or "?"))
    parsed = parse_alarm_spec(document.get("spec"))
    if parsed.spec is None:
        return AlarmManifest(key, parsed.problem, Broken(parsed.problem), parsed.problem)
    try:
        return AlarmManifest(key, parsed.spec, define(parsed.spec))
    except PositionedError as error:
        return AlarmManifest(key, parsed.spec, Broken(str(error)), error.render())
    except AlarmError as error:
        return AlarmManifest(key, parsed.spec, Broken(str(error)), str(error))
