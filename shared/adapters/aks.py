"""The AKS cluster at Resource Manager: its address, and its network.

https://learn.microsoft.com/rest/api/aks/managed-clusters
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from shared.adapters.answers import instance, origin, text
from shared.adapters.azure_sdk import ResourceId, resource_manager_options
from shared.adapters.kaito_answers import SYSTEM
from shared.adapters.translate import unexpected

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.mgmt.containerservice.aio import ContainerServiceClient


class ManagedCluster:
    """One AKS cluster, by its Azure resource id. It is asked seldom, so each call has a client of its own."""

    def __init__(self, cluster_id: str, resource_manager: str, credential: AsyncTokenCredential) -> None:
        self._id = ResourceId.of(cluster_id)
        self._resource_manager = resource_manager.rstrip("/")
        self._credential = credential

    async def address(self) -> tuple[str, str]:
        """The https address of its API server, and the certificate authority of that address (PEM)."""
        async with self._client() as client:
            answer: Any = await client.managed_clusters.list_cluster_user_credentials(
                self._id.group, self._id.name, format="exec"
            )
        try:
            cluster = YAML(typ="safe").load(bytes(answer.kubeconfigs[0].value))["clusters"][0]["cluster"]
        except YAMLError:
            raise unexpected(SYSTEM, "no kubeconfig") from None
        server = text(cluster["server"])
        if origin(server)[0] != "https":
            raise unexpected(SYSTEM, "an address without TLS")
        return server, base64.b64decode(cluster["certificate-authority-data"]).decode()

    async def network_policy_engine(self) -> str | None:
        """As `shared.cluster_ports.Cluster` says."""
        async with self._client() as client:
            found: Any = await client.managed_clusters.get(self._id.group, self._id.name)
        return _engine_of(found.network_profile)

    def _client(self) -> ContainerServiceClient:
        from azure.mgmt.containerservice.aio import ContainerServiceClient

        options = resource_manager_options(SYSTEM, self._resource_manager)
        return ContainerServiceClient(self._credential, self._id.subscription, **options)


def _engine_of(network: Any) -> str | None:
    """By the profile of a cluster's network. A cluster without a plug-in of AKS brings its own network; one
    that names no engine has none.
    """
    if network is None or _word(network.network_plugin) == "none":
        return None
    if _word(network.network_dataplane) == "cilium":
        return "cilium"
    return _word(network.network_policy) or "none"


def _word(value: Any) -> str:
    """The SDK makes members of enumerations of the words that it knows, which are strings; empty for none."""
    return instance(str, value or "").lower()
