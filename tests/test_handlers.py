"""kopf is a shell: event handlers only, nothing written, and its end is noticed."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import random
from typing import Any

import kopf
import pytest

from ombak.cli.run import _for_people
from ombak.handlers import (
    Forever,
    HubWatch,
    KindsGoneError,
    WatchEndedError,
    _why_ended,
    connection_info,
    make_registry,
    make_settings,
)
from ombak.runtime.intake import Intake
from ombak.runtime.kube_port import Credentials, Kind, Object
from ombak.runtime.store import Store

ROLLOUTS = Kind("ombak.dev", "v1alpha1", "rollouts", "Rollout")
ALARMS = Kind("ombak.dev", "v1alpha1", "alarms", "Alarm")
ARTIFACTS = Kind("ombak.dev", "v1alpha1", "artifacts", "Artifact")
KINDS = (ROLLOUTS, ALARMS, ARTIFACTS)


async def login() -> Credentials:
    return Credentials("http://127.0.0.1:1")


class EmptyCluster:
    """A client for which every list is empty."""

    async def list(self, *_: object, **__: object) -> Object:
        return {"metadata": {"resourceVersion": "1"}, "items": []}


def test_only_event_handlers_are_registered() -> None:
    """No high-level handler, timer, daemon, index or webhook: they would write, or misbehave silently."""
    registry = make_registry(KINDS, lambda *_: None, login)

    for forbidden in (registry._changing, registry._spawning, registry._indexing, registry._webhooks):
        assert list(forbidden.get_all_handlers()) == []
    watching = list(registry._watching.get_all_handlers())
    assert [handler.id for handler in watching] == ["rollouts", "alarms", "artifacts"]
    assert [(h.selector.group, h.selector.version, h.selector.any_name) for h in watching if h.selector] == [
        ("ombak.dev", "v1alpha1", plural) for plural in ("rollouts", "alarms", "artifacts")
    ]


async def test_handlers_are_async_hand_on_and_return_none() -> None:
    """A value returned to kopf would be written to the status; a sync handler would cost a thread."""
    seen: list[tuple[Kind, str | None, Object]] = []
    registry = make_registry(KINDS, lambda *what: seen.append(what), login)
    body = {"metadata": {"name": "a"}}

    for handler in registry._watching.get_all_handlers():
        assert inspect.iscoroutinefunction(handler.fn)
        call: Any = handler.fn
        assert await call(event={"type": "DELETED", "object": body}, unknown="ignored") is None
    assert seen == [(kind, "DELETED", body) for kind in KINDS]


def test_kopf_compares_and_keeps_nothing() -> None:
    """With null storages no event causes a patch or a copy."""
    settings = make_settings()
    base, progress = settings.persistence.diffbase_storage, settings.persistence.progress_storage
    body, patch = kopf.Body({"metadata": {"name": "a"}, "spec": {"x": 1}}), kopf.Patch()

    assert base.build(body=body) == {}
    assert base.fetch(body=body) is None
    base.store(body=body, patch=patch, essence=kopf.BodyEssence({}))
    key = kopf.HandlerId("h")
    assert progress.fetch(key=key, body=body) is None
    progress.store(key=key, record={}, body=body, patch=patch)
    progress.purge(key=key, body=body, patch=patch)
    progress.touch(body=body, patch=patch, value="x")
    assert progress.clear(essence=kopf.BodyEssence({})) == {}
    assert not patch


def test_settings_survive_long_outages_and_scan_nothing() -> None:
    """What runtime experience says must not be left at its default."""
    settings = make_settings()

    backoffs = settings.networking.error_backoffs
    for _ in range(2):
        assert list(itertools.islice(iter(backoffs), 10)) == [1, 1, 2, 3, 5, 8, 13, 21, 30, 30]  # type: ignore[arg-type]
    assert isinstance(backoffs, Forever)
    assert settings.scanning.disabled
    assert settings.peering.standalone
    assert not settings.posting.enabled
    assert settings.process.ultimate_exiting_timeout is None
    assert settings.watching.server_timeout < settings.watching.client_timeout  # type: ignore[operator]


def test_credentials_become_kopfs() -> None:
    """One login for both clients."""
    found = connection_info(
        Credentials("https://h", ca_file="ca", cert_file="c", key_file="k", scheme="Bearer", token="t", verify=False)
    )

    assert (found.server, found.ca_path) == ("https://h", "ca")
    assert (found.certificate_path, found.private_key_path) == ("c", "k")
    assert found.as_http_headers() == {"Authorization": "Bearer t"}
    assert found.insecure
    assert "t'" not in repr(Credentials("https://h", token="t'"))


class _NotFoundError(Exception):
    status = 404


@pytest.mark.parametrize(
    ("cause", "is_gone"),
    [(_NotFoundError(), True), (OSError("cut"), False), (None, False)],
    ids=["kind not found", "another error", "no error"],
)
def test_a_deleted_kind_is_told_from_other_ends(cause: Exception | None, is_gone: bool) -> None:
    """The command says it in one sentence instead of a traceback; what is not understood keeps its traceback."""
    ended = _why_ended(cause)
    assert isinstance(ended, KindsGoneError) == is_gone
    said = _for_people(ExceptionGroup("all", [ExceptionGroup("ours", [OSError(), ended])]))
    assert (said is not None) == is_gone
    if said is not None:
        assert "runs on" in said.message
        assert "kubectl apply -f crds/" in said.message
        assert said.exit_code == 1


@pytest.mark.breadth
async def test_the_end_of_kopf_ends_the_run() -> None:
    """A login that fails for good ends kopf, and with it the run: nobody goes on half blind."""

    async def refused() -> Credentials:
        raise kopf.PermanentError("no credentials")

    client: Any = EmptyCluster()
    stores: dict[Kind, Store[Any]] = {ROLLOUTS: Store(lambda obj: obj)}
    watch = HubWatch(Intake(client, stores, (), random.Random(1)), refused)

    with pytest.RaisesGroup(WatchEndedError):
        await asyncio.wait_for(watch.run(), 60)
