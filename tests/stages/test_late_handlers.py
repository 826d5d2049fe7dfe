"""A version only fences a decision that is at least as new as itself: a slow handler that has read what a
newer one wrote asks the branch once more before it writes over it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from shared.errors import Busy
from shared.messaging.routes import DELIVER_KEYS, PROVISION_WORKSPACES, Stage
from tests.fakes.app import GPU, OTHER_READERS, Asked, FakeApp, path_of
from tests.fakes.calls import Call, nothing
from tests.stages.road import a_team, later, run, withdraw

BACK = {path_of("alpha"): Asked().text()}
OTHERS = {path_of("alpha"): Asked(readers=OTHER_READERS).text()}
MORE = {path_of("alpha"): Asked(readers=OTHER_READERS, tokens=7_000).text()}
GPUS = {path_of("alpha"): Asked(dedicated={"phi-4": GPU}).text()}
GONE = {path_of("alpha"): None}


async def _withdrawn() -> FakeApp:
    app = await a_team()
    await withdraw(app)
    return app


async def _back() -> FakeApp:
    app = await _withdrawn()
    app.repository.commit({**BACK})
    return app


async def _back_for_others() -> FakeApp:
    app = await _withdrawn()
    app.repository.commit({**OTHERS})
    return app


async def _for_others() -> FakeApp:
    app = await a_team()
    app.repository.commit({**OTHERS})
    return app


async def _woken() -> FakeApp:
    app = await _withdrawn()
    subscriptions = app.gateway.state.subscriptions
    subscriptions["team-alpha"] = replace(subscriptions["team-alpha"], state="active")
    return app


async def _with_a_gpu_that_goes() -> FakeApp:
    app = await a_team(Asked(dedicated={"phi-4": GPU}))
    await later(app, timedelta(hours=3))
    await withdraw(app)
    app.clock.advance(app.timeouts.workspace_grace)
    return app


async def _with_a_gpu_too_many() -> FakeApp:
    app = await a_team(Asked(dedicated={"phi-4": GPU}))
    await later(app, timedelta(hours=3))
    app.repository.commit({**BACK})
    return app


async def _with_an_empty_namespace() -> FakeApp:
    app = await _with_a_gpu_too_many()
    await run(app, PROVISION_WORKSPACES)
    app.clock.advance(timedelta(hours=1))
    return app


@dataclass(frozen=True)
class Late:
    """After `read` the branch says `then`; what `stage` had decided before is a `write` that must not be
    made.
    """

    given: Callable[[], Awaitable[FakeApp]]
    stage: Stage
    read: str
    then: dict[str, str | bytes | None]
    write: str


CASES = {
    "wakes nobody who is gone again": Late(_back, DELIVER_KEYS, "subscription", {**GONE}, "put_subscription"),
    "renews no keys that are others' by now": Late(
        _back_for_others, DELIVER_KEYS, "revoke", {**MORE}, "regenerate_key"
    ),
    "wakes nobody with keys that were renewed": Late(
        _back_for_others, DELIVER_KEYS, "regenerate_key", {**MORE}, "put_subscription"
    ),
    "makes no living key new that is others' by now": Late(
        _for_others, DELIVER_KEYS, "revoke", {**MORE}, "regenerate_key"
    ),
    "suspends nobody who is back": Late(
        _woken, DELIVER_KEYS, "subscription", {**BACK}, "suspend_subscription"
    ),
    "takes no GPU from who wants it again": Late(
        _with_a_gpu_too_many, PROVISION_WORKSPACES, "workspaces", {**GPUS}, "delete_workspace"
    ),
    "takes no namespace from who wants GPUs": Late(
        _with_an_empty_namespace, PROVISION_WORKSPACES, "namespace", {**GPUS}, "delete_namespace"
    ),
    "takes no GPU from who is back": Late(
        _with_a_gpu_that_goes, PROVISION_WORKSPACES, "workspaces", {**BACK}, "delete_workspace"
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_whoever_comes_late(case: Late) -> None:
    app = await case.given()

    async def move(call: Call) -> None:
        if call.name == case.read:
            app.repository.commit({**case.then})
            app.calls.after = nothing

    app.calls.after = move
    app.calls.forget()
    with pytest.raises(Busy):
        await run(app, case.stage)
    assert case.read in [call.name for call in app.calls.made]
    assert case.write not in [call.name for call in app.calls.made]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_whoever_comes_in_time_writes(case: Late) -> None:
    app = await case.given()
    app.calls.forget()
    await run(app, case.stage)
    assert case.write in [call.name for call in app.calls.made]
