"""What an upgrade must not change (P7, P8): ids of artifacts, names of what is owned, the memory that a status holds.

The files in `golden/` were written by an earlier version and are never written anew: another id would redeliver
every Rollout that exists, another name or selector would replace all its boxes, and a memory that cannot be read is
one that was erased. What is new gets a new entry.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ombak.core import config, manifests
from ombak.core.conveyor import content
from ombak.core.identity import artifact_id, digest_of
from ombak.core.memory import Memory, dump_memory, load_memory
from support.snapshots import rollout, spec, template

GOLDEN = Path(__file__).parent / "golden"


def entries(name: str) -> list[Any]:
    """The entries of a golden file, as parameters."""
    return [pytest.param(entry, id=entry["what"]) for entry in json.loads((GOLDEN / name).read_text())]


@pytest.mark.parametrize("entry", entries("artifacts.json"))
def test_a_template_keeps_its_id(entry: dict[str, Any]) -> None:
    """The same template is the same artifact for ever, however its keys are ordered."""
    assert (artifact_id(entry["template"]), digest_of(entry["template"])) == (entry["id"], entry["digest"])


@pytest.mark.parametrize("entry", entries("memories.json"))
def test_an_old_memory_is_read_and_written_as_it_was(entry: dict[str, Any]) -> None:
    """Nothing is lost in reading it, and a version that merely read it would write the very same."""
    memory = load_memory(entry["memory"])

    assert dump_memory(memory) == entry["memory"]
    assert (memory == Memory()) == (entry["memory"] == {})


@pytest.mark.parametrize("entry", entries("names.json"))
def test_what_a_rollout_owns_keeps_its_names_and_selectors(entry: dict[str, Any]) -> None:
    """By them the next version finds the boxes, records and copies that there are, and makes no others."""
    name, zone, artifact = entry["rollout"], entry["zone"], entry["artifact"]
    view = rollout(spec(), name=name)
    one_box = manifests.one_box(view, template("v1"), artifact, zone, 1, surge=False)
    fleet = manifests.fleet(view, template("v1"), artifact, zone, 3)
    record = manifests.artifact(view, artifact, 1)

    assert entry["names"] == {
        "one box": one_box["metadata"]["name"],
        "fleet": fleet["metadata"]["name"],
        "record": record["metadata"]["name"],
        "config": config.copy_name(name, artifact, "settings"),
        "pipeline": content.object_name(name, artifact),
    }
    made = {"one box": one_box, "fleet": fleet}
    assert entry["selectors"] == {what: manifest["spec"]["selector"]["matchLabels"] for what, manifest in made.items()}
