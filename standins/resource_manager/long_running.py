"""Long-running operations: import and deletion of an API, named values, policy fragments.

They take `long_running_seconds` of the clock. A PUT answers with the resource and `provisioningState`, PATCH
and DELETE with 202; both name two places to ask:
https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from functools import partial

from aiohttp import web

from standins.http import route
from standins.resource_manager.arm import Json, contract, insensitive
from standins.resource_manager.state import Resources, State

_LOCATION = "/subscriptions/{subscription}/providers/Microsoft.ApiManagement/locations/{location}"


def routes(app: web.Application, state: State) -> None:
    route(
        app,
        "GET",
        insensitive(_LOCATION + "/operationStatuses/{operation}"),
        "GET operation status",
        partial(_status, state),
    )
    route(
        app,
        "GET",
        insensitive(_LOCATION + "/operationResults/{operation}"),
        "GET operation result",
        partial(_result, state),
    )


def seconds(state: State) -> float:
    """How long an operation that begins now takes."""
    return float(state.options["long_running_seconds"])


def started(state: State, request: web.Request, response: web.Response, resource: str) -> web.Response:
    """The answer that begins an operation on the resource (its id), with the two places to ask.

    The operation's name says what it is about and when it ends, so that nothing needs to be kept for it.
    """
    now = state.world.clock.now()
    name = base64.urlsafe_b64encode(json.dumps([resource, now, now + seconds(state)]).encode()).decode()
    path = _LOCATION.format(subscription=request.match_info["subscription"], location="local")
    for header, what in (("Azure-AsyncOperation", "operationStatuses"), ("Location", "operationResults")):
        url = request.url.with_path(f"{path}/{what}/{name}").with_query(
            {"api-version": request.query["api-version"]}
        )
        response.headers[header] = str(url)
    return response


async def _status(state: State, request: web.Request) -> web.Response:
    _, begun, ends = _operation(request)
    answer: Json = {
        "id": request.path,
        "name": request.match_info["operation"],
        "startTime": _iso(begun),
        "status": "InProgress",
    }
    if ends <= state.world.clock.now():
        answer |= {"status": "Succeeded", "endTime": _iso(ends)}
    return web.json_response(answer)


async def _result(state: State, request: web.Request) -> web.Response:
    resource, _, ends = _operation(request)
    if ends > state.world.clock.now():
        return web.Response(status=202, headers={"Location": str(request.url)})
    kinds: dict[str, Resources] = {
        "apis": state.apis,
        "policyfragments": state.fragments,
        "namedvalues": state.named_values,
    }
    row = kinds[resource.split("/")[-2].lower()].get(resource)
    return web.Response() if row is None else contract(row)


def _operation(request: web.Request) -> tuple[str, float, float]:
    """The resource, when the operation began and when it ends."""
    resource, begun, ends = json.loads(base64.urlsafe_b64decode(request.match_info["operation"]))
    return resource, begun, ends


def _iso(seconds_since_1970: float) -> str:
    return f"{datetime.fromtimestamp(seconds_since_1970, UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
