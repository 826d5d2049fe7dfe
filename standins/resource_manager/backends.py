"""Backends: https://learn.microsoft.com/rest/api/apimanagement/backend?view=rest-apimanagement-2024-05-01"""

from __future__ import annotations

from functools import partial
from typing import Any

from aiohttp import web

from standins.http import route
from standins.resource_manager.arm import (
    SERVICE,
    Json,
    check_if_match,
    contract,
    insensitive,
    page,
    properties_of,
    require_if_match,
    service_id,
    to_delete,
)
from standins.resource_manager.fields import Fields
from standins.resource_manager.state import State

_KNOWN = ("title", "description", "resourceId", "properties", "credentials", "proxy", "tls", "circuitBreaker", "url", "protocol")
_POOL = ("pool", "type")


def routes(app: web.Application, state: State) -> None:
    one = insensitive(SERVICE + "/backends/{name}")
    route(app, "GET", insensitive(SERVICE + "/backends"), "LIST backends", partial(_list, state))
    route(app, "GET", one, "GET backend", partial(_get, state))
    route(app, "PUT", one, "PUT backend", partial(_put, state))
    route(app, "PATCH", one, "PATCH backend", partial(_patch, state))
    route(app, "DELETE", one, "DELETE backend", partial(_delete, state))


async def _list(state: State, request: web.Request) -> web.Response:
    return page(state.world, request, state.backends.under(service_id(request)))


async def _get(state: State, request: web.Request) -> web.Response:
    return contract(state.backends.require(state.backends.id(request)))


async def _put(state: State, request: web.Request) -> web.Response:
    properties = await properties_of(request)
    state.backends.check_name(request)
    checked = _checked(state, properties)
    backend = state.backends.id(request)
    old = state.backends.get(backend)
    check_if_match(request, old)
    return contract(state.backends.write(backend, checked), 201 if old is None else 200)


async def _patch(state: State, request: web.Request) -> web.Response:
    properties = await properties_of(request)
    old = state.backends.require(state.backends.id(request))
    require_if_match(request, old)
    return contract(state.backends.write(old["id"], _checked(state, old["properties"] | properties)))


async def _delete(state: State, request: web.Request) -> web.Response:
    row = to_delete(request, state.backends.get(state.backends.id(request)))
    state.backends.remove(row["id"])
    return web.Response(status=200)


def _checked(state: State, properties: Json) -> Json:
    fields = Fields(properties)
    fields.choice("type", ("Single", "Pool"))
    if fields.given.get("type") == "Pool":
        _check_pool(state, fields)
        return {"url": None, "protocol": None} | fields.checked((*_KNOWN, *_POOL))
    fields.require("url", "protocol")
    fields.text("url", 1, 2000)
    fields.text("description", 1, 2000)
    fields.text("title", 1, 300)
    fields.choice("protocol", ("http", "soap"))
    if len(fields.given.get("circuitBreaker", {}).get("rules", [])) > 1:
        fields.problem("circuitBreaker", "Only one circuit breaker rule is supported.")
    return {"type": "Single"} | fields.checked(_KNOWN)


def _check_pool(state: State, fields: Fields) -> None:
    services: list[dict[str, Any]] = fields.given.get("pool", {}).get("services") or []
    if not 1 <= len(services) <= 30:
        fields.problem("pool", "A pool has 1 to 30 services.")
    for service in services:
        if state.backends.get(str(service.get("id"))) is None:
            fields.problem("pool.services", f"Backend with id '{service.get('id')}' could not be found.")
        if any(not 0 <= service.get(number, 0) <= 100 for number in ("weight", "priority")):
            fields.problem("pool.services", "weight and priority must be between 0 and 100.")
