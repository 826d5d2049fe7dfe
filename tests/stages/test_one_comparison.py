"""An edit by hand is the same difference in all five places: the sweep that finds it, the status of the push
and of the team, the list of findings, the dry run, and the stage that puts it right.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random
from types import SimpleNamespace
from typing import cast

import pytest

from shared.api.findings import findings, push_outcome
from shared.api.team_view import Condition
from shared.messaging.messages import Sweep
from shared.resources.plan import Change, WritablePlan, describe
from shared.stages import deliver_keys, provision_gateway, provision_projects, provision_workspaces
from shared.stages.apply import apply_plan
from shared.stages.sweep import run_sweep
from tests.fakes.app import GPU, Asked, FakeApp, an_event
from tests.simulation.hands import EDITS, Hands
from tests.simulation.scene import Scene
from tests.stages import edits
from tests.stages.asking import record
from tests.stages.road import a_team, later

#: A workspace that is replaced goes first; what follows is written when it is gone.
WAITED_FOR = {"workspace phi-4: WorkspaceDeleting"}
FOLLOWS = {"create workspace phi-4", "create route phi-4"}
STAGES = (provision_gateway, provision_workspaces, provision_projects, deliver_keys)


def _written(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What stages write from now on, in the words of their plans."""
    written: set[str] = set()

    async def recording(
        plan: WritablePlan,
        write: Callable[[Change], Awaitable[None]],
        after_first: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        written.update(map(describe, plan))
        await apply_plan(plan, write, after_first)

    for stage in STAGES:
        monkeypatch.setattr(stage, "apply_plan", recording)
    return written


async def _swept(app: FakeApp, caplog: pytest.LogCaptureFixture, *, deep: bool) -> set[str]:
    """What a sweep finds of alpha; then everything that is due happens."""
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        await run_sweep(app, an_event(app, Sweep(why="a test", deep=deep), "sweep"))
    lines = [each.getMessage() for each in caplog.records]
    found = {line.removeprefix("Sweep: alpha: ") for line in lines if line.startswith("Sweep: alpha: ")}
    await later(app, timedelta(minutes=30))
    return found


async def _listed(app: FakeApp) -> set[str]:
    """The differences of alpha in the list of findings, which the dry run and the whole list tell as well."""
    before = list(app.calls.made)
    of_alpha, of_all = await findings(app, "alpha"), await findings(app)
    assert not any(call.writes for call in app.calls.made[len(before) :])
    listed = {each.message for each in of_alpha.findings if each.kind == "difference"}
    planned = {text for each in of_alpha.planned for text in each.differences}
    everywhere = {
        each.message for each in of_all.findings if (each.kind, each.team) == ("difference", "alpha")
    }
    assert listed == planned == everywhere
    return listed


async def _conditions(app: FakeApp) -> tuple[Condition, ...]:
    """The conditions of alpha, which the status of its push tells as well."""
    told = (await record(app)).conditions
    assert app.repository.branch is not None
    pushed = await push_outcome(app, app.repository.branch)
    assert pushed is not None
    assert [(each.team, each.conditions) for each in pushed.teams] == [("alpha", told)]
    return told


@pytest.mark.parametrize("change", edits.SEEN_IN_LISTS)
async def test_sweep_answer_and_stage_tell_the_same_of_an_edit(
    change: edits.Change, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await a_team(edits.FULL)
    await later(app, timedelta(minutes=30))
    change(app)
    parts = [each for each in await _conditions(app) if each.reason == "InProgress"]
    answered = {text for part in parts for text in part.message.split("; ")}
    listed = await _listed(app)
    written = _written(monkeypatch)
    found = await _swept(app, caplog, deep=False)
    assert found == answered == listed
    if found >= WAITED_FOR:
        assert (found - WAITED_FOR, written - found) == (written - FOLLOWS, FOLLOWS)
    else:
        assert found == written


@pytest.mark.parametrize(("change", "team"), edits.SEEN_BY_A_DEEP_LOOK)
async def test_a_deep_sweep_and_the_stage_tell_the_same_of_an_edit(
    change: edits.Change, team: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await a_team(edits.FULL)
    await later(app, timedelta(minutes=30))
    change(app)
    written = _written(monkeypatch)
    found = await _swept(app, caplog, deep=True)
    assert found == written
    assert found


#: What only a deep look shows, of the edits of the simulation.
_DEEP = {"policy edited", "key renewed", "configuration edited", "traces cut off"}
PLAYED = Asked(dedicated={"phi-4": GPU}, playground=True)


def _hands(app: FakeApp) -> Hands:
    """The hands of the simulation on this app."""
    scene = SimpleNamespace(
        app=app,
        chance=Random(1),
        foreign={},
        newer={},
        unlabelled={},
        edited_configs={},
        true=app.clock,
        loop=SimpleNamespace(time=lambda: 0.0),
    )
    return Hands(cast("Scene", scene))


#: The edits of which the stage waits for something, refuses it, or reserves the product before it plans.
_WAITED_FOR = {"namespace unlabelled", "project deleted", "workspace made anew", "product deleted"}
#: A newer version looks after its product: it is none of ours to find.
_NOT_OURS = "written by a newer version"


@pytest.mark.parametrize("name", sorted(EDITS.keys() - _DEEP))
async def test_every_edit_of_the_simulation_is_told_alike_in_all_places(
    name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await a_team(PLAYED)
    await later(app, timedelta(minutes=30))
    assert EDITS[name](_hands(app), "alpha")
    parts = await _conditions(app)
    answered = {text for part in parts if part.reason == "InProgress" for text in part.message.split("; ")}
    listed = await _listed(app)
    written = _written(monkeypatch)
    found = await _swept(app, caplog, deep=False)
    assert (listed, answered - listed, bool(found)) == (found, set(), name != _NOT_OURS)
    assert written - found == (FOLLOWS if name == "workspace made anew" else set())
    assert bool(found - written) == (name in _WAITED_FOR)
