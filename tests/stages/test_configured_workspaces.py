"""Workspaces with a configuration: what is written first, what a change of the catalogue costs, whose turn it
is, and what is left to people.
"""

from __future__ import annotations

from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest

from shared.inventory.dead_letters import letters
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.resources.inference_config import ASKED, FILE, WRITTEN
from shared.stages.workspace_starts import SECRET_COMES, SECRET_WAIT
from tests.fakes.app import GPU, Asked, FakeApp, catalog_text
from tests.fakes.calls import Call
from tests.fakes.cluster import FakeCluster
from tests.stages.road import a_platform, ask, later, push, shown, sweep

PHI = "preset: phi-4\n"
WRITTEN_NAME = "preset: phi-4\n    servedName: written\n    context: 8192\n"
WITH_TOOLS = WRITTEN_NAME + "    toolParser: hermes\n"
TEAMS = ("alpha", "bravo", "charlie")
HOUR = timedelta(hours=1)
Object = dict[str, Any]


def _catalog(keys: str = WRITTEN_NAME) -> str:
    return catalog_text().replace(PHI, keys)


def _cluster(app: FakeApp) -> FakeCluster:
    assert app.cluster is not None
    return app.cluster


async def _teams(catalog: str = "", teams: tuple[str, ...] = TEAMS) -> FakeApp:
    """Teams whose own phi-4 serves."""
    app = await a_platform()
    await push(app, {DEFAULT_CATALOG_PATH: catalog or catalog_text()})
    for team in teams:
        await ask(app, Asked(team=team, dedicated={"phi-4": GPU}))
    await later(app, HOUR)
    app.calls.forget()
    return app


def _workspace(app: FakeApp, team: str = "alpha", name: str = "phi-4") -> Object:
    return _cluster(app).state.objects[f"team-{team}", "Workspace", name].manifest


def _config(app: FakeApp, team: str = "alpha") -> str:
    return str(_workspace(app, team)["inference"].get("config", ""))


async def _serving(app: FakeApp) -> list[str]:
    """The namespaces whose workspaces are there and ready."""
    found = await _cluster(app).all_workspaces()
    return sorted(
        home
        for home, each in found.items()
        if all(one.verdict.is_ready and not one.terminating for one in each)
    )


def _gpu_writes(app: FakeApp) -> list[str]:
    """What was written of workspaces and configurations, without the hash."""
    return [
        write.partition("/inference-")[0]
        for write in app.calls.writes("cluster")
        if not write.startswith(("apply", "annotate"))
    ]


async def test_a_workspace_names_a_configuration_that_was_created_before_it() -> None:
    app = await _teams(_catalog(), ("alpha",))
    [name] = _cluster(app).names("team-alpha", "ConfigMap")
    kept = _cluster(app).state.objects["team-alpha", "ConfigMap", name].manifest
    assert kept["immutable"] is True
    assert kept["data"] == {FILE: 'vllm:\n  max-model-len: 8192\n  served-model-name: "phi-4"\n'}
    assert _config(app) == name
    assert "served-model-name" not in str(_workspace(app))


async def test_a_configuration_costs_a_new_team_one_write() -> None:
    app = await a_platform()
    await push(app, {DEFAULT_CATALOG_PATH: _catalog()})
    app.calls.forget()
    await ask(app, Asked(dedicated={"phi-4": GPU}))
    assert _gpu_writes(app) == ["create ConfigMap team-alpha", "create Workspace team-alpha/phi-4"]


async def test_a_configuration_is_created_when_its_workspace_waits_no_more() -> None:
    """For its access secret, in a namespace that is there already."""
    app = await a_platform()
    await push(app, {DEFAULT_CATALOG_PATH: _catalog(WRITTEN_NAME + "    accessSecret: hugging-face\n")})
    app.calls.forget()
    await ask(app, Asked(dedicated={"phi-4": GPU}))
    assert "team-alpha" in _cluster(app).state.namespaces
    assert _gpu_writes(app) == []
    await later(app, SECRET_COMES + SECRET_WAIT)
    assert _gpu_writes(app) == ["create ConfigMap team-alpha", "create Workspace team-alpha/phi-4"]


