"""The store follows the cluster, reads our own writes, and never goes back in time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ombak.runtime.store import Key, NotAnObject, Store, Stored


def make_object(
    name: str, version: int, uid: str = "", owner: str | None = None, namespace: str = "shop"
) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid or f"uid-{name}",
            "resourceVersion": str(version),
        },
        "owner": owner,
    }


def decode(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    return obj


def owner_of(value: Mapping[str, Any]) -> Key | None:
    return ("shop", value["owner"]) if value["owner"] else None


def listed(store: Store[Mapping[str, Any]], *objects: dict[str, Any]) -> dict[Key, Stored[Mapping[str, Any]]]:
    return dict(map(store.entry, objects))


class Told(list[Key]):
    """Collects what the store tells."""

    def take(self) -> list[Key]:
        taken = list(self)
        self.clear()
        return taken


def make_store(owned: bool = False) -> tuple[Store[Mapping[str, Any]], Told]:
    told = Told()
    return Store(decode, owner=owner_of if owned else None, on_event=told.append), told


def version_of(store: Store[Mapping[str, Any]], name: str) -> int | None:
    stored = store.get(("shop", name))
    return stored.resource_version if stored else None


def test_an_observed_object_is_found_and_told() -> None:
    """A change from outside wakes its key."""
    store, told = make_store()
    obj = make_object("a", 5)

    assert store.observe(obj)
    assert told.take() == [("shop", "a")]
    assert store.get(("shop", "a")) == Stored(5, "uid-a", obj)
    assert (len(store), list(store)) == (1, [("shop", "a")])


def test_our_own_write_is_read_back_and_its_echo_wakes_nobody() -> None:
    """The event of a write of ours is not news."""
    store, told = make_store()
    store.observe(make_object("a", 5))
    told.take()

    assert store.upsert(make_object("a", 6))
    assert not store.observe(make_object("a", 6))
    assert not store.observe(make_object("a", 5))
    assert (version_of(store, "a"), told.take()) == (6, [])


def test_what_is_no_news_is_not_even_decoded() -> None:
    """The watch says every write of ours again, and a list of everything says what is known."""
    decoded: list[int] = []
    store: Store[int] = Store(lambda obj: decoded.append(int(obj["metadata"]["resourceVersion"])) or 0)
    store.upsert(make_object("a", 2))
    store.observe(make_object("a", 2))
    store.observe(make_object("a", 1))
    store.remove(make_object("a", 3))
    store.upsert(make_object("a", 3))

    assert decoded == [2]


def test_versions_compare_as_numbers() -> None:
    """10 is newer than 9."""
    store, _ = make_store()
    store.observe(make_object("a", 9))

    assert store.observe(make_object("a", 10))
    assert version_of(store, "a") == 10


def test_a_late_answer_does_not_raise_the_dead() -> None:
    """The answer to a write that comes after the deletion's event changes nothing."""
    store, told = make_store()
    store.observe(make_object("a", 5))
    store.remove(make_object("a", 8))
    told.take()

    assert not store.upsert(make_object("a", 7))
    assert not store.observe(make_object("a", 8))
    assert (len(store), told.take()) == (0, [])


def test_an_object_selected_again_comes_back() -> None:
    """DELETED also means "no longer matches the selector"; a newer version of the same uid is alive."""
    store, _ = make_store()
    store.observe(make_object("a", 5))
    store.remove(make_object("a", 8))

    assert store.observe(make_object("a", 9))
    assert not store.remove(make_object("a", 8))
    assert version_of(store, "a") == 9


def test_the_deletion_of_a_predecessor_leaves_its_successor() -> None:
    """An object created again under the same name has another uid and a newer version."""
    store, told = make_store()
    store.observe(make_object("a", 5, uid="old"))
    store.upsert(make_object("a", 9, uid="new"))
    told.take()

    assert not store.remove(make_object("a", 8, uid="old"))
    assert version_of(store, "a") == 9
    assert not store.discard(("shop", "a"), "old")
    assert store.discard(("shop", "a"), "new")
    assert (len(store), told.take()) == (0, [("shop", "a")])


def test_owners_are_told_and_indexed() -> None:
    """With an owner function, the owner's key is told: the old one too when a child changes hands."""
    store, told = make_store(owned=True)
    store.observe(make_object("a", 1, owner="x"))
    store.observe(make_object("b", 2, owner="x"))
    store.observe(make_object("c", 3))
    assert told.take() == [("shop", "x"), ("shop", "x")]
    assert [key for key, _ in store.owned_by(("shop", "x"))] == [("shop", "a"), ("shop", "b")]

    store.observe(make_object("a", 4, owner="y"))
    assert told.take() == [("shop", "x"), ("shop", "y")]
    store.remove(make_object("b", 5, owner="x"))
    assert told.take() == [("shop", "x")]
    assert store.owned_by(("shop", "x")) == []


def test_a_list_removes_what_it_lacks_unless_newer() -> None:
    """Objects lost while the watch was broken vanish; what we wrote after the list stays."""
    store, told = make_store()
    store.observe(make_object("gone", 5))
    store.observe(make_object("same", 6))
    store.observe(make_object("changed", 7))
    store.upsert(make_object("fresh", 12))
    told.take()

    store.replace(listed(store, make_object("same", 6), make_object("changed", 8), make_object("new", 9)), 10)

    assert sorted(told.take()) == [("shop", "changed"), ("shop", "gone"), ("shop", "new")]
    assert sorted(name for _, name in store) == ["changed", "fresh", "new", "same"]
    assert not store.upsert(make_object("gone", 9))


