"""What every kind of the API shares: naming, counts and percentages, conditions."""

import dataclasses
import re
from datetime import datetime
from typing import Annotated, Any, Literal

import pydantic
from pydantic.alias_generators import to_camel
from pydantic_core import core_schema

GROUP = "ombak.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

_PERCENT = re.compile(r"^([0-9]{1,3})%$")


class Model(pydantic.BaseModel):
    """A part of a manifest: camelCase outside, snake_case inside, unknown fields refused."""

    model_config = pydantic.ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )


class StatusModel(Model):
    """A part of a status, written by the operator: tolerant, so that an older one can read a newer one's."""

    model_config = pydantic.ConfigDict(extra="ignore")


def rule(expression: str, message: str, path: str = "", told: str = "") -> dict[str, str]:
    """Return a CEL rule for `x-kubernetes-validations`; `message` says what to write instead.

    `path` (such as `.zones`) moves the error to a field below the one that holds the rule; `told` is an expression
    that gives the sentence in place of `message`, where it has to name what was found.
    """
    found = {"rule": expression, "message": message} | ({"messageExpression": told} if told else {})
    return found | {"fieldPath": path} if path else found


def rules(*validations: dict[str, str]) -> dict[str, Any]:
    """Return the CEL rules as what a model or a field adds to its schema."""
    return {"x-kubernetes-validations": list(validations)}


def percent_of(value: int | str) -> int | None:
    """Return 33 for "33%", None for a plain count."""
    match = _PERCENT.match(value) if isinstance(value, str) else None
    return int(match.group(1)) if match else None


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """The range of a field that takes a count or a percentage, told to pydantic and to the API server alike.

    `low` and `high` are per cent, `least` is the smallest plain count, `advice` says what to write instead.
    """

    low: int
    high: int
    least: int
    advice: str

    @property
    def _wanted(self) -> str:
        return f"a share from {self.low}% to {self.high}%, or a count from {self.least} up; {self.advice}"

    def check(self, value: int | str) -> int | str:
        """Return the value; raises ValueError when it is no count, no percentage, or out of range."""
        share = percent_of(value)
        counted = isinstance(value, int) and value >= self.least
        if not (counted if share is None else self.low <= share <= self.high):
            raise ValueError(f"{value!r} must be {self._wanted}")
        return value

    def __get_pydantic_core_schema__(
        self, source: Any, handler: pydantic.GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, _schema: core_schema.CoreSchema, _handler: pydantic.GetJsonSchemaHandler
    ) -> dict[str, Any]:
        number = "int(self.substring(0, self.size() - 1))"
        percent = f"self.matches('^[0-9]{{1,3}}%$') && {number} >= {self.low} && {number} <= {self.high}"
        return {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            **rules(rule(f"type(self) == int ? self >= {self.least} : ({percent})", f"must be {self._wanted}")),
        }


IntOrPercent = Annotated[int | str, Share(0, 100, 0, "write for example 3 or 33%")]


class Condition(StatusModel):
    """A condition as `metav1.Condition` has it; output only, no decision reads one (design 5)."""

    type: str
    """What it is about, such as `Ready`."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: str
    """Why, in one word for machines."""
    message: str = ""
    """Why, in a sentence for people."""
    observed_generation: int = 0
    """It speaks of this generation of the object."""
    last_transition_time: datetime
    """Since when `status` is what it is."""
