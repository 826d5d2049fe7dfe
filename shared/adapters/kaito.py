"""The AKS cluster with KAITO: Kubernetes API of namespaces, quotas, network policies, routes and Workspaces.

The address and the certificate authority come from AKS (`listClusterUserCredential`), the token is an Entra token for AKS' server
application: https://learn.microsoft.com/azure/aks/kubelogin-authentication. The exec plug-in that the kubeconfig names is not needed.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from shared.adapters.translate import by_status, translated
from shared.domain.actual import GpuNode, Limit, Namespace, Route, Workspace
from shared.domain.workspace import API_VERSIONS, Dialect, Manifest, fixed_fields, marker_of
from shared.errors import Busy

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from kubernetes.aio.client import ApiClient

SYSTEM = "Kubernetes"
#: AKS' server application, the same in every tenant.
AKS_SCOPE = "6dae42f8-4368-4678-94ff-3960e28e3630/.default"
FIELD_MANAGER = "mergekey"
_MANAGED_BY = "app.kubernetes.io/managed-by"
_PLURALS = {
    "Namespace": "namespaces",
    "ResourceQuota": "resourcequotas",
    "NetworkPolicy": "networkpolicies",
    "HTTPRoute": "httproutes",
    "Workspace": "workspaces",
}
#: KAITO labels a node with the workspace that it was made for, and with `...namespace`.
_NODE_OF = "kaito.sh/workspace"
#: Of what a quota has no room for, nothing but the prose says that no role is missing (k8s.io/apiserver, plugin/resourcequota).
_NO_ROOM = ("exceeded quota: ", "status unknown for quota: ")
_ROUTES = "gateway.networking.k8s.io/v1"


class KaitoCluster:
    """One AKS cluster. `cluster_id` is its Azure resource id."""

    def __init__(self, cluster_id: str, dialect: Dialect, resource_manager: str, credential: AsyncTokenCredential) -> None:
        self._id = cluster_id
        self._workspaces = API_VERSIONS[dialect]
        self._resource_manager = resource_manager.rstrip("/")
        self._credential = credential
        self._client: ApiClient | None = None
        self._connecting = asyncio.Lock()

    async def namespace(self, name: str) -> Namespace | None:
        found = await self._request("GET", f"/api/v1/namespaces/{name}")
        if found is None:
            return None
        return _namespace(found)

    async def namespaces(self) -> list[Namespace]:
        return [_namespace(item) for item in await self._list("/api/v1/namespaces")]

    async def all_workspaces(self) -> Mapping[str, list[Workspace]]:
        found: dict[str, list[Workspace]] = {}
        for item in await self._list(self._path(self._workspaces, "workspaces", None)):
            found.setdefault(item["metadata"]["namespace"], []).append(_workspace(item))
        return found

    async def routes(self, namespace: str) -> list[Route]:
        return [_route(item) for item in await self._list(self._path(_ROUTES, "httproutes", namespace))]

    async def all_routes(self) -> Mapping[str, list[Route]]:
        found: dict[str, list[Route]] = {}
        for item in await self._list(self._path(_ROUTES, "httproutes", None), {"labelSelector": f"{_MANAGED_BY}={FIELD_MANAGER}"}):
            found.setdefault(item["metadata"]["namespace"], []).append(_route(item))
        return found

    async def gpu_nodes(self) -> list[GpuNode]:
        return [_node(item) for item in await self._list("/api/v1/nodes", {"labelSelector": _NODE_OF})]

    async def _list(self, path: str, query: Mapping[str, str] | None = None) -> list[Manifest]:
        """All items, page by page: https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks"""
        items: list[Manifest] = []
        more = ""
        while True:
            page = await self._request("GET", path, {**(query or {}), "limit": "500", **({"continue": more} if more else {})}) or {}
            items += page.get("items", [])
            more = page.get("metadata", {}).get("continue") or ""
            if not more:
                return items

    async def workspaces(self, namespace: str) -> list[Workspace]:
        found = await self._request("GET", self._path(self._workspaces, "workspaces", namespace))
        return [_workspace(item) for item in (found or {}).get("items", [])]

    async def limit(self, manifest: Manifest) -> Limit | None:
        found = await self._request("GET", self._path_of(manifest))
        return None if found is None else Limit(_is_managed(found["metadata"]), found.get("spec") or {})

    async def apply(self, manifest: Manifest) -> None:
        """Server-side apply; `force`, because what we declare is ours. https://kubernetes.io/docs/reference/using-api/server-side-apply"""
        await self._request("PATCH", self._path_of(manifest), {"fieldManager": FIELD_MANAGER, "force": "true"}, manifest)

    async def create(self, manifest: Manifest) -> None:
        path = self._path(manifest["apiVersion"], _PLURALS[manifest["kind"]], manifest["metadata"]["namespace"])
        await self._request("POST", path, {"fieldManager": FIELD_MANAGER}, manifest)

    async def delete_workspace(self, namespace: str, name: str, resource_version: str) -> None:
        await self._delete(self._path(self._workspaces, "workspaces", namespace, name), resource_version)

    async def delete_route(self, namespace: str, name: str) -> None:
        await self._delete(self._path(_ROUTES, "httproutes", namespace, name), None)

    async def delete_namespace(self, name: str, resource_version: str) -> None:
        await self._delete(f"/api/v1/namespaces/{name}", resource_version)

    async def _delete(self, path: str, resource_version: str | None) -> None:
        options: Manifest = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if resource_version is not None:
            options["preconditions"] = {"resourceVersion": resource_version}
        await self._request("DELETE", path, body=options)

    def _path_of(self, manifest: Manifest) -> str:
        metadata = manifest["metadata"]
        return self._path(manifest["apiVersion"], _PLURALS[manifest["kind"]], metadata.get("namespace"), metadata["name"])

    def _path(self, api_version: str, plural: str, namespace: str | None, name: str | None = None) -> str:
        base = f"/api/{api_version}" if api_version == "v1" else f"/apis/{api_version}"
        within = f"/namespaces/{namespace}" if namespace else ""
        return f"{base}{within}/{plural}" + (f"/{name}" if name else "")

    async def _request(self, method: str, path: str, query: Mapping[str, str] | None = None, body: Manifest | None = None) -> Any:
        """The answer's JSON, or None when there is no such object."""
        with translated(SYSTEM):
            client = await self._connected()
            headers = {"Accept": "application/json", "Content-Type": _content_type(method)}
            pairs = list((query or {}).items())
            prepared = client.param_serialize(
                method, path, query_params=pairs, header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            serialized = await prepared if asyncio.iscoroutine(prepared) else prepared
            response = await self._call(client, serialized)
            content: bytes = await response.read()
            if response.status == 404 and method in ("GET", "DELETE"):
                return None
            if response.status >= 300:
                raise _error(response.status, content)
            return json.loads(content)

    async def _call(self, client: Any, serialized: Any) -> Any:
        """A cluster that cannot be reached may have another address or authority by now: it is asked for anew the next time."""
        from aiohttp import ClientConnectionError

        try:
            return await client.call_api(*serialized, _request_timeout=30)
        except ClientConnectionError:
            self._client = None
            raise

    async def _connected(self) -> ApiClient:
        async with self._connecting:
            if self._client is None:
                self._client = await self._connect()
            return self._client

    async def _connect(self) -> ApiClient:
        from kubernetes.aio.client import ApiClient, Configuration

        server, authority = await self._cluster_address()
        configuration = Configuration(host=server)
        configuration.ca_cert_data = authority
        configuration.refresh_api_key_hook = self._refresh_token  # type: ignore[assignment]  # its default is None
        await self._refresh_token(configuration)
        return ApiClient(configuration)

    async def _refresh_token(self, configuration: Any) -> None:
        """Runs before each request; azure-identity gives the same token until it must be renewed."""
        token = await self._credential.get_token(AKS_SCOPE)
        configuration.api_key["BearerToken"] = f"Bearer {token.token}"

    async def _cluster_address(self) -> tuple[str, str]:
        from azure.mgmt.containerservice.aio import ContainerServiceClient

        parts = self._id.strip("/").split("/")
        scopes = ["https://management.azure.com/.default"]
        base = self._resource_manager
        async with ContainerServiceClient(self._credential, parts[1], base_url=base, credential_scopes=scopes, retry_total=0) as containers:
            answer: Any = await containers.managed_clusters.list_cluster_user_credentials(parts[3], parts[7], format="exec")
        cluster = YAML(typ="safe").load(bytes(answer.kubeconfigs[0].value))["clusters"][0]["cluster"]
        return cluster["server"], base64.b64decode(cluster["certificate-authority-data"]).decode()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()  # type: ignore[no-untyped-call]


def _content_type(method: str) -> str:
    return "application/apply-patch+yaml" if method == "PATCH" else "application/json"


def _error(status: int, content: bytes) -> Exception:
    try:
        answer = json.loads(content)
    except ValueError:
        answer = {}
    code, message = str(answer.get("reason") or ""), str(answer.get("message") or "")
    if status == 403 and any(words in message for words in _NO_ROOM):
        return Busy(f"{SYSTEM} answered 403: {message[:300]}", reason="QuotaExceeded")
    return by_status(SYSTEM, status, code, message)


def _namespace(item: Mapping[str, Any]) -> Namespace:
    metadata = item["metadata"]
    terminating = "deletionTimestamp" in metadata or (item.get("status") or {}).get("phase") == "Terminating"
    return Namespace(metadata["name"], metadata["resourceVersion"], terminating, marker_of(metadata.get("annotations") or {}))


def _node(item: Mapping[str, Any]) -> GpuNode:
    labels = item["metadata"]["labels"]
    return GpuNode(item["metadata"]["name"], labels.get(f"{_NODE_OF}namespace", ""), labels[_NODE_OF])


def _workspace(item: Mapping[str, Any]) -> Workspace:
    metadata = item["metadata"]
    return Workspace(
        name=metadata["name"],
        resource_version=metadata["resourceVersion"],
        fixed=fixed_fields(dict(item)),
        conditions=tuple((item.get("status") or {}).get("conditions") or ()),
        terminating="deletionTimestamp" in metadata,
        managed=_is_managed(metadata),
    )


def _route(item: Mapping[str, Any]) -> Route:
    return Route(item["metadata"]["name"], _is_managed(item["metadata"]), item.get("spec") or {})


def _is_managed(metadata: Mapping[str, Any]) -> bool:
    return (metadata.get("labels") or {}).get(_MANAGED_BY) == FIELD_MANAGER
