"""Schemas of Swagger 2.0, OpenAPI 3.0, Kubernetes' CRDs and JSON Schema draft 7, compiled to one kind of
validator.

Stricter than the text in one respect: an object that lists its properties has no others, since the real
services drop an unknown property of a request without a word, and a stand-in's answer must not invent one.
Where a description says `additionalProperties`, that holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

from standins.tests.reference.descriptions import Node, part

_Kind = jsonschema_rs.ValidationErrorKind
_KEPT = {
    *(
        "type",
        "enum",
        "const",
        "format",
        "pattern",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "multipleOf",
    ),
    *(
        "exclusiveMinimum",
        "exclusiveMaximum",
        "minItems",
        "maxItems",
        "uniqueItems",
        "minProperties",
        "maxProperties",
    ),
}
_IN_PLACE = ("allOf", "anyOf", "oneOf")
_LISTING = ("properties", *_IN_PLACE)
#: Formats that jsonschema-rs does not have, as far as they restrict anything here.
_FORMATS: dict[str, Callable[[str], bool]] = {
    "base64url": lambda text: text.replace("-", "").replace("_", "").isalnum()
}


@dataclass(frozen=True)
class Reading:
    """How a schema is meant: `sent` by a client, who sends no read-only property; `partial`, where required
    properties may be absent; `older` than the version that is spoken, where others may have been added.
    """

    sent: bool = False
    partial: bool = False
    older: bool = False


WHOLE = Reading()


@dataclass(frozen=True)
class Flaw:
    """Where in a value (a path like `/properties/state`, empty for the whole), and what is wrong."""

    where: str
    what: str


def flaws(schema: Node, value: Any, reading: Reading = WHOLE) -> Iterator[Flaw]:
    """What is wrong with a value. Compiled validators are kept."""
    errors = list(_validator(schema.file, schema.pointer, reading).iter_errors(value))
    paths = [error.evaluation_path for error in errors]
    for error in errors:
        if isinstance(error.kind, _Kind.UnevaluatedProperties) and _is_consequence(
            error.evaluation_path[:-1], paths
        ):
            continue
        yield Flaw(_place(error), _what(error))


def _place(error: jsonschema_rs.ValidationError) -> str:
    return "".join(f"/{step}" for step in error.instance_path)


def _what(error: jsonschema_rs.ValidationError) -> str:
    if isinstance(error.kind, _Kind.FalseSchema):
        return "is read-only: the service sets it, a client does not send it"
    if isinstance(error.kind, (_Kind.AnyOf, _Kind.OneOfNotValid)):
        # A branch of another type, null for instance, is the least like what was meant.
        branches = sorted(
            error.kind.context, key=lambda found: (isinstance(found[0].kind, _Kind.Type), len(found))
        )
        return f"fits no alternative; the nearest one says: {branches[0][0].message[-200:]}"
    return _shortened(error.message)


def _is_consequence(schema: list[str | int], flawed: list[list[str | int]]) -> bool:
    """A branch of allOf that has a flaw does not count as listing its properties: then these seem to be
    unknown, and are not.
    """
    depth = len(schema)
    return any(path[:depth] == schema and path[depth] in _IN_PLACE for path in flawed)


def without_null(value: Any) -> Any:
    """The value where null stands for an absent property."""
    if isinstance(value, list):
        return [without_null(item) for item in value]
    return (
        {key: without_null(inner) for key, inner in value.items() if inner is not None}
        if isinstance(value, dict)
        else value
    )


@cache
def _validator(file: Path, pointer: str, reading: Reading) -> jsonschema_rs.Draft202012Validator:
    bundle = _Bundle(reading)
    schema = bundle.convert(part(file, pointer))
    return jsonschema_rs.Draft202012Validator(
        {**schema, "$defs": bundle.definitions}, validate_formats=True, formats=_FORMATS
    )


class _Bundle:
    """One schema with everything it refers to."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._names: dict[tuple[str, str, bool], str] = {}
        self.definitions: dict[str, Any] = {}

    def convert(self, node: Node, *, in_place: bool = False) -> Any:
        """`in_place` is a branch of allOf, anyOf or oneOf: which properties there are is for the whole to
        say.
        """
        if not isinstance(node.value, dict):
            return node.value
        if "$ref" in node.value:
            return {"$ref": f"#/$defs/{self._name(node.target(), in_place)}"}
        schema = {key: value for key, value in node.value.items() if key in _KEPT}
        self._add_parts(node, schema)
        if not (in_place or self._reading.older or node.value.get("x-kubernetes-preserve-unknown-fields")):
            _close(schema)
        if node.value.get("x-kubernetes-int-or-string"):
            schema["type"] = ["integer", "string"]
        return _nullable(schema) if node.value.get("nullable") or node.value.get("x-nullable") else schema

    def _name(self, target: Node, in_place: bool) -> str:
        key = (target.file.as_posix(), target.pointer, in_place)
        if key not in self._names:
            self._names[key] = f"{len(self._names)}"
            self.definitions[self._names[key]] = self.convert(target, in_place=in_place)
        return self._names[key]

    def _add_parts(self, node: Node, schema: dict[str, Any]) -> None:
        if properties := node.get("properties"):
            schema["properties"] = {name: self._property(properties[name]) for name in properties.value}
            schema.setdefault("type", "object")
        if not self._reading.partial and (required := self._required(node)):
            schema["required"] = required
        for key in ("items", "additionalProperties", "not"):
            if inner := node.get(key):
                schema[key] = self.convert(inner)
        for key in _IN_PLACE:
            if branches := node.get(key):
                schema[key] = [
                    self.convert(branches[number], in_place=True) for number in range(len(branches.value))
                ]

    def _property(self, node: Node) -> Any:
        return False if self._reading.sent and _is_read_only(node) else self.convert(node)

    def _required(self, node: Node) -> list[str]:
        properties = node.get("properties")
        names = node.value.get("required", [])
        if not isinstance(names, list):
            return []  # a parameter of Swagger 2.0 is its own schema, and says so that it is required
        if not self._reading.sent or properties is None:
            return names
        return [name for name in names if name not in properties.value or not _is_read_only(properties[name])]


def _is_read_only(node: Node) -> bool:
    # Beside a reference it counts too: Azure's files have it there, whatever Swagger says about siblings.
    return bool(
        node.value.get("readOnly")
        or node.value.get("x-ms-mutability") == ["read"]
        or node.target().value.get("readOnly")
    )


def _close(schema: dict[str, Any]) -> None:
    if "additionalProperties" not in schema and any(key in schema for key in _LISTING):
        schema["unevaluatedProperties"] = False


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if "type" not in schema or any(key in schema for key in _IN_PLACE):
        return {"anyOf": [{"type": "null"}, schema]}
    enum = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, "type": [schema["type"], "null"], **enum}


def _shortened(text: str) -> str:
    return text if len(text) <= 400 else f"{text[:200]} … {text[-200:]}"
