"""The log of a container that crashes: the fake, and the adapter at the stand-in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import pytest_asyncio

from shared.cluster_ports import Cluster
from shared.kaito.log_classes import classify
from shared.marker import Marker
from shared.resources.desired import compile_workspaces
from shared.resources.workspaces import namespace_manifest
from standins.control import Control
from standins.tests.plugin import StandIns
from tests.contract.conftest import BOTH
from tests.contract.sides import Watch
from tests.contract.targets import Targets, unique
from tests.fakes.app import GPU, REPOSITORY, Asked, FakeApp, a_catalog
from tests.fakes.cluster import FakeCluster
from tests.kaito.pods import ended, pod

#: What the stand-in's container writes.
GATED = "huggingface_hub.errors.GatedRepoError: 401 Client Error."
Crash = Callable[[str], None]


@pytest.fixture(params=BOTH)
def side(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest_asyncio.fixture(loop_scope="session")
async def home(cluster: Cluster, settled: Callable[[], None]) -> str:
    """A namespace with one workspace."""
    team = unique("t")
    await cluster.apply(namespace_manifest(Marker(REPOSITORY, team, "access.yaml", "c" * 40)))
    desired = compile_workspaces(
        Asked(team=team, dedicated={"phi-4": GPU}).read(), a_catalog(), FakeApp().platform
    )
    await cluster.create(desired.workspaces["phi-4"])
    settled()
    return f"team-{team}"


@pytest.fixture
def crash(side: str, app: FakeApp, standins: StandIns, where: Targets) -> Iterator[Crash]:
    """Lets the model of a namespace crash again and again, for want of a token."""
    if side == "fake":
        assert app.cluster is not None
        yield _in_fake(app.cluster)
        return
    if "cluster" in where.real:
        pytest.skip("a model of a real cluster cannot be told to crash")
    yield _in_standin(standins.control)
    standins.control.set_options("kubernetes", fail=None)


def _in_fake(cluster: FakeCluster) -> Crash:
    def crash(home: str) -> None:
        cluster.shown[f"{home}/phi-4"] = (pod(ended(1, waiting="CrashLoopBackOff")),)
        cluster.logs[f"{home}/phi-4"] = GATED

    return crash


def _in_standin(control: Control) -> Crash:
    def crash(home: str) -> None:
        wish = {"workspace": f"{home}/phi-4", "reason": "CrashLoopBackOff", "log": "gated"}
        control.set_options("kubernetes", fail=wish)

    return crash


async def test_the_log_of_a_crash_is_read_by_pod_and_container(
    cluster: Cluster, home: str, clock: Watch, crash: Crash
) -> None:
    crash(home)
    clock.advance(timedelta(minutes=7))
    [crashed] = await cluster.pods(home)
    [container] = crashed.containers
    assert container.is_crashing
    tail = await cluster.previous_log(home, crashed.name, container.name)
    found = classify(tail)
    assert found is not None
    assert found.name == "LogWeightsRefused"
    assert await cluster.previous_log(home, crashed.name, "other") is None
    assert await cluster.previous_log(home, "other-0", container.name) is None


async def test_a_container_that_never_ended_has_no_log_of_before(
    cluster: Cluster, home: str, clock: Watch
) -> None:
    clock.advance(timedelta(minutes=7))
    [loading] = await cluster.pods(home)
    [container] = loading.containers
    assert not container.is_crashing
    assert await cluster.previous_log(home, loading.name, container.name) is None
