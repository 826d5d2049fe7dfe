"""Too many withdrawals at once are held, whatever way they come, until a person allows exactly these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from shared import names
from shared.branch.endings import LISTED_FOR
from shared.errors import Busy
from shared.messaging.messages import AccessChange
from shared.messaging.outcomes import Done, Push
from shared.messaging.routes import DELIVER_KEYS, PROVISION_GATEWAY, PROVISION_WORKSPACES, SWEEP, Stage
from shared.stages.receive_push import queue_changes
from shared.stages.settlement import settle, start_sweep
from tests.fakes.app import GPU, Asked, FakeApp, an_event, path_of
from tests.fakes.calls import Call
from tests.stages.road import WORK, a_platform, arrive, drain, later, push, run

TEAMS = ("alpha", "bravo", "carol")
GONE = {path_of("alpha"): None, path_of("bravo"): None}
HOUR = timedelta(hours=1)


async def three_teams() -> FakeApp:
    app = await a_platform()
    await push(app, {path_of(team): Asked(team=team, dedicated={"phi-4": GPU}).text() for team in TEAMS})
    app.calls.forget()
    return app


def live(app: FakeApp) -> list[str]:
    return [team for team in TEAMS if app.gateway.state.subscriptions[f"team-{team}"].state == "active"]


def untouched(app: FakeApp) -> bool:
    secrets = [app.vault.value(f"{team}-primary-key") for team in TEAMS]
    marked = [
        product.marker
        for product in app.gateway.state.products.values()
        if product.marker and product.marker.withdrawn
    ]
    return (
        live(app) == list(TEAMS)
        and all(secrets)
        and not marked
        and app.cluster is not None
        and len(app.cluster.state.namespaces) == 3
    )


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
    assert [(problem.path, problem.reason) for problem in verdict.problems] == [
        (path, "WithdrawalsHeld") for path in GONE
    ]


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


async def test_who_is_held_stays_held_although_somebody_has_unpublished_its_product() -> None:
    app = await three_teams()
    products = app.gateway.state.products
    products["team-alpha"] = replace(products["team-alpha"], published=False)
    await push(app, dict(GONE))
    await push(app, {path_of("bravo"): Asked(team="bravo").text()})
    await start_sweep(app, "the timer")
    await drain(app)
    assert live(app) == list(TEAMS)
    marker = products["team-alpha"].marker
    assert marker is not None
    assert marker.held is not None


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
    await queue_changes(app, Push("d-leave", before, allows=True), app.clock.now())
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
    await push(
        app,
        {path_of(team): Asked(team=team, tokens=4_000, dedicated={"phi-4": GPU}).text() for team in TEAMS},
    )
    assert live(app) == list(TEAMS)
    before = app.repository.branch
    app.repository.commit(dict(GONE), message="Again")
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


async def test_a_held_withdrawal_is_told_beside_the_commit_and_on_the_product() -> None:
    app = await three_teams()
    app.repository.commit(dict(GONE))
    gone = AccessChange(
        change="withdrawn", team="alpha", path=path_of("alpha"), commit=app.repository.branch or ""
    )
    said = "withdrawal held: too many teams are gone at once; see the check"
    for stage in (PROVISION_WORKSPACES, DELIVER_KEYS):
        assert await WORK[stage](app, an_event(app, gone)) == Done(said, wrote=False)
    assert app.calls.writes() == []
    began = app.clock.now()
    assert await WORK[PROVISION_GATEWAY](app, an_event(app, gone)) == Done(said)
    app.clock.advance(HOUR)
    assert await WORK[PROVISION_GATEWAY](app, an_event(app, gone)) == Done(said, wrote=False)
    assert app.calls.writes() == ["publish_product team-alpha"]
    assert held_since(app) == {"alpha": began}
    assert untouched(app)


# --------------------------------------------------------------------------------- whoever is held stays held


def held_since(app: FakeApp) -> dict[str, datetime]:
    markers = (product.marker for product in app.gateway.state.products.values())
    return {marker.team: marker.held for marker in markers if marker is not None and marker.held is not None}


async def sweep(app: FakeApp) -> None:
    app.clock.advance(timedelta(minutes=15))
    await start_sweep(app, "the timer")
    await drain(app)


async def teams(*wanted: str) -> FakeApp:
    app = await a_platform()
    await push(
        app,
        {
            path_of(team): Asked(team=team, dedicated={"mistral-7b": GPU} if len(wanted) < 9 else {}).text()
            for team in wanted
        },
    )
    return app


def deleted_by_hand(app: FakeApp) -> None:
    """Alpha's product, as the portal deletes it: with its subscriptions, policy and links."""
    state = app.gateway.state
    del state.products["team-alpha"], state.subscriptions["team-alpha"], state.policies["team-alpha"]
    state.links.discard(("team-alpha", names.API))


def without(*gone: str) -> dict[str, str | bytes | None]:
    return {path_of(team): None for team in gone}


