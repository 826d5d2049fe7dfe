"""Structural schemas: what an object may say, what the server completes, drops or refuses.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Schema:
    """`type` is one of object, array, string, integer, boolean, any. `values` is the schema of a map's
    values.

    An `atomic` map is one field for server-side apply.
    """

    type: str
    fields: Mapping[str, Schema] = field(default_factory=dict)
    values: Schema | None = None
    items: Schema | None = None
    required: tuple[str, ...] = ()
    enum: tuple[str, ...] = ()
    default: Any = None
    minimum: int | None = None
    atomic: bool = False

    def of(self, name: str) -> Schema | None:
        """The schema of a field, None for one that is not declared."""
        return ANY if self.type == "any" else self.fields.get(name, self.values)


ANY = Schema("any")
STRING, INTEGER, BOOLEAN = Schema("string"), Schema("integer"), Schema("boolean")


def record(fields: Mapping[str, Schema], *required: str) -> Schema:
    """A map with these fields."""
    return Schema("object", fields=fields, required=required)


def optional(**named: Schema) -> Schema:
    """A map with these fields, all optional."""
    return Schema("object", fields=named)


def mapping(values: Schema) -> Schema:
    return Schema("object", values=values)


def array(items: Schema) -> Schema:
    return Schema("array", items=items)


def choice(*values: str, default: str | None = None) -> Schema:
    return replace(STRING, enum=values, default=default)


class Violation(NamedTuple):
    """A field that does not fit, as `details.causes` of a 422 tells it; `message` is without the field."""

    field: str
    reason: str
    message: str


def as_openapi(schema: Schema) -> dict[str, Any]:
    """The schema as an OpenAPI document has it."""
    if schema.type == "any":
        return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    shown: dict[str, Any] = {"type": schema.type}
    if schema.default is not None:
        shown["default"] = schema.default
    if schema.fields:
        shown["properties"] = {name: as_openapi(inner) for name, inner in schema.fields.items()}
    if schema.values is not None:
        shown["additionalProperties"] = as_openapi(schema.values)
    if schema.items is not None:
        shown["items"] = as_openapi(schema.items)
    if schema.required:
        shown["required"] = list(schema.required)
    if schema.enum:
        shown["enum"] = list(schema.enum)
    return shown


def unknown_fields(schema: Schema, value: Any, path: str = "") -> Iterator[str]:
    """The paths of what the schema does not declare, for instance `resource.gpu` or `adapters[0].x`."""
    for name, part, inner in _parts(schema, value):
        below = f"{path}{name}" if name.startswith("[") else f"{path}.{name}".lstrip(".")
        if inner is None:
            yield below
        else:
            yield from unknown_fields(inner, part, below)


def pruned(schema: Schema, value: Any) -> Any:
    """Without what is not declared, and without nulls."""
    if isinstance(value, dict) and schema.type in ("object", "any"):
        kept = {
            name: (schema.of(name), part)
            for name, part in value.items()
            if part is not None or schema.type == "any"
        }
        return {name: pruned(inner, part) for name, (inner, part) in kept.items() if inner is not None}
    if isinstance(value, list) and schema.items is not None:
        return [pruned(schema.items, item) for item in value]
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
    """What does not fit, as the server of a custom resource words it."""
    if not _fits(schema, value):
        kind = _json_type(value)
        text = f'Invalid value: "{kind}": {path} in body must be of type {schema.type}: "{kind}"'
        yield Violation(path, "FieldValueTypeInvalid", text)
        return
    for name in schema.required:
        if name not in value:
            yield Violation(f"{path}.{name}".lstrip("."), "FieldValueRequired", "Required value")
    if schema.enum and value not in schema.enum:
        supported = ", ".join(f'"{each}"' for each in schema.enum)
        yield Violation(
            path, "FieldValueNotSupported", f'Unsupported value: "{value}": supported values: {supported}'
        )
    if schema.minimum is not None and value < schema.minimum:
        text = f"Invalid value: {value}: {path} in body should be greater than or equal to {schema.minimum}"
        yield Violation(path, "FieldValueInvalid", text)
    for name, part, inner in _parts(schema, value):
        if inner is not None:
            yield from violations(
                inner, part, f"{path}{name}" if name.startswith("[") else f"{path}.{name}".lstrip(".")
            )


def apply_problem(schema: Schema, value: Any, path: str = "") -> str | None:
    """Why an object cannot be applied: the first field that is not declared or not of its type."""
    if value is not None and not _fits(schema, value):
        return f"{path}: {_EXPECTED[schema.type]}, got {_GOT[schema.type](value)}"
    for name, part, inner in _parts(schema, value):
        below = f"{path}{name}" if name.startswith("[") else f"{path}.{name}"
        if inner is None:
            return f"{below}: field not declared in schema"
        if problem := apply_problem(inner, part, below):
            return problem
    return None


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


def _wrapped(value: Any) -> str:
    """As the merge library of the server prints a value of another type."""
    return f"&value.valueUnstructured{{Value:{str(value).lower() if isinstance(value, bool) else value}}}"


def _go_type(value: Any) -> str:
    return {"string": "string", "integer": "int64", "boolean": "bool"}.get(
        _json_type(value), _json_type(value)
    )


_GOT = {"object": _wrapped, "array": _wrapped, "string": _wrapped, "integer": _go_type, "boolean": _go_type}


def _fits(schema: Schema, value: Any) -> bool:
    if schema.type == "any":
        return True
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


def _parts(schema: Schema, value: Any) -> Iterator[tuple[str, Any, Schema | None]]:
    """What is inside: name (or `[index]`), value, and its schema."""
    if schema.type == "object" and isinstance(value, dict):
        yield from ((name, part, schema.of(name)) for name, part in value.items())
    elif schema.type == "array" and isinstance(value, list):
        yield from ((f"[{index}]", item, schema.items) for index, item in enumerate(value))
