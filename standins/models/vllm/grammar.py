"""Texts that a grammar forces: an instance of a JSON schema, the same at every call."""

from __future__ import annotations

import json
import re
from typing import Any

from standins.models.vllm.errors import Json, raised

_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
_CHOICES = ("anyOf", "oneOf", "allOf")
_PIECES = re.compile(r"</?tool_call>|\w+|\s|[^\w\s]")
_SIMPLE: Json = {"string": "word", "number": 1.5, "integer": 1, "boolean": True, "null": None}


def pieces_of_json(text: str) -> list[str]:
    """The tokens of a text that a grammar forces: words, blanks and signs."""
    return _PIECES.findall(text)


def compiled(schema: Any) -> None:
    """Raises Refused for a schema that has no grammar."""
    if isinstance(schema, list):
        for each in schema:
            compiled(each)
    if not isinstance(schema, dict):
        return
    wanted = schema.get("type")
    for kind in wanted if isinstance(wanted, list) else [wanted]:
        if kind is not None and kind not in _TYPES:
            raise raised(f"Grammar error: Invalid type: {kind}")
    for name in ("properties", "$defs", "definitions"):
        for each in (schema.get(name) or {}).values():
            compiled(each)
    for name in ("items", "prefixItems", *_CHOICES):
        compiled(schema.get(name))


def instance(schema: Any) -> Any:
    """The first value that comes to mind."""
    if not isinstance(schema, dict):
        return {}
    if "const" in schema:
        return schema["const"]
    for name in ("enum", *_CHOICES):
        if schema.get(name):
            return schema[name][0] if name == "enum" else instance(schema[name][0])
    return _of_type(schema)


def _of_type(schema: Json) -> Any:
    wanted = schema.get("type") or ("object" if "properties" in schema else "string")
    kind = wanted[0] if isinstance(wanted, list) else wanted
    if kind == "object":
        names = schema.get("required") or list(schema.get("properties") or {})
        return {name: instance((schema.get("properties") or {}).get(name)) for name in names}
    if kind == "array":
        return [instance(schema.get("items") or {"type": "string"}) for _ in range(schema.get("minItems", 1))]
    return _SIMPLE[kind]


def written(schema: Any) -> str:
    return json.dumps(instance(schema), ensure_ascii=False)
