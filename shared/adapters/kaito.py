"""The AKS cluster with KAITO: Kubernetes API of namespaces, quotas, network policies, routes and Workspaces.

The address and the certificate authority come from AKS (`listClusterUserCredential`), the token is an Entra
token for AKS' server application: https://learn.microsoft.com/azure/aks/kubelogin-authentication. The exec
plug-in that the kubeconfig names is not needed.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from shared.adapters.aks import ManagedCluster
from shared.adapters.answers import instance, limited
from shared.adapters.azure_sdk import ResourceId
from shared.adapters.kaito_answers import SYSTEM, Answer, PageExpired, Place, version_path
from shared.adapters.kaito_connection import Connection
from shared.adapters.kaito_logs import previous_log
from shared.adapters.kaito_objects import (
    FIELD_MANAGER,
    at_home,
    by_home,
    config_map_of,
    items_of,
    limit_of,
    marks_of,
    namespace_of,
    types_in,
    workspace_of,
)
from shared.adapters.kaito_routes import ROAD_MANAGER, gateway_of, route_of
from shared.adapters.kaito_witnesses import (
    NODE_OF,
    NODE_OF_KARPENTER,
    POD_OF,
    claims_of,
    external_secret_of,
    node_of,
    pod_of,
)
from shared.adapters.sharing import SingleFlight
from shared.adapters.translate import understood, unexpected
from shared.calls import counted
from shared.errors import KindNotServed
from shared.gateway_api.controllers import Controller, controller_of
from shared.gateway_api.observed import Gateway
from shared.kaito.log_classes import LogTail
from shared.kaito.releases import Release, release_of
from shared.kaito.witnesses import NodeClaim, Pod
from shared.resources.actual import (
    ConfigMap,
    ExternalSecret,
    GpuNode,
    Limit,
    Namespace,
    Route,
    Workspace,
    parents_in,
)
from shared.resources.served_kinds import NEEDED, ServedKinds, TypeName
from shared.resources.workspaces import API_VERSION, LIMITS, MANAGED_BY, MANAGER, ROUTE_VERSION, Manifest

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from kubernetes.aio.client import ApiClient

V = TypeVar("V")

#: AKS' server application, the same in every tenant.
AKS_SCOPE = "6dae42f8-4368-4678-94ff-3960e28e3630/.default"
#: Seconds for which answers are kept: KAITO's release, the Gateway's controller, and what is served.
RELEASE_KEPT = DISCOVERY_TIME = 300.0
NODE_CLAIM_VERSION, EXTERNAL_SECRET_VERSION = "karpenter.sh/v1", "external-secrets.io/v1"
_LIMITS = {"ResourceQuota": "v1", "NetworkPolicy": "networking.k8s.io/v1"}
#: Finds in a list what is ours.
_OURS = {"labelSelector": f"{MANAGED_BY}={MANAGER}"}
#: A page has 500 items, of some kilobytes each. A list of more pages than this does not end.
_MAX_PAGE_BYTES, _MAX_PAGES = 64 * 1024 * 1024, 1_000
#: How often a list is begun again whose next page has expired.
_MAX_RESTARTS = 3
_JSON, _APPLY = "application/json", "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"


class KaitoCluster:
    """One AKS cluster. `cluster_id` is its Azure resource id, `now` a monotonic clock in seconds."""

    def __init__(
        self,
        cluster_id: str,
        resource_manager: str,
        credential: AsyncTokenCredential,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._id = cluster_id
        self._aks = ManagedCluster(cluster_id, resource_manager, credential)
        self._credential = credential
        self._now = now
        self._connection = Connection(self._connect, now)
        self._release: tuple[float, Release | None] | None = None
        self._controllers: dict[str, tuple[float, Controller | None]] = {}
        self._served: tuple[float, ServedKinds] | None = None
        self._discovering: SingleFlight[ServedKinds] = SingleFlight()

    async def served(self) -> ServedKinds:
        if self._served is not None and self._now() - self._served[0] < DISCOVERY_TIME:
            return self._served[1]
        return await self._discovering.share("", self._discover)

    async def _discover(self) -> ServedKinds:
        """https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api"""
        asked = self._now()
        found = await asyncio.gather(*map(self._types_of, dict.fromkeys(version for version, _ in NEEDED)))
        served = ServedKinds(self._name, frozenset[TypeName]().union(*found))
        if served.first_missing(NEEDED) is None:
            self._served = (asked, served)  # what is missing may be installed at any moment
        return served

    async def _types_of(self, api_version: str) -> frozenset[TypeName]:
        """None of a version that is not served."""
        document = await self._document(version_path(api_version))
        with understood(SYSTEM):
            return frozenset() if document is None else types_in(api_version, document)

    async def release(self) -> Release | None:
        """https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-v3 . Every user with a token
        may read it (the role `system:discovery`).
        """
        if self._release is None or self._now() >= self._release[0] + RELEASE_KEPT:
            document = await self._document(f"/openapi/v3/apis/{API_VERSION}")
            with understood(SYSTEM):
                marks = frozenset() if document is None else marks_of(document)
            if not marks:  # also where KAITO's other kinds are served
                raise self._not_served(_workspace())
            self._release = self._now(), release_of(marks)
        return self._release[1]

    async def _document(self, path: str) -> Manifest | None:
        """What the server tells about a version; None of one that it does not serve."""
        with understood(SYSTEM):
            answer = await self._send("GET", path)
            if answer.status == 404:
                return None
            if answer.status >= 300:
                raise answer.error()
            return answer.json()

    def _not_served(self, place: Place) -> KindNotServed:
        """The error. Where the kind is one that is needed, what is known of the server is asked for anew."""
        if (place.api_version, place.kind) in NEEDED:
            self._served = self._release = None
        return KindNotServed(self._name, place.api_version, place.kind)

    @property
    def _name(self) -> str:
        return ResourceId.of(self._id).name

    async def network_policy_engine(self) -> str | None:
        with understood(SYSTEM):
            return await self._aks.network_policy_engine()

    async def namespace(self, name: str) -> Namespace | None:
        found = await self._request("GET", _namespace(name))
        with understood(SYSTEM):
            return None if found is None else namespace_of(found)

    async def namespaces(self) -> list[Namespace]:
        return await self._list(Place("v1", "Namespace"), namespace_of)

    async def workspaces(self, namespace: str) -> list[Workspace]:
        return await self._list(_workspace(namespace), workspace_of)

    async def all_workspaces(self) -> Mapping[str, list[Workspace]]:
        return by_home(await self._list(_workspace(), at_home(workspace_of)))

    async def routes(self, namespace: str) -> list[Route]:
        return await self._list(_route(namespace), route_of)

    async def all_routes(self) -> Mapping[str, list[Route]]:
        return by_home(await self._list(_route(), at_home(route_of), _OURS))

    async def gateway(self, name: str) -> Gateway | None:
        home, _, own = name.partition("/")
        found = await self._request("GET", Place(ROUTE_VERSION, "Gateway", home, own))
        with understood(SYSTEM):
            return None if found is None else gateway_of(found)

    async def gateway_controller(self, name: str) -> Controller | None:
        kept = self._controllers.get(name)
        if kept is None or self._now() >= kept[0] + RELEASE_KEPT:
            kept = self._controllers[name] = self._now(), await self._controller_of(name)
        return kept[1]

    async def _controller_of(self, name: str) -> Controller | None:
        """Routes are listed only where the class has a name of the cluster's own."""
        gateway = await self.gateway(name)
        found = controller_of(gateway)
        if gateway is None or found is not None:
            return found
        return controller_of(gateway, parents_in(await self.all_routes()))

    async def annotate_route(self, namespace: str, name: str, annotations: Mapping[str, str | None]) -> None:
        changed = {"metadata": {"annotations": dict(annotations)}}
        await self._request("PATCH", _route(namespace, name), {"fieldManager": ROAD_MANAGER}, changed)

    async def all_quotas(self) -> Mapping[str, list[Limit]]:
        return await self._all_limits("ResourceQuota")

    async def all_network_policies(self) -> Mapping[str, list[Limit]]:
        return await self._all_limits("NetworkPolicy")

    async def _all_limits(self, kind: str) -> Mapping[str, list[Limit]]:
        return by_home(await self._list(Place(_LIMITS[kind], kind), at_home(limit_of(kind)), _OURS))

    async def gpu_nodes(self) -> list[GpuNode]:
        """A selector cannot say "one label or the other"."""
        found = [
            node
            for label in (NODE_OF, NODE_OF_KARPENTER)
            for node in await self._list(Place("v1", "Node"), node_of, {"labelSelector": label})
        ]
        return list({node.name: node for node in found}.values())

    async def pods(self, namespace: str) -> list[Pod]:
        return await self._list(Place("v1", "Pod", namespace), pod_of, {"labelSelector": POD_OF})

    async def all_pods(self) -> Mapping[str, list[Pod]]:
        return by_home(await self._list(Place("v1", "Pod"), at_home(pod_of), {"labelSelector": POD_OF}))

    async def node_claims(self) -> list[NodeClaim]:
        """All are listed: their labels differ by who made them, and Karpenter may make nodes for others."""
        found = await self._list(Place(NODE_CLAIM_VERSION, "NodeClaim"), claims_of)
        return [claim for claims in found for claim in claims]

    async def external_secrets(self, namespace: str) -> list[ExternalSecret]:
        place = Place(EXTERNAL_SECRET_VERSION, "ExternalSecret", namespace)
        return await self._list(place, external_secret_of)

    async def previous_log(self, namespace: str, pod: str, container: str) -> LogTail | None:
        return await previous_log(self._send, Place("v1", "Pod", namespace, pod), container)

    async def _list(
        self, place: Place, read: Callable[[Manifest], V], query: Mapping[str, str] | None = None
    ) -> list[V]:
        """All items, each parsed with `read`. When a page has expired the list is begun again: what was read
        of it belongs to another moment.
        """
        for _ in range(_MAX_RESTARTS):
            try:
                return await self._pages(place, read, query or {})
            except PageExpired:
                continue
        return await self._pages(place, read, query or {})

    async def _pages(self, place: Place, read: Callable[[Manifest], V], query: Mapping[str, str]) -> list[V]:
        """https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks"""
        found: list[V] = []
        more = ""
        for _ in range(_MAX_PAGES):
            page = await self._request(
                "GET", place, {**query, "limit": "500", **({"continue": more} if more else {})}
            )
            with understood(SYSTEM):
                found += [read(item) for item in items_of(instance(dict, page))]
                more = instance(str, instance(dict, page).get("metadata", {}).get("continue") or "")
            if not more:
                return found
        raise unexpected(SYSTEM, "the list does not end")

    async def limits(self, namespace: str) -> list[Limit]:
        found = await asyncio.gather(*(self._limit(namespace, kind) for kind in LIMITS))
        return [each for each in found if each is not None]

    async def _limit(self, namespace: str, kind: str) -> Limit | None:
        found = await self._request("GET", Place(_LIMITS[kind], kind, namespace, LIMITS[kind]))
        with understood(SYSTEM):
            return None if found is None else limit_of(kind)(found)

    async def config_map(self, namespace: str, name: str) -> ConfigMap | None:
        found = await self._request("GET", Place("v1", "ConfigMap", namespace, name))
        with understood(SYSTEM):
            return None if found is None else config_map_of(found)

    async def change_workspace(self, manifest: Manifest, resource_version: str) -> None:
        """A merge patch and no apply: that would create a Workspace which is gone, version or not."""
        metadata = manifest["metadata"]
        changed = {
            "metadata": {"resourceVersion": resource_version, "annotations": metadata["annotations"]},
            "inference": {"config": manifest["inference"]["config"]},
        }
        place = Place.of(manifest)
        await self._request("PATCH", place, {"fieldManager": FIELD_MANAGER}, changed)

    async def apply(self, manifest: Manifest) -> None:
        """Server-side apply; `force`, because what we declare is ours.
        https://kubernetes.io/docs/reference/using-api/server-side-apply
        """
        await self._request(
            "PATCH", Place.of(manifest), {"fieldManager": FIELD_MANAGER, "force": "true"}, manifest
        )

    async def create(self, manifest: Manifest) -> None:
        collection = Place(manifest["apiVersion"], manifest["kind"], manifest["metadata"]["namespace"])
        await self._request("POST", collection, {"fieldManager": FIELD_MANAGER}, manifest)

    async def delete_workspace(self, namespace: str, name: str, resource_version: str) -> None:
        await self._delete(_workspace(namespace, name), resource_version)

    async def delete_route(self, namespace: str, name: str) -> None:
        await self._delete(_route(namespace, name), None)

    async def delete_namespace(self, name: str, resource_version: str) -> None:
        await self._delete(_namespace(name), resource_version)

    async def _delete(self, place: Place, resource_version: str | None) -> None:
        options: Manifest = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if resource_version is not None:
            options["preconditions"] = {"resourceVersion": resource_version}
        await self._request("DELETE", place, body=options)

    async def _request(
        self,
        method: str,
        place: Place,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
    ) -> Manifest | None:
        """The answer's JSON, or None when there is no such object. Raises KindNotServed when there is no such
        kind.
        """
        with understood(SYSTEM):
            answer = await self._send(method, place.path, query, body)
            if answer.status == 404 and not answer.is_of_a_missing_object:
                raise self._not_served(place)
            if answer.status == 404 and method in ("GET", "DELETE"):
                return None
            if answer.status >= 300:
                raise answer.error()
            return answer.json()

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
    ) -> Answer:
        """One call with the client that is kept. An API server does not redirect; the client would follow to
        another host, without our token and with another method.
        """
        from aiohttp import ClientConnectionError

        async with self._connection.client() as client:
            try:
                answer = await _call(client, method, path, list((query or {}).items()), body)
            except (ClientConnectionError, TimeoutError):
                self._connection.unreachable(client)
                raise
            if answer.status == 401:
                self._connection.refused(client)
            return answer

    async def _connect(self) -> ApiClient:
        from kubernetes.aio.client import ApiClient, Configuration

        server, authority = await self._aks.address()
        configuration = Configuration(host=server)
        configuration.ca_cert_data = authority
        # the client renews only a key that it has
        configuration.api_key["BearerToken"] = ""
        # its default is None
        configuration.refresh_api_key_hook = self._refresh_token  # type: ignore[assignment]
        try:
            return ApiClient(configuration)
        except ssl.SSLError:
            raise unexpected(SYSTEM, "no certificate authority") from None

    async def _refresh_token(self, configuration: Any) -> None:
        """Runs before each request; azure-identity gives the same token until it must be renewed."""
        token = await self._credential.get_token(AKS_SCOPE)
        configuration.api_key["BearerToken"] = f"Bearer {token.token}"

    async def close(self) -> None:
        await self._connection.close()


