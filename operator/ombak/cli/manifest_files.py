"""Manifests from files: what a person has on disk, before any cluster has seen it."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import yaml

Document = dict[str, Any]
DEFAULT_NAMESPACE = "default"
_SUFFIXES = (".yaml", ".yml", ".json")
_DEEPEST, _MOST_VALUES = 100, 1_000_000
_TOO_DEEP = f"is nested deeper than {_DEEPEST} levels, or an alias in it leads back to itself"
_END = object()
_NUMBERS = {
    "int": re.compile(r"^(?:[-+]?0b[0-1_]+|[-+]?0o?[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+)$"),
    "float": re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$"),
}


class _Loader(yaml.SafeLoader):
    """Reads YAML as kubectl does, for which 2026-11-20 and 16:00 are texts."""


_TAG = "tag:yaml.org,2002:"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in found if tag.removeprefix(_TAG) not in ("timestamp", "int", "float")]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _name, _regexp in _NUMBERS.items():
    _Loader.add_implicit_resolver(f"{_TAG}{_name}", _regexp, list("-+0123456789."))


def read_documents(path: Path) -> list[Document]:
    """Every object of a YAML file, or of the files of a folder, in order; Lists are opened.

    Raises click.ClickException.
    """
    if path.is_dir():
        files = sorted(each for each in path.iterdir() if each.suffix in _SUFFIXES)
        return [document for file in files for document in read_documents(file)]
    try:
        found = list(yaml.load_all(path.read_text(encoding="utf-8"), _Loader))
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise click.ClickException(f"{path} is not YAML: {error}") from error
    except RecursionError as error:
        raise click.ClickException(f"{path} {_TOO_DEEP}") from error
    _measure(path, found)
    return list(_flat(found))


def _measure(path: Path, documents: Sequence[Any]) -> None:
    """Refuse what no API server takes either: aliases can make a small file endless."""
    left, count = [(iter(documents), 0)], 0
    while left:
        values, depth = left[-1]
        value = next(values, _END)
        if value is _END:
            left.pop()
            continue
        count += 1
        if depth > _DEEPEST:
            raise click.ClickException(f"{path} {_TOO_DEEP}")
        if count > _MOST_VALUES:
            raise click.ClickException(f"{path} holds more than {_MOST_VALUES:,} values, its aliases replaced")
        if isinstance(value, dict | list):
            left.append((iter(value.values() if isinstance(value, dict) else value), depth + 1))


def _flat(documents: Sequence[Any]) -> Iterator[Document]:
    for document in documents:
        if isinstance(document, dict) and isinstance(document.get("items"), list):
            yield from _flat(document["items"])
        elif isinstance(document, dict):
            yield document
