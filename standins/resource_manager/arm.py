"""What every Azure Resource Manager operation shares: bearer token, api-version, error bodies, ETags, filters, pages, ids.

https://github.com/cloud-and-ai-microsoft/resource-provider-contract and
https://learn.microsoft.com/azure/azure-resource-manager/management/
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware

from standins.http import Handler
from standins.identity import InvalidToken, verify
from standins.world import SUBSCRIPTION, World

Json = dict[str, Any]

SERVER = "resource-manager"
#: Fixed segments of the path to an API Management instance; `insensitive` makes a route of it.
SERVICE = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ApiManagement/service/{service}"
PAGE_SIZE = 100

_AUDIENCES = ("https://management.azure.com", "https://management.core.windows.net")
_VERSIONS = {"microsoft.apimanagement": "2024-05-01", "microsoft.authorization": "2022-04-01"}
_FILTER = re.compile(r"(?:startswith\((?P<prefixed>\w+),\s*'(?P<prefix>(?:[^']|'')*)'\)|(?P<equal>\w+) eq '(?P<value>(?:[^']|'')*)')")
_FILTERED = ("name", "displayName", "state")


class ArmError(Exception):
    """An answer other than success, in Resource Manager's form: `{"error": {"code", "message", "details"}}`."""

    def __init__(self, status: int, code: str, message: str, details: list[Json] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"code": code, "message": message, "details": details}}

    def response(self) -> web.Response:
        headers = {}
        if self.status == 401:
            headers["WWW-Authenticate"] = 'Bearer authorization_uri="https://login.windows.net/", error="invalid_token"'
        return web.json_response(self.body, status=self.status, headers=headers)


def invalid(*problems: tuple[str, str]) -> ArmError:
    """400 ValidationError as API Management answers it; each problem is a target (field or element) and a message."""
    details = [{"code": "ValidationError", "target": target, "message": message} for target, message in problems]
    return ArmError(400, "ValidationError", "One or more fields contain incorrect values:", details)


def not_known(world: World, what: str) -> ArmError:
    """501, and a loud line: the real service may know this, the stand-in does not."""
    world.loud(SERVER, f"501 {what}: this stand-in does not know it")
    return ArmError(501, "NotImplemented", what)


