"""AKS as far as credentials go: https://learn.microsoft.com/rest/api/aks/managed-clusters/list-cluster-user-credentials"""

from __future__ import annotations

import base64
from functools import partial
from typing import Any

import yaml
from aiohttp import web

from standins.http import route
from standins.resource_manager.arm import ArmError, insensitive, not_known
from standins.world import TENANT, World

_PATH = (
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService"
    "/managedClusters/{name}/listClusterUserCredential"
)
#: The application that every AKS API server with Entra sign-in is registered as.
_SERVER_APPLICATION = "6dae42f8-4368-4678-94ff-3960e28e3630"


def routes(app: web.Application, world: World) -> None:
    route(app, "POST", insensitive(_PATH), "POST cluster listClusterUserCredential", partial(_list_user_credential, world))


async def _list_user_credential(world: World, request: web.Request) -> web.Response:
    if request.query.get("format", "exec") != "exec":
        raise not_known(world, f"a kubeconfig of the format {request.query['format']}")
    server = world.addresses.get("kubernetes")
    if server is None:
        raise ArmError(404, "ResourceNotFound", f"The cluster '{request.match_info['name']}' was not found: no Kubernetes stand-in runs.")
    authority = base64.b64encode((world.folder / "ca.pem").read_bytes()).decode()
    config = yaml.safe_dump(_kubeconfig(request.match_info["name"], server, authority))
    return web.json_response({"kubeconfigs": [{"name": "clusterUser", "value": base64.b64encode(config.encode()).decode()}]})


def _kubeconfig(name: str, server: str, authority: str) -> dict[str, Any]:
    arguments = ["get-token", "--login", "devicecode", "--server-id", _SERVER_APPLICATION, "--tenant-id", TENANT]
    command = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "kubelogin", "args": arguments}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": "clusterUser", "user": {"exec": command}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "clusterUser"}}],
        "current-context": name,
    }
