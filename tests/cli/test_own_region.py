"""The Prometheus that an operator asks: from flags, or as its Region says."""

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ombak.adapters.prometheus_config import ConfigError
from ombak.cli.main import main
from ombak.cli.own_region import OwnPrometheus, Wanted, read_matchers
from ombak.core.floors import Floors
from ombak.runtime.kube_port import NotFound, Object, Unreachable

CONFIG = """
default: main
endpoints:
  main: {url: "http://127.0.0.1:1"}
  thanos: {url: "http://127.0.0.2:1"}
"""


class Hub:
    """Has one Region."""

    def __init__(self, prometheus: Any) -> None:
        self.prometheus = prometheus
        self.floors: dict[str, str] = {}
        self.down = 0

    async def get(self, _kind: Any, _namespace: str, name: str) -> Object:
        if self.down:
            self.down -= 1
            raise Unreachable("down")
        if name != "eu":
            raise NotFound(404, "NotFound", "no")
        spec = {"access": {"inCluster": {}}} | ({"prometheus": self.prometheus} if self.prometheus else {})
        spec |= {"floors": self.floors} if self.floors else {}
        return {"metadata": {"name": name}, "spec": spec}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "prometheus.yaml"
    path.write_text(CONFIG)
    return path


async def opened(hub: Hub, url: str | None = None, config: Path | None = None, **matchers: str) -> OwnPrometheus:
    client: Any = hub
    return await OwnPrometheus.open(Wanted(url, config, matchers, "eu"), client, random.Random(1))


def shown(own: OwnPrometheus) -> dict[str, Any]:
    """Host and matchers of each."""
    return {name: dict(source.matchers) for name, source in own.by_name.items()} | {"place": own.places["region"]}


async def test_the_region_names_an_address_and_its_matchers() -> None:
    """They are for the region's own, which is the default source of its alarms."""
    own = await opened(Hub({"url": "http://127.0.0.9:1", "matchers": {"region": "eu"}}))

    assert shown(own) == {"": {"region": "eu"}, "place": "127.0.0.9 (region=eu)"}
    own.close()


async def test_the_region_names_an_endpoint_of_the_configuration(config: Path) -> None:
    """Scoped also where an Alarm names it; the others are not."""
    own = await opened(Hub({"name": "thanos", "matchers": {"region": "eu"}}), config=config, cluster="c")

    matchers = {"region": "eu", "cluster": "c"}
    assert shown(own) == {
        "": matchers,
        "main": {},
        "thanos": matchers,
        "place": "127.0.0.2 (cluster=c, region=eu)",
    }
    own.close()


async def test_a_flag_wins_over_the_region() -> None:
    """The address of the flag, the matchers of both."""
    own = await opened(Hub({"url": "http://127.0.0.9:1", "matchers": {"region": "eu"}}), "http://127.0.0.8:1")

    assert shown(own)["place"] == "127.0.0.8 (region=eu)"
    own.close()


async def test_a_changed_region_is_taken_up_and_a_broken_one_is_not(config: Path) -> None:
    """From the next question on, without a restart; what cannot be used changes nothing."""
    hub = Hub({"url": "http://127.0.0.9:1"})
    own = await opened(hub, config=config)
    kept = own.by_name[""]
    hub.prometheus = {"name": "thanos", "matchers": {"region": "eu"}}
    await own.look("eu")
    assert (own.by_name[""] is kept, shown(own)["place"]) == (True, "127.0.0.2 (region=eu)")

    for broken in ({"name": "missing"}, {}, {"url": "ftp://a"}):
        hub.prometheus = broken
        await own.look("eu")
    hub.down = 1
    await own.look("eu")
    assert shown(own)["place"] == "127.0.0.2 (region=eu)"
    own.close()


async def test_floors_are_those_of_the_region_and_stay_while_it_cannot_be_read() -> None:
    """Else a Region that is away for a minute would let a short bake through."""
    hub = Hub({"url": "http://127.0.0.9:1"})
    hub.floors = {"oneBox": "1h"}
    own = await opened(hub)
    first = own.floors()
    hub.floors = {"oneBox": "2h", "bake": "12h"}
    await own.look("eu")
    hub.down = 1
    await own.look("eu")

    assert first == Floors(one_box=timedelta(hours=1))
    assert own.floors() == Floors(one_box=timedelta(hours=2), bake=timedelta(hours=12))
    own.close()


async def test_what_cannot_work_is_said_at_the_start() -> None:
    """No such Region, no Prometheus at all, a matcher that contradicts it."""
    hub: Any = Hub({"url": "http://127.0.0.9:1", "matchers": {"region": "eu"}})
    with pytest.raises(ConfigError, match="there is no Region us"):
        await OwnPrometheus.open(Wanted(None, None, {}, "us"), hub, random.Random(1))
    with pytest.raises(ConfigError, match="contradicts the Region"):
        await opened(hub, region="us")
    with pytest.raises(ConfigError, match="no Prometheus is named"):
        await opened(Hub(None))


@pytest.mark.parametrize("text", ["region", "=eu", "region=", "__name__=up", "a-b=c", 'a"=b'])
def test_a_flag_that_is_no_matcher_is_refused(text: str) -> None:
    """With an example."""
    with pytest.raises(ConfigError, match="write for example"):
        read_matchers([text])
    assert "write for example" in CliRunner().invoke(main, ["run", "--prometheus-matcher", text]).output


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        pytest.param(["--workers", "0"], "'--workers': 0", id="no-worker"),
        pytest.param(["--qps", "0"], "'--qps': 0", id="no-request"),
        pytest.param(["--kubeconfig", "/nowhere/config"], "'/nowhere/config' does not exist", id="no-file"),
        pytest.param(["--kubeconfig", "/dev/null"], "/dev/null is no kubeconfig; give --kubeconfig", id="empty-file"),
    ],
)
def test_a_flag_with_which_nothing_could_run_is_refused(flags: list[str], words: str) -> None:
    """Named, before anything starts: an operator without workers would look as if it ran."""
    found = CliRunner().invoke(main, ["run", "--prometheus", "http://127.0.0.1:1", *flags])

    assert found.exit_code
    assert words in found.output


def test_a_matcher_has_one_value() -> None:
    """Twice the same is fine."""
    assert read_matchers(["a=b", "a=b", "c=d=e"]) == {"a": "b", "c": "d=e"}
    with pytest.raises(ConfigError, match="two values"):
        read_matchers(["a=b", "a=c"])
