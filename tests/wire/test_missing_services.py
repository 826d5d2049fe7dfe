"""A service that is not where the settings say is no reason to think that nobody has anything in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure.identity.aio import ManagedIdentityCredential

from shared.adapters.api_management import ApiManagement
from shared.adapters.foundry import Foundry
from shared.errors import Unavailable
from standins.stack import FOUNDRY_ID, TRACES_ID
from standins.tests.azure_clients import managed_identity
from standins.tests.plugin import StandIns
from standins.world import SUBSCRIPTION

SERVICE = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-gone/providers/Microsoft.ApiManagement/service/apim-"
    "gone"
)
WORDS = ("ParentResourceNotFound", "ResourceGroupNotFound", "SubscriptionNotFound")


@pytest.fixture(autouse=True)
def _managed_identity(standins: StandIns) -> Iterator[None]:
    with managed_identity(standins):
        yield


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("kind", ["product", "subscription"])
async def test_an_api_management_that_is_not_there_has_not_lost_its_products(
    standins: StandIns, kind: str, word: str
) -> None:
    standins.control.fault("resource-manager", f"GET {kind}", status=404, code=word)
    async with ManagedIdentityCredential() as credential:
        adapter = ApiManagement(SERVICE, standins.addresses["resource-manager"], credential)
        with pytest.raises(Unavailable, match=word):
            await getattr(adapter, kind)("team-alpha")
        assert await getattr(adapter, kind)("team-alpha") is None
        await adapter.close()


async def test_a_foundry_account_that_is_not_there_has_not_lost_its_projects(standins: StandIns) -> None:
    async with ManagedIdentityCredential() as credential:
        adapter = Foundry(f"{FOUNDRY_ID}-gone", TRACES_ID, standins.addresses["resource-manager"], credential)
        with pytest.raises(Unavailable, match="ParentResourceNotFound"):
            await adapter.project("team-alpha")
        await adapter.close()
