"""Products, the APIs linked to them, and their subscriptions.

https://learn.microsoft.com/rest/api/apimanagement/product?view=rest-apimanagement-2024-05-01
"""

from __future__ import annotations

import secrets
from functools import partial

from aiohttp import web

from standins.http import route
from standins.resource_manager.apis import FIELDS as API_FIELDS
from standins.resource_manager.arm import (
    SERVICE,
    ArmError,
    Json,
    check_if_match,
    contract,
    insensitive,
    invalid,
    properties_of,
    require_if_match,
    service_id,
    to_delete,
)
from standins.resource_manager.fields import Fields
from standins.resource_manager.kinds import Kind
from standins.resource_manager.lists import filterable, page
from standins.resource_manager.state import State, seen_under
from standins.resource_manager.subscriptions import FIELDS as SUBSCRIPTION_FIELDS
from standins.resource_manager.subscriptions import create_administrators_subscription, of_product
from standins.resource_manager.tiers import check_room

_FIELDS = filterable("name", "displayName", "description", "terms", exact=("state",))
_KNOWN = (
    "displayName",
    "description",
    "terms",
    "subscriptionRequired",
    "approvalRequired",
    "subscriptionsLimit",
    "state",
)
_DEFAULTS: Json = {
    "description": None,
    "terms": None,
    "subscriptionRequired": True,
    "approvalRequired": False,
    "subscriptionsLimit": None,
    "state": "notPublished",
}
#: What is null in an API that is shown by its product.
_NOT_SHOWN: Json = {"authenticationSettings": None, "subscriptionKeyParameterNames": None}


def routes(app: web.Application, state: State) -> None:
    one = insensitive(SERVICE + "/products/{name}")
    link, links = (
        insensitive(SERVICE + "/products/{name}/apis/{api}"),
        insensitive(SERVICE + "/products/{name}/apis"),
    )
    Kind(state, "product", "products", state.products, _FIELDS).reading(app)
    route(app, "PUT", one, "PUT product", partial(_put, state))
    route(app, "PATCH", one, "PATCH product", partial(_patch, state))
    route(app, "DELETE", one, "DELETE product", partial(_delete, state))
    route(
        app,
        "GET",
        insensitive(SERVICE + "/products/{name}/subscriptions"),
        "LIST product subscriptions",
        partial(_subscriptions, state),
    )
    route(app, "GET", links, "LIST product apis", partial(_apis, state))
    route(app, "HEAD", link, "HEAD product api", partial(_is_linked, state))
    route(app, "PUT", link, "PUT product api", partial(_link, state))
    route(app, "DELETE", link, "DELETE product api", partial(_unlink, state))


async def _put(state: State, request: web.Request) -> web.Response:
    properties = await properties_of(request)
    state.products.check_name(request)
    checked = _checked(properties, "displayName")
    product = state.products.id(request)
    old = state.products.get(product)
    check_if_match(request, old)
    _check_own_name(state, product, checked)
    _check_only_open(state, product, checked)
    if old is not None:
        return contract(state.products.write(product, _DEFAULTS | checked))
    for kind in ("products", "subscriptions"):
        check_room(state, kind, service_id(request))
    row = state.products.write(product, _DEFAULTS | checked, hidden={"groups": ["administrators"]})
    create_administrators_subscription(state, product, secrets.token_hex(12))
    return contract(row, 201)


async def _patch(state: State, request: web.Request) -> web.Response:
    properties = await properties_of(request)
    old = state.products.require(state.products.id(request))
    require_if_match(request, old)
    checked = _checked(properties)
    _check_own_name(state, old["id"], checked)
    _check_only_open(state, old["id"], checked)
    return contract(state.products.write(old["id"], old["properties"] | checked))


def _check_own_name(state: State, product: str, properties: Json) -> None:
    """A display name belongs to one product of a service: https://github.com/Azure/apiops/issues/606 shows
    the answer.

    Whether the service tells capitals and spaces at the ends apart is not known; here it does not.
    """
    name, service = (
        str(properties.get("displayName", "")).strip().lower(),
        product.rpartition("/products/")[0],
    )
    others = (row for row in state.products.under(service) if row["id"].lower() != product.lower())
    if name and any(row["properties"]["displayName"].strip().lower() == name for row in others):
        raise invalid(("name", "Product with the same name already exists"))


