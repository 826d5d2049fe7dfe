"""Of a model that the catalogue changes, no team waits for a workspace that nobody will change."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial

from shared.gateway_api.road import Unserved
from shared.messaging.outcomes import Push, Waiting
from shared.messaging.routes import PROVISION_WORKSPACES
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.stages.receive_push import queue_changes
from tests.fakes.app import GPU, Asked, FakeApp, catalog_text, path_of
from tests.fakes.calls import Call
from tests.fakes.cluster import FakeCluster
from tests.stages.road import a_platform, ask, drain, later, push, run, shown

SMALL = "Standard_NC16as_T4_v3"
BEFORE = (
    'kaito: "0.11"\n' + catalog_text().replace("Standard_NC48ads_A100_v4", SMALL)  # of the first model
)
#: On the small size KAITO 0.11 counts six nodes for it, and makes none.
AFTER = BEFORE.replace("preset: phi-4\n", "preset: phi-4\n    context: 16384\n")
TEAMS = ("alpha", "bravo", "charlie")


def _cluster(app: FakeApp) -> FakeCluster:
    assert app.cluster is not None
    return app.cluster


async def _teams(first: str = GPU) -> FakeApp:
    """Teams whose own phi-4 serves; that of the first is on this instance type."""
    app = await a_platform()
    _cluster(app).kaito = "0.11"
    await push(app, {DEFAULT_CATALOG_PATH: BEFORE})
    for team in TEAMS:
        await ask(app, Asked(team=team, dedicated={"phi-4": first if team == "alpha" else GPU}))
    await later(app, timedelta(hours=1))
    return app


def _configured(app: FakeApp) -> list[str]:
    """The teams whose workspace has a configuration."""
    found = {
        home: kept.manifest["inference"]
        for (home, kind, _), kept in _cluster(app).state.objects.items()
        if kind == "Workspace"
    }
    return [team for team in TEAMS if found[f"team-{team}"].get("config")]


async def _begin(app: FakeApp) -> None:
    """The catalogue changes, and each team's stage looks once: all have begun, none has been changed."""
    before = app.repository.branch
    app.repository.commit({DEFAULT_CATALOG_PATH: AFTER})
    await queue_changes(app, Push("catalogue", before, False, app.repository.branch), app.clock.now())
    await drain(app)
    assert _configured(app) == []


async def test_a_workspace_that_kaito_would_not_make_anew_keeps_no_other_waiting() -> None:
    app = await _teams(SMALL)
    await push(app, {DEFAULT_CATALOG_PATH: AFTER})
    await later(app, timedelta(hours=6))
    assert _configured(app) == ["bravo", "charlie"]
    assert shown(app)["workspaces"].startswith("failure: WorkspaceImpossible")


async def test_a_request_that_is_refused_meanwhile_keeps_no_other_waiting() -> None:
    app = await _teams()
    await _begin(app)
    await push(app, {path_of("alpha"): "team: alpha\n"})
    await later(app, timedelta(hours=6))
    assert _configured(app) == ["bravo", "charlie"]


async def test_a_workspace_that_is_edited_meanwhile_keeps_no_other_waiting() -> None:
    app = await _teams()
    await _begin(app)
    own = _cluster(app).state.objects["team-alpha", "Workspace", "phi-4"].manifest
    own["inference"]["adapters"] = [{"source": {"name": "a", "image": "registry.example/a:1"}}]
    await later(app, timedelta(hours=6))
    assert _configured(app) == ["bravo", "charlie"]
    assert shown(app)["workspaces"].startswith("failure: WorkspaceEdited")


async def test_namespaces_are_read_before_workspaces() -> None:
    """The marker comes after the workspace: between both lists a workspace that is made must not be lost."""
    app, seen = await _teams(), list[str]()

    async def note(call: Call, when: str) -> None:
        if call.name in ("namespaces", "all_workspaces"):
            seen.append(f"{when} {call.name}")
            await asyncio.sleep(0)

    app.calls.before, app.calls.after = partial(note, when="before"), partial(note, when="after")
    await push(app, {DEFAULT_CATALOG_PATH: AFTER})
    seen.clear()
    await later(app, timedelta(seconds=30))
    [first, *_] = [index for index, each in enumerate(seen) if each == "before namespaces"]
    assert seen[first + 1 : first + 3] == ["after namespaces", "before all_workspaces"]


async def test_one_that_took_too_many_nodes_keeps_no_other_waiting() -> None:
    """It is not made again, and while its team asks for something else beside it no marker vouches for it."""
    app = await a_platform()
    bounded = catalog_text().replace("preset: phi-4\n", "preset: phi-4\n    maxNodes: 2\n    context: 8192\n")
    await push(app, {DEFAULT_CATALOG_PATH: bounded})
    await ask(app, Asked(team="bravo", dedicated={"phi-4": GPU}))
    await later(app, timedelta(hours=1))
    app.repository.commit({DEFAULT_CATALOG_PATH: bounded.replace("context: 8192", "context: 16384")})
    _cluster(app).more_nodes = 2
    await ask(app, Asked(dedicated={"phi-4": GPU}))
    assert shown(app)["workspaces"].startswith("failure: TooManyNodes")
    await later(app, timedelta(minutes=5))
    await ask(app, Asked(dedicated={"phi-4": GPU, "mistral-7b": GPU}))
    assert shown(app)["workspaces"].startswith("failure: TooManyNodes")
    for _ in range(2):
        outcome = await run(app, PROVISION_WORKSPACES, "bravo")
    assert isinstance(outcome, Waiting)
    assert outcome.reason != "AnotherIsReplaced"
    assert "change_workspace team-bravo/phi-4" in " ".join(app.calls.writes("cluster"))


async def test_the_next_is_changed_when_the_road_of_the_one_before_answers() -> None:
    app = await _teams()
    assert app.roads is not None
    await _begin(app)
    app.roads.answers["team-alpha/phi-4"] = Unserved(500)
    await later(app, timedelta(hours=1))
    assert _configured(app) == ["alpha"]
    del app.roads.answers["team-alpha/phi-4"]
    await later(app, timedelta(hours=2))
    assert _configured(app) == list(TEAMS)


async def test_where_roads_cannot_be_asked_from_here_conditions_decide_whose_turn_it_is() -> None:
    app = await _teams()
    assert app.roads is not None
    app.roads.reachable = False
    await _begin(app)
    await later(app, timedelta(hours=6))
    assert _configured(app) == list(TEAMS)
