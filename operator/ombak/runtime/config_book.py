"""The configuration of Rollouts: what the ConfigMaps that they name hold now, and how it stands with every copy."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterable, Mapping, Sequence, Set

import structlog

from ombak.core import config
from ombak.core.keeping import boxes_made_of
from ombak.core.plan import OwnConfig, Plan
from ombak.core.snapshot import ConfigCopy, CopyState, Snapshot
from ombak.runtime import kinds
from ombak.runtime.config_maps import Copies, LiveConfig
from ombak.runtime.kube_port import ApiError, Forbidden, KubeClient, NotFound
from ombak.runtime.records import ArtifactRecord, RolloutRecord
from ombak.runtime.store import Key

log = structlog.get_logger()


@dataclasses.dataclass(frozen=True, slots=True)
class ConfigReading:
    """What is known of the configuration of one Rollout."""

    digests: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Of the ConfigMaps in `spec.config` as they are now, by name."""
    lacks: str = ""
    who: str = ""
    """Who can lift that."""
    is_old: bool = False
    """What the ConfigMaps hold was read of this spec before, and cannot be read now."""
    copies: Mapping[str, tuple[ConfigCopy, ...]] = dataclasses.field(default_factory=dict)
    """By artifact id."""


NO_CONFIG = ConfigReading()


def copies_of(rollout: str, record: ArtifactRecord) -> tuple[ConfigCopy, ...]:
    """Return the copies that a version has, of which nothing is known yet."""
    return tuple(
        ConfigCopy(name, digest, config.copy_name(rollout, record.id, name)) for name, digest in record.config.items()
    )


