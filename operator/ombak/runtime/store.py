"""What is known of one kind of one cluster: the only thing reconciles read.

Two streams write it: the watch, and the answers to our own writes (so that we read what we wrote). Neither
can take an object back in time, because resource versions of one kind are revisions of one etcd and compare
as integers (official since Kubernetes 1.35). Nor can a late answer raise the dead: deletions are remembered
by uid until the next complete list, and what is older than that list and not in the store is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ombak.runtime.kube_port import metadata

T = TypeVar("T")

Key = tuple[str, str]
"""(namespace, name); the namespace of a cluster-scoped object is empty."""


class NotAnObject(ValueError):  # noqa: N818 - reads as the claim it makes
    """What came is not an API object (no name, no uid, or no resource version)."""


@dataclass(frozen=True, slots=True)
class Stored(Generic[T]):
    """One object as last seen."""

    resource_version: int
    uid: str
    value: T


def identity(obj: Mapping[str, Any]) -> tuple[Key, str, int]:
    """Key, uid and resource version of an object; raises `NotAnObject`."""
    meta = metadata(obj)
    try:
        return (meta.get("namespace") or "", meta["name"]), meta["uid"], int(meta["resourceVersion"])
    except (KeyError, TypeError, ValueError) as error:
        raise NotAnObject(f"not an API object: {error!r}") from error


class Store(Generic[T]):
    """Objects by (namespace, name), and by owner when `owner` is given.

    `decode` must be total: what it cannot read has to become part of the value, for an object left out
    or left as it was would be a lie.
    `on_event` is called after each change that came from outside, with the key of the owner where there is an
    owner function (for both, when the owner changed; not at all for objects without one), else with the
    object's own key.
    """

    def __init__(
        self,
        decode: Callable[[Mapping[str, Any]], T],
        *,
        owner: Callable[[T], Key | None] | None = None,
        on_event: Callable[[Key], None] | None = None,
    ) -> None:
        self._decode = decode
        self._owner = owner
        self._on_event = on_event or (lambda _: None)
        self._objects: dict[Key, Stored[T]] = {}
        self._by_owner: dict[Key, set[Key]] = {}
        self._listed: dict[str, int] = {}  # namespace ("" is all) -> revision of its newest complete list
        self._graves: dict[str, tuple[str, int]] = {}  # uid -> namespace and revision of its end, if after that list

    def get(self, key: Key) -> Stored[T] | None:
        """The object, or None."""
        return self._objects.get(key)

    def is_listed(self, namespace: str) -> bool:
        """Whether a complete list was taken: before one, what is not here may be there all the same."""
        return "" in self._listed or namespace in self._listed

    def owned_by(self, owner: Key) -> list[tuple[Key, Stored[T]]]:
        """The objects of an owner, in order of their keys."""
        return [(key, self._objects[key]) for key in sorted(self._by_owner.get(owner, ()))]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._objects)

    def __len__(self) -> int:
        return len(self._objects)

    def entry(self, obj: Mapping[str, Any]) -> tuple[Key, Stored[T]]:
        """Decode an object without storing it; raises `NotAnObject`."""
        key, uid, version = identity(obj)
        return key, Stored(version, uid, self._decode(obj))

    def upsert(self, obj: Mapping[str, Any]) -> bool:
        """Take the answer to a write of ours, silently; whether it was news."""
        return self._take(obj) is not None

    def observe(self, obj: Mapping[str, Any]) -> bool:
        """Take an object that was added or modified, and tell; whether it was news."""
        touched = self._take(obj)
        self._tell(touched or ())
        return touched is not None

    def remove(self, obj: Mapping[str, Any]) -> bool:
        """Take the last state of an object that is gone, and tell; whether it was news.

        Ignored when the store holds something newer: the object was created again, or selected again.
        """
        key, uid, version = identity(obj)
        self._bury(key[0], uid, version)
        stored = self._objects.get(key)
        if stored is None or stored.resource_version > version:
            return False
        self._tell(self._drop(key))
        return True

    def discard(self, key: Key, uid: str) -> bool:
        """Drop an object that the server says does not exist (NotFound), and tell; not one created since."""
        stored = self._objects.get(key)
        if stored is None or stored.uid != uid:
            return False
        self._bury(key[0], uid, stored.resource_version)
        self._tell(self._drop(key))
        return True

    def replace(
        self, entries: Mapping[Key, Stored[T]], version: int, *, namespace: str | None = None, rewound: bool = False
    ) -> int:
        """Take a complete list, read at revision `version`: what it lacks is gone, if it is not newer.

        Returns how many keys were told. A list of one `namespace` says nothing about the others.
        With `rewound` the server's history went backwards (etcd restored from a backup): the list wins.
        """
        scope, touched = namespace or "", dict[Key, None]()
        if rewound:
            touched |= dict.fromkeys(subject for key in self._within(scope) for subject in self._drop(key))
            self._listed.pop(scope, None)
            self._graves = {uid: (ns, at) for uid, (ns, at) in self._graves.items() if scope not in ("", ns)}
        last = self._listed_at(scope)
        floor = last if version < last else -1  # an older list than the last raises nobody
        self._listed[scope] = max(last, version)
        self._graves = {
            uid: (ns, at) for uid, (ns, at) in self._graves.items() if at > version or scope not in ("", ns)
        }
        for key, stored in entries.items():
            if stored.resource_version > self._known(key, stored.uid, floor):
                touched |= dict.fromkeys(self._put(key, stored))
        for key in self._within(scope):
            if key not in entries and self._objects[key].resource_version <= version:
                touched |= dict.fromkeys(self._drop(key))
        self._tell(touched)
        return len(touched)

    def _within(self, scope: str) -> list[Key]:
        return [key for key in self._objects if scope in ("", key[0])]

    def _listed_at(self, namespace: str) -> int:
        return max(self._listed.get("", 0), self._listed.get(namespace, 0))

    def _take(self, obj: Mapping[str, Any]) -> list[Key] | None:
        """Decode and store what is newer: the watch says every write of ours again, and decoding is dear."""
        key, uid, version = identity(obj)
        floor = self._listed_at(key[0])
        if version <= self._known(key, uid, floor):
            return None
        return self._put(key, Stored(version, uid, self._decode(obj)))

    def _known(self, key: Key, uid: str, floor: int) -> int:
        """Return the revision up to which nothing is news of an object; `floor` if it is unknown."""
        old = self._objects.get(key)
        return max(floor if old is None else old.resource_version, self._graves.get(uid, ("", -1))[1])

    def _put(self, key: Key, stored: Stored[T]) -> list[Key]:
        """Store what is news; return the keys to tell."""
        touched = self._drop(key) if key in self._objects else []
        self._objects[key] = stored
        subject = self._subject(key, stored.value)
        if self._owner is not None and subject is not None:
            self._by_owner.setdefault(subject, set()).add(key)
        return list(dict.fromkeys([*touched, *([subject] if subject is not None else [])]))

    def _drop(self, key: Key) -> list[Key]:
        subject = self._subject(key, self._objects.pop(key).value)
        if subject is None:
            return []
        if self._owner is not None:
            self._by_owner[subject].discard(key)
            if not self._by_owner[subject]:
                del self._by_owner[subject]
        return [subject]

    def _subject(self, key: Key, value: T) -> Key | None:
        return key if self._owner is None else self._owner(value)

    def _bury(self, namespace: str, uid: str, version: int) -> None:
        self._graves[uid] = (namespace, max(version, self._graves.get(uid, ("", version))[1]))

    def _tell(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._on_event(key)
