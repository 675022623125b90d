"""The admission policy that guards Overrides: who asks and who approves is who the API server says it is.

`charts/override-policy.yaml` is made from this, and the operator compares what is in the cluster with it. Every
default of the API server is written out, so that what it stores is what is here. Another content needs another
`NAME`: then an upgrade creates a policy beside the old one, and never alters one (see `core/overrides/guard.py`).
"""

from typing import Any

from ombak.api.common import GROUP

NAME = f"overrides-v1.{GROUP}"
API_VERSION = "admissionregistration.k8s.io/v1"
POLICY_KIND = "ValidatingAdmissionPolicy"
BINDING_KIND = "ValidatingAdmissionPolicyBinding"
APPROVE = "approve"
"""The verb on `overrides` that plain RBAC gives to whoever may approve."""

_CREATE = "request.operation != 'CREATE'"
_ME = "request.userInfo.username"
_LENGTH = "timestamp(object.spec.expires) - timestamp(object.metadata.creationTimestamp)"
_SAME = (
    "dyn(object.spec).all(k, k == 'approvals'"
    " || (k in dyn(oldObject.spec) && dyn(object.spec)[k] == dyn(oldObject.spec)[k]))"
    " && dyn(oldObject.spec).all(k, k == 'approvals' || k in dyn(object.spec))"
)
_MAY = (
    f"authorizer.group('{GROUP}').resource('overrides').namespace(object.metadata.namespace)"
    f".name(object.metadata.name).check('{APPROVE}').allowed()"
)


def _validation(expression: str, message: str, told: str = "") -> dict[str, Any]:
    """Return one rule; `told` is CEL for a message that can name the user."""
    found = {"expression": expression, "message": message, "reason": "Forbidden"}
    return found | ({"messageExpression": told} if told else {})


_VALIDATIONS = [
    _validation(
        f"{_CREATE} || object.spec.requestedBy == {_ME}",
        "spec.requestedBy must be the user who creates the Override",
        f"'spec.requestedBy must be the user who creates the Override; write requestedBy: ' + {_ME}",
    ),
    _validation(
        f"{_CREATE} || size(variables.approvals) == 0",
        "an Override is created without approvals; leave spec.approvals out, others add them",
    ),
    _validation(
        f"{_CREATE} || ({_LENGTH} > duration('0s') && {_LENGTH} <= duration('24h'))",
        "spec.expires must be in the future, and at most 24h away; write an earlier time, and another Override later",
    ),
    _validation(
        f"request.operation != 'UPDATE' || ({_SAME})",
        "an Override cannot be changed once it is there, only approvals can be added; delete it, create another one",
    ),
    _validation(
        "variables.before.all(a, a in variables.approvals)",
        "an approval that was given stays as it is; to take everything back delete the Override",
    ),
    _validation(
        f"variables.added.all(a, a.by == {_ME})",
        "an approval is written by whoever approves: its by must be your own user name",
        f"'an approval is written by whoever approves; write by: ' + {_ME}",
    ),
    _validation(
        "variables.added.all(a, a.by != object.spec.requestedBy)",
        "whoever asks for an Override cannot approve it; somebody else must",
    ),
    _validation(
        "variables.added.all(a, a.uid == object.metadata.uid)",
        "an approval names what was reviewed: its uid must be metadata.uid of this Override; look at it again",
    ),
    _validation(
        f"size(variables.added) == 0 || {_MAY}",
        "to approve needs the verb approve on overrides.ombak.dev in this namespace",
        f"{_ME} + ' may not approve Overrides here: that needs the verb approve on overrides.ombak.dev in namespace '"
        " + object.metadata.namespace",
    ),
]


def policy_spec() -> dict[str, Any]:
    """Return the spec of the ValidatingAdmissionPolicy as the API server stores it."""
    return {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "matchPolicy": "Equivalent",
            "namespaceSelector": {},
            "objectSelector": {},
            "resourceRules": [
                {
                    "apiGroups": [GROUP],
                    "apiVersions": ["*"],
                    "operations": ["CREATE", "UPDATE"],
                    "resources": ["overrides"],
                    "scope": "*",
                }
            ],
        },
        "validations": [dict(each) for each in _VALIDATIONS],
        "variables": [
            {"name": "approvals", "expression": "has(object.spec.approvals) ? object.spec.approvals : []"},
            {
                "name": "before",
                "expression": "request.operation == 'UPDATE' && has(oldObject.spec.approvals)"
                " ? oldObject.spec.approvals : []",
            },
            {"name": "added", "expression": "variables.approvals.filter(a, !(a in variables.before))"},
        ],
    }


def binding_spec() -> dict[str, Any]:
    """Return the spec of its binding: it holds everywhere, and what breaks it is refused."""
    return {"policyName": NAME, "validationActions": ["Deny"]}


def manifests() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the policy and its binding as `kubectl apply` takes them."""
    return (
        {"apiVersion": API_VERSION, "kind": POLICY_KIND, "metadata": {"name": NAME}, "spec": policy_spec()},
        {"apiVersion": API_VERSION, "kind": BINDING_KIND, "metadata": {"name": NAME}, "spec": binding_spec()},
    )
