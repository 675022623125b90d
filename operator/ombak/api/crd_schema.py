"""From pydantic models to structural schemas, the subset of OpenAPI 3.0 that a CRD accepts.

`model_json_schema()` is no CRD schema: this inlines `$ref`, turns `anyOf [X, null]` into an optional X,
`const` into `enum`, `int | str` into int-or-string, exclusive bounds into OpenAPI 3.0's booleans,
and drops what the API server refuses.

Defaults are told in the descriptions and never set by the server: so GitOps sees no difference, and a newer
operator can have better ones.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pydantic
from pydantic.json_schema import GenerateJsonSchema

from ombak.api.common import rule
from ombak.api.duration import DURATION_PATTERN, format_duration

Schema = dict[str, Any]

_KEPT = (
    *("type", "format", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum", "multipleOf"),
    *("minItems", "maxItems", "minProperties", "maxProperties"),
)
_DROPPED = frozenset({"title", "examples", "default", "description", "propertyNames", "required"})
_RULES = "x-kubernetes-validations"
_RULE_KEYS = ("rule", "fieldPath", "message", "messageExpression")
_READ = re.compile(r"\bself\.(\w+)\b(?!\()")
_SENTENCES = {
    DURATION_PATTERN: rule(
        f"self.matches(r'{DURATION_PATTERN}')",
        "must be a duration; write for example 90s, 5m, 1h30m, 2d or 500ms",
    )
}
"""What to write instead, for patterns that nobody wants to read in an error."""
_REFERENCES = re.compile(r"\s*\((?:[RP][0-9]|design|alarms-and-judge)[^)]*\)")
_NULL = {"type": "null"}


class UnsupportedSchemaError(TypeError):
    """A model uses what no structural schema can say; the message names where and what."""


class _Generator(GenerateJsonSchema):
    def encode_default(self, dft: Any) -> Any:
        """Write durations as people do; pydantic's own form is `PT10M`."""
        return format_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def structural_schema(model: type[pydantic.BaseModel], *, tell_defaults: bool = True) -> Schema:
    """Return the structural schema of a model; raises UnsupportedSchemaError for what none can say."""
    document = model.model_json_schema(by_alias=True, mode="validation", schema_generator=_Generator)
    definitions = document.pop("$defs", {})
    return _Converter(definitions, tell_defaults).convert(document, model.__name__, ())


