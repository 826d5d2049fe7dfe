"""Groups of developers, and those to which a product is visible.

https://learn.microsoft.com/rest/api/apimanagement/groups?view=rest-apimanagement-2024-05-01
"""

from __future__ import annotations

from functools import partial

from aiohttp import web

from standins.http import route
from standins.resource_manager.arm import SERVICE, Json, contract, insensitive, invalid, service_id
from standins.resource_manager.fields import Fields
from standins.resource_manager.kinds import Kind
from standins.resource_manager.lists import filterable, page
from standins.resource_manager.state import State, seen_under

_FIELDS = filterable("name", "displayName", "description", exact=("externalId",))


def routes(app: web.Application, state: State) -> None:
    kind = Kind(state, "group", "groups", state.groups, _FIELDS)
    kind.reading(app)
    kind.writing(app, partial(_checked, state), partial(_release, state))
    link, links = (
        insensitive(SERVICE + "/products/{name}/groups/{group_name}"),
        insensitive(SERVICE + "/products/{name}/groups"),
    )
    route(app, "GET", links, "LIST product groups", partial(_of_product, state))
    route(app, "HEAD", link, "HEAD product group", partial(_is_linked, state))
    route(app, "PUT", link, "PUT product group", partial(_link, state))
    route(app, "DELETE", link, "DELETE product group", partial(_unlink, state))


def _checked(state: State, request: web.Request, properties: Json) -> Json:
    if properties.get("builtIn") or _is_builtin(state, state.groups.id(request)):
        raise invalid(("groupId", "System group cannot be changed."))
    fields = Fields(properties)
    fields.require("displayName")
    fields.text("displayName", 1, 300)
    fields.text("description", 0, 1000)
    fields.choice("type", ("custom", "external"))
    defaults = {"description": None, "builtIn": False, "type": "custom", "externalId": None}
    return defaults | fields.checked(("displayName", "description", "type", "externalId"))


def _is_builtin(state: State, group: str) -> bool:
    row = state.groups.get(group)
    return row is not None and bool(row["properties"]["builtIn"])


def _release(state: State, request: web.Request, row: Json) -> None:
    """Products lose a group that goes."""
    if _is_builtin(state, row["id"]):
        raise invalid(("groupId", "System group cannot be deleted."))
    for product in state.products.under(service_id(request)):
        _set_groups(
            state, product, [name for name in product["hidden"]["groups"] if name != row["name"].lower()]
        )


async def _of_product(state: State, request: web.Request) -> web.Response:
    """The groups, with ids under the product."""
    product = state.products.require(state.products.id(request))
    groups = (
        state.groups.require(f"{service_id(request)}/groups/{name}") for name in product["hidden"]["groups"]
    )
    return page(state, request, (seen_under(group, product["id"]) for group in groups), _FIELDS)


async def _is_linked(state: State, request: web.Request) -> web.Response:
    row = state.products.get(state.products.id(request))
    linked = row is not None and request.match_info["group_name"].lower() in row["hidden"]["groups"]
    return web.Response(status=204 if linked else 404)


async def _link(state: State, request: web.Request) -> web.Response:
    product = state.products.require(state.products.id(request))
    name = request.match_info["group_name"].lower()
    group = state.groups.require(f"{service_id(request)}/groups/{name}")
    linked = name in product["hidden"]["groups"]
    if not linked:
        _set_groups(state, product, [*product["hidden"]["groups"], name])
    return contract(group, 200 if linked else 201)


async def _unlink(state: State, request: web.Request) -> web.Response:
    product, name = (
        state.products.require(state.products.id(request)),
        request.match_info["group_name"].lower(),
    )
    if name not in product["hidden"]["groups"]:
        return web.Response(status=204)
    _set_groups(state, product, [other for other in product["hidden"]["groups"] if other != name])
    return web.Response(status=200)


def _set_groups(state: State, product: Json, groups: list[str]) -> None:
    """A link is no part of the product: its ETag stays."""
    state.products.keep(product | {"hidden": {"groups": groups}})
