"""What can become of a cluster while the app runs: other certificates, another cluster by the same id,
kinds that go and come back, definitions that change. A real API server of these tests' own, since all of it
lasts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import timedelta

import pytest
import pytest_asyncio
from azure.identity.aio import ManagedIdentityCredential

from shared.adapters.kaito import KaitoCluster
from shared.adapters.kaito_connection import OLD
from shared.errors import Busy, KindNotServed, Unavailable
from shared.marker import Marker
from shared.resources.desired import compile_workspaces
from shared.resources.workspaces import namespace_manifest
from standins.stack import wait_until
from standins.tests.azure_clients import managed_identity
from standins.tests.plugin import StandIns
from tests.cluster.build import KAITO, definitions
from tests.cluster.caller import MERGE
from tests.cluster.control_plane import API_SERVER, CONTROLLERS
from tests.cluster.real import DEFINED, DEFINITIONS, RealCluster, StandInsAt, StartCluster, define
from tests.contract.targets import a_cluster
from tests.fakes.app import GPU, REPOSITORY, Asked, FakeApp, a_catalog
from tests.fakes.clock import FakeClock

TEAM, HOME = "trouble", "team-trouble"
DESIRED = compile_workspaces(
    Asked(team=TEAM, dedicated={"phi-4": GPU}).read(), a_catalog(), FakeApp().platform
)


@pytest.fixture(scope="module")
def beside(standins: StandIns) -> StandInsAt:
    return StandInsAt(standins.control, standins.addresses, standins.ca)


@pytest.fixture(scope="module")
def real(beside: StandInsAt, new_real_cluster: StartCluster) -> Iterator[RealCluster]:
    with new_real_cluster(beside, "trouble") as cluster:
        cluster.options.change({"deleted_after": 0.0})  # KAITO lets go of a Workspace at once
        yield cluster


@pytest.fixture
def clock() -> FakeClock:
    """The adapter's: a client that cannot reach the cluster is dropped when it is old."""
    return FakeClock()


@pytest_asyncio.fixture(loop_scope="session")
async def adapter(standins: StandIns, real: RealCluster, clock: FakeClock) -> AsyncIterator[KaitoCluster]:
    """The app's, after it has found the cluster and made a team's namespace with a workspace and a route."""
    with managed_identity(standins):
        async with ManagedIdentityCredential() as credential:
            address = standins.addresses["resource-manager"]
            adapter = KaitoCluster(a_cluster(real.name), address, credential, lambda: clock.now().timestamp())
            marker = Marker(REPOSITORY, TEAM, f"tenant-access/config/{TEAM}/access.yaml", "c" * 40)
            await adapter.apply(namespace_manifest(marker))
            with suppress(Busy):  # it stands, since the test before
                await adapter.create(DESIRED.workspaces["phi-4"])
            await adapter.apply(DESIRED.routes["phi-4"])
            real.settle()
            yield adapter
            await adapter.close()


async def _names(adapter: KaitoCluster) -> tuple[list[str], list[str]]:
    """Workspaces and routes of the team."""
    workspaces, routes = await adapter.workspaces(HOME), await adapter.routes(HOME)
    return [each.name for each in workspaces], [each.name for each in routes]


async def _again(adapter: KaitoCluster, clock: FakeClock) -> tuple[list[str], list[str]]:
    """The same after one call that failed with an old client, as a stage begins again: the address is asked
    for anew.
    """
    clock.advance(timedelta(seconds=OLD))
    with pytest.raises(Unavailable):
        await adapter.namespaces()
    return await _names(adapter)


def _restart(cluster: RealCluster) -> None:
    for part in (CONTROLLERS, API_SERVER):
        cluster.plane.kill(part)
    for part in (API_SERVER, CONTROLLERS):
        cluster.plane.start(part)


async def test_other_certificates_are_learned_from_resource_manager(
    real: RealCluster, adapter: KaitoCluster, clock: FakeClock
) -> None:
    real.plane.change_certificate()
    _restart(real)
    real.announce()
    assert await _again(adapter, clock) == (["phi-4"], ["phi-4"])


async def test_another_cluster_by_the_same_id_is_found_when_the_first_is_gone(
    real: RealCluster,
    adapter: KaitoCluster,
    clock: FakeClock,
    beside: StandInsAt,
    new_real_cluster: StartCluster,
) -> None:
    with new_real_cluster(beside, real.name):
        assert await _names(adapter) == (["phi-4"], ["phi-4"])  # the first one still answers
        real.plane.kill(API_SERVER)
        assert await _again(adapter, clock) == ([], [])
    real.plane.start(API_SERVER)
    real.announce()
    assert await _again(adapter, clock) == (["phi-4"], ["phi-4"])


async def test_what_is_stored_in_another_version_is_read_as_before(
    real: RealCluster, adapter: KaitoCluster
) -> None:
    before = await adapter.workspaces(HOME)
    _store(real, "v1alpha1")
    written = {"metadata": {"labels": {"stored": "anew"}}}
    path = f"/apis/kaito.sh/v1beta1/namespaces/{HOME}/workspaces/phi-4"
    real.administrator.ask("PATCH", path, written, MERGE)
    after = await adapter.workspaces(HOME)
    _store(real, "v1beta1")
    assert [(each.name, each.fixed, each.managed) for each in after] == [
        (each.name, each.fixed, each.managed) for each in before
    ]


def _store(real: RealCluster, version: str) -> None:
    """Have Workspaces stored in this version from now on."""
    path = f"{DEFINITIONS}/{DEFINED['Workspace'][0]}"
    definition = real.administrator.ask("GET", path)
    for each in definition["spec"]["versions"]:
        each["storage"] = each["name"] == version
    real.administrator.ask("PUT", path, definition)


async def test_a_kind_that_goes_is_told_and_one_that_comes_back_is_used(
    real: RealCluster, adapter: KaitoCluster
) -> None:
    _delete(real, "HTTPRoute")
    for asked in (adapter.routes(HOME), adapter.all_routes()):
        with pytest.raises(KindNotServed):
            await asked
    assert [each.name for each in await adapter.workspaces(HOME)] == ["phi-4"]
    define(real.plane, definitions())
    await adapter.apply(DESIRED.routes["phi-4"])
    assert await _names(adapter) == (["phi-4"], ["phi-4"])


async def test_without_workspaces_there_is_no_release_though_kaito_has_other_kinds(
    real: RealCluster, adapter: KaitoCluster
) -> None:
    assert await adapter.release() == KAITO
    _delete(real, "Workspace")
    for asked in (adapter.all_workspaces(), adapter.release()):
        with pytest.raises(KindNotServed):
            await asked
    define(real.plane, definitions())
    wait_until("the kind is described", lambda: real.is_described("Workspace"))
    assert await adapter.release() == KAITO
    assert await _names(adapter) == ([], ["phi-4"])


def _delete(real: RealCluster, kind: str) -> None:
    """The definition, and with it all objects of the kind."""
    name, path = DEFINED[kind]
    real.administrator.ask("DELETE", f"{DEFINITIONS}/{name}")
    gone = (f"{DEFINITIONS}/{name}", path)
    wait_until("the definition is gone", lambda: all(real.administrator.find(each) is None for each in gone))
    wait_until("the kind is not described", lambda: not real.is_described(kind))