class _Converter:
    """Converts one document; `definitions` are its `$defs`."""

    def __init__(self, definitions: Mapping[str, Schema], tell_defaults: bool) -> None:
        self._definitions = definitions
        self._tell_defaults = tell_defaults

    def convert(self, schema: Schema, path: str, trail: tuple[str, ...]) -> Schema:
        """Return the structural form of one schema; `trail` names the definitions that it is inside of."""
        schema, trail = self._inlined(_without_null(schema, path), path, trail)
        found: Schema = {}
        if text := self._description(schema):
            found["description"] = text
        found |= _leaf(schema, path)
        found |= self._object(schema, path, trail)
        if "items" in schema:
            found["items"] = self.convert(schema["items"], f"{path}[]", trail)
        return found | _extensions(schema, found)

    def _inlined(self, schema: Schema, path: str, trail: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
        if "$ref" not in schema:
            return schema, trail
        name = schema["$ref"].rsplit("/", 1)[-1]
        if name in trail:
            raise UnsupportedSchemaError(f"{path}: {name} contains itself; a structural schema has an end")
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return self._inlined(_merged(self._definitions[name], beside), path, (*trail, name))

    def _object(self, schema: Schema, path: str, trail: tuple[str, ...]) -> Schema:
        extra = schema.get("additionalProperties")
        found: Schema = {}
        if required := schema.get("required"):
            found["required"] = list(required)
        if properties := schema.get("properties"):
            found["properties"] = {
                name: self.convert(part, f"{path}.{name}", trail) for name, part in properties.items()
            }
        elif isinstance(extra, dict) and extra:
            found["additionalProperties"] = self.convert(extra, f"{path}.*", trail)
        elif extra not in (None, False):
            found["x-kubernetes-preserve-unknown-fields"] = True
        return found

    def _description(self, schema: Schema) -> str:
        first = schema.get("description", "").split("\n\n")[0]
        text = _REFERENCES.sub("", " ".join(first.split()))
        default = self._default(schema) if self._tell_defaults else ""
        return f"{text} Default: {default}.".strip() if default else text

    def _default(self, schema: Schema) -> str:
        """The default in words, or nothing when it is the empty one or is told by the parts."""
        default = schema.get("default")
        if isinstance(default, dict):
            required = self._inlined(_without_null(schema, ""), "", ())[0].get("required", ())
            told = ", ".join(f"{name}: {default[name]}" for name in required if name in default)
            return f"{{{told}}}" if told else ""
        return "" if default in (None, "", []) or default is False else str(default)


def _without_null(schema: Schema, path: str) -> Schema:
    """An optional field is one that may be left out: `null` has no meaning of its own."""
    options = schema.get("anyOf")
    if options is None or schema.get("x-kubernetes-int-or-string"):
        return schema
    beside = {key: value for key, value in schema.items() if key != "anyOf"}
    rest = [option for option in options if option != _NULL]
    if len(rest) == 1:
        return _merged(rest[0], beside)
    if sorted(option.get("type", "") for option in rest) == ["integer", "string"]:
        return {**beside, "anyOf": rest, "x-kubernetes-int-or-string": True}
    raise UnsupportedSchemaError(f"{path}: a union; use one optional field for each variant")


def _merged(inner: Schema, outer: Schema) -> Schema:
    """What stands beside a reference wins, but the rules of both hold."""
    both = {**inner, **outer}
    if _RULES in inner and _RULES in outer:
        both[_RULES] = [*inner[_RULES], *outer[_RULES]]
    return both


def _leaf(schema: Schema, path: str) -> Schema:
    found = {key: schema[key] for key in _KEPT if key in schema}
    if "const" in schema:
        found["enum"] = [schema["const"]]
    if schema.get("x-kubernetes-int-or-string"):
        found["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in schema:
            found |= {bound: schema[exclusive], exclusive: True}
    known = {*_KEPT, *_DROPPED, *found, "const", "properties", "additionalProperties", "items", "uniqueItems"}
    if unknown := {key for key in schema if not key.startswith("x-kubernetes-")} - known:
        raise UnsupportedSchemaError(f"{path}: {', '.join(sorted(unknown))} has no structural form")
    return found


def _extensions(schema: Schema, found: Schema) -> Schema:
    extensions = {key: schema[key] for key in sorted(schema) if key.startswith("x-kubernetes-")}
    validations = [_SENTENCES[schema["pattern"]]] if schema.get("pattern") in _SENTENCES else []
    validations += extensions.pop(_RULES, [])
    if validations:
        extensions[_RULES] = [_ordered(_guarded(each, found)) for each in validations]
    if schema.get("uniqueItems"):
        extensions["x-kubernetes-list-type"] = "set"
    if not {"type", "anyOf"} & found.keys():
        extensions["x-kubernetes-preserve-unknown-fields"] = True
    return extensions


def _guarded(validation: Mapping[str, str], found: Schema) -> dict[str, str]:
    """A rule holds where an optional field that it reads is left out; reading that would be an error in CEL."""
    text = validation["rule"]
    optional = found.get("properties", {}).keys() - set(found.get("required", ()))
    unguarded = [name for name in dict.fromkeys(_READ.findall(text)) if name in optional]
    guards = [f"!has(self.{name}) || " for name in unguarded if f"has(self.{name})" not in text]
    return {**validation, "rule": f"{''.join(guards)}({text})" if guards else text}


def _ordered(validation: Mapping[str, str]) -> dict[str, str]:
    return {key: validation[key] for key in _RULE_KEYS if key in validation}
