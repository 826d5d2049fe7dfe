"""What every Azure Resource Manager operation shares: error bodies, ETags, ids.

https://github.com/cloud-and-ai-microsoft/resource-provider-contract and
https://learn.microsoft.com/azure/azure-resource-manager/management/
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from standins.world import World

Json = dict[str, Any]

SERVER = "resource-manager"
#: Fixed segments of the path to an API Management instance; `insensitive` makes a route of it.
SERVICE = (
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ApiManagement/service/{service}"
)
#: The api-versions that the routes were written for, by provider; the first is the one that the tests use
#: most.
VERSIONS: Mapping[str, tuple[str, ...]] = {
    "microsoft.apimanagement": ("2024-05-01", "2022-08-01", "2025-03-01-preview"),
    "microsoft.authorization": ("2022-04-01", "2022-05-01-preview"),
    "microsoft.cognitiveservices": ("2025-09-01", "2026-05-15-preview"),
    "microsoft.containerservice": ("2026-08-01", "2026-06-01"),
    "microsoft.insights": ("2020-02-02",),
}


class ArmError(Exception):
    """An answer other than success, in Resource Manager's form: `{"error": {"code", "message",
    "details"}}`.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: list[Json] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers or {}
        self.body = {"error": {"code": code, "message": message, "details": details}}

    def response(self) -> web.Response:
        return web.json_response(self.body, status=self.status, headers=self.headers)


def invalid(*problems: tuple[str, str]) -> ArmError:
    """400 ValidationError as API Management answers it; each problem is a target (field or element) and a
    message.
    """
    details = [
        {"code": "ValidationError", "target": target, "message": message} for target, message in problems
    ]
    return ArmError(400, "ValidationError", "One or more fields contain incorrect values:", details)


def not_known(world: World, what: str) -> ArmError:
    """501, and a loud line: the real service may know this, the stand-in does not."""
    world.loud(SERVER, f"501 {what}: this stand-in does not know it")
    return ArmError(501, "NotImplemented", what)


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
        raise ArmError(
            400, "InvalidRequestContent", f"The request content is not valid JSON: {error}"
        ) from error
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
    """412 when If-Match is sent and names another state than the current one. `*` is any state, absence
    included.
    """
    wanted = request.headers.get("If-Match", "*")
    if wanted != "*" and (row is None or wanted != row["etag"]):
        raise ArmError(412, "PreconditionFailed", "Resource was modified since last retrieval.")


def require_if_match(request: web.Request, row: Json | None) -> None:
    """The same where the header must be sent: 400 without it."""
    if "If-Match" not in request.headers:
        raise ArmError(400, "ValidationError", "The If-Match header is required.")
    check_if_match(request, row)


def to_delete(request: web.Request, row: Json | None) -> Json:
    """The row that a DELETE may remove. Ends the request with 204 when there is none, 412 when If-Match
    forbids it. The description requires the header; the service takes a DELETE without it, as the provider
    azurerm of Terraform sends them.
    """
    if row is None:
        raise web.HTTPNoContent
    check_if_match(request, row)
    return row


def contract(row: Json, status: int = 200) -> web.Response:
    """The resource as an answer, with its ETag."""
    return web.json_response(shown(row), status=status, headers={"ETag": row["etag"]})


def shown(row: Json) -> Json:
    """The public part of a row."""
    return {name: row[name] for name in ("id", "type", "name", "properties")}
