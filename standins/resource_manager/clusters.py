"""AKS as far as its address, its state and credentials go. Whatever name is asked for is the cluster of
this set; the option `clusters` names other API servers.

https://learn.microsoft.com/rest/api/aks/managed-clusters and
https://learn.microsoft.com/azure/aks/control-kubeconfig-access
"""

from __future__ import annotations

import base64
from functools import partial
from typing import Any, NamedTuple

import yaml
from aiohttp import web

from standins.http import route
from standins.resource_manager.arm import SERVER, ArmError, Json, insensitive, not_known
from standins.resource_manager.hierarchy import LOCATION
from standins.world import SUBSCRIPTION, TENANT, World

_ALL = "/subscriptions/{subscription}/providers/Microsoft.ContainerService/managedClusters"
_MANY = (
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/"
    "managedClusters"
)
_ONE = _MANY + "/{name}"
#: The cluster of the local set (`standins.stack`): lists show it.
_LISTED = ("ai", "contoso-gpu")
#: The application that every AKS API server with Entra sign-in is registered as, and the one that people sign
#: in with.
_SERVER_APPLICATION = "6dae42f8-4368-4678-94ff-3960e28e3630"
_CLIENT_APPLICATION = "80faf920-1908-4b52-b5ef-a8e7bedfc67a"


class _Place(NamedTuple):
    """An API server: its https address, and the certificate authority of that address (PEM)."""

    server: str
    authority: str


def routes(app: web.Application, world: World) -> None:
    route(app, "GET", insensitive(_ALL), "LIST clusters", partial(_list, world))
    route(app, "GET", insensitive(_MANY), "LIST clusters", partial(_list, world))
    route(app, "GET", insensitive(_ONE), "GET cluster", partial(_get, world))
    for name, handler in (
        ("listClusterUserCredential", _user_credential),
        ("listClusterAdminCredential", _admin_credential),
    ):
        route(app, "POST", insensitive(f"{_ONE}/{name}"), f"POST cluster {name}", partial(handler, world))


async def _list(world: World, request: web.Request) -> web.Response:
    group = request.match_info.get("group", _LISTED[0])
    return web.json_response({"value": [_cluster(world, *_LISTED)] if group.lower() == _LISTED[0] else []})


async def _get(world: World, request: web.Request) -> web.Response:
    _place(world, request)
    return web.json_response(_cluster(world, request.match_info["group"], request.match_info["name"]))


def _cluster(world: World, group: str, name: str) -> Json:
    """With Entra sign-in, Kubernetes roles, no local accounts, and KAITO as the add-on."""
    place = _named(world, name)
    host = "" if place is None else place.server.removeprefix("https://")
    properties = {
        "provisioningState": "Succeeded",
        "powerState": {"code": "Running"},
        "kubernetesVersion": "1.33",
        "currentKubernetesVersion": "1.33.2",
        "dnsPrefix": name,
        "fqdn": host,
        "nodeResourceGroup": f"MC_{group}_{name}_{LOCATION}",
        "enableRBAC": True,
        "disableLocalAccounts": True,
        "aadProfile": {"managed": True, "enableAzureRBAC": False, "tenantID": TENANT},
        "aiToolchainOperatorProfile": {"enabled": True},
        "networkProfile": _network(str(world.options[SERVER]["network_policy"])),
    }
    return {
        "id": _ONE.format(subscription=SUBSCRIPTION, group=group, name=name),
        "name": name,
        "type": "Microsoft.ContainerService/ManagedClusters",
        "location": LOCATION,
        "sku": {"name": "Base", "tier": "Standard"},
        "properties": properties,
    }


def _network(policy: str) -> Json:
    """https://learn.microsoft.com/azure/aks/use-network-policies"""
    return {
        "networkPlugin": "azure",
        "networkPluginMode": "overlay",
        "networkPolicy": policy,
        "networkDataplane": "cilium" if policy == "cilium" else "azure",
        "loadBalancerSku": "standard",
        "outboundType": "loadBalancer",
        "ipFamilies": ["IPv4"],
        "podCidr": "10.244.0.0/16",
        "serviceCidr": "10.0.0.0/16",
        "dnsServiceIP": "10.0.0.10",
    }


async def _user_credential(world: World, request: web.Request) -> web.Response:
    place, wanted = _place(world, request), request.query.get("format", "exec")
    if wanted not in ("exec", "azure"):
        raise not_known(world, f"a kubeconfig of the format {wanted}")
    authority = base64.b64encode(place.authority.encode()).decode()
    name, user = (
        request.match_info["name"],
        f"clusterUser_{request.match_info['group']}_{request.match_info['name']}",
    )
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": place.server, "certificate-authority-data": authority}}
        ],
        "users": [{"name": user, "user": _exec() if wanted == "exec" else _auth_provider()}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
        "current-context": name,
        "preferences": {},
    }
    value = base64.b64encode(yaml.safe_dump(config).encode()).decode()
    return web.json_response({"kubeconfigs": [{"name": "clusterUser", "value": value}]})


def _exec() -> dict[str, Any]:
    """https://learn.microsoft.com/azure/aks/kubelogin-authentication: kubectl runs kubelogin, which asks
    somebody to sign in.
    """
    arguments = ["get-token", "--environment", "AzurePublicCloud", "--server-id", _SERVER_APPLICATION]
    arguments += ["--client-id", _CLIENT_APPLICATION, "--tenant-id", TENANT, "--login", "devicecode"]
    command = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "kubelogin",
        "args": arguments,
    }
    return {"exec": command | {"env": None, "provideClusterInfo": False}}


def _auth_provider() -> dict[str, Any]:
    """The older form, which kubectl up to 1.25 understands by itself."""
    config = {"apiserver-id": _SERVER_APPLICATION, "client-id": _CLIENT_APPLICATION, "config-mode": "1"}
    return {
        "auth-provider": {
            "name": "azure",
            "config": config | {"environment": "AzurePublicCloud", "tenant-id": TENANT},
        }
    }


async def _admin_credential(world: World, request: web.Request) -> web.Response:
    """https://learn.microsoft.com/azure/aks/manage-local-accounts-managed-azure-ad"""
    _place(world, request)
    message = (
        "Getting static credential is not allowed because this cluster is set to disable local accounts."
    )
    raise ArmError(400, "BadRequest", message)


def _place(world: World, request: web.Request) -> _Place:
    """Where the cluster's API server is; 404 when there is none."""
    name = request.match_info["name"]
    place = _named(world, name)
    if place is None:
        group = request.match_info["group"]
        message = (
            f"The Resource 'Microsoft.ContainerService/managedClusters/{name}' under resource group "
            f"'{group}' was not found."
        )
        raise ArmError(
            404,
            "ResourceNotFound",
            f"{message} For more details please go to https://aka.ms/ARMResourceNotFoundFix",
        )
    return place


def _named(world: World, name: str) -> _Place | None:
    """The API server that the option `clusters` names, else that of this set, if it runs."""
    named = {known.lower(): place for known, place in world.options[SERVER]["clusters"].items()}
    if (place := named.get(name.lower())) is not None:
        return _Place(place["server"], place["authority"])
    server = world.addresses.get("kubernetes")
    return None if server is None else _Place(server, (world.folder / "ca.pem").read_text())
