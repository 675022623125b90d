"""What an operator takes from its own Region object (`--region`): floors, and where no flag says it, its Prometheus."""

import asyncio
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import structlog

from ombak.adapters.prometheus_config import REGION, ConfigError, PrometheusSources, open_sources
from ombak.api.region import RegionPrometheus, RegionSpec, is_label_name
from ombak.core.floors import Floors
from ombak.runtime import kinds
from ombak.runtime.backoff import Backoff
from ombak.runtime.kube_port import ApiError, KubeClient
from ombak.runtime.region_records import decode_region, floors_of
from ombak.runtime.scoped_metrics import ScopedSource

log = structlog.get_logger()

READ_EVERY = timedelta(minutes=1)
PATIENCE = Backoff(cap=timedelta(seconds=15))
_NOWHERE = RegionPrometheus.model_construct(url=None, name=None, matchers={})


@dataclass(frozen=True, slots=True)
class Wanted:
    """The flags: they win over what a Region says, and the matchers of both hold."""

    url: str | None
    config: Path | None
    matchers: Mapping[str, str]
    region: str | None

    def open(self, told: RegionPrometheus) -> PrometheusSources:
        """Every Prometheus, the region's own by flag or as it is told. Raises ConfigError."""
        if self.url is not None:
            return open_sources(self.url, self.config)
        return open_sources(told.url, self.config, told.name)

    def all_matchers(self, told: RegionPrometheus) -> dict[str, str]:
        """Those of the flags and of the Region. Raises ConfigError where they contradict each other."""
        for label, value in self.matchers.items():
            if told.matchers.get(label, value) != value:
                other = told.matchers[label]
                raise ConfigError(f"--prometheus-matcher {label}={value} contradicts the Region, which says {other!r}")
        return {**told.matchers, **self.matchers}


def read_matchers(given: Iterable[str]) -> dict[str, str]:
    """The matchers of the flags `label=value`; raises ConfigError."""
    found: dict[str, str] = {}
    for text in given:
        label, sign, value = text.partition("=")
        if not sign or not value or not is_label_name(label):
            raise ConfigError(f"{text!r} is no matcher; write for example --prometheus-matcher region=eu-west-1")
        if found.setdefault(label, value) != value:
            raise ConfigError(f"--prometheus-matcher {label} has two values; give one")
    return found


class OwnPrometheus:
    """All sources by name, the region's own under "", kept to the region by matchers wherever it is named."""

    def __init__(self, wanted: Wanted, client: KubeClient, rng: random.Random, region: RegionSpec | None) -> None:
        """Opens them; raises ConfigError."""
        told = _prometheus_of(region) or _NOWHERE
        self._wanted = wanted
        self._client = client
        self._rng = rng
        self._told = told
        self._floors = floors_of(region)
        matchers = wanted.all_matchers(told)
        self._sources = wanted.open(told)
        own = self._sources.region
        self._scoped = {
            name: ScopedSource(source, matchers if source is own else {})
            for name, source in self._sources.by_name.items()
        }

    @classmethod
    async def open(cls, wanted: Wanted, client: KubeClient, rng: random.Random) -> "OwnPrometheus":
        """Read the Region if one is named, however long its API server takes; raises ConfigError."""
        region = None
        failures = 0
        while wanted.region is not None:
            try:
                region = await _read(client, wanted.region)
                break
            except ApiError as error:
                failures += 1
                if error.status == 404:
                    raise ConfigError(f"there is no Region {wanted.region}; apply it, or leave --region out") from None
                delay = PATIENCE.delay(failures, rng)
                log.warning("the Region cannot be read", region=wanted.region, reason=str(error), retry_in=str(delay))
                await asyncio.sleep(delay.total_seconds())
        return cls(wanted, client, rng, region)

    def floors(self) -> Floors:
        """The shortest bakes of the Region, as last read; none where no Region is named."""
        return self._floors

    @property
    def by_name(self) -> Mapping[str, ScopedSource]:
        """Every Prometheus by name."""
        return self._scoped

    @property
    def places(self) -> dict[str, str]:
        """Name to host and matchers, which is all that is fit to be shown."""
        shown = self._sources.places
        told = ", ".join(f"{label}={value}" for label, value in self._scoped[REGION].matchers)
        return shown if not told else {**shown, "region": f"{shown['region']} ({told})"}

    async def run(self) -> None:
        """Take up what becomes of the Region, until cancelled; what cannot be used changes nothing."""
        while True:
            await asyncio.sleep((READ_EVERY * self._rng.uniform(0.8, 1.2)).total_seconds())
            if self._wanted.region is not None:
                await self.look(self._wanted.region)

    async def look(self, region: str) -> None:
        """Read the Region once more."""
        try:
            found = await _read(self._client, region)
        except (ApiError, ConfigError) as error:
            log.warning("the Region cannot be read, what it said last holds on", region=region, reason=str(error))
            return
        self._follow(floors_of(found))
        told = _prometheus_of(found)
        if told is not None and told != self._told:
            self._turn_to(told)

    def _follow(self, floors: Floors) -> None:
        if floors != self._floors:
            self._floors = floors
            log.info("the Region has other floors", floors=str(floors))

    def _turn_to(self, told: RegionPrometheus) -> None:
        before = self._sources
        try:
            matchers = self._wanted.all_matchers(told)
            self._sources = self._wanted.open(told)
        except ConfigError as error:
            log.error("the Region's new Prometheus cannot be used, the last one is asked on", reason=str(error))
            return
        self._told = told
        own = self._sources.region
        for name, source in self._sources.by_name.items():
            scoped = self._scoped.setdefault(name, ScopedSource(source, {}))
            scoped.use(source, matchers if source is own else {})
        before.close()
        log.info("the Region names another Prometheus", prometheus=self.places)

    def close(self) -> None:
        """Close all of them."""
        self._sources.close()


def _prometheus_of(region: RegionSpec | None) -> RegionPrometheus | None:
    return region.prometheus if region is not None else None


async def _read(client: KubeClient, region: str) -> RegionSpec:
    """What a Region says. Raises `ApiError`, ConfigError."""
    record = decode_region(await client.get(kinds.REGIONS, "", region))
    if record.spec is None:
        raise ConfigError(f"Region {region} cannot be used: {record.problem}")
    return record.spec
