"""`ombak run`: the operator of one region as a process, against any kubeconfig or inside a cluster."""

import asyncio
import contextlib
import gc
import random
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import structlog

from ombak.adapters.clock import SystemClock
from ombak.adapters.kube_client import HttpKubeClient
from ombak.adapters.kubernetes import Access, AccessError
from ombak.adapters.limits import Limits
from ombak.adapters.prometheus_config import ConfigError
from ombak.adapters.reflector import Detail, Reflector, Source
from ombak.cli.hub import HubRegions
from ombak.cli.own_region import OwnPrometheus, Wanted, read_matchers
from ombak.core import naming
from ombak.core.gates.compile import zone_of
from ombak.core.gates.problems import UnreadableWindow
from ombak.handlers import HubWatch, KindsGoneError
from ombak.runtime import kinds
from ombak.runtime.intake import Intake
from ombak.runtime.kube_port import Credentials
from ombak.runtime.logs import configure_logging
from ombak.runtime.operator import Operator, Place

log = structlog.get_logger()


@click.command("run")
@click.option("--prometheus", metavar="URL", help="Base URL of the region's Prometheus.")
@click.option(
    "--prometheus-config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="YAML with every Prometheus that is asked: addresses, headers, credentials, certificates.",
)
@click.option(
    "--prometheus-matcher",
    "matchers",
    multiple=True,
    metavar="LABEL=VALUE",
    help="Put this matcher into every selector of every query to the region's own Prometheus; may be repeated.",
)
@click.option("--region", metavar="NAME", help="Take floors, Prometheus and its matchers from this Region object.")
@click.option("--hub", is_flag=True, help="Be a hub too: follow all Regions, and deliver Pipelines there.")
@click.option(
    "--kubeconfig", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Default: as kubectl finds it."
)
@click.option("--context", help="A context of the kubeconfig.")
@click.option("--namespace", "-n", "namespaces", multiple=True, help="Only this namespace; may be repeated.")
@click.option(
    "--qps",
    type=click.FloatRange(min=1),
    default=200.0,
    show_default=True,
    help="Requests per second to the API server.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="Rollouts that are worked on at once.",
)
@click.option("--time-zone", default="UTC", show_default=True, help="IANA name: what timeZone Region means here.")
@click.option("--log-level", default="info", show_default=True, type=click.Choice(["debug", "info", "warning"]))
def run_command(
    prometheus: str | None,
    prometheus_config: Path | None,
    matchers: tuple[str, ...],
    region: str | None,
    hub: bool,
    kubeconfig: Path | None,
    context: str | None,
    namespaces: tuple[str, ...],
    qps: float,
    workers: int,
    time_zone: str,
    log_level: str,
) -> None:
    """Run the operator until it is told to stop (SIGTERM, SIGINT)."""
    configure_logging(log_level)
    # Few container objects live long here, so full collections are rare and short; the default would stall the loop.
    gc.set_threshold(100_000, 50, 1000)
    try:
        wanted = Wanted(prometheus, prometheus_config, read_matchers(matchers), region)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    try:
        zone_of(time_zone)
    except UnreadableWindow as error:
        raise click.UsageError(str(error)) from error
    limits = Limits(qps=qps, burst=int(2 * qps))
    serve = Serve(wanted, kubeconfig, context, namespaces, limits, workers, time_zone, is_hub=hub)
    try:
        asyncio.run(serve.until_told())
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    except AccessError as error:
        raise click.ClickException(f"{error}; give --kubeconfig, or run inside a cluster") from error
    except ExceptionGroup as error:
        raise (_for_people(error) or error) from None


def _for_people(group: ExceptionGroup[Exception]) -> click.ClickException | None:
    """What ended the run in one sentence, where that says it all; None where the whole traceback is needed."""
    gone = group.subgroup(KindsGoneError)
    if gone is None:
        return None
    inner: BaseException = gone
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    return click.ClickException(str(inner))


