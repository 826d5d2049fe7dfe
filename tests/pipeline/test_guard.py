"""Too many withdrawals at once are held, whatever way they come, until a person allows exactly these."""

from __future__ import annotations

import pytest

from shared.intake import take_push
from shared.messages import AccessChange
from shared.outcome import Arrived, Done
from shared.settlement import settle, start_sweep
from shared.stages import DELIVER_KEYS, PROVISION_GATEWAY, PROVISION_WORKSPACES, SWEEP, Stage
from tests.fakes.app import GPU, Asked, FakeApp, an_event, path_of
from tests.pipeline.road import WORK, a_platform, arrive, drain, push, run

TEAMS = ("alpha", "bravo", "carol")
GONE = {path_of("alpha"): None, path_of("bravo"): None}


async def three_teams() -> FakeApp:
    app = await a_platform()
    await push(app, {path_of(team): Asked(team=team, dedicated={"phi-4": GPU}).text() for team in TEAMS})
    app.calls.forget()
    return app


def live(app: FakeApp) -> list[str]:
    return [team for team in TEAMS if app.gateway.state.subscriptions[f"team-{team}"].state == "active"]


def untouched(app: FakeApp) -> bool:
    secrets = [app.vault.value(f"{team}-primary-key") for team in TEAMS]
    marked = [product.marker for product in app.gateway.state.products.values() if product.marker and product.marker.withdrawn]
    return live(app) == list(TEAMS) and all(secrets) and not marked and app.cluster is not None and len(app.cluster.state.namespaces) == 3


def allowance(app: FakeApp) -> str:
    [problem, *_] = app.reports.verdicts[-1].problems
    [line] = [line.strip() for line in problem.message.splitlines() if "Allow-Withdrawals:" in line]
    return line


async def test_a_push_that_removes_too_many_withdraws_nobody_and_the_check_says_who() -> None:
    app = await three_teams()
    await push(app, dict(GONE))
    assert untouched(app)
    verdict = app.reports.verdicts[-1]
    assert verdict.commit == app.repository.branch
    assert [(problem.path, problem.reason) for problem in verdict.problems] == [(path, "WithdrawalsHeld") for path in GONE]


async def test_one_removed_among_changed_requests_goes() -> None:
    app = await three_teams()
    await push(app, {path_of("alpha"): None, path_of("bravo"): Asked(team="bravo", tokens=5_000).text()})
    assert live(app) == ["bravo", "carol"]


async def test_what_else_the_push_asks_for_happens() -> None:
    app = await three_teams()
    await push(app, {**GONE, path_of("delta"): Asked(team="delta").text()})
    assert "team-delta" in app.gateway.state.products
    assert untouched(app)


async def test_no_sweep_and_no_later_push_withdraws_a_held_team() -> None:
    app = await three_teams()
    await push(app, dict(GONE))
    await start_sweep(app, "the timer")
    await drain(app)
    await push(app, {"README.md": "unrelated"})
    await push(app, {path_of("carol"): Asked(team="carol", tokens=5_000).text()})
    assert untouched(app)


@pytest.mark.parametrize("stage", [PROVISION_GATEWAY, PROVISION_WORKSPACES, DELIVER_KEYS])
async def test_no_message_withdraws_a_held_team(stage: Stage) -> None:
    app = await three_teams()
    await push(app, dict(GONE))
    await run(app, stage, "alpha")
    await drain(app)
    assert untouched(app)


async def test_the_line_that_the_check_prints_allows_it() -> None:
    app = await three_teams()
    await push(app, dict(GONE))
    before = app.repository.branch
    app.repository.commit({}, message=f"Close two teams\n\n{allowance(app)}\n")
    await arrive(app, before)
    assert live(app) == ["carol"]


async def test_leave_holds_for_its_messages_when_the_branch_has_moved_on() -> None:
    app = await three_teams()
    await push(app, dict(GONE))
    before = app.repository.branch
    app.repository.commit({}, message=f"Close two teams\n\n{allowance(app)}\n")
    await take_push(app, Arrived("d-leave", before), app.clock.now())
    swept = app.bus.receive(SWEEP)
    assert swept is not None
    await settle(app, SWEEP, swept.received(), WORK[SWEEP])
    app.bus.complete(SWEEP, swept)
    app.repository.commit({"README.md": "unrelated"})
    await drain(app)
    assert live(app) == ["carol"]


async def test_leave_is_used_up_when_the_teams_came_back() -> None:
    app = await three_teams()
    await push(app, dict(GONE))
    line = allowance(app)
    before = app.repository.branch
    app.repository.commit({}, message=f"Close two teams\n\n{line}\n")
    await arrive(app, before)
    await push(app, {path_of(team): Asked(team=team, tokens=4_000, dedicated={"phi-4": GPU}).text() for team in TEAMS})
    assert live(app) == list(TEAMS)
    before = app.repository.branch
    app.repository.commit(dict(GONE), message=f"Again\n\n{line}\n")
    await arrive(app, before)
    assert app.reports.verdicts[-1].reasons == ["WithdrawalsHeld"] * 2
    assert live(app) == list(TEAMS)


async def test_a_tree_without_any_file_withdraws_nobody_and_no_leave_helps() -> None:
    app = await three_teams()
    files = dict.fromkeys(app.repository.files())
    app.repository.commit(files, message="Empty")
    await run(app, PROVISION_GATEWAY, "alpha")
    await start_sweep(app, "the timer")
    await drain(app)
    assert live(app) == list(TEAMS)


async def test_a_withdrawal_that_is_held_says_so_beside_the_commit_and_writes_nothing() -> None:
    app = await three_teams()
    app.repository.commit(dict(GONE))
    gone = AccessChange(change="withdrawn", team="alpha", path=path_of("alpha"), commit=app.repository.branch or "")
    for stage in (PROVISION_GATEWAY, PROVISION_WORKSPACES, DELIVER_KEYS):
        held = await WORK[stage](app, an_event(app, gone))
        assert held == Done("withdrawal held: too many teams are gone at once; see the check", wrote=False)
    assert app.calls.writes() == []