def guard(world: World) -> Middleware:
    """Check what Resource Manager checks before it looks for the resource, and answer errors in its form."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if not request.path.startswith("/_standin/"):
                _check_token(world, request)
                _check_version(request)
                _check_subscription(request)
            return await handler(request)
        except ArmError as error:
            return error.response()

    return check


def _check_token(world: World, request: web.Request) -> None:
    header = request.headers.get("Authorization")
    if header is None:
        raise ArmError(401, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
    try:
        verify(world, header, _AUDIENCES)
    except InvalidToken as error:
        raise ArmError(401, "InvalidAuthenticationToken", f"The access token is invalid: {error}") from error


def _check_version(request: web.Request) -> None:
    version = request.query.get("api-version")
    if version is None:
        raise ArmError(400, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests.")
    provider = request.path.lower().rpartition("/providers/")[2].partition("/")[0]
    if version != _VERSIONS.get(provider, version):
        raise ArmError(400, "NoRegisteredProviderFound", f"The supported api-version of '{provider}' is '{_VERSIONS[provider]}'.")


def _check_subscription(request: web.Request) -> None:
    name = request.match_info.get("subscription", SUBSCRIPTION)
    if name.lower() != SUBSCRIPTION:
        raise ArmError(404, "SubscriptionNotFound", f"The subscription '{name}' could not be found.")


def insensitive(path: str) -> str:
    """The route for a path whose fixed segments may be spelled in any case, as in Resource Manager."""
    segments = [
        segment if segment.startswith("{") else f"{{fixed{number}:(?i:{re.escape(segment)})}}"
        for number, segment in enumerate(path.strip("/").split("/"))
    ]
    return "/" + "/".join(segments)


def service_id(request: web.Request) -> str:
    """The id of the API Management instance that the request is about."""
    return SERVICE.format(**{name: request.match_info[name] for name in ("subscription", "group", "service")})


async def body(request: web.Request) -> Json:
    """The JSON object sent. Raises 400 for anything else."""
    try:
        content = await request.json()
    except json.JSONDecodeError as error:
        raise ArmError(400, "InvalidRequestContent", f"The request content is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise ArmError(400, "InvalidRequestContent", "The request content must be a JSON object.")
    return content


async def properties_of(request: web.Request) -> Json:
    """The `properties` of the resource sent."""
    properties = (await body(request)).get("properties")
    if not isinstance(properties, dict):
        raise invalid(("properties", "The property bag 'properties' is required."))
    return properties


def check_if_match(request: web.Request, row: Json | None) -> None:
    """412 when If-Match is sent and names another state than the current one. `*` is any state, absence included."""
    wanted = request.headers.get("If-Match", "*")
    if wanted != "*" and (row is None or wanted != row["etag"]):
        raise ArmError(412, "PreconditionFailed", "Resource was modified since last retrieval.")


def require_if_match(request: web.Request, row: Json | None) -> None:
    """The same where the header must be sent: 400 without it."""
    if "If-Match" not in request.headers:
        raise ArmError(400, "ValidationError", "The If-Match header is required.")
    check_if_match(request, row)


def to_delete(request: web.Request, row: Json | None) -> Json:
    """The row that a DELETE may remove. Ends the request with 204 when there is none, 400 or 412 when If-Match forbids it."""
    if row is None and "If-Match" in request.headers:
        raise web.HTTPNoContent
    require_if_match(request, row)
    assert row is not None
    return row


def contract(row: Json, status: int = 200) -> web.Response:
    """The resource as an answer, with its ETag."""
    return web.json_response(shown(row), status=status, headers={"ETag": row["etag"]})


def shown(row: Json) -> Json:
    """The public part of a row."""
    return {name: row[name] for name in ("id", "type", "name", "properties")}


def page(world: World, request: web.Request, rows: Iterable[Json], show: Callable[[Json], Json] = shown) -> web.Response:
    """One page of a list, honouring `$filter`, `$top` and `$skip`; `nextLink` leads to the rest."""
    for parameter in ("tags", "expandGroups", "$orderby", "expandApiVersionSet"):
        if parameter in request.query:
            raise not_known(world, f"the parameter {parameter} of {request.path}")
    selected = _filtered(world, rows, request.query.get("$filter"))
    skip, top = _number(request, "$skip", 0), min(_number(request, "$top", PAGE_SIZE), PAGE_SIZE)
    answer: Json = {"value": [show(row) for row in selected[skip : skip + top]], "count": len(selected)}
    if skip + top < len(selected):
        answer["nextLink"] = str(request.url.update_query({"$skip": str(skip + top)}))
    return web.json_response(answer)


def _number(request: web.Request, parameter: str, default: int) -> int:
    text = request.query.get(parameter, str(default))
    if not text.isascii() or not text.isdigit():
        raise invalid((parameter, f"'{text}' is not a number."))
    return int(text)


def _filtered(world: World, rows: Iterable[Json], expression: str | None) -> list[Json]:
    if expression is None:
        return list(rows)
    match = _FILTER.fullmatch(expression.strip())
    field = (match["prefixed"] or match["equal"]) if match else None
    if match is None or field not in _FILTERED:
        raise not_known(world, f"the filter {expression}")
    if match["prefixed"]:
        prefix = match["prefix"].replace("''", "'")
        return [row for row in rows if _value(row, field).startswith(prefix)]
    return [row for row in rows if _value(row, field) == match["value"].replace("''", "'")]


def _value(row: Json, field: str) -> str:
    return str(row["name"] if field == "name" else row["properties"].get(field) or "")
