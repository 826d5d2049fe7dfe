"""Each port twice: its fake, and its adapter with the stand-in. Both must pass the same tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast

import pytest
import pytest_asyncio
from azure.core.credentials_async import AsyncTokenCredential
from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential

from shared.adapters.api_management import ApiManagement
from shared.adapters.foundry import Foundry
from shared.adapters.kaito import KaitoCluster
from shared.adapters.key_vault import KeyVault
from shared.adapters.role_assignments import FOUNDRY_USER, SECRETS_USER, RoleAssignments
from shared.adapters.service_bus import ServiceBus
from standins.tests.azure_clients import managed_identity
from standins.tests.github.remotes import a_remote
from standins.tests.plugin import StandIns
from tests.cluster.real import RealCluster
from tests.contract.announcers import Announcer, FakeAnnouncer, RealAnnouncer
from tests.contract.cleaning import clean
from tests.contract.sides import (
    BusSide,
    Definitions,
    FakeBusSide,
    FakeClockSide,
    FakeDefinitions,
    FakePlatformVault,
    PlatformVault,
    RealBusSide,
    RealClock,
    RealClusterClock,
    RealDefinitions,
    StandInClock,
    StandInDefinitions,
    StandInPlatformVault,
    Watch,
)
from tests.contract.sources import FakeSource, RealSource, Source
from tests.contract.targets import Targets, a_cluster, targets
from tests.fakes.app import FakeApp

#: The ports that ask Entra ID for tokens.
AZURE = {"gateway", "vault", "roles", "cluster", "projects"}
BOTH = ["fake", "adapter"]
#: The cluster has a third: the adapter with a real API server, where `make cluster` has built one.
REAL_SERVER = "real server"
#: Fixtures that stand for a port under another name.
BEHIND = {"room": "bus", "source": "repository", "announcer": "repository"}


@pytest.fixture(scope="package")
def app() -> FakeApp:
    """The fakes. Tests use names of their own, as with the stand-ins."""
    return FakeApp()


@pytest.fixture(scope="package")
def where(standins: StandIns) -> Targets:
    """What the adapters talk to."""
    return targets(standins)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def credential(standins: StandIns, where: Targets) -> AsyncIterator[AsyncTokenCredential]:
    if where.real & AZURE:
        async with DefaultAzureCredential() as real:
            yield real
        return
    with managed_identity(standins):
        async with ManagedIdentityCredential() as local:
            yield local


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def adapters(where: Targets, credential: AsyncTokenCredential) -> AsyncIterator[dict[str, Any]]:
    """The adapters as `shared.bootstrap` builds them. What real services keep is removed before and after."""
    await clean(where, credential)
    built: dict[str, Any] = {
        "gateway": ApiManagement(where.apim_service_id, where.resource_manager, credential),
        "vault": KeyVault(where.key_vault_url, credential, verify_challenge=where.key_vault_verify_challenge),
        "roles": RoleAssignments(
            f"{where.key_vault_id}/secrets", SECRETS_USER, where.resource_manager, credential
        ),
        "projects": Foundry(
            where.foundry_account_id, where.foundry_tracing_id, where.resource_manager, credential
        ),
        "project roles": RoleAssignments(
            f"{where.foundry_account_id}/projects", FOUNDRY_USER, where.resource_manager, credential
        ),
        "cluster": KaitoCluster(where.aks_cluster_id, where.resource_manager, credential),
        "bus": ServiceBus(where.service_bus, None, None),
    }
    yield built
    for adapter in built.values():
        await adapter.close()
    await clean(where, credential)


@pytest.fixture(params=BOTH)
def side(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def gateway(side: str, app: FakeApp, adapters: dict[str, Any]) -> Any:
    return app.gateway if side == "fake" else adapters["gateway"]


@pytest.fixture
def platform_vault(side: str, app: FakeApp, standins: StandIns, where: Targets) -> Iterator[PlatformVault]:
    """What the gateway finds in the platform's own vault."""
    if "gateway" in where.real:
        pytest.skip("a real gateway reads a real vault")
    if side == "fake":
        found: PlatformVault = FakePlatformVault(app.gateway)
    else:
        found = StandInPlatformVault(standins.control)
    yield found
    found.tells()