def open_product(state: State, api: str) -> Json | None:
    """The product without required subscription that an API is linked to: there is one at most."""
    linked = (
        state.products.require(link["product"]) for link in state.links.values() if link["api"] == api.lower()
    )
    return next((product for product in linked if not product["properties"]["subscriptionRequired"]), None)


def _check_only_open(state: State, product: str, properties: Json) -> None:
    if properties.get("subscriptionRequired") is False:
        for link in [link for link in state.links.values() if link["product"] == product.lower()]:
            _check_free_to_open(state, product, link["api"])


def _check_free_to_open(state: State, product: str, api: str) -> None:
    other = open_product(state, api)
    if other is not None and other["id"].lower() != product.lower():
        raise invalid(("aid", "API cannot be added to more than one open products."))


def _checked(properties: Json, *required: str) -> Json:
    fields = Fields(properties)
    fields.require(*required)
    fields.text("displayName", 1, 300)
    fields.text("description", 0, 1000)
    fields.text("terms", 0, 1 << 20)
    fields.boolean("subscriptionRequired", "approvalRequired")
    fields.whole_number("subscriptionsLimit", 1)
    fields.choice("state", ("notPublished", "published"))
    if (
        fields.given.get("subscriptionRequired") is False
        and {"approvalRequired", "subscriptionsLimit"} & fields.given.keys()
    ):
        fields.problem(
            "subscriptionRequired", "approvalRequired and subscriptionsLimit need subscriptionRequired."
        )
    return fields.checked(_KNOWN)


async def _delete(state: State, request: web.Request) -> web.Response:
    product = to_delete(request, state.products.get(state.products.id(request)))["id"]
    subscriptions = of_product(state, product)
    if subscriptions and request.query.get("deleteSubscriptions", "false").lower() != "true":
        raise ArmError(400, "ValidationError", _STILL_SUBSCRIBED)
    for subscription in subscriptions:
        state.subscriptions.remove(subscription["id"])
    for key in [key for key, link in state.links.items() if link["product"] == product.lower()]:
        del state.links[key]
    state.policies.remove(f"{product}/policies/policy")
    state.products.remove(product)
    return web.Response(status=200)


_STILL_SUBSCRIBED = (
    "Product cannot be deleted since it has existing subscriptions. "
    "Delete subscriptions before deleting the product or pass in deleteSubscriptions=true as query param"
)


async def _subscriptions(state: State, request: web.Request) -> web.Response:
    product = state.products.require(state.products.id(request))
    return page(state, request, of_product(state, product["id"]), SUBSCRIPTION_FIELDS)


async def _apis(state: State, request: web.Request) -> web.Response:
    product = state.products.require(state.products.id(request))
    rows = (
        _linked(state.apis.require(link["api"]), product)
        for link in state.links.values()
        if link["product"] == product["id"].lower()
    )
    return page(state, request, rows, API_FIELDS)


def _linked(api: Json, product: Json) -> Json:
    """The API as its product shows it."""
    return seen_under(api | {"properties": api["properties"] | _NOT_SHOWN}, product["id"])


async def _is_linked(state: State, request: web.Request) -> web.Response:
    return web.Response(status=204 if _key(state, request) in state.links else 404)


async def _link(state: State, request: web.Request) -> web.Response:
    product = state.products.require(state.products.id(request))
    api = state.apis.require(_api(request))
    if not product["properties"]["subscriptionRequired"]:
        _check_free_to_open(state, product["id"], api["id"])
    async with state.writing(api["id"]):
        status = 200 if _key(state, request) in state.links else 201
        state.links[_key(state, request)] = {"product": product["id"].lower(), "api": api["id"].lower()}
    return contract(_linked(api, product), status)


async def _unlink(state: State, request: web.Request) -> web.Response:
    async with state.writing(_api(request)):
        existed = state.links.pop(_key(state, request), None) is not None
    return web.Response(status=200 if existed else 204)


def _api(request: web.Request) -> str:
    return f"{service_id(request)}/apis/{request.match_info['api']}"


def _key(state: State, request: web.Request) -> str:
    return f"{state.products.id(request)}/apis/{request.match_info['api']}".lower()
