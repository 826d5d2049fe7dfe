"""Policies of the service, of products, APIs and operations.

https://learn.microsoft.com/rest/api/apimanagement/product-policy?view=rest-apimanagement-2024-05-01
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from standins.http import route
from standins.resource_manager.apis import api_of
from standins.resource_manager.arm import (
    SERVICE,
    check_if_match,
    contract,
    insensitive,
    properties_of,
    service_id,
    shown,
    to_delete,
)
from standins.resource_manager.kinds import entity_tag
from standins.resource_manager.policy_text import format_of, in_format, read
from standins.resource_manager.state import Resources, State

_LONGEST = 256 * 1024


@dataclass(frozen=True)
class _Scope:
    """What has a policy: its name in calls, its path, its id, where it is kept (None: the service), and the
    API that a write locks.
    """

    kind: str
    path: str
    id: Callable[[web.Request], str]
    resources: Resources | None = None
    locks: Callable[[web.Request], str] | None = None

    def policy(self, request: web.Request) -> str:
        """The id of the policy; 404 when there is nothing that could have one."""
        if self.resources is not None:
            self.resources.require(self.id(request))
        return f"{self.id(request)}/policies/policy"


def routes(app: web.Application, state: State) -> None:
    for scope in _scopes(state):
        many = insensitive(f"{SERVICE}{scope.path}/policies")
        one = insensitive(f"{SERVICE}{scope.path}/policies/policy")
        route(app, "GET", many, f"LIST {scope.kind}policies", partial(_list, state, scope))
        route(app, "GET", one, f"GET {scope.kind}policy", partial(_get, state, scope))
        route(app, "HEAD", one, f"HEAD {scope.kind}policy", partial(_head, state, scope))
        route(app, "PUT", one, f"PUT {scope.kind}policy", partial(_put, state, scope))
        route(app, "DELETE", one, f"DELETE {scope.kind}policy", partial(_delete, state, scope))


def _scopes(state: State) -> tuple[_Scope, ...]:
    operations = "/apis/{api}/operations/{name}"
    return (
        _Scope("service ", "", service_id),
        _Scope("product ", "/products/{name}", state.products.id, state.products),
        _Scope("api ", "/apis/{name}", state.apis.id, state.apis, state.apis.id),
        _Scope("api operation ", operations, state.operations.id, state.operations, partial(api_of, state)),
    )


async def _list(state: State, scope: _Scope, request: web.Request) -> web.Response:
    row = state.policies.get(scope.policy(request))
    rows = [] if row is None else [shown(row)]
    return web.json_response({"value": rows, "count": len(rows)})


async def _get(state: State, scope: _Scope, request: web.Request) -> web.Response:
    row = state.policies.require(scope.policy(request))
    return contract(in_format(row, request.query.get("format", "xml")))


async def _head(state: State, scope: _Scope, request: web.Request) -> web.Response:
    return entity_tag(state.policies.get(f"{scope.id(request)}/policies/policy"))


async def _put(state: State, scope: _Scope, request: web.Request) -> web.Response:
    properties = await properties_of(request)
    policy = scope.policy(request)
    kept = read(state, request, properties, ("policies", _LONGEST))
    async with _locked(state, scope, request):
        old = state.policies.get(policy)
        check_if_match(request, old)
        if old is not None and old["properties"] == kept:
            # The ETag of a policy that is written as it is stays, as recordings of the live service show.
            return contract(in_format(old, format_of(properties)))
        row = state.policies.write(policy, kept)
    return contract(in_format(row, format_of(properties)), 201 if old is None else 200)


def _locked(
    state: State, scope: _Scope, request: web.Request
) -> contextlib.AbstractAsyncContextManager[None]:
    return contextlib.nullcontext() if scope.locks is None else state.writing(scope.locks(request))


async def _delete(state: State, scope: _Scope, request: web.Request) -> web.Response:
    async with _locked(state, scope, request):
        row = to_delete(request, state.policies.get(f"{scope.id(request)}/policies/policy"))
        state.policies.remove(row["id"])
    return web.Response(status=200)
