"""The question to the API server whether it would take boxes of a template, before anything that runs is changed."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ombak.core import manifests
from ombak.core.snapshot import Snapshot, TemplateCheck
from ombak.runtime import kinds
from ombak.runtime.kube_port import ApiError, Forbidden, Invalid, KubeClient

_UNREADABLE = re.compile(r'\w+ in version "[^"]*" cannot be handled as a \w+: ')
_UNKNOWN = re.compile(r'strict decoding error: (unknown field "[^"]*"(?:, unknown field "[^"]*")*)$')
_QUANTITY = re.compile(r"\bquantities must match\b")
"""It does not say where: only these fields take one."""
_POD_METADATA = re.compile(r"\bspec\.template\.(labels|annotations)\b")
_GO_FIELD = re.compile(r"json: cannot unmarshal (\w+) into Go struct field \w+\.(spec\.[\w.]+) of type ([\w.*\[\]]+)")
"""What the API server says of a value of the wrong type, in the words of its own sources."""
_GO_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "number": (int, float),
    "bool": bool,
    "object": Mapping,
    "array": list,
}
_NOT_THE_TEMPLATE = {
    "cannot create resource": "whoever gives Ombak its rights (charts/rbac.yaml)",
    "exceeded quota": "whoever owns the ResourceQuota of the namespace",
    "is being terminated": "whoever deleted the namespace",
}
"""Words of the API server's own refusals, and who can lift them."""


async def dry_run(client: KubeClient, s: Snapshot, artifact: str) -> TemplateCheck:
    """Ask the API server about boxes of the wanted template, as one box and as fleet. Raises `ApiError`.

    Both, for policies speak of Deployments or of ReplicaSets, and a version of which only one half may run gets stuck.
    """
    rollout = s.rollout
    asked = (
        (kinds.DEPLOYMENTS, manifests.one_box(rollout, rollout.pods, artifact, "", 0, surge=False)),
        (kinds.REPLICA_SETS, manifests.fleet(rollout, rollout.pods, artifact, "", 0)),
    )
    for kind, body in asked:
        probe = body["metadata"]["name"] = f"{body['metadata']['name']}-check"
        try:
            await client.create(kind, rollout.namespace, body, dry_run=True)
        except ApiError as error:
            if not isinstance(error, Invalid | Forbidden) and error.status != 400:
                raise
            told = in_users_words(error.message, probe, rollout.name, rollout.spec.template)
            return TemplateCheck(artifact, told, who=_who_else(error))
    return TemplateCheck(artifact)


def _who_else(error: ApiError) -> str:
    """Return who can lift a refusal that says nothing about the template; empty where it is the template's."""
    if not isinstance(error, Forbidden):
        return ""
    return next((who for words, who in _NOT_THE_TEMPLATE.items() if words in error.message), "")


def _told(found: re.Match[str], template: Mapping[str, Any]) -> str:
    kind, field, wanted = found.groups()
    quotes = "; put it in quotes" if wanted == "string" and kind in ("number", "bool") else ""
    keys = field.split(".")
    place = next(_places({"spec": {"template": template}}, keys, kind, ""), field)
    return f"{place} is a {kind}, {wanted} is wanted{quotes}"


def _places(value: object, keys: Sequence[str], kind: str, place: str) -> Iterator[str]:
    """Find where values of a kind are under a field, of which the API server says neither index nor key."""
    if not keys and isinstance(value, _GO_KINDS.get(kind, ())) and isinstance(value, bool) == (kind == "bool"):
        yield place
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _places(each, keys, kind, f"{place}[{index}]")
    elif isinstance(value, Mapping) and keys:
        yield from _places(value.get(keys[0]), keys[1:], kind, f"{place}.{keys[0]}".lstrip("."))
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _places(each, (), kind, f'{place}["{key}"]')


def in_users_words(message: str, probe: str, rollout: str, template: Mapping[str, Any]) -> str:
    """Return what the API server has against the object of a dry run as said of the Rollout, which the user wrote.

    Fields need no change: the pod template lies at `spec.template` in both.
    """
    message = _UNREADABLE.sub(
        "spec.template cannot be read: ", _GO_FIELD.sub(lambda found: _told(found, template), message)
    )
    message = _UNKNOWN.sub(r"\1; remove it, or correct its name", message)
    message = _QUANTITY.sub("quantities (of resources, of a sizeLimit) must match", message)
    message = _POD_METADATA.sub(r"spec.template.metadata.\1", message)
    message = re.sub(rf'\b[A-Za-z]+\.apps "{re.escape(probe)}"', f'Rollout "{rollout}"', message)
    return message.replace(probe, rollout)
