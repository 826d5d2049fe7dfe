"""The AKS cluster with KAITO: Kubernetes API of namespaces, quotas, network policies, routes and Workspaces.

The address and the certificate authority come from AKS (`listClusterUserCredential`), the token is an Entra
token for AKS' server application: https://learn.microsoft.com/azure/aks/kubelogin-authentication. The exec
plug-in that the kubeconfig names is not needed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from shared.adapters.answers import instance, limited, origin, text
from shared.adapters.azure_sdk import ResourceId, resource_manager_options
from shared.adapters.kaito_objects import (
    FIELD_MANAGER,
    NODE_OF,
    at_home,
    by_home,
    items_of,
    limit_of,
    marks_of,
    namespace_of,
    node_of,
    route_of,
    workspace_of,
)
from shared.adapters.translate import by_status, understood, unexpected, wait_asked_for
from shared.calls import counted
from shared.catalog.kaito_releases import Release, release_of
from shared.errors import Busy
from shared.resources.actual import GpuNode, Limit, Namespace, Route, Workspace
from shared.resources.workspaces import API_VERSION, LIMITS, MANAGED_BY, MANAGER, Manifest

if TYPE_CHECKING:
    from aiohttp import ClientResponse
    from azure.core.credentials_async import AsyncTokenCredential
    from kubernetes.aio.client import ApiClient

V = TypeVar("V")

SYSTEM = "Kubernetes"
#: AKS' server application, the same in every tenant.
AKS_SCOPE = "6dae42f8-4368-4678-94ff-3960e28e3630/.default"
_PLURALS = {
    "Namespace": "namespaces",
    "ResourceQuota": "resourcequotas",
    "NetworkPolicy": "networkpolicies",
    "HTTPRoute": "httproutes",
    "Workspace": "workspaces",
}
#: The texts of a 403 for an exceeded quota: only they tell it from a missing role (k8s.io/apiserver,
#: plugin/resourcequota).
_QUOTA_EXCEEDED = ("exceeded quota: ", "status unknown for quota: ")
#: Seconds for which the answer about KAITO's release is kept.
RELEASE_KEPT = 300.0
_ROUTES = "gateway.networking.k8s.io/v1"
_LIMITS = {"ResourceQuota": "v1", "NetworkPolicy": "networking.k8s.io/v1"}
#: Finds in a list what is ours.
_OURS = {"labelSelector": f"{MANAGED_BY}={MANAGER}"}
#: A page has 500 items, of some kilobytes each. A list of more pages than this does not end.
_MAX_PAGE_BYTES, _MAX_PAGES = 64 * 1024 * 1024, 1_000


class KaitoCluster:
    """One AKS cluster. `cluster_id` is its Azure resource id."""

    def __init__(
        self,
        cluster_id: str,
        resource_manager: str,
        credential: AsyncTokenCredential,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._id = cluster_id
        self._resource_manager = resource_manager.rstrip("/")
        self._credential = credential
        self._client: ApiClient | None = None
        self._connecting = asyncio.Lock()
        self._now = now
        self._release: tuple[float, Release | None] | None = None

    async def namespace(self, name: str) -> Namespace | None:
        found = await self._request("GET", f"/api/v1/namespaces/{name}")
        with understood(SYSTEM):
            return None if found is None else namespace_of(found)

    async def namespaces(self) -> list[Namespace]:
        return await self._list("/api/v1/namespaces", namespace_of)

    async def all_workspaces(self) -> Mapping[str, list[Workspace]]:
        return by_home(await self._list(self._path(API_VERSION, "workspaces", None), at_home(workspace_of)))

    async def routes(self, namespace: str) -> list[Route]:
        return await self._list(self._path(_ROUTES, "httproutes", namespace), route_of)

    async def all_routes(self) -> Mapping[str, list[Route]]:
        return by_home(await self._list(self._path(_ROUTES, "httproutes", None), at_home(route_of), _OURS))

    async def all_quotas(self) -> Mapping[str, list[Limit]]:
        return await self._all_limits("ResourceQuota")

    async def all_network_policies(self) -> Mapping[str, list[Limit]]:
        return await self._all_limits("NetworkPolicy")

    async def _all_limits(self, kind: str) -> Mapping[str, list[Limit]]:
        path = self._path(_LIMITS[kind], _PLURALS[kind], None)
        return by_home(await self._list(path, at_home(limit_of(kind)), _OURS))

    async def gpu_nodes(self) -> list[GpuNode]:
        return await self._list("/api/v1/nodes", node_of, {"labelSelector": NODE_OF})

    async def _list(
        self, path: str, read: Callable[[Manifest], V], query: Mapping[str, str] | None = None
    ) -> list[V]:
        """All items, page by page, each parsed with `read`.

        https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks
        """
        found: list[V] = []
        more = ""
        for _ in range(_MAX_PAGES):
            page = await self._request(
                "GET", path, {**(query or {}), "limit": "500", **({"continue": more} if more else {})}
            )
            if page is None:
                return found
            with understood(SYSTEM):
                found += [read(item) for item in items_of(page)]
                more = instance(str, page.get("metadata", {}).get("continue") or "")
            if not more:
                return found
        raise unexpected(SYSTEM, "the list does not end")

    async def workspaces(self, namespace: str) -> list[Workspace]:
        return await self._list(self._path(API_VERSION, "workspaces", namespace), workspace_of)

    async def release(self) -> Release | None:
        """https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-v3 . Every user with a token
        may read it (the role `system:discovery`).
        """
        if self._release is None or self._now() >= self._release[0] + RELEASE_KEPT:
            document = await self._request("GET", f"/openapi/v3/apis/{API_VERSION}")
            if document is None:
                return None
            with understood(SYSTEM):
                self._release = self._now(), release_of(marks_of(document))
        return self._release[1]

    async def limits(self, namespace: str) -> list[Limit]:
        found = await asyncio.gather(*(self._limit(namespace, kind) for kind in LIMITS))
        return [each for each in found if each is not None]

    async def _limit(self, namespace: str, kind: str) -> Limit | None:
        found = await self._request("GET", self._path(_LIMITS[kind], _PLURALS[kind], namespace, LIMITS[kind]))
        with understood(SYSTEM):
            return None if found is None else limit_of(kind)(found)

    async def apply(self, manifest: Manifest) -> None:
        """Server-side apply; `force`, because what we declare is ours.
        https://kubernetes.io/docs/reference/using-api/server-side-apply
        """
        await self._request(
            "PATCH", self._path_of(manifest), {"fieldManager": FIELD_MANAGER, "force": "true"}, manifest
        )

    async def create(self, manifest: Manifest) -> None:
        path = self._path(
            manifest["apiVersion"], _PLURALS[manifest["kind"]], manifest["metadata"]["namespace"]
        )
        await self._request("POST", path, {"fieldManager": FIELD_MANAGER}, manifest)

    async def delete_workspace(self, namespace: str, name: str, resource_version: str) -> None:
        await self._delete(self._path(API_VERSION, "workspaces", namespace, name), resource_version)

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
        return self._path(
            manifest["apiVersion"], _PLURALS[manifest["kind"]], metadata.get("namespace"), metadata["name"]
        )

    def _path(self, api_version: str, plural: str, namespace: str | None, name: str | None = None) -> str:
        base = f"/api/{api_version}" if api_version == "v1" else f"/apis/{api_version}"
        within = f"/namespaces/{namespace}" if namespace else ""
        return f"{base}{within}/{plural}" + (f"/{name}" if name else "")

    async def _request(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Manifest | None = None
    ) -> Manifest | None:
        """The answer's JSON, or None when there is no such object."""
        with understood(SYSTEM):
            client = await self._connected()
            headers = {"Accept": "application/json", "Content-Type": _content_type(method)}
            pairs = list((query or {}).items())
            prepared = client.param_serialize(
                method,
                path,
                query_params=pairs,
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
            serialized = await prepared if asyncio.iscoroutine(prepared) else prepared
            response = await self._call(client, serialized)
            content = await limited(SYSTEM, response.content, _MAX_PAGE_BYTES)
            if response.status == 404 and method in ("GET", "DELETE"):
                return None
            if response.status >= 300:
                raise _error(response, content)
            return instance(dict, json.loads(content))

    async def _call(self, client: Any, serialized: Any) -> ClientResponse:
        """After a connection error the client is dropped, because the cluster may have another address or
        authority by now.

        An API server does not redirect; the client would follow to another host, without our token and with
        another method.
        """
        from aiohttp import ClientConnectionError

        try:
            with counted(SYSTEM, serialized[0]) as call:
                answer: ClientResponse = (await client.call_api(*serialized, _request_timeout=30)).response
                call.answered(answer.status)
        except ClientConnectionError:
            await self._forget(client)
            raise
        if answer.history:
            raise unexpected(SYSTEM, "it leads elsewhere")
        return answer

    async def _forget(self, client: ApiClient) -> None:
        """Close a client; concurrent calls with it fail too and are retried."""
        if self._client is client:
            self._client = self._release = None
        await client.close()  # type: ignore[no-untyped-call]

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
        # its default is None
        configuration.refresh_api_key_hook = self._refresh_token  # type: ignore[assignment]
        await self._refresh_token(configuration)
        try:
            return ApiClient(configuration)
        except ssl.SSLError:
            raise unexpected(SYSTEM, "no certificate authority") from None

    async def _refresh_token(self, configuration: Any) -> None:
        """Runs before each request; azure-identity gives the same token until it must be renewed."""
        token = await self._credential.get_token(AKS_SCOPE)
        configuration.api_key["BearerToken"] = f"Bearer {token.token}"

    async def _cluster_address(self) -> tuple[str, str]:
        from azure.mgmt.containerservice.aio import ContainerServiceClient

        cluster_id = ResourceId.of(self._id)
        options = resource_manager_options(SYSTEM, self._resource_manager)
        async with ContainerServiceClient(self._credential, cluster_id.subscription, **options) as containers:
            answer: Any = await containers.managed_clusters.list_cluster_user_credentials(
                cluster_id.group, cluster_id.name, format="exec"
            )
        try:
            cluster = YAML(typ="safe").load(bytes(answer.kubeconfigs[0].value))["clusters"][0]["cluster"]
        except YAMLError:
            raise unexpected(SYSTEM, "no kubeconfig") from None
        server = text(cluster["server"])
        if origin(server)[0] != "https":
            raise unexpected(SYSTEM, "an address without TLS")
        return server, base64.b64decode(cluster["certificate-authority-data"]).decode()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()  # type: ignore[no-untyped-call]


def _content_type(method: str) -> str:
    return "application/apply-patch+yaml" if method == "PATCH" else "application/json"


def _error(response: ClientResponse, content: bytes) -> Exception:
    try:
        answer = instance(dict, json.loads(content))
    except (ValueError, TypeError, RecursionError):
        answer = {}
    code, message = str(answer.get("reason") or ""), str(answer.get("message") or "")
    if response.status == 403 and any(words in message for words in _QUOTA_EXCEEDED):
        return Busy(f"{SYSTEM} answered 403: {message[:300]}", reason="QuotaExceeded")
    wait = wait_asked_for({name.lower(): value for name, value in response.headers.items()})
    return by_status(SYSTEM, response.status, code, message, wait)
