"""Reads the body of a request, or words its fault: the whole input comes back in the message, once or twice,
with a file of the server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from aiohttp import web
from pydantic import BaseModel, TypeAdapter, ValidationError

from standins.models.vllm.errors import Json, Refused, VLLMValidationError, refused
from standins.models.vllm.server import Server

_FILE = "/usr/local/lib/python3.12/site-packages/vllm/entrypoints/{}"
_MEDIA = "Unsupported Media Type: Only 'application/json' is allowed"


@dataclass(frozen=True)
class Reader:
    """Reads for one operation: `function` and `line` are where its code stands in vLLM."""

    shape: Any
    function: str
    line: int = 40


async def read(reader: Reader, server: Server, request: web.Request, path: str) -> Json:
    """The body as it came, with the values that pydantic made of texts (`"8"` is 8). Raises Refused."""
    parsed = _parsed(await request.read(), request, reader, server, path)
    if not isinstance(parsed, dict):
        message = f"'{type(parsed).__name__}' object has no attribute 'get'"
        raise refused(message, status=500, kind="InternalServerError", closes=True)
    try:
        found = _adapter(reader.shape).validate_python(parsed, context={"old": server.old})
    except ValidationError as wrong:
        errors = [_error(dict(each)) for each in wrong.errors(include_url=False)]
        raise _refused(errors, reader, server, path) from None
    return {**parsed, **_simple(found)}


@cache
def _adapter(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def _parsed(body: bytes, request: web.Request, reader: Reader, server: Server, path: str) -> Any:
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise refused(f"1 validation error:\n  {_MEDIA} {[_MEDIA]}", kind="Bad Request")
    missing = [{"type": "missing", "loc": ("body",), "msg": "Field required", "input": None}]
    if not body:
        raise _refused(missing, reader, server, path)
    try:
        parsed = json.loads(body)
    except json.JSONDecodeError as wrong:
        error = {"type": "json_invalid", "loc": ("body", wrong.pos), "msg": "JSON decode error"}
        raise _refused([error | {"input": {}, "ctx": {"error": wrong.msg}}], reader, server, path) from None
    except ValueError:
        raise refused("There was an error parsing the body", kind="Bad Request") from None
    if parsed is None:
        raise _refused(missing, reader, server, path)
    return parsed


def _error(error: Json) -> Json:
    steps = ("generator[...]" if str(step).startswith("generator[") else step for step in error["loc"])
    return {**error, "loc": ("body", *steps)}


def _refused(errors: list[Json], reader: Reader, server: Server, path: str) -> Refused:
    plural = "" if len(errors) == 1 else "s"
    lines = "".join(f"\n  {error}" for error in errors)
    file = _FILE.format("utils.py" if server.old else "serve/utils/api_utils.py")
    message = (
        f"{len(errors)} validation error{plural}:{lines}\n\n"
        f'  File "{file}", line {reader.line}, in {reader.function}\n    POST {path} {errors}'
    )
    return refused(message, kind="Bad Request", param=None if server.old else _param(errors[0]))


def _param(error: Mapping[str, Any]) -> str:
    """The parameter that an error names, or its place without the names of pydantic's own types."""
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, VLLMValidationError) and cause.parameter is not None:
        return cause.parameter
    steps = [str(step) for step in error["loc"]]
    return ".".join(step for step in steps if "[" not in step and step not in ("str", "int", "float"))


def _simple(found: Any) -> Json:
    """The plain values among the fields of what was read."""
    if not isinstance(found, BaseModel):
        return {}
    names = found.model_fields_set & type(found).model_fields.keys()
    given = {name: getattr(found, name) for name in names}
    return {name: value for name, value in given.items() if isinstance(value, str | int | float)}
