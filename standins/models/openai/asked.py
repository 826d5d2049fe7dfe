"""A call of one operation: its body, and the model that it names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from standins.world import Options

Json = dict[str, Any]
CREATED = 1_700_000_000
HEADERS = {"Server": "model-server"}
_OPERATIONS = {
    "chat": "chatCompletion",
    "completions": "completion",
    "embeddings": "embeddings",
    "responses": "responses",
    "images": "imageGenerations",
}


class Refused(Exception):
    """The answer of a call that is refused."""

    def __init__(
        self, status: int, code: str | None, message: str, param: str | None = None, *, known: bool = True
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.param = status, code, message, param
        #: False: the service would answer, and this stand-in cannot.
        self.known = known


@dataclass(frozen=True)
class Asked:
    """`base`: host and path in front of the operation."""

    request: web.Request
    options: Options
    body: Json
    base: str
    model: str

    @property
    def tools(self) -> list[Json]:
        return list(self.body.get("tools") or ())


def error(status: int, code: str | None, message: str, param: str | None = None) -> web.Response:
    return web.json_response(
        {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}},
        status=status,
    )


def base_of(request: web.Request) -> str:
    return f"{request.host}/{request.match_info['base']}"


async def read(options: Options, request: web.Request, ability: str) -> Asked:
    """The call, if its model is served and does that. A URL of Azure names the deployment itself, and the
    body then need not. Raises Refused.
    """
    body, base = await _body(request), base_of(request)
    model = base.rpartition("/deployments/")[2] if "/deployments/" in base else body.get("model")
    served = options["serves"].get(base)
    if not model or (served is not None and model not in served):
        raise Refused(404, "model_not_found", f"The model '{model}' does not exist.")
    lacking = options["lacks"].get(base, ())
    if ability in lacking:
        raise Refused(400, "OperationNotSupported", _unsupported(ability, model))
    if "tools" in lacking and body.get("tools"):
        message = "Unsupported parameter: 'tools' is not supported with this model."
        raise Refused(400, "unsupported_parameter", message, "tools")
    return Asked(request, options, body, base, model)


async def _body(request: web.Request) -> Json:
    try:
        body = await request.json()
    except json.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise Refused(400, None, "We could not parse the JSON body of your request.")
    return body


def _unsupported(ability: str, model: str) -> str:
    return (
        f"The {_OPERATIONS[ability]} operation does not work with the specified model, {model}. Please "
        "choose different model and try again. You can learn more about which models can be used with each "
        "operation here: https://go.microsoft.com/fwlink/?linkid=2197993."
    )


def missing(name: str) -> Refused:
    return Refused(400, "missing_required_parameter", f"Missing required parameter: '{name}'.", name)


def invalid(name: str, value: Any, allowed: str) -> Refused:
    message = f"Invalid value: '{value}'. Supported values are: {allowed}."
    return Refused(400, "invalid_value", message, name)


def refuse_unknown(body: Json, known: frozenset[str]) -> None:
    for name in body:
        if name not in known:
            raise Refused(400, "unknown_parameter", f"Unknown parameter: '{name}'.", name)
