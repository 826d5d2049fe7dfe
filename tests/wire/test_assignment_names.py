"""The names of the app's role assignments at Resource Manager."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from azure.identity.aio import ManagedIdentityCredential
from azure.mgmt.authorization.aio import AuthorizationManagementClient

from shared.adapters import role_assignments
from shared.adapters.role_assignments import RoleAssignments
from standins.tests.azure_clients import authorization, managed_identity
from standins.tests.plugin import StandIns
from standins.world import SUBSCRIPTION

VAULT = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-vault/providers/Microsoft.KeyVault/vaults/kv-local"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def credential(standins: StandIns) -> AsyncIterator[ManagedIdentityCredential]:
    with managed_identity(standins):
        async with ManagedIdentityCredential() as credential:
            yield credential


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def roles(
    standins: StandIns, credential: ManagedIdentityCredential
) -> AsyncIterator[AuthorizationManagementClient]:
    async with authorization(standins, credential) as client:
        yield client


async def test_our_assignments_have_the_names_that_they_ever_had(
    standins: StandIns, roles: AuthorizationManagementClient, credential: ManagedIdentityCredential
) -> None:
    """By its name the app knows an assignment of its own: under another one it would be somebody else's."""
    group, secret = "5f8d0d55-1c3e-4f7a-9b5e-2a6c8e4d7b10", "spelt-as-ever-primary-key"
    manager = standins.addresses["resource-manager"]
    ours = RoleAssignments(f"{VAULT}/secrets", role_assignments.SECRETS_USER, manager, credential)
    try:
        await ours.grant(secret, group)
    finally:
        await ours.close()
    listed = roles.role_assignments.list_for_scope(f"{VAULT}/secrets/{secret}", filter="atScope()")
    names = [row.name async for row in listed if row.principal_id == group]
    assert "148d62ee-8323-5af2-84a2-744138deb96c" in names
