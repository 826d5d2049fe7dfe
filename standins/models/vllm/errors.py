"""What vLLM answers when it refuses, and the writing of JSON answers.

An error that an exception handler of last resort answers ends the connection without a word: the client
learns of it with its next request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

Json = dict[str, Any]
HEADERS = {"Server": "uvicorn"}


class Refused(Exception):
    """The answer instead of the wanted one; `closes`: the connection ends after it, unsaid."""

    def __init__(self, status: int, body: Any, *, closes: bool = False) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.closes = closes


class VLLMValidationError(ValueError):
    """What vLLM raises for a parameter; its representation is part of answers, hence its name."""

    def __init__(self, message: str, parameter: str | None = None, value: Any = None) -> None:
        super().__init__(message)
        self.parameter = parameter
        self.value = value

    def __str__(self) -> str:
        more = [] if self.parameter is None else [f"parameter={self.parameter}"]
        more += [] if self.value is None else [f"value={self.value}"]
        return str(self.args[0]) + (f" ({', '.join(more)})" if more else "")


def refused(
    message: str,
    *,
    status: int = 400,
    kind: str = "BadRequestError",
    param: str | None = None,
    closes: bool = False,
) -> Refused:
    """An error as the handler of an operation says it."""
    body = {"error": {"message": message, "type": kind, "param": param, "code": status}}
    return Refused(status, body, closes=closes)


def raised(message: str) -> Refused:
    """A ValueError that nothing but the last resort handles."""
    return refused(message, closes=True)


def parameter(message: str, name: str, value: Any, *, old: bool) -> Refused:
    """A parameter out of its bounds; releases before 0.25 leave it to the last resort."""
    return refused(str(VLLMValidationError(message, name, value)), param=name, closes=old)


def no_model(name: str) -> Refused:
    message = f"The model `{name}` does not exist."
    return refused(message, status=404, kind="NotFoundError", param="model")


def not_found() -> Refused:
    return Refused(404, {"detail": "Not Found"})


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """JSON as Starlette writes it: no blanks, no charset in the type."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    more = {**HEADERS, "Content-Type": "application/json", **(headers or {})}
    return web.Response(body=text.encode(), status=status, headers=more)


def refusal(request: web.Request, error: Refused) -> web.Response:
    if error.closes:
        # After this answer, and without the header that would announce it.
        request.protocol.close()
    return answer(error.body, error.status)
