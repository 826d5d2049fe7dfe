"""Answers of the HTTP functions, held against their own description."""

from __future__ import annotations

from functools import cache
from typing import Any

import jsonschema_rs

from functions.description import OPERATIONS, description


def as_described(name: str, status: int, kind: str, body: Any) -> Any:
    """The body, after the description of the operation was found to allow it. `kind` is the content type."""
    operation = next(each for each in OPERATIONS if each.name == name)
    responses = description()["paths"][operation.path][operation.method]["responses"]
    assert str(status) in responses, f"{name} answered {status}, which is not described"
    assert list(responses[str(status)]["content"]) == [kind.partition(";")[0]]
    _validator(name, status).validate(body)
    return body


@cache
def _validator(name: str, status: int) -> Any:
    whole = description()
    operation = next(each for each in OPERATIONS if each.name == name)
    [answer] = whole["paths"][operation.path][operation.method]["responses"][str(status)]["content"].values()
    return jsonschema_rs.Draft202012Validator(
        {**answer["schema"], "components": whole["components"]}, validate_formats=True
    )
