"""Long-running operations: import and deletion of an API, named values, policy fragments.

They take `long_running_seconds` of the clock. A PUT answers with the resource and `provisioningState`, PATCH
and DELETE with 202; all name two places to ask, as the examples of the service do:
https://learn.microsoft.com/rest/api/apimanagement/apis/create-or-update?view=rest-apimanagement-2024-05-01
and https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations.

An operation that is told to fail (`Fault.when` is `later`) ends `Failed` with its cause, and what it should
have made is not there.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from functools import partial

from aiohttp import web

from standins.http import route
from standins.resource_manager.arm import SERVER, SERVICE, ArmError, Json, contract, insensitive
from standins.resource_manager.state import AT_ONCE, Operation, Resources, State

_LOCATION = "/subscriptions/{subscription}/providers/Microsoft.ApiManagement/locations/{location}"
#: The option `operations_at`: where the header `Azure-AsyncOperation` leads.
PLACES = {
    "tenant": SERVICE + "/tenant/operationResults/{operation}",
    "service": SERVICE + "/operationResults/{operation}",
    "locations": _LOCATION + "/operationStatuses/{operation}",
}


def routes(app: web.Application, state: State) -> None:
    for place in PLACES.values():
        route(app, "GET", insensitive(place), "GET operation status", partial(_status, state))
    route(
        app,
        "GET",
        insensitive(_LOCATION + "/operationResults/{operation}"),
        "GET operation result",
        partial(_result, state),
    )


def begin(state: State, request: web.Request) -> Operation:
    """How the write of this request goes on."""
    kind = getattr(request.match_info.handler, "kind", "")
    fault = state.world.take_fault(SERVER, kind, "later")
    seconds = float(state.options["long_running_seconds"])
    if fault is None:
        return Operation(seconds) if seconds else AT_ONCE
    message = "an injected fault" if fault.body is None else fault.body
    return Operation(seconds, {"code": fault.code, "message": message, "details": None})


def started(
    state: State, request: web.Request, response: web.Response, resource: str, operation: Operation
) -> web.Response:
    """The answer that begins an operation on the resource (its id), with the two places to ask."""
    now, name = state.world.clock.now(), secrets.token_hex(12)
    state.begun[name] = {
        "resource": resource,
        "begun": now,
        "ends": now + operation.seconds,
        "failure": operation.failure,
        "deletes": request.method == "DELETE",
    }
    place, version = state.options["operations_at"], {"api-version": request.query["api-version"]}
    parts = {**request.match_info, "location": "local", "operation": name}
    status = request.url.with_path(PLACES[place].format(**parts)).with_query(version)
    response.headers["Azure-AsyncOperation"] = str(status)
    if place == "locations":
        result = request.url.with_path(f"{_LOCATION}/operationResults/{name}".format(**parts))
        response.headers["Location"] = str(result.with_query(version))
    else:
        query = {**version, "asyncId": name, "asyncCode": str(response.status)}
        response.headers["Location"] = str(request.url.with_path(resource).with_query(query))
    return response


def under_way(state: State, request: web.Request) -> web.Response | None:
    """The answer to a GET of a resource that names an operation (`asyncId`) that has not ended, or that
    failed; None for any other.
    """
    operation = state.begun.get(request.query.get("asyncId", ""))
    if operation is None:
        return None
    if (unfinished := _unfinished(state, request, operation)) is not None:
        return unfinished
    return web.Response(status=204) if operation["deletes"] else None


def _unfinished(state: State, request: web.Request, operation: Json) -> web.Response | None:
    if operation["ends"] > state.world.clock.now():
        return web.Response(status=202, headers={"Location": str(request.url)})
    if operation["failure"] is not None:
        return web.json_response({"error": operation["failure"]}, status=400)
    return None


async def _status(state: State, request: web.Request) -> web.Response:
    operation = _operation(state, request)
    answer: Json = {
        "id": request.path,
        "name": request.match_info["operation"],
        "startTime": _iso(operation["begun"]),
        "status": "InProgress",
    }
    if operation["ends"] <= state.world.clock.now():
        answer |= {"status": "Succeeded", "endTime": _iso(operation["ends"])}
        if operation["failure"] is not None:
            answer |= {"status": "Failed", "error": operation["failure"]}
    return web.json_response(answer)


async def _result(state: State, request: web.Request) -> web.Response:
    operation = _operation(state, request)
    if (unfinished := _unfinished(state, request, operation)) is not None:
        return unfinished
    kinds: dict[str, Resources] = {
        "apis": state.apis,
        "policyfragments": state.fragments,
        "namedvalues": state.named_values,
    }
    resource: str = operation["resource"]
    row = kinds[resource.split("/")[-2].lower()].get(resource)
    return web.Response() if row is None else contract(row)


def _operation(state: State, request: web.Request) -> Json:
    """Its resource, when it began and when it ends, its failure, and whether it deletes."""
    name = request.match_info["operation"]
    if name not in state.begun:
        raise ArmError(404, "ResourceNotFound", "Operation not found.")
    operation: Json = state.begun[name]
    return operation


def _iso(seconds_since_1970: float) -> str:
    return f"{datetime.fromtimestamp(seconds_since_1970, UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