def test_an_older_list_than_the_last_changes_nothing() -> None:
    """Lists from another server's cache may be late: they neither raise the dead nor remove the living."""
    store, told = make_store()
    store.observe(make_object("gone", 5))
    store.replace(listed(store, make_object("a", 9)), 10)
    store.remove(make_object("a", 11))
    store.observe(make_object("b", 12))
    told.take()

    store.replace(listed(store, make_object("gone", 5), make_object("a", 6)), 8)

    assert (list(store), told.take()) == ([("shop", "b")], [])


def test_a_rewound_history_replaces_everything() -> None:
    """After etcd was restored from a backup, versions are lower and the list is still the truth."""
    store, told = make_store()
    store.observe(make_object("a", 500))
    store.observe(make_object("b", 501))
    told.take()

    store.replace(listed(store, make_object("a", 100)), 110, rewound=True)

    assert sorted(told.take()) == [("shop", "a"), ("shop", "b")]
    assert (version_of(store, "a"), version_of(store, "b")) == (100, None)
    assert store.observe(make_object("b", 120))


def test_a_list_of_one_namespace_says_nothing_about_the_others() -> None:
    """Several watches of single namespaces fill one store: the list of one must not empty the rest of it."""
    store, told = make_store()
    store.replace(listed(store, make_object("a", 5, namespace="one")), 10, namespace="one")
    store.observe(make_object("late", 7, namespace="two"))
    store.remove(make_object("dead", 8, namespace="two"))
    told.take()

    store.replace({}, 20, namespace="three")

    assert (sorted(store), told.take()) == ([("one", "a"), ("two", "late")], [])
    assert not store.upsert(make_object("dead", 8, namespace="two")), "its end is still remembered"
    assert not store.upsert(make_object("old", 9, namespace="one")), "older than the list of its namespace"
    assert store.replace({}, 20, namespace="one") == 1


def test_a_rewound_namespace_leaves_the_others() -> None:
    """A list that goes back in time wins in its own namespace only."""
    store, _ = make_store()
    store.replace(listed(store, make_object("a", 500, namespace="one")), 510, namespace="one")
    store.replace(listed(store, make_object("b", 500, namespace="two")), 510, namespace="two")

    store.replace(listed(store, make_object("a", 100, namespace="one")), 110, namespace="one", rewound=True)

    assert sorted(store) == [("one", "a"), ("two", "b")]
    assert not store.upsert(make_object("c", 300, namespace="two"))
    assert store.upsert(make_object("c", 300, namespace="one"))


@pytest.mark.parametrize(
    "junk",
    [
        pytest.param({}, id="empty"),
        pytest.param({"metadata": None}, id="null"),
        pytest.param({"metadata": {"name": "a", "uid": "u"}}, id="no version"),
        pytest.param({"metadata": {"name": "a", "uid": "u", "resourceVersion": "new"}}, id="no number"),
        pytest.param({"metadata": "proxy error"}, id="text"),
    ],
)
def test_what_is_no_object_is_refused(junk: dict[str, Any]) -> None:
    """Rubbish never gets in."""
    store, _ = make_store()

    with pytest.raises(NotAnObject):
        store.observe(junk)


life = st.lists(st.tuples(st.sampled_from(["write", "delete"]), st.sampled_from("ab")), max_size=12)


@given(life=life, data=st.data())
def test_any_mix_of_late_answers_doubled_events_and_lists_ends_at_the_truth(
    life: list[tuple[str, str]], data: st.DataObject
) -> None:
    """The watch is in order but repeats and breaks, answers come at any time: the end is the cluster's."""
    cluster: dict[str, dict[str, Any]] = {}
    history: list[tuple[str, dict[str, Any]]] = []
    snapshots: list[tuple[int, list[dict[str, Any]]]] = [(0, [])]
    for version, (what, name) in enumerate(life, start=1):
        if what == "write":
            uid = cluster[name]["metadata"]["uid"] if name in cluster else f"{name}-{version}"
            cluster[name] = make_object(name, version, uid)
            history.append(("write", cluster[name]))
        elif name in cluster:
            uid = cluster.pop(name)["metadata"]["uid"]
            history.append(("delete", make_object(name, version, uid)))
        snapshots.append((version, list(cluster.values())))

    store, _ = make_store()
    seen = 0
    while seen < len(history):
        move = data.draw(st.sampled_from(["event", "echo", "answer", "list", "late list"]))
        if move == "late list":
            at = data.draw(st.integers(0, int(history[seen][1]["metadata"]["resourceVersion"])))
            store.replace(listed(store, *snapshots[at][1]), at)
        elif move == "answer":
            answers = [obj for what, obj in history if what == "write"]
            if answers:
                store.upsert(data.draw(st.sampled_from(answers)))
        elif move == "list":
            seen = data.draw(st.integers(seen, len(history) - 1))
            at = int(history[seen][1]["metadata"]["resourceVersion"])
            store.replace(listed(store, *snapshots[at][1]), at)
            seen += 1
        else:
            what, obj = history[seen]
            (store.observe if what == "write" else store.remove)(obj)
            if move == "echo":
                (store.observe if what == "write" else store.remove)(obj)
            seen += 1

    expected = {("shop", name): int(obj["metadata"]["resourceVersion"]) for name, obj in cluster.items()}
    assert {key: store.get(key).resource_version for key in store} == expected  # type: ignore[union-attr]
