"""Long-running operations. Here they have ended when the first answer is sent; clients poll all the same, as with the real service.

https://github.com/microsoft/api-guidelines (Azure-AsyncOperation, Location)
"""

from __future__ import annotations

import base64
from functools import partial

from aiohttp import web

from standins.http import route
from standins.resource_manager.arm import contract, insensitive
from standins.resource_manager.state import Resources, State

_LOCATION = "/subscriptions/{subscription}/providers/Microsoft.ApiManagement/locations/{location}"


def routes(app: web.Application, state: State) -> None:
    route(app, "GET", insensitive(_LOCATION + "/operationStatuses/{operation}"), "GET operation status", _status)
    route(app, "GET", insensitive(_LOCATION + "/operationResults/{operation}"), "GET operation result", partial(_result, state))


def started(request: web.Request, response: web.Response, resource: str) -> web.Response:
    """The answer that begins an operation on the resource (its id), with the two places to poll.

    The operation's name is the resource's id in base64, so that nothing needs to be kept for it.
    """
    operation = base64.urlsafe_b64encode(resource.encode()).decode()
    path = _LOCATION.format(subscription=request.match_info["subscription"], location="local")
    for header, what in (("Azure-AsyncOperation", "operationStatuses"), ("Location", "operationResults")):
        url = request.url.with_path(f"{path}/{what}/{operation}").with_query({"api-version": request.query["api-version"]})
        response.headers[header] = str(url)
    return response


async def _status(request: web.Request) -> web.Response:
    return web.json_response({"id": request.path, "name": request.match_info["operation"], "status": "Succeeded"})


async def _result(state: State, request: web.Request) -> web.Response:
    resource = base64.urlsafe_b64decode(request.match_info["operation"]).decode()
    kinds: dict[str, Resources] = {"apis": state.apis, "policyfragments": state.fragments}
    row = kinds[resource.split("/")[-2].lower()].get(resource)
    return web.Response(status=204) if row is None else contract(row)
