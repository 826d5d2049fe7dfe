"""Policy fragments:
https://learn.microsoft.com/rest/api/apimanagement/policy-fragment?view=rest-apimanagement-2024-05-01
"""

from __future__ import annotations

from functools import partial

from aiohttp import web

from standins.http import route
from standins.resource_manager.arm import (
    SERVICE,
    Json,
    check_if_match,
    contract,
    insensitive,
    properties_of,
    service_id,
    to_delete,
)
from standins.resource_manager.fields import Fields
from standins.resource_manager.kinds import entity_tag
from standins.resource_manager.lists import filterable, page
from standins.resource_manager.long_running import begin, started, under_way
from standins.resource_manager.policy_text import format_of, in_format, read
from standins.resource_manager.references import FRAGMENT, naming, refuse_used
from standins.resource_manager.state import State

#: https://learn.microsoft.com/azure/api-management/policy-fragments#limitations
_LONGEST = 32 * 1024


def routes(app: web.Application, state: State) -> None:
    one = SERVICE + "/policyFragments/{name}"
    route(
        app, "GET", insensitive(SERVICE + "/policyFragments"), "LIST policy fragments", partial(_list, state)
    )
    route(app, "GET", insensitive(one), "GET policy fragment", partial(_get, state))
    route(app, "HEAD", insensitive(one), "HEAD policy fragment", partial(_head, state))
    route(app, "PUT", insensitive(one), "PUT policy fragment", partial(_put, state))
    route(app, "DELETE", insensitive(one), "DELETE policy fragment", partial(_delete, state))
    route(
        app,
        "POST",
        insensitive(one + "/listReferences"),
        "POST policy fragment listReferences",
        partial(_references, state),
    )


async def _list(state: State, request: web.Request) -> web.Response:
    return page(
        state, request, state.fragments.under(service_id(request)), filterable("name", "description", "value")
    )


async def _get(state: State, request: web.Request) -> web.Response:
    return under_way(state, request) or contract(
        in_format(state.fragments.require(state.fragments.id(request)), request.query.get("format", "xml"))
    )


async def _head(state: State, request: web.Request) -> web.Response:
    return entity_tag(state.fragments.get(state.fragments.id(request)))


async def _put(state: State, request: web.Request) -> web.Response:
    properties = await properties_of(request)
    state.fragments.check_name(request)
    fields = Fields(properties)
    fields.text("description", 0, 1000)
    kept = fields.checked(("description",)) | read(state, request, properties, ("fragment", _LONGEST))
    fragment = state.fragments.id(request)
    old = state.fragments.get(fragment)
    check_if_match(request, old)
    operation = begin(state, request)
    row = state.fragments.write(
        fragment, {"description": None, "provisioningState": "Succeeded"} | kept, operation=operation
    )
    answer = contract(in_format(row, format_of(properties)), 201 if old is None else 200)
    return started(state, request, answer, fragment, operation)


async def _delete(state: State, request: web.Request) -> web.Response:
    row = to_delete(request, state.fragments.get(state.fragments.id(request)))
    refuse_used(
        "Policy Fragment", row, service_id(request), naming(state, service_id(request), row, FRAGMENT)
    )
    state.fragments.remove(row["id"])
    return web.Response(status=200)


async def _references(state: State, request: web.Request) -> web.Response:
    row = state.fragments.require(state.fragments.id(request))
    users: list[Json] = naming(state, service_id(request), row, FRAGMENT)
    value = [{name: user[name] for name in ("id", "type", "name")} for user in users]
    return web.json_response({"value": value, "count": len(value)})
