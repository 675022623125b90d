"""What `ombak alarm show` reads from a cluster: one Rollout or Alarm, and the Alarms that may concern it."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import click

from ombak.adapters.kube_client import HttpKubeClient
from ombak.adapters.kubernetes import Access, AccessError
from ombak.adapters.limits import Limits
from ombak.alarms.definition import ExpressionAlarm
from ombak.alarms.resolve import AlarmKey, key_of
from ombak.alarms.syntax import references
from ombak.runtime import kinds
from ombak.runtime.alarm_service import AlarmService
from ombak.runtime.decode_alarm import AlarmRecord, decode_alarm
from ombak.runtime.guards import TEAM, Guards, decode_namespace
from ombak.runtime.kube_port import ApiError, Forbidden, Kind, KubeClient, NotFound, Object, Unauthorized
from ombak.runtime.store import Key

_LIMITS = Limits(timeout=timedelta(seconds=10))


@contextlib.asynccontextmanager
async def cluster(kubeconfig: Path | None, context: str | None) -> AsyncIterator[KubeClient]:
    """A client of the cluster; whatever stands in the way is one sentence with the fix, as `click.ClickException`."""
    try:
        access = await Access.open(kubeconfig, context)
    except AccessError as error:
        raise click.ClickException(f"{error}; name a usable file with --kubeconfig, and --context") from error
    async with HttpKubeClient(access, _LIMITS) as client:
        try:
            yield client
        except Unauthorized as error:
            why = f"{access.server} does not accept these credentials ({error.message})"
            raise click.ClickException(
                f"{why}; log in again, or name others with --kubeconfig and --context"
            ) from error
        except Forbidden as error:
            why = "ask for the rights get and list on rollouts and alarms of the group ombak.dev"
            raise click.ClickException(f"you may not read this ({error.message}); {why}") from error
        except ApiError as error:
            why = f"{access.server} gives no usable answer ({error})"
            raise click.ClickException(f"{why}; is that the right cluster? see --kubeconfig and --context") from error


async def read_one(client: KubeClient, kind: Kind, key: Key) -> Object:
    """One object; raises `click.ClickException` where it, or its whole kind, is not there."""
    namespace, name = key
    try:
        return await client.get(kind, namespace, name)
    except NotFound as error:
        found = await _names(client, kind, namespace)
        listed = f"there are {', '.join(found)}" if found else "there is none; name another one with -n"
        why = f"no {kind.kind} {name} is in namespace {namespace}; {listed}"
        raise click.ClickException(why) from error
    except ApiError as error:
        if error.status != 404:
            raise
        raise _no_such_kind(kind) from error


def _no_such_kind(kind: Kind) -> click.ClickException:
    why = (
        f"this cluster does not know {kind.plural}; install them with `ombak crds --write DIR`, `kubectl apply -f DIR`"
    )
    return click.ClickException(f"{why}, or name another cluster with --context")


async def _names(client: KubeClient, kind: Kind, namespace: str) -> list[str]:
    try:
        found = await client.list(kind, namespace, resource_version="")
    except ApiError as error:
        if error.status == 404:
            raise _no_such_kind(kind) from error
        raise
    names = [str(item["metadata"]["name"]) for item in found["items"]]
    return [*names[:10], f"{len(names) - 10} more"] if len(names) > 10 else names


@dataclasses.dataclass(slots=True)
class Surroundings:
    """The Alarms that were read, the teams, and in `notes` what could not be read."""

    alarms: dict[AlarmKey, AlarmRecord] = dataclasses.field(default_factory=dict)
    guards: Guards = dataclasses.field(default_factory=Guards)
    namespaces: set[str] = dataclasses.field(default_factory=set)
    notes: list[str] = dataclasses.field(default_factory=list)


async def read_surroundings(client: KubeClient, namespace: str, service: AlarmService) -> Surroundings:
    """Every Alarm of a namespace, of its team, and of those whose Alarms theirs name; all of them in the service."""
    found = Surroundings()
    for member in await _team(client, namespace, found):
        await read_alarms(client, member, found, service)
    return found


async def _team(client: KubeClient, namespace: str, found: Surroundings) -> list[str]:
    """The namespace, and those with the same team; the labels are all that is read of them."""
    try:
        listed = await client.list(kinds.NAMESPACES, None, TEAM, resource_version="")
    except ApiError as error:
        _note(found, "teams (list on namespaces), so guards of other namespaces are not shown", error)
        return [namespace]
    teams = {str(item["metadata"]["name"]): decode_namespace(item).team for item in listed["items"]}
    own = teams.get(namespace, "")
    members = [name for name, team in teams.items() if own and team == own]
    for name in members:
        found.guards.set_team(name, own)
    return sorted({namespace, *members})


async def read_alarms(client: KubeClient, namespace: str, found: Surroundings, service: AlarmService) -> None:
    """All Alarms of a namespace, and of the namespaces that they name, however deep."""
    if namespace in found.namespaces:
        return
    found.namespaces.add(namespace)
    try:
        listed = await client.list(kinds.ALARMS, namespace, resource_version="")
    except ApiError as error:
        _note(found, f"Alarms of namespace {namespace}", error)
        return
    for item in listed["items"]:
        record = decode_alarm(item)
        key = AlarmKey(namespace, record.meta.name)
        found.alarms[key] = record
        found.guards.set_alarm((namespace, record.meta.name), record.guards)
        service.set_alarm(key, record.spec)
    own = [key for key in found.alarms if key.namespace == namespace]
    for name in sorted({other for key in own for other in _named(service, key)}):
        await read_alarms(client, name, found, service)


def _named(service: AlarmService, key: AlarmKey) -> Iterator[str]:
    definition = service.definition(key)
    if isinstance(definition, ExpressionAlarm):
        keys = (key_of(ref, key.namespace) for ref in references(definition.expression))
        yield from (other.namespace for other in keys if other is not None)


def _note(found: Surroundings, what: str, error: ApiError) -> None:
    if isinstance(error, Unauthorized) or error.status == 0:
        raise error
    found.notes.append(f"could not read {what}: {error.message or error}")
