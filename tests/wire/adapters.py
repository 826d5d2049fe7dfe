"""The app's own adapters, as `shared.bootstrap` builds them, at the stand-ins."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from azure.identity.aio import ManagedIdentityCredential

from shared.adapters.api_management import ApiManagement
from shared.adapters.azure_sdk import OperationTimeout
from shared.adapters.foundry import Foundry
from shared.adapters.kaito import KaitoCluster
from shared.adapters.key_vault import KeyVault
from shared.adapters.role_assignments import SECRETS_USER, RoleAssignments
from standins.stack import APIM_ID, CLUSTER_ID, FOUNDRY_ID, TRACES_ID, VAULT_ID
from standins.tests.azure_clients import managed_identity
from standins.tests.plugin import StandIns

#: Waits for operations no longer than a test may.
HASTY = OperationTimeout(seconds=60, polls=3, interval=0.01)


@dataclass(frozen=True)
class Adapters:
    gateway: ApiManagement
    vault: KeyVault
    roles: RoleAssignments
    projects: Foundry
    cluster: KaitoCluster


@asynccontextmanager
async def the_adapters(standins: StandIns, patience: OperationTimeout = HASTY) -> AsyncIterator[Adapters]:
    manager = standins.addresses["resource-manager"]
    async with AsyncExitStack() as ends:
        ends.enter_context(managed_identity(standins))
        credential = await ends.enter_async_context(ManagedIdentityCredential())
        adapters = Adapters(
            ApiManagement(APIM_ID, manager, credential, patience),
            KeyVault(standins.addresses["key-vault"], credential, verify_challenge=False),
            RoleAssignments(f"{VAULT_ID}/secrets", SECRETS_USER, manager, credential),
            Foundry(FOUNDRY_ID, TRACES_ID, manager, credential),
            KaitoCluster(CLUSTER_ID, manager, credential),
        )
        everyone: list[Any] = [
            adapters.gateway,
            adapters.vault,
            adapters.roles,
            adapters.projects,
            adapters.cluster,
        ]
        for each in everyone:
            ends.push_async_callback(each.close)
        yield adapters
        standins.control.forget_faults()
