"""Alarms from manifests: what a person has in a file, before any cluster has seen it."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import yaml

from ombak.alarms.definition import Definition, define
from ombak.alarms.errors import AlarmError, PositionedError
from ombak.alarms.resolve import AlarmKey, Broken
from ombak.api.alarm import AlarmSpec
from ombak.api.common import GROUP
from ombak.api.parse import parse_alarm_spec

DEFAULT_NAMESPACE = "default"


@dataclasses.dataclass(frozen=True, slots=True)
class AlarmManifest:
    """One Alarm of a file; `spec` is a sentence where it cannot be read, `problem` (with a caret) why it is wrong."""

    key: AlarmKey
    spec: AlarmSpec | str
    definition: Definition | Broken
    problem: str = ""


def read_alarms(path: Path) -> tuple[AlarmManifest, ...]:
    """Every Alarm of a YAML file, in its order; other kinds are passed over. Raises click.ClickException."""
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise click.ClickException(f"{path} is not YAML: {error}") from error
    found = tuple(_manifest(document) for document in _flat(documents) if _is_alarm(document))
    if not found:
        raise click.ClickException(f"{path} has no Alarm in it")
    return found


def _flat(documents: Sequence[Any]) -> Iterator[dict[str, Any]]:
    for document in documents:
        if isinstance(document, dict) and isinstance(document.get("items"), list):
            yield from _flat(document["items"])
        elif isinstance(document, dict):
            yield document


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
