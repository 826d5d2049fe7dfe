"""APIs and their operations:
https://learn.microsoft.com/rest/api/apimanagement/apis?view=rest-apimanagement-2024-05-01
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
    invalid,
    not_known,
    properties_of,
    require_if_match,
    service_id,
    to_delete,
)
from standins.resource_manager.fields import Fields
from standins.resource_manager.kinds import Kind
from standins.resource_manager.lists import filterable, page
from standins.resource_manager.long_running import begin, started
from standins.resource_manager.openapi import Import, read_openapi
from standins.resource_manager.state import State, seen_under
from standins.resource_manager.tiers import check_room

#: What a filter may ask of a list of APIs.
FIELDS = filterable("name", "displayName", "description", "serviceUrl", "path", exact=("isCurrent",))

#: The version in which Microsoft's samples write `subscriptionKeyParameterNames.bearer`:
#: https://github.com/Azure-Samples/AI-Gateway/blob/main/modules/apim/v3/inference-api.bicep
BEARER_VERSION = "2025-03-01-preview"

_KNOWN = (
    "displayName",
    "description",
    "serviceUrl",
    "path",
    "protocols",
    "authenticationSettings",
    "subscriptionKeyParameterNames",
    "subscriptionRequired",
    "type",
    "apiRevision",
    "apiRevisionDescription",
    "apiVersion",
    "apiVersionDescription",
    "apiVersionSetId",
    "termsOfServiceUrl",
    "contact",
    "license",
)
_DEFAULTS: Json = {
    "description": None,
    "serviceUrl": None,
    "authenticationSettings": {"oAuth2": None, "openid": None},
    "protocols": ["https"],
    "subscriptionKeyParameterNames": {"header": "Ocp-Apim-Subscription-Key", "query": "subscription-key"},
    "subscriptionRequired": True,
    "type": "http",
    "apiRevision": "1",
    "isCurrent": True,
    "provisioningState": "Succeeded",
}


def routes(app: web.Application, state: State) -> None:
    one = insensitive(SERVICE + "/apis/{name}")
    Kind(state, "api", "apis", state.apis, FIELDS).reading(app)
    route(app, "PUT", one, "PUT api", partial(_put, state))
    route(app, "PATCH", one, "PATCH api", partial(_patch, state))
    route(app, "DELETE", one, "DELETE api", partial(_delete, state))
    route(
        app,
        "GET",
        insensitive(SERVICE + "/apis/{name}/products"),
        "LIST api products",
        partial(_products, state),
    )


def api_of(state: State, request: web.Request) -> str:
    """The id of the API in whose path the request is about something; 404 when there is none."""
    api: str = state.apis.require(f"{service_id(request)}/apis/{request.match_info['api']}")["id"]
    return api


async def _products(state: State, request: web.Request) -> web.Response:
    api = state.apis.require(state.apis.id(request))
    linked = (
        state.products.require(link["product"])
        for link in state.links.values()
        if link["api"] == api["id"].lower()
    )
    return page(
        state, request, (seen_under(product, api["id"]) for product in linked), filterable("displayName")
    )


async def _put(state: State, request: web.Request) -> web.Response:
    properties = await properties_of(request)
    if ";rev=" in request.match_info["name"]:
        raise not_known(state.world, "revisions of an API")
    state.apis.check_name(request)
    imported = _imported(state, properties)
    checked = _checked(imported.properties | properties, "path", "displayName")
    api = state.apis.id(request)
    _check_path_is_free(state, request, api, checked["path"])
    _check_key_names(state, request, checked)
    async with state.writing(api):
        old = state.apis.get(api)
        check_if_match(request, old)
        operation = begin(state, request)
        if imported.operations is not None and operation.failure is None:
            _replace_operations(state, api, imported.operations)
        row = state.apis.write(api, _DEFAULTS | checked, operation=operation)
    return started(state, request, contract(row, 201 if old is None else 200), api, operation)


async def _patch(state: State, request: web.Request) -> web.Response:
    checked = _checked(await properties_of(request))
    api = state.apis.require(state.apis.id(request))["id"]
    if "path" in checked:
        _check_path_is_free(state, request, api, checked["path"])
    _check_key_names(state, request, checked)
    async with state.writing(api):
        old = state.apis.require(api)
        require_if_match(request, old)
        return contract(state.apis.write(api, old["properties"] | checked))


async def _delete(state: State, request: web.Request) -> web.Response:
    api = to_delete(request, state.apis.get(state.apis.id(request)))["id"]
    operation = begin(state, request)
    if operation.failure is None:
        await _remove(state, api)
    return started(state, request, web.Response(status=202), api, operation)


async def _remove(state: State, api: str) -> None:
    async with state.writing(api):
        for key in [key for key, link in state.links.items() if link["api"] == api.lower()]:
            del state.links[key]
        for parts in (state.operations, state.policies, state.api_diagnostics):
            for row in parts.under(api):
                parts.remove(row["id"])
        state.apis.remove(api)


def _checked(properties: Json, *required: str) -> Json:
    fields = Fields(properties)
    fields.require(*required)
    fields.text("displayName", 1, 300)
    fields.text("path", 0, 400)
    fields.text("apiRevision", 1, 100)
    fields.text("apiVersion", 0, 100)
    fields.text("serviceUrl", 0, 2000)
    fields.text("apiRevisionDescription", 0, 256)
    fields.choice("type", ("http", "soap", "websocket", "graphql", "odata", "grpc"))
    fields.boolean("subscriptionRequired")
    if not set(fields.given.get("protocols", ())) <= {"http", "https", "ws", "wss"}:
        fields.problem("protocols", "protocols may be http, https, ws, wss.")
    checked = fields.checked(_KNOWN)
    if "path" in checked:
        checked["path"] = checked["path"].strip("/")
    return checked


def _check_key_names(state: State, request: web.Request, checked: Json) -> None:
    """Of the names of keys the field `bearer` is kept in the version whose samples have it, and dropped
    without a word elsewhere, as fields that Resource Manager does not know.
    """
    names = checked.get("subscriptionKeyParameterNames")
    if not isinstance(names, dict):
        return
    known = {"header", "query"}
    if request.query.get("api-version") == BEARER_VERSION and state.options["bearer_field"] == "kept":
        known.add("bearer")
    checked["subscriptionKeyParameterNames"] = {name: names[name] for name in names if name in known}


def _check_path_is_free(state: State, request: web.Request, api: str, path: str) -> None:
    for other in state.apis.under(service_id(request)):
        if other["id"].lower() != api.lower() and other["properties"]["path"].lower() == path.lower():
            raise invalid(
                (
                    "path",
                    (
                        f"Cannot create API '{api.rsplit('/', 1)[-1]}' with the same Path '{path}' as API "
                        f"'{other['name']}'."
                    ),
                )
            )


def _imported(state: State, properties: Json) -> Import:
    format_, value = properties.get("format"), properties.get("value")
    if format_ is None and value is None:
        return Import({}, None)
    if format_ not in ("openapi", "openapi+json"):
        raise not_known(state.world, f"the import format {format_}")
    return read_openapi(str(value))


def _replace_operations(state: State, api: str, operations: dict[str, Json]) -> None:
    old = {row["name"] for row in state.operations.under(api)}
    check_room(state, "operations", api.rpartition("/apis/")[0], len(operations.keys() - old))
    for name in old - operations.keys():
        remove_operation(state, f"{api}/operations/{name}")
    for name, properties in operations.items():
        state.operations.write(f"{api}/operations/{name}", properties)


def remove_operation(state: State, operation: str) -> None:
    """An operation goes with its policy."""
    state.policies.remove(f"{operation}/policies/policy")
    state.operations.remove(operation)
