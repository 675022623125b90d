"""What `ombak plan` plans with: Pipelines, Regions, Windows and Blockers as a hub would know them."""

import asyncio
import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ombak.api import kinds as api_kinds
from ombak.api.common import API_VERSION, GROUP
from ombak.api.window import ConfigMapKey
from ombak.cli.alarm_show_read import cluster
from ombak.cli.manifest_files import DEFAULT_NAMESPACE, Document
from ombak.core.gates.compile import zone_of
from ombak.core.gates.problems import UnreadableWindow
from ombak.runtime import kinds
from ombak.runtime.gate_book import CalendarText, GateBook, calendar_places
from ombak.runtime.hub.records import PipelineRecord, decode_pipeline
from ombak.runtime.kube_port import ApiError, Kind, NotFound, mapping, metadata
from ombak.runtime.records import decode_rollout
from ombak.runtime.region_records import RegionRecord, decode_region
from ombak.runtime.store import Key, Store

_NAMES = [kind.name for kind in api_kinds.KINDS]
_NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")
_ABOVE_ANY_SERVER = 1 << 62
"""Resource versions of what stands in files: it wins over what a cluster says."""


class Book:
    """What a hub would know: filled from files, and where these have no Regions, from a cluster first."""

    def __init__(self, zone: str) -> None:
        """`zone` is what `timeZone: Region` means on the hub, an IANA name."""
        self.pipelines: Store[PipelineRecord] = Store(decode_pipeline)
        self.regions: Store[RegionRecord] = Store(decode_region)
        self.gates = GateBook(Store(decode_rollout), lambda _key: None, zone)
        self.wanted: dict[Key, None] = {}
        """The Pipelines of the files, in their order."""
        self.problems: list[str] = []
        """What is wrong in the files, each with its object, the field and the fix."""
        self._config_maps: dict[Key, Document] = {}
        self._seen: dict[tuple[str, Key], Document] = {}

    @property
    def _stores(self) -> dict[str, Store[Any]]:
        gates = {kind.kind: store for kind, store in self.gates.stores().items()}
        return {kinds.PIPELINES.kind: self.pipelines, kinds.REGIONS.kind: self.regions, **gates}

    def take_files(self, documents: Iterable[Document]) -> None:
        """Take what stands in files; what is wrong, or there twice and not the same, becomes a problem."""
        for number, document in enumerate(documents):
            kind, name = str(document.get("kind")), str(metadata(document).get("name") or "")
            if kind == kinds.CONFIG_MAPS.kind:
                self._config_maps[_namespace(document), name] = document
            if not str(document.get("apiVersion", "")).startswith(f"{GROUP}/"):
                continue
            problem = _misnamed(document, kind, name)
            if problem:
                self.problems.append(problem)
            elif kind in self._stores:
                self._take_file(kind, name, document, number)

    def _take_file(self, kind: str, name: str, document: Document, number: int) -> None:
        is_namespaced = kind in (kinds.PIPELINES.kind, kinds.BLOCKERS.kind, kinds.OVERRIDES.kind)
        key = (_namespace(document) if is_namespaced else "", name)
        called = f"{kind} {'/'.join(filter(None, key))}"
        if self._seen.setdefault((kind, key), document) != document:
            self.problems.append(f"{called}: it stands in the files twice, and they differ; leave one of them out")
            return
        meta = {
            **metadata(document),
            "namespace": key[0],
            "uid": f"file-{name}",
            "resourceVersion": str(_ABOVE_ANY_SERVER + number),
        }
        store = self._stores[kind]
        store.observe({**document, "metadata": meta})
        stored = store.get(key)
        assert stored is not None
        problem = self._problem(kind, key)
        if problem:
            self.problems.append(f"{called}: {problem}")
        if kind == kinds.PIPELINES.kind:
            self.wanted[key] = None

    def _problem(self, kind: str, key: Key) -> str:
        if kind in (kinds.PIPELINES.kind, kinds.OVERRIDES.kind):
            found = self._stores[kind].get(key)
            return str(found.value.view.problem) if found is not None else ""
        if kind == kinds.WINDOWS.kind:
            window = self.gates.windows.get(key)
            spec = window.value.spec if window is not None else ""
            return spec if isinstance(spec, str) else ""
        stored = self._stores[kind].get(key)
        problem = str(stored.value.problem) if stored is not None else ""
        return problem or (self._misplaced_clock(key) if kind == kinds.REGIONS.kind else "")

    def _misplaced_clock(self, key: Key) -> str:
        """Say what is wrong with a Region's time zone; on a hub only Windows that go by it would."""
        stored = self.regions.get(key)
        spec = stored.value.spec if stored is not None else None
        try:
            zone_of((spec and spec.time_zone) or "UTC")
        except UnreadableWindow as error:
            return f"spec.timeZone: {error}"
        return ""

    def take_cluster(self, kubeconfig: Path | None, context: str | None) -> None:
        """Take what a hub has. Raises click.ClickException."""
        asyncio.run(self._read(kubeconfig, context))

    async def _read(self, kubeconfig: Path | None, context: str | None) -> None:
        wanted: list[Kind] = [kinds.PIPELINES, kinds.REGIONS, *self.gates.stores()]
        async with cluster(kubeconfig, context) as client:
            for kind in wanted:
                listed = await client.list(kind, resource_version="")
                for item in listed["items"]:
                    self._stores[kind.kind].observe({**item, "kind": kind.kind})
            for where in self._calendars():
                try:
                    found = await client.get(kinds.CONFIG_MAPS, where.namespace, where.name)
                except NotFound:
                    continue
                except ApiError as error:
                    self.gates.take_calendar(where, CalendarText(problem=f"cannot be read: {error}"))
                    continue
                self._config_maps.setdefault((where.namespace, where.name), found)

    def compile(self) -> None:
        """Read the calendars, and say which Windows of the files cannot be understood."""
        for where in self._calendars():
            found = self._config_maps.get((where.namespace, where.name), {})
            text = mapping(found.get("data")).get(where.key)
            told = CalendarText(str(text), "") if text else CalendarText(problem="is not there; add it to the files")
            self.gates.take_calendar(where, told)
        for key in self.gates.windows:
            stored = self.gates.windows.get(key)
            if stored is None or stored.resource_version < _ABOVE_ANY_SERVER:
                continue
            if not isinstance(stored.value.spec, str):
                problem = self.gates.window(key[1]).problem
                if problem:
                    self.problems.append(f"Window {key[1]}: {problem}")

    def _calendars(self) -> Iterator[ConfigMapKey]:
        for key in self.gates.windows:
            stored = self.gates.windows.get(key)
            if stored is not None:
                yield from calendar_places(stored.value)

    def known_regions(self) -> list[RegionRecord]:
        """Every Region, by name."""
        found = (self.regions.get(key) for key in sorted(self.regions))
        return [stored.value for stored in found if stored is not None]

    def bases(self, record: PipelineRecord) -> dict[str, Any]:
        """Every Pipeline that another one of its namespace might extend; a misspelt name finds its like here."""
        namespace, found = record.meta.namespace, {}
        for key in self.pipelines:
            stored = self.pipelines.get(key)
            if stored is not None and key[0] == namespace and key[1] != record.meta.name:
                found[key[1]] = stored.value.view.spec
        return found


def _namespace(document: Document) -> str:
    return str(metadata(document).get("namespace") or DEFAULT_NAMESPACE)


def _misnamed(document: Document, kind: str, name: str) -> str:
    """Say what makes an object none that the API server would know."""
    if document.get("apiVersion") != API_VERSION:
        return f"{kind} {name}: apiVersion {document.get('apiVersion')} is not served; write {API_VERSION}"
    if kind not in _NAMES:
        close = difflib.get_close_matches(kind, _NAMES, n=1)
        return f"{kind} {name}: {kind} is no kind of {API_VERSION}; " + (
            f"did you mean {close[0]}?" if close else f"there are {', '.join(_NAMES)}"
        )
    if not name:
        return f"{kind}: metadata.name is missing; write it"
    for field in ("name", "namespace"):
        value = metadata(document).get(field)
        if value and not (isinstance(value, str) and _NAME.match(value)):
            return f"{kind} {name!r}: metadata.{field} must be lowercase letters, digits, - and ., as in front-end"
    return (
        "" if isinstance(document.get("spec"), dict) else f"{kind} {name}: spec must be a mapping of fields; write it"
    )