async def test_what_stands_without_a_configuration_lacks_nothing() -> None:
    app = await _teams()
    await sweep(app, deep=True)
    assert app.calls.writes("cluster") == []


async def test_a_configuration_that_appears_makes_one_workspace_anew_at_a_time() -> None:
    app = await _teams()
    fewest = await _least_serving(app, {DEFAULT_CATALOG_PATH: _catalog()}, timedelta(hours=4))
    assert fewest == 2, "the others go on serving"
    assert [_config(app, team) != "" for team in TEAMS] == [True, True, True]
    assert sorted(_gpu_writes(app)) == sorted(
        write
        for team in TEAMS
        for write in (
            f"create ConfigMap team-{team}",
            f"delete_route team-{team}/phi-4",
            f"delete_workspace team-{team}/phi-4",
            f"create Workspace team-{team}/phi-4",
        )
    )


async def test_another_configuration_restarts_one_workspace_at_a_time() -> None:
    app = await _teams(_catalog())
    fewest = await _least_serving(app, {DEFAULT_CATALOG_PATH: _catalog(WITH_TOOLS)}, timedelta(hours=4))
    assert fewest == 2
    assert sorted(_gpu_writes(app)) == sorted(
        write
        for team in TEAMS
        for write in (f"create ConfigMap team-{team}", f"change_workspace team-{team}/phi-4")
    )
    kept = _cluster(app).state.objects["team-bravo", "ConfigMap", _config(app, "bravo")].manifest
    assert kept["data"][FILE].splitlines()[-2:] == [
        '  tool-call-parser: "hermes"',
        "  enable-auto-tool-choice: true",
    ]


async def _least_serving(app: FakeApp, files: dict[str, Any], time: timedelta) -> int:
    """How many workspaces served at least at every moment of the change, and all of them at its end."""
    fewest = [len(await _serving(app))]

    async def count(call: Call) -> None:
        if call.system == "cluster" and call.name != "all_workspaces":
            fewest.append(len(await _serving(app)))

    app.calls.after = count
    await push(app, files)
    await later(app, time)
    assert await _serving(app) == [f"team-{team}" for team in TEAMS]
    return min(fewest)


@pytest.mark.parametrize(("context", "change"), [(8192, "change_workspace"), (32768, "delete_workspace")])
async def test_a_context_that_takes_other_nodes_makes_a_workspace_anew(context: int, change: str) -> None:
    gemma = "preset: gemma-3-27b-instruct\n    context: {}\n"
    app = await _teams(catalog_text().replace(PHI, gemma.format(4096)), ("alpha",))
    await push(app, {DEFAULT_CATALOG_PATH: catalog_text().replace(PHI, gemma.format(context))})
    await later(app, HOUR)
    assert [write for write in _gpu_writes(app) if "_workspace" in write] == [f"{change} team-alpha/phi-4"]


async def test_a_lost_message_of_a_reviewed_change_is_made_good_by_a_sweep() -> None:
    app = await _teams(teams=("alpha",))
    app.repository.commit({DEFAULT_CATALOG_PATH: _catalog()})
    await sweep(app)
    await later(app, HOUR)
    assert _config(app) != ""


async def test_what_another_version_wrote_from_the_same_catalogue_stays() -> None:
    app = await _teams(_catalog(), ("alpha",))
    kept = _workspace(app)
    kept["inference"]["config"] = kept["metadata"]["annotations"][WRITTEN] = "inference-of-before"
    await sweep(app, deep=True)
    await run_again(app)
    assert _gpu_writes(app) == []


async def run_again(app: FakeApp) -> None:
    """A push that changes something else of the request."""
    await ask(app, Asked(dedicated={"phi-4": GPU}, display_name="Alpha"))
    await later(app, HOUR)


def _without_config(workspace: Object) -> None:
    del workspace["inference"]["config"]