def state(app: FakeApp, team: str) -> str:
    return app.gateway.state.subscriptions[f"team-{team}"].state


async def test_who_is_held_stays_so_when_another_has_been_cleaned_away() -> None:
    app = await teams("alpha", "bravo", "carol", "delta")
    await push(app, without("alpha"))
    app.clock.advance(timedelta(days=6))
    await push(app, without("bravo"))
    assert (state(app, "alpha"), state(app, "bravo")) == ("suspended", "active")
    app.clock.advance(timedelta(days=2))
    for _ in range(3):
        await sweep(app)
    assert "team-alpha" not in app.gateway.state.products
    assert state(app, "bravo") == "active"
    assert app.reports.verdicts[-1].reasons == ["WithdrawalsHeld"]


async def test_who_is_held_stays_so_when_so_many_join_that_it_would_be_few() -> None:
    app = await teams(*(f"team{number:02}" for number in range(11)))
    await push(app, without("team00", "team01"))
    await push(app, {path_of("joins"): Asked(team="joins").text()})
    await sweep(app)
    assert (state(app, "team00"), state(app, "team01")) == ("active", "active")


async def test_who_is_held_is_free_when_its_file_is_back_and_may_go_alone_later() -> None:
    app = await three_teams()
    await push(app, dict(GONE))
    assert held_since(app).keys() == {"alpha", "bravo"}
    await push(
        app, {path_of(team): Asked(team=team, dedicated={"phi-4": GPU}).text() for team in ("alpha", "bravo")}
    )
    assert held_since(app) == {}
    assert untouched(app)
    await push(app, without("alpha"))
    assert live(app) == ["bravo", "carol"]


async def test_a_second_sweep_has_nothing_to_write_about_who_is_held() -> None:
    app = await three_teams()
    app.repository.commit(dict(GONE))
    await sweep(app)
    assert held_since(app).keys() == {"alpha", "bravo"}
    app.calls.forget()
    await sweep(app)
    assert app.calls.writes() == []


async def test_leave_for_a_held_team_holds_whatever_becomes_of_one_in_grace() -> None:
    app = await teams("alpha", "bravo", "carol", "delta")
    await push(app, without("alpha"))
    app.clock.advance(app.timeouts.grace - timedelta(minutes=10))
    await push(app, without("bravo", "carol"))
    line, before = allowance(app), app.repository.branch
    app.clock.advance(timedelta(minutes=20))
    app.repository.commit({}, message=f"Close two teams\n\n{line}\n")
    await arrive(app, before)
    assert "team-alpha" not in app.gateway.state.products
    assert [state(app, team) for team in ("bravo", "carol", "delta")] == ["suspended", "suspended", "active"]
    assert app.reports.verdicts[-1].reasons == []


async def test_leave_is_no_use_for_a_message_that_names_others() -> None:
    app = await three_teams()
    await push(app, dict(GONE))
    line = allowance(app)
    leave = app.repository.commit({}, message=f"Close two teams\n\n{line}\n")
    products = app.gateway.state.products
    commits = {team: products[f"team-{team}"].marker.commit for team in TEAMS}  # type: ignore[union-attr]
    others = "\n".join(f"{team} {commits[team]}" for team in TEAMS)
    app.repository.commit({path_of("carol"): None, "README.md": "not empty"})
    gone = AccessChange(change="withdrawn", team="carol", path=path_of("carol"), commit=leave, leave=others)
    await WORK[PROVISION_GATEWAY](app, an_event(app, gone))
    assert live(app) == list(TEAMS)


async def test_a_team_that_never_had_access_does_not_change_the_line() -> None:
    app = await three_teams()
    await push(app, {path_of("never"): "team: {name: never}\n"})
    await push(app, {**GONE, path_of("never"): None})
    line, before = allowance(app), app.repository.branch
    app.repository.commit({}, message=f"Close two teams\n\n{line}\n")
    await arrive(app, before)
    assert live(app) == ["carol"]


@pytest.mark.parametrize("by_hand", ["marker", "product"])
async def test_a_team_whose_product_somebody_spoilt_is_held_with_the_others(by_hand: str) -> None:
    app = await teams("alpha", "bravo", "carol", "delta")
    products = app.gateway.state.products
    if by_hand == "marker":
        products["team-alpha"] = replace(products["team-alpha"], marker=None)
    else:
        deleted_by_hand(app)
    await push(app, without("alpha", "bravo", "carol"))
    await sweep(app)
    await run(app, PROVISION_WORKSPACES, "alpha")
    await later(app, timedelta(hours=3))
    assert app.vault.value("alpha-primary-key") is not None
    assert app.cluster is not None
    assert sorted(app.cluster.state.namespaces) == ["team-alpha", "team-bravo", "team-carol", "team-delta"]
    assert app.reports.verdicts[-1].reasons == ["WithdrawalsHeld"] * 3


