"""What is kept of ConfigMaps: of the users' that they exist, of our copies whose they are; of neither the content.

Of the users' only metadata is watched. Content is read when a ConfigMap that some Rollout names has changed, hashed,
and dropped. So what other ConfigMaps hold never reaches this process.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ombak.core.config import content_digest
from ombak.runtime.kube_port import listed, mapping, metadata
from ombak.runtime.records import Meta, meta_of
from ombak.runtime.store import Key, Store, identity

FORGED = "not immutable"
"""What stands in place of a digest: the content can still change, so nothing can be said of it."""


class LiveConfig(Store[None]):
    """The users' ConfigMaps: their versions, and of those that Rollouts name the digest of the content."""

    def __init__(self, on_event: Callable[[Key], None] | None = None) -> None:
        super().__init__(lambda _: None, on_event=on_event)
        self._digests: dict[Key, tuple[str, int, str]] = {}

    def digest(self, key: Key) -> str | None:
        """The digest of the content, None where it was not read since the ConfigMap was last heard to change."""
        known, stored = self._digests.get(key), self.get(key)
        if known is None or stored is None or known[0] != stored.uid or known[1] < stored.resource_version:
            return None
        return known[2]

    def learn(self, obj: Mapping[str, Any]) -> str:
        """Take the digest of a ConfigMap that was read whole; returns it."""
        key, uid, version = identity(obj)
        self._digests[key] = (uid, version, content_digest(obj))
        return self._digests[key][2]

    def forget(self, key: Key) -> None:
        """Nobody names it any more, or it is gone."""
        self._digests.pop(key, None)


@dataclasses.dataclass(frozen=True, slots=True)
class CopyRecord:
    """A version's copy of a ConfigMap."""

    meta: Meta
    owners: frozenset[str]
    """The uids of what it lives for."""


def decode_copy(obj: Mapping[str, Any]) -> CopyRecord:
    """Read a copy, without its content."""
    owners = (mapping(owner) for owner in listed(metadata(obj).get("ownerReferences")))
    return CopyRecord(meta_of(obj), frozenset(str(owner.get("uid")) for owner in owners))


class Copies(Store[CopyRecord]):
    """Our copies. What one held that is deleted is kept until it is put back, or not needed any more."""

    def __init__(self, on_event: Callable[[Key], None] | None = None) -> None:
        super().__init__(decode_copy, owner=_owner, on_event=on_event)
        self._checked: dict[str, str] = {}
        self._gone: dict[Key, dict[str, Mapping[str, Any] | None]] = {}  # by Rollout and name; None: nobody knows what

    def remove(self, obj: Mapping[str, Any]) -> bool:
        """See `Store.remove`; a watch brings the whole object, as it was last."""
        (namespace, name), uid, _ = identity(obj)
        self._checked.pop(uid, None)
        is_news, owner = super().remove(obj), _owner(decode_copy(obj))
        if owner is not None and self.get((namespace, name)) is None:
            fields = ("data", "binaryData")
            self._gone.setdefault(owner, {})[name] = {f: obj[f] for f in fields if obj.get(f)} or None
        return is_news

    def checked(self, uid: str) -> str | None:
        """The digest of what a copy holds, None if it was not read yet. What is immutable is read once."""
        return self._checked.get(uid)

    def learn(self, obj: Mapping[str, Any]) -> str:
        """Take a copy that was read whole; returns its digest, or `FORGED`."""
        self.upsert(obj)
        _, uid, _ = identity(obj)
        self._checked[uid] = content_digest(obj) if obj.get("immutable") is True else FORGED
        return self._checked[uid]

    def miss(self, owner: Key, name: str) -> None:
        """The API server says that a Rollout's copy is not there."""
        stored = self.get((owner[0], name))
        if stored is not None:
            self.discard((owner[0], name), stored.uid)
        self._gone.setdefault(owner, {}).setdefault(name, None)

    def is_gone(self, owner: Key, name: str) -> bool:
        """It is sure not to be there."""
        is_known = self.is_listed(owner[0]) or name in self._gone.get(owner, {})
        return is_known and self.get((owner[0], name)) is None

    def last_words(self, owner: Key, name: str) -> Mapping[str, Any] | None:
        """What a Rollout's copy held that was deleted while we watched."""
        return self._gone.get(owner, {}).get(name)

    def keep_only(self, owner: Key, needed: Iterable[str]) -> None:
        """Let go of what was kept of a Rollout's copies that are there again, or not needed any more."""
        kept = {
            name: content
            for name, content in self._gone.pop(owner, {}).items()
            if name in needed and self.get((owner[0], name)) is None
        }
        if kept:
            self._gone[owner] = kept


def _owner(record: CopyRecord) -> Key | None:
    return record.meta.owner
