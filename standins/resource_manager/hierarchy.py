"""Where everything lives: the tenant, the subscription, resource groups, providers, and the addresses of this
cloud.

https://learn.microsoft.com/rest/api/resources and https://learn.microsoft.com/cli/azure/cloud
(`az cloud register`)
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from aiohttp import web

from standins.http import route
from standins.resource_manager.access import sees
from standins.resource_manager.arm import VERSIONS, ArmError, Json, body, insensitive, not_known
from standins.world import SUBSCRIPTION, TENANT, World

_SUBSCRIPTION = "/subscriptions/{subscription}"
_GROUPS = _SUBSCRIPTION + "/resourceGroups"
LOCATION = "westeurope"
#: Groups that are there from the start: the one of the local set (`standins.stack`).
FIRST_GROUP = "ai"
#: The providers and types of which this server has operations.
_PROVIDERS: Mapping[str, tuple[str, ...]] = {
    "Microsoft.ApiManagement": ("service",),
    "Microsoft.Authorization": ("roleAssignments", "roleDefinitions"),
    "Microsoft.CognitiveServices": (
        "accounts",
        "accounts/deployments",
        "accounts/projects",
        "accounts/projects/connections",
    ),
    "Microsoft.ContainerService": ("managedClusters",),
    "Microsoft.Insights": ("components",),
}


class ResourceGroups:
    """The resource groups, by name in lower case."""

    def __init__(self, world: World) -> None:
        self.rows = world.store("resource-groups").table("groups")
        self.rows.setdefault(FIRST_GROUP, _shown(FIRST_GROUP, LOCATION, {}))

    def require(self, name: str) -> Json:
        """The group as it is shown; 404 when there is none."""
        if name.lower() not in self.rows:
            raise ArmError(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")
        row: Json = self.rows[name.lower()]
        return row


def routes(app: web.Application, world: World, groups: ResourceGroups) -> None:
    route(app, "GET", "/metadata/endpoints", "GET metadata endpoints", partial(_endpoints, world))
    route(app, "GET", "/tenants", "LIST own tenants", _tenants)
    route(app, "GET", "/subscriptions", "LIST own subscriptions", partial(_subscriptions, world))
    route(app, "GET", insensitive(_SUBSCRIPTION), "GET subscription", _subscription)
    route(app, "GET", insensitive(_SUBSCRIPTION + "/providers"), "LIST providers", _providers)
    route(app, "GET", insensitive(_SUBSCRIPTION + "/providers/{provider}"), "GET provider", _provider)
    route(app, "GET", insensitive(_GROUPS), "LIST resource groups", partial(_groups, world, groups))
    one = insensitive(_GROUPS + "/{group}")
    route(app, "GET", one, "GET resource group", partial(_group, groups))
    route(app, "HEAD", one, "HEAD resource group", partial(_has_group, groups))
    route(app, "PUT", one, "PUT resource group", partial(_put_group, groups))


async def _endpoints(world: World, request: web.Request) -> web.Response:
    """Without a token: this is how a client learns where to get one. The token endpoint is here too, since
    MSAL refuses http.
    """
    here = f"{request.scheme}://{request.host}"
    vault = world.addresses.get("key-vault", "").removeprefix("https://")
    answer = {
        "name": "AzureStandIn",
        "portal": here,
        "resourceManager": here,
        "authentication": {
            "loginEndpoint": here,
            "audiences": ["https://management.core.windows.net/", "https://management.azure.com/"],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "graphAudience": f"{here}/",
        "microsoftGraphResourceId": f"{here}/",
        "gallery": here,
        "batch": here,
        "media": here,
        "sqlManagement": here,
        "vmImageAliasDoc": here,
        "activeDirectoryDataLake": here,
        "suffixes": {
            "keyVaultDns": vault,
            "storage": "core.windows.net",
            "sqlServerHostname": "database.windows.net",
        },
    }
    return web.json_response(answer)


async def _tenants(_: web.Request) -> web.Response:
    row = {
        "id": f"/tenants/{TENANT}",
        "tenantId": TENANT,
        "displayName": "Contoso",
        "defaultDomain": "contoso.onmicrosoft.com",
    }
    return web.json_response(
        {
            "value": [
                row | {"tenantCategory": "Home", "countryCode": "NL", "domains": ["contoso.onmicrosoft.com"]}
            ]
        }
    )


async def _subscriptions(world: World, request: web.Request) -> web.Response:
    """Those in which the caller has a role:
    https://learn.microsoft.com/azure/role-based-access-control/troubleshooting
    """
    rows = [_the_subscription()] if sees(world, request["claims"]) else []
    return web.json_response({"value": rows, "count": {"type": "Total", "value": len(rows)}})


async def _subscription(_: web.Request) -> web.Response:
    return web.json_response(_the_subscription())


def _the_subscription() -> Json:
    policies = {
        "locationPlacementId": "Public_2014-09-01",
        "quotaId": "PayAsYouGo_2014-09-01",
        "spendingLimit": "Off",
    }
    return {
        "id": f"/subscriptions/{SUBSCRIPTION}",
        "subscriptionId": SUBSCRIPTION,
        "tenantId": TENANT,
        "displayName": "Stand-ins",
        "state": "Enabled",
        "subscriptionPolicies": policies,
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
    }


async def _providers(_: web.Request) -> web.Response:
    return web.json_response({"value": [_registered(name) for name in _PROVIDERS]})


async def _provider(request: web.Request) -> web.Response:
    wanted = request.match_info["provider"]
    for name in _PROVIDERS:
        if name.lower() == wanted.lower():
            return web.json_response(_registered(name))
    raise ArmError(404, "InvalidResourceNamespace", f"The resource namespace '{wanted}' is invalid.")


def _registered(name: str) -> Json:
    versions = list(VERSIONS[name.lower()])
    types = [
        {"resourceType": kind, "locations": [LOCATION], "apiVersions": versions} for kind in _PROVIDERS[name]
    ]
    id_ = f"/subscriptions/{SUBSCRIPTION}/providers/{name}"
    return {
        "id": id_,
        "namespace": name,
        "registrationState": "Registered",
        "registrationPolicy": "RegistrationRequired",
        "resourceTypes": types,
    }


async def _groups(world: World, groups: ResourceGroups, request: web.Request) -> web.Response:
    if "$filter" in request.query:
        raise not_known(world, "a filter of resource groups")
    return web.json_response({"value": list(groups.rows.values())})


async def _group(groups: ResourceGroups, request: web.Request) -> web.Response:
    return web.json_response(groups.require(request.match_info["group"]))


async def _has_group(groups: ResourceGroups, request: web.Request) -> web.Response:
    return web.Response(status=204 if request.match_info["group"].lower() in groups.rows else 404)


async def _put_group(groups: ResourceGroups, request: web.Request) -> web.Response:
    name, sent = request.match_info["group"], await body(request)
    old, location = groups.rows.get(name.lower()), sent.get("location")
    if not isinstance(location, str) or not location:
        raise ArmError(400, "LocationRequired", "The location property is required for this definition.")
    if old is not None and old["location"] != location:
        message = (
            f"Invalid resource group location '{location}'. The Resource group already exists in location "
            f"'{old['location']}'."
        )
        raise ArmError(409, "InvalidResourceGroupLocation", message)
    row = groups.rows[name.lower()] = _shown(name, location, sent.get("tags") or {})
    return web.json_response(row, status=201 if old is None else 200)


def _shown(name: str, location: str, tags: Json) -> Json:
    return {
        "id": f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{name}",
        "name": name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": location,
        "tags": tags,
        "properties": {"provisioningState": "Succeeded"},
    }