async def test_of_a_team_whose_product_somebody_deleted_the_rest_goes_when_it_goes_alone() -> None:
    app = await teams("alpha", "bravo", "carol", "delta")
    deleted_by_hand(app)
    await push(app, without("alpha"))
    await later(app, timedelta(hours=3))
    assert "alpha-primary-key" not in app.vault.names()
    assert app.cluster is not None
    assert "team-alpha" not in app.cluster.state.namespaces


async def test_who_was_withdrawn_before_is_withdrawn_again_although_others_are_held() -> None:
    """Its keys were woken up when its file was back; before its product was, the file is gone again, and
    others with it.
    """
    app = await teams("alpha", "bravo", "carol", "delta")
    await push(app, without("alpha"))
    app.repository.commit({path_of("alpha"): Asked(team="alpha").text()})
    subscriptions = app.gateway.state.subscriptions
    subscriptions["team-alpha"] = replace(subscriptions["team-alpha"], state="active")
    await push(app, without("alpha", "bravo", "carol"))
    assert [state(app, team) for team in ("alpha", "bravo", "carol")] == ["suspended", "active", "active"]


async def test_folders_that_are_no_teams_are_not_counted() -> None:
    app = await teams("alpha")
    await push(app, {path_of("_template"): Asked(team="alpha").text()})
    await push(app, without("alpha"))
    assert state(app, "alpha") == "active"
    assert app.reports.verdicts[-1].reasons == ["WithdrawalsHeld"]


async def test_who_comes_back_is_not_counted_with_those_who_go() -> None:
    """Its product says that it is withdrawn until it is granted again."""
    app = await three_teams()
    await push(app, {path_of("alpha"): None})
    app.repository.commit({path_of("alpha"): Asked().text(), path_of("bravo"): None})
    await start_sweep(app, "the timer")
    await drain(app)
    assert live(app) == ["alpha", "carol"]


@pytest.mark.parametrize("swept", [False, True])
async def test_whoever_asks_counts_a_withdrawn_team_whose_file_is_no_request(swept: bool) -> None:
    """The sweep, and a message that was on its way, say the same."""
    app = await three_teams()
    await push(app, {path_of("alpha"): None})
    app.repository.commit({"developer-requests/alpha/access.yaml": "notes\n"})
    head = app.repository.branch
    app.repository.commit({path_of("bravo"): None})
    await (start_sweep(app, "the timer") if swept else queue_changes(app, Push("d1", head), app.clock.now()))
    await drain(app)
    assert live(app) == ["bravo", "carol"]


class _Meanwhile:
    """Lets something happen after the first call of this name."""

    def __init__(self, app: FakeApp, name: str, happen: Callable[[], None]) -> None:
        self._name = name
        self._happen: Callable[[], None] | None = happen
        app.calls.after = self._after

    async def _after(self, call: Call) -> None:
        if call.name == self._name and self._happen is not None:
            happen, self._happen = self._happen, None
            happen()


async def _one_gone() -> FakeApp:
    """Nobody has handled the removal yet."""
    app = await three_teams()
    app.repository.commit({path_of("alpha"): None})
    return app


def _lists(app: FakeApp) -> int:
    return app.calls.names("gateway").count("products")


async def test_the_looks_of_one_stage_at_one_commit_list_all_products_once() -> None:
    app = await _one_gone()
    await run(app, PROVISION_GATEWAY)
    assert _lists(app) == 1
    assert live(app) == ["bravo", "carol"]


async def test_a_look_after_the_branch_moved_lists_the_products_anew() -> None:
    app = await _one_gone()
    _Meanwhile(app, "subscription", lambda: _commit(app, GONE))
    with pytest.raises(Busy):
        await run(app, PROVISION_GATEWAY)
    assert _lists(app) == 2
    assert live(app) == list(TEAMS)


async def test_a_look_long_after_the_first_lists_the_products_anew() -> None:
    app = await _one_gone()
    _Meanwhile(app, "subscription", lambda: app.clock.advance(LISTED_FOR))
    await run(app, PROVISION_GATEWAY)
    assert _lists(app) == 2


async def test_a_team_that_is_marked_as_held_between_two_looks_is_not_withdrawn() -> None:
    app = await _one_gone()
    _Meanwhile(app, "subscription", lambda: _mark_as_held(app, "team-alpha"))
    with pytest.raises(Busy):
        await run(app, PROVISION_GATEWAY)
    assert _lists(app) == 1
    assert live(app) == list(TEAMS)


def _commit(app: FakeApp, files: dict[str, None]) -> None:
    app.repository.commit(dict(files))


def _mark_as_held(app: FakeApp, name: str) -> None:
    product = app.gateway.state.products[name]
    assert product.marker is not None
    marked = replace(product.marker, held=app.clock.now())
    app.gateway.state.products[name] = replace(product, marker=marked, etag="held")
