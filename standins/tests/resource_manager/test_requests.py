"""What Resource Manager asks of every request, and the credentials of a cluster."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from azure.core.exceptions import ClientAuthenticationError
from azure.identity.aio import ManagedIdentityCredential
from azure.mgmt.apimanagement.aio import ApiManagementClient
from azure.mgmt.containerservice.aio import ContainerServiceClient

from standins.tests.azure_clients import GROUP, SERVICE, ask, managed_identity
from standins.tests.plugin import StandIns
from standins.world import SUBSCRIPTION

_PRODUCT = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.ApiManagement/service/"
    f"{SERVICE}/products/absent"
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def credential(standins: StandIns) -> AsyncIterator[ManagedIdentityCredential]:
    """Of the subscription's owner."""
    with managed_identity(standins):
        async with ManagedIdentityCredential(client_id="operator") as credential:
            yield credential


async def test_a_request_without_what_resource_manager_needs_is_refused(
    standins: StandIns, credential: ManagedIdentityCredential
) -> None:
    right = (await credential.get_token("https://management.azure.com/.default")).token
    wrong = (await credential.get_token("https://vault.azure.net/.default")).token
    url = standins.addresses["resource-manager"] + _PRODUCT
    for method, query, token, expected in (
        ("GET", "?api-version=2024-05-01", wrong, (401, "InvalidAuthenticationTokenAudience")),
        ("GET", "", right, (400, "MissingApiVersionParameter")),
        ("GET", "?api-version=2021-08-01", right, (400, "NoRegisteredProviderFound")),
        ("GET", "?api-version=2024-05-01", right, (404, "ResourceNotFound")),
        ("POST", "?api-version=2024-05-01", right, (501, "NotImplemented")),
    ):
        status, answer, _ = ask(standins, method, url + query, Authorization=f"Bearer {token}")
        assert (status, answer["error"]["code"]) == expected


async def test_a_client_with_a_token_for_another_service_is_told_so(
    standins: StandIns, credential: ManagedIdentityCredential
) -> None:
    async with ApiManagementClient(
        credential,
        SUBSCRIPTION,
        base_url=standins.addresses["resource-manager"],
        credential_scopes=["https://vault.azure.net/.default"],
        connection_verify=standins.ca,
    ) as client:
        with pytest.raises(ClientAuthenticationError):
            await client.product.get(GROUP, SERVICE, "any")


async def _credentials(
    standins: StandIns, credential: ManagedIdentityCredential, name: str
) -> tuple[str, bytes, Any]:
    """Server, certificate authority and user of the kubeconfig of a cluster."""
    async with ContainerServiceClient(
        credential,
        SUBSCRIPTION,
        base_url=standins.addresses["resource-manager"],
        connection_verify=standins.ca,
    ) as client:
        answer = await client.managed_clusters.list_cluster_user_credentials("rg-aks", name, format="exec")
    assert answer.kubeconfigs is not None
    config = yaml.safe_load(bytes(answer.kubeconfigs[0].value or b""))
    cluster = config["clusters"][0]["cluster"]
    authority = base64.b64decode(cluster["certificate-authority-data"])
    return cluster["server"], authority, config["users"][0]["user"]


async def test_the_credentials_of_a_cluster_lead_to_the_kubernetes_server(
    standins: StandIns, credential: ManagedIdentityCredential
) -> None:
    if "kubernetes" not in standins.addresses:
        pytest.skip("the Kubernetes stand-in does not run")
    server, authority, user = await _credentials(standins, credential, "aks-local")
    assert (server, authority) == (standins.addresses["kubernetes"], Path(standins.ca).read_bytes())
    assert "exec" in user


async def test_another_api_server_can_be_named_for_a_cluster(
    standins: StandIns, credential: ManagedIdentityCredential
) -> None:
    known = standins.control.options("resource-manager")["clusters"]
    there = {"server": "https://127.0.0.1:1", "authority": "a certificate"}
    standins.control.set_options("resource-manager", clusters={**known, "Elsewhere": there})
    server, authority, _ = await _credentials(standins, credential, "elsewhere")
    assert (server, authority) == ("https://127.0.0.1:1", b"a certificate")
    assert (await _credentials(standins, credential, "aks-local"))[0] != server
