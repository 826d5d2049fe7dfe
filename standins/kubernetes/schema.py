"""Structural schemas: what an object may say, what the server completes, drops or refuses.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from standins.kubernetes import amounts


@dataclass(frozen=True, eq=False)
class Schema:
    """`type` is one of object, array, string, integer, boolean, any. `values` is the schema of a map's
    values, `limits` what else OpenAPI says of a value, `rules` are CEL expressions and their messages.

    An `atomic` map is one field for server-side apply.
    """

    type: str
    fields: Mapping[str, Schema] = field(default_factory=dict)
    values: Schema | None = None
    items: Schema | None = None
    required: tuple[str, ...] = ()
    default: Any = None
    atomic: bool = False
    limits: Mapping[str, Any] = field(default_factory=dict)
    rules: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of_openapi(cls, raw: Mapping[str, Any]) -> Schema:
        inside = raw.get("additionalProperties")
        return cls(
            raw.get("type", "any"),
            fields={name: cls.of_openapi(part) for name, part in raw.get("properties", {}).items()},
            values=None if inside is None else cls.of_openapi(inside),
            items=cls.of_openapi(raw["items"]) if "items" in raw else None,
            required=tuple(raw.get("required", ())),
            default=raw.get("default"),
            atomic=raw.get("x-kubernetes-map-type") == "atomic",
            limits={name: raw[name] for name in _LIMITS.keys() | {"enum", "format"} if name in raw},
            rules=tuple((each["rule"], each["message"]) for each in raw.get("x-kubernetes-validations", ())),
        )

    def of(self, name: str) -> Schema | None:
        """The schema of a field, None for one that is not declared."""
        return ANY if self.type == "any" else self.fields.get(name, self.values)


class Violation(NamedTuple):
    """A field that does not fit, as `details.causes` of a 422 tells it; `message` is without the field."""

    field: str
    reason: str
    message: str


def unknown_fields(schema: Schema, value: Any, path: str = "") -> Iterator[str]:
    """The paths of what the schema does not declare, for instance `resource.gpu` or `adapters[0].x`."""
    for below, part, inner in parts(schema, value, path):
        if inner is None:
            yield below
        else:
            yield from unknown_fields(inner, part, below)


def pruned(schema: Schema, value: Any, nulls: bool = False) -> Any:
    """Without what is not declared, and without nulls, or with those that no default replaces."""
    if isinstance(value, dict) and schema.type == "object":
        kept = {
            name: pruned(inner, part, nulls and name != "metadata")
            for name, part in value.items()
            if (inner := schema.of(name)) is not None
        }
        return {
            name: part
            for name, part in kept.items()
            if part is not None or (nulls and (schema.of(name) or ANY).default is None)
        }
    if isinstance(value, list) and schema.items is not None:
        return [pruned(schema.items, item, nulls) for item in value]
    return value


def completed(schema: Schema, value: Any) -> Any:
    """With the defaults, inside of what is there."""
    if isinstance(value, dict) and schema.type == "object":
        defaults = {name: inner.default for name, inner in schema.fields.items() if inner.default is not None}
        return {name: completed(schema.of(name) or ANY, part) for name, part in {**defaults, **value}.items()}
    if isinstance(value, list) and schema.items is not None:
        return [completed(schema.items, item) for item in value]
    return value


def violations(schema: Schema, value: Any, path: str = "") -> Iterator[Violation]:
    """What does not fit, as the server of a custom resource words it; rules are not looked at."""
    if not _fits(schema, value):
        kind = _json_type(value)
        text = f'Invalid value: "{kind}": {path} in body must be of type {schema.type}: "{kind}"'
        yield Violation(path, "FieldValueTypeInvalid", text)
        return
    for name in schema.required:
        if name not in value:
            yield Violation(f"{path}.{name}".lstrip("."), "FieldValueRequired", "Required value")
    for below, part, inner in sorted(parts(schema, value, path), key=_place):
        if inner is not None:
            yield from violations(inner, part, below)
    supported = schema.limits.get("enum", (value,))
    if value not in supported:
        texts = ", ".join(f'"{each}"' for each in supported)
        yield Violation(
            path, "FieldValueNotSupported", f"Unsupported value: {_quoted(value)}: supported values: {texts}"
        )
    for name, limit in schema.limits.items():
        if name in _LIMITS and _LIMITS[name](value, limit):
            yield Violation(path, *_exceeded(name, limit, value, path))


def _place(part: tuple[str, Any, Schema | None]) -> str:
    """Fields are looked at by their names, items in their order."""
    return "" if part[0].endswith("]") else part[0]


def quantity_problem(schema: Schema, value: Any) -> str | None:
    """Why a value cannot be read as the amount that it must be."""
    if schema.limits.get("format") == "quantity":
        return amounts.problem(str(value))
    inside = ((inner, part) for _, part, inner in parts(schema, value) if inner is not None)
    return next(filter(None, (quantity_problem(inner, part) for inner, part in inside)), None)


def apply_problem(schema: Schema, value: Any, path: str = "") -> str | None:
    """Why an object cannot be applied: the first field that is not declared or not of its type."""
    if value is not None and not _fits(schema, value):
        return f".{path}: {_EXPECTED[schema.type]}, got {_GOT[schema.type](value)}"
    for below, part, inner in parts(schema, value, path):
        if inner is None:
            return f".{below}: field not declared in schema"
        if problem := apply_problem(inner, part, below):
            return problem
    return None


def parts(schema: Schema, value: Any, path: str = "") -> Iterator[tuple[str, Any, Schema | None]]:
    """What is inside: path, value, and its schema."""
    if schema.type == "object" and isinstance(value, dict):
        yield from ((f"{path}.{name}".lstrip("."), part, schema.of(name)) for name, part in value.items())
    elif schema.type == "array" and isinstance(value, list):
        yield from ((f"{path}[{index}]", item, schema.items) for index, item in enumerate(value))


ANY = Schema("any")
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "boolean": bool,
}
_EXPECTED = {
    "object": "expected map",
    "array": "expected list",
    "string": "expected string",
    "integer": "expected numeric (int or float)",
    "boolean": "expected boolean",
}
#: Whether a value goes beyond a limit.
_LIMITS: Mapping[str, Any] = {
    "pattern": lambda value, limit: not re.search(limit, value),
    "minimum": lambda value, limit: value < limit,
    "maximum": lambda value, limit: value > limit,
    "minLength": lambda value, limit: len(value) < limit,
    "maxLength": lambda value, limit: len(value) > limit,
    "minItems": lambda value, limit: len(value) < limit,
    "maxItems": lambda value, limit: len(value) > limit,
}


def _exceeded(name: str, limit: Any, value: Any, path: str) -> tuple[str, str]:
    """Reason and message of a limit that is exceeded."""
    if name == "maxLength":
        return "FieldValueTooLong", f"Too long: may not be more than {limit} bytes"
    if name == "maxItems":
        return "FieldValueTooMany", f"Too many: {len(value)}: must have at most {limit} items"
    said = {
        "pattern": f"should match '{limit}'",
        "minimum": f"should be greater than or equal to {limit}",
        "maximum": f"should be less than or equal to {limit}",
        "minLength": f"should be at least {limit} chars long",
        "minItems": f"should have at least {limit} items",
    }[name]
    shown = len(value) if name == "minItems" else _quoted(value)
    return "FieldValueInvalid", f"Invalid value: {shown}: {path} in body {said}"


def _quoted(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _printed(value: Any) -> str:
    """As the merge library of the server prints a value of another type: `&{x}` in a map's place."""
    return f"&{{{str(value).lower() if isinstance(value, bool) else value}}}"


def _spelled(value: Any) -> str:
    """The same in a scalar's place."""
    shown = str(value).lower() if isinstance(value, bool) else _quoted(value)
    return f"&value.valueUnstructured{{Value:{shown}}}"


def _go_type(value: Any) -> str:
    return {"string": "string", "integer": "int64", "boolean": "bool"}.get(
        _json_type(value), _json_type(value)
    )


_GOT = {"object": _printed, "array": _printed, "string": _spelled, "integer": _go_type, "boolean": _spelled}


def _fits(schema: Schema, value: Any) -> bool:
    if schema.type == "any":
        return True
    if schema.limits.get("format") == "quantity":
        return isinstance(value, str | int | float) and not isinstance(value, bool)
    return isinstance(value, _TYPES[schema.type]) and (
        schema.type == "boolean" or not isinstance(value, bool)
    )


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return next(
        (name for name, types in _TYPES.items() if isinstance(value, types)),
        "number" if isinstance(value, float) else "null",
    )
