"""What the converter from pydantic to structural schemas does with each form that pydantic emits."""

from enum import StrEnum
from typing import Annotated, Any, Literal, Optional

import pydantic
import pytest

from ombak.api.common import Model, rule, rules
from ombak.api.crd_schema import Schema, UnsupportedSchemaError, structural_schema
from ombak.api.duration import Duration


class Color(StrEnum):
    """What it looks like."""

    RED = "Red"
    BLUE = "Blue"


class Inner(Model):
    """A part (R42) of the whole.

    A second paragraph is for developers.
    """

    count: Annotated[int, pydantic.Field(ge=1)]


class Recursive(Model):
    """Contains itself."""

    child: Optional["Recursive"] = None


def property_of(annotation: Any, **field: Any) -> Schema:
    """Return the schema of one field, of a model that has no other."""
    model = pydantic.create_model("Sample", __base__=Model, field=(annotation, pydantic.Field(**field)))
    found = structural_schema(model)["properties"]["field"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        pytest.param(int | None, {"type": "integer"}, id="optional"),
        pytest.param(Literal["one"], {"type": "string", "enum": ["one"]}, id="const"),
        pytest.param(
            Color, {"description": "What it looks like.", "type": "string", "enum": ["Red", "Blue"]}, id="enum"
        ),
        pytest.param(
            int | str,
            {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True},
            id="int-or-string",
        ),
        pytest.param(
            Annotated[float, pydantic.Field(gt=0, lt=1)],
            {
                "type": "number",
                "minimum": 0.0,
                "exclusiveMinimum": True,
                "maximum": 1.0,
                "exclusiveMaximum": True,
            },
            id="exclusive-bounds",
        ),
        pytest.param(
            set[str],
            {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            id="set",
        ),
        pytest.param(
            dict[Annotated[str, pydantic.Field(max_length=9)], int],
            {"type": "object", "additionalProperties": {"type": "integer"}},
            id="map",
        ),
        pytest.param(dict[str, Any], {"type": "object", "x-kubernetes-preserve-unknown-fields": True}, id="open-map"),
        pytest.param(Any, {"x-kubernetes-preserve-unknown-fields": True}, id="any"),
        pytest.param(
            Inner | None,
            {
                "description": "A part of the whole.",
                "type": "object",
                "required": ["count"],
                "properties": {"count": {"type": "integer", "minimum": 1}},
            },
            id="model",
        ),
    ],
)
def test_each_form_has_its_structural_schema(annotation: Any, expected: Schema) -> None:
    """Nothing that the API server refuses is left over."""
    assert expected == property_of(annotation)


def test_a_duration_says_what_to_write_instead() -> None:
    """The pattern is for tools, the rule for people."""
    found = property_of(Duration)

    assert found["type"] == "string"
    assert [each["message"] for each in found["x-kubernetes-validations"]] == [
        "must be a duration; write for example 90s, 5m, 1h30m, 2d or 500ms"
    ]


@pytest.mark.parametrize(
    ("annotation", "default", "expected"),
    [
        pytest.param(int, 3, "How many. Default: 3.", id="number"),
        pytest.param(bool, False, "How many.", id="false-goes-without-saying"),
        pytest.param(Inner, Inner(count=2), "How many. Default: {count: 2}.", id="required-part-of-a-model"),
    ],
)
def test_defaults_are_told_and_not_set(annotation: Any, default: Any, expected: str) -> None:
    """The server fills nothing in, so that Git and the cluster agree."""
    found = property_of(annotation, default=default, description="How many.")

    assert expected == found["description"]
    assert "default" not in found


def test_what_stands_at_a_reference_wins_and_both_rules_hold() -> None:
    """A field may say more about its type than the type does."""

    class Ruled(Model):
        """Of the type."""

        model_config = pydantic.ConfigDict(json_schema_extra=rules(rule("true", "of the type")))

    extra = rules(rule("1 == 1", "of the field"))
    found = property_of(Ruled, description="Of the field.", json_schema_extra=extra)

    assert found["description"] == "Of the field."
    assert [each["message"] for each in found["x-kubernetes-validations"]] == ["of the type", "of the field"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        pytest.param("self.a < 3", "!has(self.a) || (self.a < 3)", id="optional-is-guarded"),
        pytest.param("!has(self.a) || self.a < 3", "!has(self.a) || self.a < 3", id="guarded-already"),
        pytest.param("self.b < 3", "self.b < 3", id="required-needs-none"),
    ],
)
def test_a_rule_holds_where_an_optional_field_is_left_out(expression: str, expected: str) -> None:
    """CEL would answer with "no such key", which names neither field nor fix."""

    class Ruled(Model):
        """A rule over fields of which one may be absent."""

        model_config = pydantic.ConfigDict(json_schema_extra=rules(rule(expression, "too large")))

        a: int | None = None
        b: int

    assert structural_schema(Ruled)["x-kubernetes-validations"] == [{"rule": expected, "message": "too large"}]


@pytest.mark.parametrize(
    ("annotation", "fragment"),
    [
        pytest.param(Inner | Recursive, "Sample.field: a union", id="union-of-models"),
        pytest.param(tuple[int, str], "Sample.field: prefixItems", id="tuple"),
        pytest.param(Recursive, "Sample.field.child: Recursive contains itself", id="recursion"),
    ],
)
def test_what_no_structural_schema_can_say_is_refused(annotation: Any, fragment: str) -> None:
    """Better no CRD than one that lets everything in."""
    with pytest.raises(UnsupportedSchemaError, match=fragment):
        property_of(annotation)
