"""Operations of an API:
https://learn.microsoft.com/rest/api/apimanagement/api-operation?view=rest-apimanagement-2024-05-01
"""

from __future__ import annotations

import re
from functools import partial

from aiohttp import web

from standins.http import route
from standins.resource_manager.apis import api_of, remove_operation
from standins.resource_manager.arm import (
    SERVICE,
    Json,
    check_if_match,
    contract,
    insensitive,
    properties_of,
    require_if_match,
    service_id,
    to_delete,
)
from standins.resource_manager.fields import Fields
from standins.resource_manager.kinds import Kind
from standins.resource_manager.lists import filterable
from standins.resource_manager.state import State
from standins.resource_manager.tiers import check_room

_FIELDS = filterable("name", "displayName", "method", "description", "urlTemplate")
_KNOWN = ("displayName", "method", "urlTemplate", "templateParameters", "description", "request", "responses")
_DEFAULTS: Json = {"templateParameters": [], "description": None, "responses": [], "policies": None}


def routes(app: web.Application, state: State) -> None:
    Kind(
        state, "api operation", "apis/{api}/operations", state.operations, _FIELDS, partial(api_of, state)
    ).reading(app)
    one = insensitive(SERVICE + "/apis/{api}/operations/{name}")
    route(app, "PUT", one, "PUT api operation", partial(_put, state))
    route(app, "PATCH", one, "PATCH api operation", partial(_patch, state))
    route(app, "DELETE", one, "DELETE api operation", partial(_delete, state))


async def _put(state: State, request: web.Request) -> web.Response:
    kept = _DEFAULTS | _checked(await properties_of(request))
    state.operations.check_name(request)
    operation = state.operations.id(request)
    async with state.writing(api_of(state, request)):
        old = state.operations.get(operation)
        check_if_match(request, old)
        if old is None:
            check_room(state, "operations", service_id(request))
        return contract(state.operations.write(operation, kept), 201 if old is None else 200)


async def _patch(state: State, request: web.Request) -> web.Response:
    properties = await properties_of(request)
    async with state.writing(api_of(state, request)):
        old = state.operations.require(state.operations.id(request))
        require_if_match(request, old)
        return contract(
            state.operations.write(old["id"], old["properties"] | _checked(old["properties"] | properties))
        )


async def _delete(state: State, request: web.Request) -> web.Response:
    async with state.writing(api_of(state, request)):
        remove_operation(state, to_delete(request, state.operations.get(state.operations.id(request)))["id"])
    return web.Response(status=200)


def _checked(properties: Json) -> Json:
    fields = Fields(properties)
    fields.require("displayName", "method", "urlTemplate")
    fields.text("displayName", 1, 300)
    fields.text("urlTemplate", 1, 1000)
    fields.text("description", 0, 1000)
    declared = {parameter.get("name") for parameter in fields.given.get("templateParameters", ())}
    for name in re.findall(r"\{\*?([^{}]+)\}", str(fields.given.get("urlTemplate", ""))):
        if name not in declared:
            fields.problem(
                "templateParameters",
                f"All template parameters used in the UriTemplate must be defined: '{name}'.",
            )
    return fields.checked(_KNOWN)
