"""Everything that knows kopf: a shell that watches our own kinds and hands each event on, nothing else.

- Only `on.event` handlers, and null storages: no write, no annotation, no finalizer ever comes from kopf.
- kopf has a thread and a loop of its own. There it cannot stall our loop, take over our signals, or cancel our
  tasks when it ends (it cancels whatever is younger than itself in its loop). If it ends, or cannot log in,
  `run` raises.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, NoReturn

import kopf

from ombak.runtime.intake import Intake
from ombak.runtime.kube_port import Credentials, Kind, Object

Login = Callable[[], Awaitable[Credentials]]
"""Gives fresh credentials; called at the start and after each 401."""

Sink = Callable[[Kind, str | None, Object], None]

STOP_WITHIN_S = 10.0
"""How long kopf may take to end when asked; afterwards its thread is left to the end of the process."""


class WatchEndedError(Exception):
    """kopf ended though nobody asked it to."""


class KindsGoneError(WatchEndedError):
    """A CustomResourceDefinition was deleted under the watch; the text is for whoever runs the operator."""

    def __init__(self) -> None:
        super().__init__(
            "a CustomResourceDefinition of Ombak was deleted, so the operator ends; every Deployment, ReplicaSet and "
            "pod stays and runs on. `kubectl apply -f crds/` brings the kinds back; apply your Rollouts again then, "
            "and start the operator: it takes up what runs"
        )


class Forever:
    """Back-offs that outlast any outage; a class, because a generator would be used up by one request."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((1, 1, 2, 3, 5, 8, 13, 21), itertools.repeat(30))


class NullDiffBase(kopf.DiffBaseStorage):
    """Compares nothing, keeps nothing: two thirds of kopf's work per event was this comparison."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """The part of an object to compare: none."""
        return kopf.BodyEssence({})

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        """Nothing was kept."""
        return None

    def store(self, **_: Any) -> None:
        """Keeps nothing."""


class NullProgress(kopf.ProgressStorage):
    """There is no progress to keep: our handlers do not fail, retry or last."""

    def fetch(self, **_: Any) -> kopf.ProgressRecord | None:
        """Nothing was kept."""
        return None

    def store(self, **_: Any) -> None:
        """Keeps nothing."""

    def purge(self, **_: Any) -> None:
        """Nothing to remove."""

    def touch(self, **_: Any) -> None:
        """Never causes an event."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """The essence as it is: it is empty."""
        return essence


def make_settings() -> kopf.OperatorSettings:
    """Settings for a watch that survives outages, and that writes and scans nothing."""
    settings = kopf.OperatorSettings()
    settings.networking.error_backoffs = Forever()
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.chunk_size = 500
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.posting.loggers = False
    settings.peering.standalone = True
    settings.persistence.diffbase_storage = NullDiffBase()
    settings.persistence.progress_storage = NullProgress()
    settings.process.ultimate_exiting_timeout = None  # the process is ours to end, not kopf's to kill
    return settings


def make_registry(kinds: Iterable[Kind], sink: Sink, login: Login) -> kopf.OperatorRegistry:
    """One event handler per kind, and the login; a test holds that there is nothing else."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry, id="login")
    async def log_in(**_: Any) -> kopf.ConnectionInfo:
        return connection_info(await login())

    def register(kind: Kind) -> None:
        @kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, id=kind.plural)
        async def hand_on(event: kopf.RawEvent, **_: Any) -> None:
            sink(kind, event["type"], dict(event["object"]))

    for kind in kinds:
        register(kind)
    return registry


def connection_info(found: Credentials) -> kopf.ConnectionInfo:
    """Our credentials as kopf wants them."""
    return kopf.ConnectionInfo(
        server=found.server,
        ca_path=found.ca_file,
        insecure=not found.verify,
        certificate_path=found.cert_file,
        private_key_path=found.key_file,
        scheme=found.scheme,
        token=found.token,
        proxy_url=found.proxy,
    )


class HubWatch:
    """Keeps the stores of an `Intake` in step with the cluster. To be used once."""

    def __init__(self, intake: Intake, login: Login) -> None:
        self._intake = intake
        self._login = login
        self._stop = threading.Event()

    async def run(self) -> NoReturn:
        """List, then watch, until cancelled.

        Raises (as a group) `WatchEndedError` when kopf ends, `DeafError` when it has fallen silent, and whatever a
        decoder or callback of a store raises.
        """
        await self._intake.sync()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._intake.run(), name="resync")
            group.create_task(self._watch(), name="watch")
        raise AssertionError("both tasks only end by raising")

    async def _watch(self) -> NoReturn:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[NoReturn] = loop.create_future()
        thread = threading.Thread(target=self._live, args=(loop, ended), name="kopf", daemon=True)
        thread.start()
        try:
            await asyncio.shield(ended)
        finally:
            ended.cancel()  # from here on nobody listens, and its end is what we asked for
            self._stop.set()
            await asyncio.to_thread(thread.join, STOP_WITHIN_S)
        raise AssertionError("the future only holds an exception")

    def _live(self, loop: asyncio.AbstractEventLoop, ended: asyncio.Future[NoReturn]) -> None:
        """The life of kopf's thread."""

        def end(cause: BaseException | None) -> None:
            if not ended.done():
                error = _why_ended(cause)
                error.__cause__ = cause
                ended.set_exception(error)

        def take(kind: Kind, event_type: str | None, obj: Object) -> None:
            try:
                self._intake.deliver(kind, event_type, obj)
            except Exception as error:  # a defect of ours, which a callback of the loop would only log
                end(error)

        def sink(kind: Kind, event_type: str | None, obj: Object) -> None:
            loop.call_soon_threadsafe(take, kind, event_type, obj)

        async def login() -> Credentials:
            try:
                asked = asyncio.run_coroutine_threadsafe(_awaited(self._login), loop)
                return await asyncio.wrap_future(asked)
            except Exception as error:  # kopf would log it and stay, alive and blind, for ever
                loop.call_soon_threadsafe(end, error)
                raise

        cause: BaseException | None = None
        try:
            with asyncio.Runner() as runner:
                runner.run(self._operate(sink, login))
        except BaseException as error:  # the thread must not die unheard
            cause = error
        with suppress(RuntimeError):  # our loop may be closed by now
            loop.call_soon_threadsafe(end, cause)

    async def _operate(self, sink: Sink, login: Login) -> None:
        logging.getLogger("kopf._core.reactor.running").addFilter(_no_signal_warning)
        for name in ("running", "orchestration"):
            logging.getLogger(f"kopf._core.reactor.{name}").addFilter(_not_said_by_us)
        try:
            await kopf.operator(
                registry=make_registry(self._intake.stores, sink, login),
                settings=make_settings(),
                standalone=True,
                clusterwide=not self._intake.namespaces,
                namespaces=self._intake.namespaces,
                stop_flag=self._stop,
            )
        finally:
            self._stop.set()  # kopf waits for the flag in a thread of its loop, which must end with the loop


def _why_ended(cause: BaseException | None) -> WatchEndedError:
    """A watch that was there and is not found any more has lost its kind."""
    if getattr(cause, "status", None) == 404:
        return KindsGoneError()
    return WatchEndedError("the watch of our own kinds has ended")


async def _awaited(login: Login) -> Credentials:
    return await login()


def _not_said_by_us(record: logging.LogRecord) -> bool:
    """What made kopf end is the cause of the error that we raise, and told with it, once."""
    return not (record.exc_info and "has failed" in record.getMessage())


def _no_signal_warning(record: logging.LogRecord) -> bool:
    """Signals are ours on purpose."""
    return "OS signals are ignored" not in record.getMessage()