class Serve:
    """The process: what is started, in which order, and how it ends."""

    def __init__(
        self,
        wanted: Wanted,
        kubeconfig: Path | None,
        context: str | None,
        namespaces: tuple[str, ...],
        limits: Limits,
        workers: int,
        time_zone: str = "UTC",
        *,
        is_hub: bool = False,
    ) -> None:
        self._wanted = wanted
        self._is_hub = is_hub
        self._kubeconfig = kubeconfig
        self._context = context
        self._namespaces = namespaces
        self._limits = limits
        self._workers = workers
        self._time_zone = time_zone

    async def until_told(self) -> None:
        """Serve until a signal comes; anything that ends by itself ends the process with an error."""
        told = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told.set)
        serving = asyncio.create_task(self.serve(), name="serve")
        waiting = asyncio.create_task(told.wait(), name="signal")
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if serving.done():
            serving.result()
            return
        log.info("stopping")
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving

    async def serve(self) -> None:
        """Run every part; an error in one ends all, since an operator that half works deceives."""
        access = await Access.open(self._kubeconfig, self._context)
        rng = random.Random()  # noqa: S311 - spreads retries only
        async with HttpKubeClient(access, self._limits) as client:
            own = await OwnPrometheus.open(self._wanted, client, rng)
            try:
                await self._assemble(access, client, rng, own)
            finally:
                own.close()

    async def _assemble(self, access: Access, client: HttpKubeClient, rng: random.Random, own: OwnPrometheus) -> None:
        place = Place(
            self._time_zone, is_whole_cluster=not self._namespaces, floors=own.floors, region=self._wanted.region or ""
        )
        operator = Operator(client, own.by_name, SystemClock(), rng, self._workers, place)
        optional = operator.gates.optional() if self._namespaces else {}
        intake = Intake(client, operator.custom(), self._namespaces, rng, optional=optional)

        async def login() -> Credentials:
            await access.renew()
            return await access.credentials()

        watch = HubWatch(intake, login)
        reflectors: list[Reflector[Any]] = [
            Reflector(client, Source(kind, namespace, selector), store, rng)
            for namespace in self._namespaces or (None,)
            for kind, selector, store in (
                (kinds.DEPLOYMENTS, f"{naming.ROLLOUT},{naming.BOX}=onebox", operator.stores.deployments),
                (kinds.REPLICA_SETS, f"{naming.ROLLOUT},{naming.BOX}=fleet", operator.stores.replica_sets),
            )
        ]
        if not self._namespaces:  # else teams end at the namespaces that it was given, one by one
            reflectors.append(Reflector(client, Source(kinds.NAMESPACES), operator.namespaces, rng))
        config = [
            Reflector(client, Source(kinds.CONFIG_MAPS, namespace, selector, detail=detail), store, rng)
            for namespace in self._namespaces or (None,)
            for selector, detail, store in (
                (f"!{naming.ROLLOUT}", Detail.METADATA, operator.stores.config_maps),
                (f"{naming.ROLLOUT},{naming.ARTIFACT}", Detail.CHANGES, operator.stores.copies),
            )
        ]
        log.info("starting", server=access.server, prometheus=own.places)
        async with asyncio.TaskGroup() as group:
            group.create_task(watch.run(), name="our kinds")
            group.create_task(own.run(), name="own region")
            if self._is_hub:
                hub = HubRegions(client, access, rng, gates=operator.gates)
                group.create_task(hub.run([intake.synced]), name="hub")
            for reflector in reflectors:
                group.create_task(reflector.run(), name=f"watch {reflector.source.kind.plural}")
            group.create_task(_watch_config(operator.config_needed, config), name="watch configmaps")
            synced = [intake.synced, *(r.synced for r in reflectors)]
            group.create_task(operator.run(synced), name="operator")


async def _watch_config(needed: asyncio.Event, reflectors: Sequence[Reflector[Any]]) -> None:
    """Watch ConfigMaps once a Rollout has configuration: who uses none pays nothing, and needs no right to them."""
    await needed.wait()
    async with asyncio.TaskGroup() as group:
        for reflector in reflectors:
            group.create_task(reflector.run())
