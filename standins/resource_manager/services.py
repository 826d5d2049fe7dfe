"""The API Management service itself, and what every service holds from the start.

Any service that a request names exists here.
https://learn.microsoft.com/rest/api/apimanagement/api-management-service
"""

from __future__ import annotations

from functools import partial

from aiohttp import web
from aiohttp.typedefs import Middleware

from standins.http import Handler, route
from standins.resource_manager.arm import SERVICE, Json, insensitive, service_id
from standins.resource_manager.state import State
from standins.resource_manager.subscriptions import create_subscription_for_everything

_PROVIDER = "/providers/Microsoft.ApiManagement/service"
_SYSTEM_GROUPS = {
    "administrators": "Microsoft Azure subscription administrators fall into this group.",
    "developers": "Signed-in users fall into this group.",
    "guests": "Unauthenticated users visiting the developer portal fall into this group.",
}
#: Send every request to the API's backend.
_POLICY = "\r\n\t".join(
    (
        "<policies>",
        "<inbound />",
        "<backend>",
        "\t<forward-request />",
        "</backend>",
        "<outbound />",
        "<on-error />",
    )
)


def routes(app: web.Application, state: State) -> None:
    app.middlewares.append(_opening(state))
    route(app, "GET", insensitive(SERVICE), "GET service", partial(_get, state))
    route(
        app,
        "GET",
        insensitive("/subscriptions/{subscription}" + _PROVIDER),
        "LIST services",
        partial(_list, state),
    )
    of_group = insensitive("/subscriptions/{subscription}/resourceGroups/{group}" + _PROVIDER)
    route(app, "GET", of_group, "LIST services of a group", partial(_list, state))


def _opening(state: State) -> Middleware:
    @web.middleware
    async def open_service(request: web.Request, handler: Handler) -> web.StreamResponse:
        if "service" in request.match_info and (service := service_id(request)).lower() not in state.services:
            _open(state, service)
        return await handler(request)

    return open_service


def _open(state: State, service: str) -> None:
    """What a new service holds: the system's groups, the subscription for everything, the policy of all
    APIs.
    """
    now = f"{state.world.clock.utcnow():%Y-%m-%dT%H:%M:%S.%f}Z"
    state.services[service.lower()] = {"id": service, "createdAt": now}
    for name, who in _SYSTEM_GROUPS.items():
        title = name.capitalize()
        description = f"{title} is a built-in group. Its membership is managed by the system. {who}"
        properties = {
            "displayName": title,
            "description": description,
            "builtIn": True,
            "type": "system",
            "externalId": None,
        }
        state.groups.write(f"{service}/groups/{name}", properties)
    create_subscription_for_everything(state, service)
    state.policies.write(
        f"{service}/policies/policy", {"format": "xml", "value": f"{_POLICY}\r\n</policies>"}
    )


async def _get(state: State, request: web.Request) -> web.Response:
    row = _shown(state, state.services[service_id(request).lower()])
    return web.json_response(row, headers={"ETag": f'"{row["etag"]}"'})


async def _list(state: State, request: web.Request) -> web.Response:
    within = (
        f"/resourcegroups/{request.match_info['group']}/".lower() if "group" in request.match_info else "/"
    )
    return web.json_response(
        {"value": [_shown(state, row) for id_, row in state.services.items() if within in id_]}
    )


def _shown(state: State, row: Json) -> Json:
    """The resource as far as a reader needs it: where its gateway is, its tier, that it works."""
    name = row["id"].rsplit("/", 1)[-1]
    host = f"{name}.azure-api.net"
    properties = {
        "publisherEmail": "platform@contoso.example",
        "publisherName": "Contoso",
        "provisioningState": "Succeeded",
        "targetProvisioningState": "",
        "createdAtUtc": row["createdAt"],
        "gatewayUrl": f"https://{host}",
        "hostnameConfigurations": [
            {"type": "Proxy", "hostName": host, "defaultSslBinding": True, "certificateSource": "BuiltIn"}
        ],
        "virtualNetworkType": "None",
        "disableGateway": False,
        "publicNetworkAccess": "Enabled",
        "platformVersion": "stv2.1",
    }
    kind = {
        "id": row["id"],
        "name": name,
        "type": "Microsoft.ApiManagement/service",
        "location": "Local",
        "tags": {},
    }
    sku = {"name": state.options["tier"], "capacity": 1}
    return kind | {
        "etag": "AAAAAAAAAAE=",
        "properties": properties,
        "sku": sku,
        "identity": {"type": "SystemAssigned"},
    }
