"""Subscriptions and their keys. Keys are shown by `listSecrets`, and by PUT and PATCH while the option says
so; never by GET.

https://learn.microsoft.com/rest/api/apimanagement/subscription?view=rest-apimanagement-2024-05-01
"""

from __future__ import annotations

import re
import secrets
from functools import partial

from aiohttp import web

from standins.http import route
from standins.resource_manager.arm import (
    SERVICE,
    Json,
    check_if_match,
    contract,
    insensitive,
    invalid,
    not_known,
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

#: What a filter may ask of a list of subscriptions.
FIELDS = filterable(
    "name", "displayName", "stateComment", "ownerId", "scope", "userId", "productId", exact=("state",)
)

_STATES = ("suspended", "active", "expired", "submitted", "rejected", "cancelled")
_KEYS = ("primaryKey", "secondaryKey")
_SHORT_SCOPE = re.compile(r"/(products/[^/]+|apis|apis/[^/]+)/?", re.IGNORECASE)
_DEFAULTS: Json = {
    "displayName": None,
    "state": "submitted",
    "startDate": None,
    "expirationDate": None,
    "endDate": None,
    "notificationDate": None,
    "stateComment": None,
    "allowTracing": False,
}
_CREATED = ("ownerId", "scope", "displayName", "state", "allowTracing", *_KEYS)
_UPDATED = (*_CREATED, "expirationDate", "stateComment")


def routes(app: web.Application, state: State) -> None:
    one = SERVICE + "/subscriptions/{name}"
    Kind(state, "subscription", "subscriptions", state.subscriptions, FIELDS).reading(app)
    route(app, "PUT", insensitive(one), "PUT subscription", partial(_put, state))
    route(app, "PATCH", insensitive(one), "PATCH subscription", partial(_patch, state))
    route(app, "DELETE", insensitive(one), "DELETE subscription", partial(_delete, state))
    route(
        app,
        "POST",
        insensitive(one + "/listSecrets"),
        "POST subscription listSecrets",
        partial(_list_secrets, state),
    )
    for key in _KEYS:
        action = "regenerate" + key[0].upper() + key[1:]
        route(
            app,
            "POST",
            insensitive(f"{one}/{action}"),
            f"POST subscription {action}",
            partial(_regenerate, state, key),
        )


def of_product(state: State, product: str) -> list[Json]:
    """The subscriptions whose scope is the product (its full id)."""
    service = product.rpartition("/products/")[0]
    return [
        row
        for row in state.subscriptions.under(service)
        if row["properties"]["scope"].lower() == product.lower()
    ]


def create_administrators_subscription(state: State, product: str, sid: str) -> None:
    """The subscription of the administrator that the service creates by itself with every product."""
    service = product.rpartition("/products/")[0]
    properties = {
        "ownerId": f"{service}/users/1",
        "scope": product,
        "state": "active",
        "createdDate": _now(state),
    }
    state.subscriptions.write(f"{service}/subscriptions/{sid}", _DEFAULTS | properties, hidden=_new_keys())


def create_subscription_for_everything(state: State, service: str) -> None:
    """The one that every service has from the start; its scope is the service."""
    properties = {
        "scope": f"{service}/",
        "displayName": "Built-in all-access subscription",
        "state": "active",
        "createdDate": _now(state),
    }
    state.subscriptions.write(f"{service}/subscriptions/master", _DEFAULTS | properties, hidden=_new_keys())


async def _put(state: State, request: web.Request) -> web.Response:
    fields = Fields(await properties_of(request))
    fields.require("scope", "displayName")
    fields.text("displayName", 1, 100)
    checked = _checked(state, request, fields, _CREATED)
    state.subscriptions.check_name(request)
    subscription = state.subscriptions.id(request)
    old = state.subscriptions.get(subscription)
    check_if_match(request, old)
    if old is None:
        check_room(state, "subscriptions", service_id(request))
    keys = (old["hidden"] if old else _new_keys()) | {
        name: checked.pop(name) for name in _KEYS if name in checked
    }
    created = {"createdDate": old["properties"]["createdDate"] if old else _now(state)}
    row = state.subscriptions.write(subscription, _DEFAULTS | created | checked, hidden=keys)
    return _written(state, row, 201 if old is None else 200)


async def _patch(state: State, request: web.Request) -> web.Response:
    fields = Fields(await properties_of(request))
    fields.text("displayName", 0, 100)
    old = state.subscriptions.require(state.subscriptions.id(request))
    require_if_match(request, old)
    checked = _checked(state, request, fields, _UPDATED)
    keys = old["hidden"] | {name: checked.pop(name) for name in _KEYS if name in checked}
    return _written(
        state, state.subscriptions.write(old["id"], old["properties"] | checked, hidden=keys), 200
    )


def _written(state: State, row: Json, status: int) -> web.Response:
    if state.options["keys_in_put_answers"]:
        row = row | {"properties": row["properties"] | row["hidden"]}
    return contract(row, status)


def _checked(state: State, request: web.Request, fields: Fields, known: tuple[str, ...]) -> Json:
    fields.choice("state", _STATES)
    fields.boolean("allowTracing")
    for key in _KEYS:
        fields.text(key, 1, 256)
    checked = fields.checked(known)
    if "scope" in checked:
        checked["scope"] = _scope(state, request, checked["scope"])
    if "ownerId" in checked:
        checked["ownerId"] = _owner(state, request, checked["ownerId"])
    return checked


def _owner(state: State, request: web.Request, given: str) -> str:
    if given.rsplit("/", 1)[-1] != "1":
        raise not_known(state.world, "users other than the administrator")
    return f"{service_id(request)}/users/1"


def _scope(state: State, request: web.Request, given: str) -> str:
    """The full id of what the subscription is for; the short form `/products/{id}` is accepted too."""
    service = service_id(request)
    short = given[len(service) :] if given.lower().startswith(service.lower()) else given
    if not _SHORT_SCOPE.fullmatch(short):
        raise invalid(
            (
                "scope",
                "Subscription scope should be one of '/apis', '/apis/{apiId}', '/products/{productId}'.",
            )
        )
    scope = service + short.rstrip("/")
    kind, _, name = short.strip("/").partition("/")
    resources = state.products if kind.lower() == "products" else state.apis
    if name and resources.get(scope) is None:
        raise invalid(("scope", f"'{name}' does not exist."))
    return scope


async def _delete(state: State, request: web.Request) -> web.Response:
    row = to_delete(request, state.subscriptions.get(state.subscriptions.id(request)))
    state.subscriptions.remove(row["id"])
    return web.Response(status=200)


async def _list_secrets(state: State, request: web.Request) -> web.Response:
    row = state.subscriptions.require(state.subscriptions.id(request))
    return web.json_response(row["hidden"], headers={"ETag": row["etag"]})


async def _regenerate(state: State, key: str, request: web.Request) -> web.Response:
    row = state.subscriptions.require(state.subscriptions.id(request))
    state.subscriptions.write(
        row["id"], row["properties"], hidden=row["hidden"] | {key: secrets.token_hex(16)}
    )
    return web.Response(status=204)


def _new_keys() -> Json:
    return {key: secrets.token_hex(16) for key in _KEYS}


def _now(state: State) -> str:
    return f"{state.world.clock.utcnow():%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
