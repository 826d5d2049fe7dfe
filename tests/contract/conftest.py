"""Each port twice: its fake, and its adapter with the stand-in. Both must pass the same tests."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from azure.identity.aio import ManagedIdentityCredential

from shared.adapters.api_management import ApiManagement
from shared.adapters.kaito import KaitoCluster
from shared.adapters.key_vault import KeyVault
from shared.adapters.role_assignments import RoleAssignments
from shared.adapters.service_bus import ServiceBus
from standins.world import SUBSCRIPTION
from tests.conftest import StandIns
from tests.contract.sides import BusSide, FakeBusSide, FakeClockSide, RealBusSide, StandInClock, Watch
from tests.contract.sources import FakeSource, RealSource, Source
from tests.fakes.app import FakeApp
from tests.wire.azure_clients import managed_identity

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/ai/providers"
BOTH = ["fake", "adapter"]


@pytest.fixture(scope="package")
def app() -> FakeApp:
    """The fakes. Tests use names of their own, as with the stand-ins."""
    return FakeApp()


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def credential(standins: StandIns) -> AsyncIterator[ManagedIdentityCredential]:
    with managed_identity(standins):
        async with ManagedIdentityCredential() as credential:
            yield credential


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def adapters(standins: StandIns, credential: ManagedIdentityCredential) -> AsyncIterator[dict[str, Any]]:
    """The adapters as `shared.bootstrap` builds them."""
    arm = standins.addresses["resource-manager"]
    connection = f"Endpoint=sb://{standins.addresses['service-bus']};SharedAccessKeyName=R;SharedAccessKey=K;UseDevelopmentEmulator=true;"
    built: dict[str, Any] = {
        "gateway": ApiManagement(f"{GROUP}/Microsoft.ApiManagement/service/{unique('apim')}", arm, credential),
        "vault": KeyVault(standins.addresses["key-vault"], credential, verify_challenge=False),
        "roles": RoleAssignments(f"{GROUP}/Microsoft.KeyVault/vaults/{unique('kv')}", arm, credential),
        "cluster": KaitoCluster(f"{GROUP}/Microsoft.ContainerService/managedClusters/gpu", "0.12", arm, credential),
        "bus": ServiceBus(connection, None, None),
    }
    yield built
    for adapter in built.values():
        await adapter.close()


@pytest.fixture(params=BOTH)
def side(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def gateway(side: str, app: FakeApp, adapters: dict[str, Any]) -> Any:
    return app.gateway if side == "fake" else adapters["gateway"]


@pytest.fixture
def vault(side: str, app: FakeApp, adapters: dict[str, Any]) -> Any:
    return app.vault if side == "fake" else adapters["vault"]


@pytest.fixture
def roles(side: str, app: FakeApp, adapters: dict[str, Any]) -> Any:
    return app.roles if side == "fake" else adapters["roles"]


@pytest.fixture
def cluster(side: str, app: FakeApp, adapters: dict[str, Any]) -> Any:
    return app.cluster if side == "fake" else adapters["cluster"]


@pytest.fixture
def clock(side: str, app: FakeApp, standins: StandIns) -> Watch:
    """The clock of the service behind the port."""
    return FakeClockSide(app.clock) if side == "fake" else StandInClock(standins.control)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def receivers(standins: StandIns, adapters: dict[str, Any]) -> AsyncIterator[RealBusSide]:
    real = RealBusSide(adapters["bus"], standins.addresses["service-bus"])
    yield real
    await real.close()


@pytest.fixture
def bus(side: str, app: FakeApp, receivers: RealBusSide) -> BusSide:
    return FakeBusSide(app.bus) if side == "fake" else receivers


@pytest_asyncio.fixture(loop_scope="session")
async def source(side: str, standins: StandIns, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Source]:
    """A repository with nothing in it."""
    if side == "fake":
        yield FakeSource()
        return
    real = await RealSource.open(standins.addresses["github"], tmp_path_factory.mktemp("clone"))
    yield real
    await real.close()


def unique(what: str) -> str:
    return f"{what}-{uuid.uuid4().hex[:10]}"
