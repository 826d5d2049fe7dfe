"""Workspaces that the catalogue offers and KAITO does not make: nothing is bought, no other team waits."""

from __future__ import annotations

import pytest

from shared.documents.problem import Level
from shared.errors import Rejected
from shared.messaging.messages import Sweep
from shared.messaging.outcomes import Event
from shared.messaging.routes import PROVISION_GATEWAY, PROVISION_WORKSPACES
from shared.names import CATALOG_TEAM
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.stages.sweep import run_sweep
from tests.fakes.app import GPU, Asked, FakeApp, catalog_text, path_of
from tests.fakes.cluster import FakeCluster
from tests.stages.road import a_platform, a_team, push, run

PHI = {"phi-4": GPU}
FAULTY = catalog_text().replace("preset: phi-4\n", "preset: phi4\n")
SHARED = FAULTY.replace(
    "    endpoint: http://phi-4.shared.internal/v1\n", f"    shared: {{instanceType: {GPU}}}\n"
)


def _cluster(app: FakeApp) -> FakeCluster:
    assert app.cluster is not None
    return app.cluster


def _workspaces(app: FakeApp) -> list[tuple[str, str]]:
    return [(home, name) for home, kind, name in _cluster(app).state.objects if kind == "Workspace"]


def _told(app: FakeApp) -> list[tuple[str, str, Level]]:
    return [(each.path, each.reason, each.level) for each in app.reports.verdicts[-1].problems]


async def test_a_request_for_one_is_refused_and_the_others_are_granted() -> None:
    app = await a_platform()
    texts = {path_of("alpha"): Asked(dedicated=PHI).text(), path_of("bravo"): Asked("bravo").text()}
    await push(app, {DEFAULT_CATALOG_PATH: FAULTY, **texts})
    assert _told(app) == [
        (DEFAULT_CATALOG_PATH, "UnknownPreset", "failure"),
        (path_of("alpha"), "WorkspaceImpossible", "failure"),
    ]
    for team in ("alpha", "bravo"):
        await run(app, PROVISION_GATEWAY, team)
    await run(app, PROVISION_WORKSPACES)
    assert _workspaces(app) == []
    assert "team-bravo" in app.gateway.state.products
    assert "team-alpha" not in app.gateway.state.products


async def test_a_team_that_has_one_keeps_it_and_the_next_push_only_warns() -> None:
    app = await a_team(Asked(dedicated=PHI))
    assert _workspaces(app) == [("team-alpha", "phi-4")]
    await push(app, {DEFAULT_CATALOG_PATH: FAULTY})
    await push(app, {path_of("bravo"): Asked("bravo").text()})
    assert _told(app) == [(DEFAULT_CATALOG_PATH, "UnknownPreset", "warning")]
    assert ("team-alpha", "phi-4") in _workspaces(app)


async def test_a_team_beyond_the_total_of_nodes_gets_no_workspace() -> None:
    app = await a_team(Asked(dedicated=PHI))
    bounded = catalog_text().replace("perTeam: 2, total: 3}", "perTeam: 2, total: 3, totalNodes: 1}")
    await push(app, {DEFAULT_CATALOG_PATH: bounded, path_of("bravo"): Asked("bravo", dedicated=PHI).text()})
    assert _told(app) == [(path_of("bravo"), "AboveCeiling", "failure")]
    await run(app, PROVISION_GATEWAY, "bravo")
    await run(app, PROVISION_WORKSPACES, "bravo")
    assert _workspaces(app) == [("team-alpha", "phi-4")]
    await push(app, {DEFAULT_CATALOG_PATH: catalog_text()})
    await run(app, PROVISION_GATEWAY, "bravo")
    await run(app, PROVISION_WORKSPACES, "bravo")
    assert ("team-bravo", "phi-4") in _workspaces(app)


async def test_the_platforms_own_is_not_created_either() -> None:
    app = await a_platform()
    app.repository.commit({DEFAULT_CATALOG_PATH: SHARED})
    with pytest.raises(Rejected) as refused:
        await run(app, PROVISION_WORKSPACES, CATALOG_TEAM)
    assert refused.value.reason == "WorkspaceImpossible"
    assert _workspaces(app) == []


async def test_a_sweep_warns_of_a_fault_because_it_may_have_stood_there_before() -> None:
    app = await a_platform()
    await push(app, {DEFAULT_CATALOG_PATH: FAULTY})
    app.repository.commit({DEFAULT_CATALOG_PATH: FAULTY + "# nothing else\n"})
    await run_sweep(app, Event(Sweep(why="a push was left to it", verdict=True), app.clock.now(), "d"))
    assert _told(app) == [(DEFAULT_CATALOG_PATH, "UnknownPreset", "warning")]