class ConfigBook:
    """Reads ConfigMaps when they changed, and copies once. To be used from one event loop."""

    def __init__(self, client: KubeClient, live: LiveConfig, copies: Copies) -> None:
        self._client = client
        self._live = live
        self._copies = copies
        self._named: dict[Key, frozenset[str]] = {}
        self._followers: dict[Key, set[Key]] = {}
        self.needed = asyncio.Event()
        """Set as soon as a Rollout has configuration: until then nothing about ConfigMaps is watched."""

    def followers(self, config_map: Key) -> Set[Key]:
        """The Rollouts that name a ConfigMap."""
        return self._followers.get(config_map, frozenset())

    async def read(self, record: RolloutRecord, artifacts: Sequence[ArtifactRecord]) -> ConfigReading:
        """Return what is known now, after reading what changed. Raises `ApiError`."""
        key = (record.meta.namespace, record.meta.name)
        names = (record.spec.config if record.spec is not None else None) or ()
        self._follow(key, frozenset(names))
        if not names and not any(a.config for a in artifacts):
            return NO_CONFIG
        self.needed.set()
        digests, lacks, who = await self._wanted(key[0], names)
        # One on its way out takes its copies along: they must not be put back.
        copies = {a.id: copies_of(key[1], a) for a in artifacts if not a.meta.is_deleting}
        self._copies.keep_only(key, {c.snapshot for found in copies.values() for c in found})
        return ConfigReading(digests, lacks, who, copies=await self._looked_at(key, copies, digests))

    def unread(
        self, record: RolloutRecord, artifacts: Sequence[ArtifactRecord], error: ApiError, before: ConfigReading | None
    ) -> ConfigReading:
        """Return what is known without asking: the copies as they stand now, and what was read of this spec before.

        A copy that is gone by now must not be taken for one that is there: boxes of it would never start.
        """
        key = (record.meta.namespace, record.meta.name)
        copies = {a.id: copies_of(key[1], a) for a in artifacts if not a.meta.is_deleting}
        everything = [c for found in copies.values() for c in found]
        there = {(c.name, c.digest) for c in everything if self._state(key, c) in (CopyState.KEPT, CopyState.UNCHECKED)}
        told = {artifact: tuple(self._told(key, c, there, None) for c in found) for artifact, found in copies.items()}
        if before is not None and before.lacks and not before.is_old:
            return dataclasses.replace(before, copies=told)
        lacks = f"the API server to tell what ConfigMaps hold: {error.message or error}"
        digests = {} if before is None else before.digests
        return ConfigReading(digests, lacks, "whoever runs the API server", is_old=before is not None, copies=told)

    def forget(self, key: Key) -> None:
        """The Rollout is gone."""
        self._follow(key, frozenset())
        self._copies.keep_only(key, ())

    def _follow(self, key: Key, names: frozenset[str]) -> None:
        before = self._named.get(key, frozenset())
        if names == before:
            return
        for name in before - names:
            followers = self._followers[key[0], name]
            followers.discard(key)
            if not followers:
                del self._followers[key[0], name]
                self._live.forget((key[0], name))
        for name in names - before:
            self._followers.setdefault((key[0], name), set()).add(key)
        self._named[key] = names
        if not names:
            del self._named[key]

    async def _wanted(self, namespace: str, names: Iterable[str]) -> tuple[dict[str, str], str, str]:
        """Return the digests of listed ConfigMaps, what is missing among them, and who can lift that."""
        digests: dict[str, str] = {}
        for name in names:
            try:
                digest = await self._digest((namespace, name))
            except Forbidden as error:
                what = f"the operator to be allowed to read ConfigMap {name}: {error.message}"
                return {}, what, "whoever gives Ombak its rights (charts/rbac.yaml)"
            if digest is None:
                what = f"ConfigMap {name}, which spec.config lists and which is not there"
                return {}, what, "whoever deleted it, or edits spec.config"
            digests[name] = digest
        return digests, "", ""

    async def _digest(self, key: Key) -> str | None:
        """Return the digest of a user's ConfigMap, None where there is none; asked only if it may have changed."""
        known = self._live.digest(key)
        if known is not None:
            return known
        try:
            return self._live.learn(await self._client.get(kinds.CONFIG_MAPS, *key))
        except NotFound:
            self._live.forget(key)
            return None

    async def _looked_at(
        self, key: Key, copies: Mapping[str, tuple[ConfigCopy, ...]], digests: Mapping[str, str]
    ) -> dict[str, tuple[ConfigCopy, ...]]:
        """Return the copies with what is known of each; one that was found to be forged is read again."""
        everything = [c for found in copies.values() for c in found]
        for copy in everything:
            if self._state(key, copy) is CopyState.FORGED:
                await self._look(key, copy.snapshot)
        there = {(c.name, c.digest) for c in everything if self._state(key, c) in (CopyState.KEPT, CopyState.UNCHECKED)}
        gone = {c.name: c for c in everything if self._state(key, c) is CopyState.LOST}
        asked = await self._wanted_back(key[0], gone, digests)
        return {artifact: tuple(self._told(key, c, there, asked) for c in found) for artifact, found in copies.items()}

    async def _wanted_back(
        self, namespace: str, gone: Iterable[str], digests: Mapping[str, str]
    ) -> set[tuple[str, str]]:
        """Return what the users' ConfigMaps hold of that of which copies are gone, though nobody may list them now."""
        found = set()
        for name in gone:
            with contextlib.suppress(Forbidden):
                digest = digests.get(name) or await self._digest((namespace, name))
                found |= {(name, digest)} if digest is not None else set()
        return found

    def _told(
        self, key: Key, copy: ConfigCopy, there: Set[tuple[str, str]], live: Set[tuple[str, str]] | None
    ) -> ConfigCopy:
        """Return a copy with what is known of it; `live` is None where the users' ConfigMaps cannot be read now."""
        state, stored = self._state(key, copy), self._copies.get((key[0], copy.snapshot))
        if state is CopyState.LOST:
            words = self._copies.last_words(key, copy.snapshot)
            has_words = words is not None and config.content_digest(words) == copy.digest
            if has_words or (copy.name, copy.digest) in there | (live or set()):
                state = CopyState.MISSING
            elif live is None:
                state = CopyState.REFUSED
        if stored is None:
            return dataclasses.replace(copy, state=state)
        record = stored.value
        return dataclasses.replace(
            copy, state=state, resource_version=record.meta.resource_version, owners=record.owners
        )

    def _state(self, key: Key, copy: ConfigCopy) -> CopyState:
        """Return the state by itself: whether one that is gone can be had elsewhere is not looked at."""
        if self._copies.is_gone(key, copy.snapshot):
            return CopyState.LOST
        stored = self._copies.get((key[0], copy.snapshot))
        digest = None if stored is None else self._copies.checked(stored.uid)
        if digest is None:
            return CopyState.UNCHECKED
        return CopyState.KEPT if digest == copy.digest else CopyState.FORGED

    async def _look(self, key: Key, name: str, *, is_back: bool = False) -> None:
        """Read a copy; where that is forbidden it stays unchecked, for a way back must not wait for a right.

        Nor does it wait for an API server that cannot read ConfigMaps and nothing else (P3).
        """
        try:
            self._copies.learn(await self._client.get(kinds.CONFIG_MAPS, key[0], name))
        except NotFound:
            self._copies.miss(key, name)
        except ApiError as error:
            if not (is_back or isinstance(error, Forbidden)):
                raise
            log.warning("a copy was not checked", config_map=name, error=str(error))

    async def check(self, s: Snapshot, plan: Plan) -> bool:
        """Read the copies that this plan makes boxes on, or owns, if that was not done yet; whether any was read.

        Raises `ApiError`.
        """
        is_read = False
        owned = {action.artifact for action in plan.actions if isinstance(action, OwnConfig)}
        for artifact in sorted(owned | boxes_made_of(s, plan.actions)):
            view = s.artifact(artifact)
            for copy in view.copies if view is not None else ():
                if copy.state is CopyState.UNCHECKED:
                    key, is_back = (s.rollout.namespace, s.rollout.name), plan.memory.reverting is not None
                    await self._look(key, copy.snapshot, is_back=is_back)
                    is_read = True
        return is_read
