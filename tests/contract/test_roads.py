"""What the fake road answers, and the adapter through the proxies of the played Gateway."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.adapters.roads import WorkspaceRoads
from shared.cluster_ports import Cluster, Roads
from shared.gateway_api.road import Served, Unserved
from shared.resources.desired import compile_workspaces
from shared.resources.workspaces import namespace_manifest, workspace_url
from standins.tests.plugin import StandIns
from tests.contract.sides import Watch
from tests.contract.targets import Targets, unique
from tests.contract.test_cluster import _made, _marker
from tests.fakes.app import GPU, Asked, FakeApp, a_catalog


@pytest.fixture
def roads(side: str, app: FakeApp, standins: StandIns, where: Targets) -> Roads:
    if "cluster" in where.real:
        pytest.skip("the road to a real cluster's models is not known here")
    assert app.roads is not None
    return app.roads if side == "fake" else WorkspaceRoads(standins.addresses["ingress"])


async def test_a_road_answers_with_the_name_when_the_model_is_ready(
    side: str, roads: Roads, cluster: Cluster, app: FakeApp, standins: StandIns, clock: Watch
) -> None:
    team, platform = unique("r"), app.platform
    assert platform.cluster is not None
    if side != "fake":
        facts = replace(platform.cluster, url=standins.addresses["ingress"])
        platform = replace(platform, cluster=facts)
    asked = Asked(team=team, dedicated={"phi-4": GPU}).read()
    desired = compile_workspaces(asked, a_catalog(), platform)
    assert platform.cluster is not None
    url = workspace_url(platform.cluster, team, "phi-4")
    assert await roads.ask(url) == Unserved(404)
    manifests: list[Any] = [*desired.limits, *desired.workspaces.values(), *desired.routes.values()]
    for manifest in (namespace_manifest(_marker(team)), *manifests):
        await _made(cluster, manifest)
    clock.advance(timedelta(minutes=7))
    assert isinstance(await roads.ask(url), Unserved)
    clock.advance(timedelta(minutes=7))
    assert await roads.ask(url) == Served(("phi-4",))
    await cluster.delete_route(f"team-{team}", "phi-4")
    assert await roads.ask(url) == Unserved(404)