@pytest.fixture
def vault(side: str, app: FakeApp, adapters: dict[str, Any]) -> Any:
    return app.vault if side == "fake" else adapters["vault"]


@pytest.fixture
def roles(side: str, app: FakeApp, adapters: dict[str, Any]) -> Any:
    return app.roles if side == "fake" else adapters["roles"]


@pytest.fixture
def projects(side: str, app: FakeApp, adapters: dict[str, Any]) -> Any:
    return app.projects if side == "fake" else adapters["projects"]


@pytest.fixture
def project_roles(side: str, app: FakeApp, adapters: dict[str, Any]) -> Any:
    return app.project_roles if side == "fake" else adapters["project roles"]


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def real_adapter(
    real_server: RealCluster, where: Targets, credential: AsyncTokenCredential
) -> AsyncIterator[KaitoCluster]:
    if where.real & AZURE:
        pytest.skip("the identity is a real one, whose tokens a local API server does not know")
    adapter = KaitoCluster(a_cluster(real_server.name), where.resource_manager, credential)
    yield adapter
    await adapter.close()


@pytest.fixture
def cluster(request: pytest.FixtureRequest, side: str, app: FakeApp, adapters: dict[str, Any]) -> Any:
    if side == REAL_SERVER:
        return request.getfixturevalue("real_adapter")
    return app.cluster if side == "fake" else adapters["cluster"]


@pytest.fixture
def settled(request: pytest.FixtureRequest, side: str) -> Callable[[], None]:
    """Lets the controllers do what they do at once; elsewhere they have, whenever somebody looks."""
    if side != REAL_SERVER:
        return lambda: None
    real = cast("RealCluster", request.getfixturevalue("real_server"))

    def wait() -> None:
        real.settle()
        real.wait_for_quotas()

    return wait


@pytest.fixture
def definitions(
    request: pytest.FixtureRequest, side: str, app: FakeApp, standins: StandIns, where: Targets
) -> Iterator[Definitions]:
    """The kinds that the cluster knows."""
    if side == REAL_SERVER:
        found: Definitions = RealDefinitions(request.getfixturevalue("real_server"))
    elif side == "fake":
        assert app.cluster is not None
        found = FakeDefinitions(app.cluster)
    elif "cluster" in where.real:
        pytest.skip("a definition that is removed takes all objects of a real cluster along")
    else:
        found = StandInDefinitions(standins.control)
    yield found
    found.install_all()


@pytest.fixture
def clock(
    request: pytest.FixtureRequest, side: str, app: FakeApp, standins: StandIns, where: Targets
) -> Watch:
    """The clock of the service behind the port that the test uses."""
    if side == "fake":
        return FakeClockSide(app.clock)
    if side == REAL_SERVER:
        return RealClusterClock(request.getfixturevalue("real_server"))
    ports = {BEHIND.get(name, name) for name in request.fixturenames}
    return RealClock() if where.real & ports else StandInClock(standins.control)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def receivers(where: Targets, adapters: dict[str, Any]) -> AsyncIterator[RealBusSide]:
    real = RealBusSide(adapters["bus"], where.service_bus)
    yield real
    await real.close()


@pytest.fixture
def bus(side: str, app: FakeApp, receivers: RealBusSide) -> BusSide:
    return FakeBusSide(app.bus) if side == "fake" else receivers


@pytest_asyncio.fixture(loop_scope="session")
async def source(
    side: str, standins: StandIns, where: Targets, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Source]:
    """A branch with nothing in it."""
    if side == "fake":
        yield FakeSource()
        return
    clone = tmp_path_factory.mktemp("clone")
    at_github = "repository" in where.real
    real = (
        RealSource.at_github(clone)
        if at_github
        else await RealSource.at_standins(standins.addresses["github"], clone)
    )
    yield real
    await real.close()


@pytest_asyncio.fixture(loop_scope="session")
async def announcer(
    side: str, app: FakeApp, standins: StandIns, where: Targets, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Announcer]:
    """A GitHub that nobody was told anything by."""
    if side == "fake":
        yield FakeAnnouncer(app.clock)
        return
    if "repository" in where.real:
        pytest.skip("the App's webhook is a real one: its calls cannot be made to fail")
    async with a_remote(standins, tmp_path_factory.mktemp("announcer")) as remote:
        real = await RealAnnouncer.at_standins(remote)
        yield real
        await real.close()
