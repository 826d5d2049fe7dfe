"""Policies of products and APIs, and policy fragments.

https://learn.microsoft.com/rest/api/apimanagement/product-policy?view=rest-apimanagement-2024-05-01
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from aiohttp import web

from standins.http import route
from standins.resource_manager import policy_document
from standins.resource_manager.arm import (
    SERVICE,
    ArmError,
    Json,
    check_if_match,
    contract,
    insensitive,
    invalid,
    not_known,
    page,
    properties_of,
    service_id,
    to_delete,
)
from standins.resource_manager.long_running import started
from standins.resource_manager.policy_document import Document, PolicyError
from standins.resource_manager.state import Resources, State

_LONGEST = 256 * 1024
_FORMATS = ("xml", "rawxml")


def routes(app: web.Application, state: State) -> None:
    for owners, segment, kind in ((state.products, "products", "product"), (state.apis, "apis", "api")):
        path = insensitive(f"{SERVICE}/{segment}/{{name}}/policies/policy")
        route(app, "GET", path, f"GET {kind} policy", partial(_get, state, owners))
        route(app, "PUT", path, f"PUT {kind} policy", partial(_put, state, owners))
        route(app, "DELETE", path, f"DELETE {kind} policy", partial(_delete, state, owners))
    fragment = insensitive(SERVICE + "/policyFragments/{name}")
    route(app, "GET", insensitive(SERVICE + "/policyFragments"), "LIST policy fragments", partial(_list_fragments, state))
    route(app, "GET", fragment, "GET policy fragment", partial(_get_fragment, state))
    route(app, "PUT", fragment, "PUT policy fragment", partial(_put_fragment, state))
    route(app, "DELETE", fragment, "DELETE policy fragment", partial(_delete_fragment, state))


async def _get(state: State, owners: Resources, request: web.Request) -> web.Response:
    owners.require(owners.id(request))
    return contract(_in_format(state.policies.require(_policy_id(owners, request)), request.query.get("format", "xml")))


async def _put(state: State, owners: Resources, request: web.Request) -> web.Response:
    properties = await properties_of(request)
    owner = owners.require(owners.id(request))["id"]
    kept = _read(state, request, properties, "policies")
    if owners is state.products:
        return _write(state, request, f"{owner}/policies/policy", kept)
    async with state.writing(owner):
        return _write(state, request, f"{owner}/policies/policy", kept)


def _write(state: State, request: web.Request, policy: str, kept: Json) -> web.Response:
    old = state.policies.get(policy)
    check_if_match(request, old)
    return contract(state.policies.write(policy, kept), 201 if old is None else 200)


async def _delete(state: State, owners: Resources, request: web.Request) -> web.Response:
    row = to_delete(request, state.policies.get(_policy_id(owners, request)))
    state.policies.remove(row["id"])
    return web.Response(status=200)


def _policy_id(owners: Resources, request: web.Request) -> str:
    return f"{owners.id(request)}/policies/policy"


async def _list_fragments(state: State, request: web.Request) -> web.Response:
    return page(state.world, request, state.fragments.under(service_id(request)))


async def _get_fragment(state: State, request: web.Request) -> web.Response:
    return contract(_in_format(state.fragments.require(state.fragments.id(request)), request.query.get("format", "xml")))


async def _put_fragment(state: State, request: web.Request) -> web.Response:
    properties = await properties_of(request)
    state.fragments.check_name(request)
    kept = _read(state, request, properties, "fragment")
    fragment = state.fragments.id(request)
    old = state.fragments.get(fragment)
    check_if_match(request, old)
    row = state.fragments.write(fragment, kept | {"description": properties.get("description"), "provisioningState": "Succeeded"})
    return started(request, contract(row, 201 if old is None else 200), fragment)


async def _delete_fragment(state: State, request: web.Request) -> web.Response:
    row = to_delete(request, state.fragments.get(state.fragments.id(request)))
    service = service_id(request)
    users = [
        user["id"][len(service) :]
        for user in (*state.policies.under(service), *state.fragments.under(service))
        if _includes(user["properties"]["value"], row["name"])
    ]
    if users:
        lines = "".join(f"{user}\r\n" for user in users)
        raise ArmError(400, "ValidationError", f"The Policy Fragment '{row['name']}' is used by the following entities:\r\n{lines}")
    state.fragments.remove(row["id"])
    return web.Response(status=200)


def _includes(xml: str, fragment: str) -> bool:
    document = policy_document.parse(xml, raw=False, root="fragment" if xml.startswith("<fragment") else "policies")
    return any(name.lower() == fragment.lower() for _, name in document.references("include-fragment", "fragment-id"))


def _read(state: State, request: web.Request, properties: Json, root: str) -> Json:
    """What is kept of a document that was sent. Raises 400 ValidationError for what the service does not accept."""
    text, format_ = properties.get("value"), properties.get("format") or "xml"
    if format_ not in _FORMATS:
        raise not_known(state.world, f"the policy format {format_}")
    if not isinstance(text, str) or len(text.encode()) > _LONGEST:
        raise invalid(("value", f"value is required, and at most {_LONGEST} bytes long."))
    try:
        document = policy_document.parse(text, raw=format_ == "rawxml", root=root)
        _check_names(document, "set-backend-service", "backend-id", _absent(state.backends, request, "backends", "Backend with id"))
        _check_names(
            document, "include-fragment", "fragment-id", _absent(state.fragments, request, "policyFragments", "Policy fragment with id")
        )
    except PolicyError as error:
        raise invalid((error.element, str(error))) from error
    return {"format": "xml", "value": policy_document.write(document)}


def _absent(resources: Resources, request: web.Request, segment: str, what: str) -> Callable[[str], str | None]:
    """A function that says what is wrong with a name, if anything."""

    def problem(name: str) -> str | None:
        known = resources.get(f"{service_id(request)}/{segment}/{name}") is not None
        return None if known else f"{what} '{name}' could not be found."

    return problem


def _check_names(document: Document, tag: str, attribute: str, problem: Callable[[str], str | None]) -> None:
    for element, name in document.references(tag, attribute):
        if reason := problem(name):
            raise document.error(element, reason)


def _in_format(row: Json, format_: str) -> Json:
    if format_ not in _FORMATS:
        raise invalid(("format", f"'{format_}' is not one of {', '.join(_FORMATS)}."))
    value = row["properties"]["value"]
    shown = policy_document.as_raw(value) if format_ == "rawxml" else value
    return row | {"properties": row["properties"] | {"format": format_, "value": shown}}
