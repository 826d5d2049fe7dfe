"""An edit by hand is the same difference for all who look: the sweep that finds it, the answer about the
team, and the stage that puts it right.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from shared.messaging.messages import Sweep
from shared.resources.plan import Change, WritablePlan, describe
from shared.stages import deliver_keys, provision_gateway, provision_workspaces
from shared.stages.apply import apply_plan
from shared.stages.sweep import run_sweep
from tests.fakes.app import FakeApp, an_event
from tests.stages import edits
from tests.stages.asking import record
from tests.stages.road import a_team, later

#: A workspace that is replaced goes first; what follows is written when it is gone.
WAITED_FOR = {"workspace phi-4: WorkspaceDeleting"}
FOLLOWS = {"create workspace phi-4", "create route phi-4"}
STAGES = (provision_gateway, provision_workspaces, deliver_keys)


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


@pytest.mark.parametrize("change", edits.SEEN_IN_LISTS)
async def test_sweep_answer_and_stage_tell_the_same_of_an_edit(
    change: edits.Change, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await a_team(edits.FULL)
    await later(app, timedelta(minutes=30))
    change(app)
    parts = [each for each in (await record(app)).conditions if each.reason == "InProgress"]
    answered = {text for part in parts for text in part.message.split("; ")}
    written = _written(monkeypatch)
    found = await _swept(app, caplog, deep=False)
    assert found == answered
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