def _with_an_adapter(workspace: Object) -> None:
    workspace["inference"]["adapters"] = [{"source": {"name": "a", "image": "registry.example/a:1"}}]


def _without_annotations(workspace: Object) -> None:
    del workspace["metadata"]["annotations"]


@pytest.mark.parametrize("edit", [_without_config, _with_an_adapter, _without_annotations])
async def test_a_workspace_that_people_edited_is_told_and_left_alone(edit: Any) -> None:
    app = await _teams(_catalog(), ("alpha",))
    edit(_workspace(app))
    before = deepcopy(_workspace(app))
    await sweep(app)
    await later(app, HOUR)
    assert _gpu_writes(app) == []
    assert _workspace(app) == before
    assert [letter.reason for letter in await _letters(app)] == ["WorkspaceEdited"]


def _with_a_configuration_of_theirs(workspace: Object) -> None:
    workspace["inference"]["config"] = "by-hand"


@pytest.mark.parametrize("edit", [_with_an_adapter, _with_a_configuration_of_theirs])
async def test_what_people_gave_a_workspace_that_has_nothing_of_ours_stays(edit: Any) -> None:
    """Before there were configurations of ours, this was the only way to one."""
    app = await _teams()
    edit(_workspace(app))
    await sweep(app, deep=True)
    await run_again(app)
    assert (_gpu_writes(app), await _letters(app)) == ([], [])
    assert shown(app)["workspaces"].startswith("success")


@pytest.mark.parametrize("edit", [_with_an_adapter, _with_a_configuration_of_theirs])
async def test_it_is_told_when_the_catalogue_asks_for_another(edit: Any) -> None:
    app = await _teams()
    edit(_workspace(app))
    await push(app, {DEFAULT_CATALOG_PATH: _catalog()})
    await later(app, timedelta(hours=3))
    assert [letter.reason for letter in await _letters(app)] == ["WorkspaceEdited"]
    assert [_config(app, team) in ("", "by-hand") for team in TEAMS] == [True, False, False]


async def _letters(app: FakeApp) -> list[Any]:
    return [letter async for letter in letters(app)]


async def test_a_configuration_of_others_costs_its_own_team_only() -> None:
    app = await _teams()
    changed = await _teams(_catalog(), ("alpha",))
    name = _config(changed)
    theirs = deepcopy(_cluster(changed).state.objects["team-alpha", "ConfigMap", name])
    theirs.manifest["data"] = {FILE: "vllm: {}\n"}
    _cluster(app).state.objects["team-alpha", "ConfigMap", name] = theirs
    await push(app, {DEFAULT_CATALOG_PATH: _catalog()})
    await later(app, timedelta(hours=3))
    assert [_config(app, team) != "" for team in TEAMS] == [False, True, True]
    assert shown(app)["workspaces"].startswith("failure: NotManaged")
    assert "team-alpha" in await _serving(app), "what it has stays"


async def test_a_configuration_that_is_gone_is_made_again() -> None:
    app = await _teams(_catalog(), ("alpha",))
    [name] = _cluster(app).names("team-alpha", "ConfigMap")
    del _cluster(app).state.objects["team-alpha", "ConfigMap", name]
    await run_again(app)
    assert _gpu_writes(app) == ["create ConfigMap team-alpha"]


async def test_the_next_team_waits_until_the_one_before_serves() -> None:
    app = await _teams(_catalog())
    _cluster(app).failing.add("team-alpha/phi-4")
    await push(app, {DEFAULT_CATALOG_PATH: _catalog(WITH_TOOLS)})
    await later(app, timedelta(hours=5))
    assert shown(app, "bravo")["workspaces"] == "pending: waiting: AnotherIsReplaced: after team-alpha"
    assert ASKED in _workspace(app, "bravo")["metadata"]["annotations"]
    assert await _serving(app) == ["team-bravo", "team-charlie"]
    _cluster(app).failing.clear()
    await later(app, timedelta(hours=3))
    assert len(await _serving(app)) == len(TEAMS)
    assert _config(app, "charlie") == _config(app, "alpha")