def _namespace(name: str) -> Place:
    return Place("v1", "Namespace", name=name)


def _workspace(namespace: str | None = None, name: str | None = None) -> Place:
    return Place(API_VERSION, "Workspace", namespace, name)


def _route(namespace: str | None = None, name: str | None = None) -> Place:
    return Place(ROUTE_VERSION, "HTTPRoute", namespace, name)


def _content_type(method: str, query: list[tuple[str, str]]) -> str:
    """Only an apply is forced; the other patch is a merge."""
    if method != "PATCH":
        return _JSON
    return _APPLY if ("force", "true") in query else _MERGE


async def _call(
    client: Any, method: str, path: str, query: list[tuple[str, str]], body: Manifest | None
) -> Answer:
    """One request, read to its end: whatever happens, its connection is given back."""
    headers = {"Accept": _JSON, "Content-Type": _content_type(method, query)}
    prepared = client.param_serialize(
        method, path, query_params=query, header_params=headers, body=body, auth_settings=["BearerToken"]
    )
    serialized = await prepared if asyncio.iscoroutine(prepared) else prepared
    with counted(SYSTEM, method) as call:
        answer = await client.call_api(*serialized, _request_timeout=30)
        call.answered(answer.status)
    async with answer.response as response:
        if response.history:
            raise unexpected(SYSTEM, "it leads elsewhere")
        content = await limited(SYSTEM, response.content, _MAX_PAGE_BYTES)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, headers, content)
