"""What the cluster serves tells its release of KAITO; the answer is kept for some minutes."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
from azure.identity.aio import ManagedIdentityCredential

from shared.adapters.kaito import RELEASE_KEPT, KaitoCluster
from shared.errors import KindNotServed, Unavailable
from shared.kaito.releases import RELEASES, Release
from shared.marker import Marker
from shared.resources.desired import compile_workspaces
from shared.resources.workspaces import EARLIER_API_VERSION, fixed_fields, namespace_manifest
from standins.stack import CLUSTER_ID
from standins.tests.azure_clients import managed_identity
from standins.tests.plugin import StandIns
from tests.fakes.app import GPU, REPOSITORY, Asked, FakeApp, a_catalog, path_of


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def cluster(standins: StandIns, clock: Clock) -> AsyncIterator[KaitoCluster]:
    with managed_identity(standins):
        async with ManagedIdentityCredential() as credential:
            manager = standins.addresses["resource-manager"]
            built = KaitoCluster(CLUSTER_ID, manager, credential, clock)
            yield built
            await built.close()
    standins.control.set_options("kubernetes", kaito="by-version")
    standins.control.forget_faults()


def _asked(standins: StandIns) -> int:
    """How often the document of KAITO's kinds was read."""
    calls = standins.control.calls()
    return sum(call.server == "kubernetes" and call.kind == "GET discovery" for call in calls)


def _gateway_reads(standins: StandIns) -> list[str]:
    calls = standins.control.calls()
    return [call.kind for call in calls if call.server == "kubernetes" and "gateway" in call.kind.lower()]


@pytest.mark.parametrize("release", RELEASES)
async def test_each_release_is_told_by_what_the_cluster_serves(
    standins: StandIns, cluster: KaitoCluster, release: Release
) -> None:
    standins.control.set_options("kubernetes", kaito=release)
    assert await cluster.release() == release


async def test_a_release_with_a_field_more_is_unknown(standins: StandIns, cluster: KaitoCluster) -> None:
    standins.control.set_options("kubernetes", kaito="next")
    assert await cluster.release() is None


async def test_an_answer_is_kept_for_some_minutes_and_then_asked_for_again(
    standins: StandIns, cluster: KaitoCluster, clock: Clock
) -> None:
    standins.control.forget_calls()
    assert {await cluster.release() for _ in range(5)} == {"0.12"}
    standins.control.set_options("kubernetes", kaito="0.11")
    clock.seconds = RELEASE_KEPT - 1
    assert await cluster.release() == "0.12"
    assert _asked(standins) == 1
    clock.seconds = RELEASE_KEPT
    assert await cluster.release() == "0.11"
    assert _asked(standins) == 2


async def test_whose_gateway_it_is_is_asked_once_in_some_minutes(
    standins: StandIns, cluster: KaitoCluster, clock: Clock
) -> None:
    clock.seconds = 0
    standins.control.forget_calls()
    assert {await cluster.gateway_controller("gateway-system/internal") for _ in range(5)} == {"istio"}
    assert len(_gateway_reads(standins)) == 1
    clock.seconds = RELEASE_KEPT
    assert await cluster.gateway_controller("gateway-system/internal") == "istio"
    assert len(_gateway_reads(standins)) == 2


async def test_a_cluster_that_does_not_serve_it_is_asked_again_each_time(
    standins: StandIns, cluster: KaitoCluster
) -> None:
    standins.control.fault("kubernetes", "GET discovery", status=404, count=1)
    with pytest.raises(KindNotServed):
        await cluster.release()
    assert await cluster.release() == "0.12"


async def test_an_answer_that_makes_no_sense_is_not_kept(standins: StandIns, cluster: KaitoCluster) -> None:
    standins.control.fault("kubernetes", "GET discovery", status=200, body="<html>", count=1)
    with pytest.raises(Unavailable):
        await cluster.release()
    assert await cluster.release() == "0.12"


async def test_what_an_earlier_version_created_for_the_add_on_is_read_as_it_was_written(
    standins: StandIns, cluster: KaitoCluster
) -> None:
    """Earlier versions created such workspaces in another API version, which stored the same."""
    standins.control.set_options("kubernetes", kaito="0.6")
    team = f"earlier-{uuid.uuid4().hex[:8]}"
    desired = compile_workspaces(
        Asked(team=team, dedicated={"phi-4": GPU}).read(), a_catalog(), FakeApp().platform
    )
    await cluster.apply(namespace_manifest(Marker(REPOSITORY, team, path_of(team), "c" * 40)))
    manifest = desired.workspaces["phi-4"]
    await cluster.create({**manifest, "apiVersion": EARLIER_API_VERSION})
    [found] = await cluster.workspaces(f"team-{team}")
    assert (dict(found.fixed), found.managed) == (fixed_fields(manifest), True)
    await cluster.delete_workspace(f"team-{team}", "phi-4", found.resource_version)
