"""The SDK's client for API Management, and a product and an API to work on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from azure.identity.aio import ManagedIdentityCredential
from azure.mgmt.apimanagement.aio import ApiManagementClient
from azure.mgmt.apimanagement.models import ProductContract

from standins.tests.api_management.builders import OPERATOR, WHERE, Client, an_api, unique
from standins.tests.azure_clients import api_management, managed_identity
from standins.tests.plugin import StandIns


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def credential(standins: StandIns) -> AsyncIterator[ManagedIdentityCredential]:
    """Of the subscription's owner."""
    with managed_identity(standins):
        async with ManagedIdentityCredential(client_id=OPERATOR) as credential:
            yield credential


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def client(
    standins: StandIns, credential: ManagedIdentityCredential
) -> AsyncIterator[ApiManagementClient]:
    async with api_management(standins, credential) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def product(client: Client) -> str:
    name = unique("team")
    await client.product.create_or_update(*WHERE, name, ProductContract(display_name=name))
    return name


@pytest_asyncio.fixture(loop_scope="session")
async def api(client: Client) -> str:
    name = unique("ai")
    await (await client.api.begin_create_or_update(*WHERE, name, an_api(name))).result()
    return name
