"""Playground access: a Foundry project that the team's own group may use, as long as the request says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.errors import InvalidRequest, NotManaged, PermanentError, Unavailable
from shared.marker import Marker
from shared.messaging.outcomes import Done, Waiting
from shared.messaging.routes import PROVISION_CATALOG, PROVISION_PROJECTS
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.resources.actual import TracingConnection
from shared.stages.settlement import start_sweep
from tests.fakes.app import OTHER_READERS, READERS, REPOSITORY, Asked, FakeApp, catalog_text, path_of
from tests.fakes.calls import Call, nothing
from tests.fakes.projects import TRACING, FakeProjects, Kept
from tests.fakes.roles import FakeRoles
from tests.stages.road import a_platform, a_team, ask, drain, later, push, run, shown, withdraw, world

TRIED, TRACED = Asked(playground=True), Asked(playground=True, tracing=True)
NAME = "team-alpha"
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def projects(app: FakeApp) -> FakeProjects:
    assert app.projects is not None
    return app.projects


def roles(app: FakeApp) -> FakeRoles:
    assert app.project_roles is not None
    return app.project_roles


def users(app: FakeApp, team: str = "alpha") -> set[str]:
    return {group for name, group in roles(app).assigned if name == f"team-{team}"}


def marker(app: FakeApp) -> Marker:
    found = projects(app).kept[NAME].marker
    assert found is not None
    return found


async def a_playground(asked: Asked = TRIED) -> FakeApp:
    app = await a_team(asked)
    await later(app, MINUTE)
    app.calls.forget()
    return app


async def sweep(app: FakeApp) -> None:
    await start_sweep(app, "the timer")
    await later(app, MINUTE)


# ------------------------------------------------------------------------------------------------- a new team


async def test_a_team_gets_a_project_and_its_group_the_role_on_it_alone() -> None:
    app = await a_platform()
    await ask(app, TRIED)
    assert shown(app)["projects"] == "pending: waiting: ProjectNotReady"
    assert users(app) == set(), "nobody is let in before the project stands"
    await later(app, MINUTE)
    assert shown(app)["projects"] == "success: playground in place: Foundry project team-alpha"
    kept = projects(app).kept[NAME]
    assert (kept.display_name, kept.connection) == ("Team Alpha", None)
    assert roles(app).assigned == {(NAME, READERS)}
    assert (marker(app).repository, marker(app).team, marker(app).withdrawn) == (REPOSITORY, "alpha", None)
    assert app.calls.writes("projects") == ["create_project team-alpha"]
    assert app.bus.next_due() is None


async def test_a_team_that_did_not_ask_for_it_costs_reads_only() -> None:
    app = await a_team()
    assert await run(app, PROVISION_PROJECTS) == Done(wrote=False)
    assert projects(app).kept == {}
    assert app.calls.writes() == []


async def test_keys_do_not_wait_for_a_project() -> None:
    app = await a_platform()
    projects(app).takes = timedelta(hours=1)
    await ask(app, TRIED)
    assert shown(app)["keys"].startswith("success: keys in vault")


async def test_where_nothing_differs_nothing_is_written() -> None:
    app = await a_playground(TRACED)
    await sweep(app)
    outcome = await run(app, PROVISION_PROJECTS)
    assert outcome == Done("playground in place: Foundry project team-alpha", wrote=False)
    assert app.calls.writes() == []


async def test_without_a_group_the_project_is_nobodys_and_the_status_says_so() -> None:
    app = await a_playground(replace(TRIED, readers=None))
    assert shown(app)["projects"].endswith("team-alpha; nobody may use it yet: add entraGroup")
    assert roles(app).assigned == set()


async def test_traces_go_where_the_platform_keeps_them_before_anybody_is_let_in() -> None:
    app = await a_playground(TRACED)
    assert projects(app).kept[NAME].connection == TracingConnection(TRACING, ours=True)
    await withdraw(app)
    projects(app).kept[NAME].connection = None
    app.calls.forget()
    await ask(app, TRACED)
    await later(app, MINUTE)
    made = app.calls.writes("projects", "roles")
    assert (
        made.index("put_connection team-alpha")
        < made.index(f"grant team-alpha {READERS}")
        < made.index("update_project team-alpha")
    )


async def test_traces_that_are_not_wanted_any_more_are_not_taken() -> None:
    app = await a_playground(TRACED)
    await ask(app, TRIED)
    await later(app, MINUTE)
    assert projects(app).kept[NAME].connection is None
    await sweep(app)
    app.calls.forget()
    await sweep(app)
    assert app.calls.writes() == []


async def test_a_platform_that_keeps_no_traces_says_so() -> None:
    app = await a_platform()
    assert app.platform.playground is not None
    app.platform = replace(app.platform, playground=replace(app.platform.playground, tracing=None))
    await ask(app, TRACED)
    await later(app, MINUTE)
    assert (
        shown(app)["projects"]
        == "success: playground in place: Foundry project team-alpha; this platform keeps no traces"
    )


async def test_a_platform_without_a_playground_refuses_it_and_nothing_else() -> None:
    app = FakeApp(playground=False)
    app.repository.commit(
        {
            app.paths.catalog: catalog_text(),
            path_of("alpha"): TRIED.text(),
            path_of("bravo"): Asked("bravo").text(),
        }
    )
    await run(app, PROVISION_CATALOG, "catalogue")
    with pytest.raises(InvalidRequest) as refused:
        await run(app, PROVISION_PROJECTS)
    assert (refused.value.reason, refused.value.actor) == ("NoPlayground", "the team")
    assert await run(app, PROVISION_PROJECTS, "bravo") == Done(wrote=False)
    await push(app, {path_of("alpha"): None})
    assert app.bus.dead_letters() == []


async def test_another_display_name_is_written_to_the_project() -> None:
    app = await a_playground()
    await ask(app, replace(TRIED, display_name="Alpha and friends"))
    assert projects(app).kept[NAME].display_name == "Alpha and friends"
    assert app.calls.writes("projects") == ["update_project team-alpha"]


# ------------------------------------------------------------------------------------------------- the limits


async def test_an_account_that_is_full_takes_no_more_and_the_platform_is_told() -> None:
    app = await a_platform()
    kept = Kept("Theirs", None, "Succeeded", app.clock.now())
    projects(app).kept.update({f"project-{number}": kept for number in range(250)})
    await ask(app, TRIED)
    assert app.calls.writes("projects") == []
    [letter] = app.bus.dead_letters()
    assert (letter.properties["reason"], letter.properties["actor"]) == ("AccountFull", "the platform")
    assert shown(app)["keys"].startswith("success"), "the gateway's room has nothing to do with it"
    del projects(app).kept["project-0"]
    app.clock.advance(DAY)
    await sweep(app)
    assert users(app) == {READERS}


async def test_projects_are_made_one_after_the_other_and_all_come() -> None:
    app = await a_platform()
    teams = [f"team{number}" for number in range(6)]
    await push(app, {path_of(team): replace(TRIED, team=team).text() for team in teams})
    await later(app, timedelta(minutes=10))
    assert {name for name, _ in roles(app).assigned} == {f"team-{team}" for team in teams}
    assert app.bus.dead_letters() == []


async def test_a_project_that_foundry_did_not_manage_to_make_is_told_and_tried_again() -> None:
    app = await a_platform()
    projects(app).failing.add(NAME)
    await ask(app, TRIED)
    projects(app).failing.clear()
    await later(app, MINUTE)
    assert shown(app)["projects"].startswith("failure: ProjectFailed: ")
    assert [letter.properties["reason"] for letter in app.bus.dead_letters()] == ["ProjectFailed"]
    assert users(app) == set()
    assert (await run(app, PROVISION_PROJECTS)) == Done("playground in place: Foundry project team-alpha")
    assert users(app) == {READERS}


# ---------------------------------------------------------------------------------------------- another group


@pytest.mark.parametrize("group", [OTHER_READERS, None])
async def test_a_group_that_is_no_longer_named_loses_the_role_before_the_new_one_gains_it(
    group: str | None,
) -> None:
    app = await a_playground()
    await ask(app, replace(TRIED, readers=group))
    assert users(app) == ({group} if group else set())
    made = [each for each in app.calls.writes("roles") if " team-alpha " in each]
    assert made == [f"revoke team-alpha {READERS}", *([f"grant team-alpha {group}"] if group else [])]


async def test_a_role_that_cannot_be_taken_away_keeps_the_new_group_out() -> None:
    app = await a_playground()

    async def broken(call: Call) -> None:
        if call.name == "revoke":
            raise Unavailable("out of order")

    app.repository.commit({path_of("alpha"): replace(TRIED, readers=OTHER_READERS).text()})
    app.calls.before = broken
    with pytest.raises(Unavailable):
        await run(app, PROVISION_PROJECTS)
    assert users(app) == {READERS}


async def test_a_group_that_may_not_use_a_project_loses_its_role_while_it_changes() -> None:
    app = await a_playground()
    projects(app).kept[NAME].passing, projects(app).kept[NAME].ends = "Accepted", app.clock.now() + DAY
    app.repository.commit({path_of("alpha"): replace(TRIED, readers=OTHER_READERS).text()})
    outcome = await run(app, PROVISION_PROJECTS)
    assert isinstance(outcome, Waiting)
    assert users(app) == set()


# ------------------------------------------------------------------------------------------------- withdrawal


async def _gives_it_up(app: FakeApp) -> None:
    await ask(app, Asked())


@pytest.mark.parametrize("leave", [withdraw, _gives_it_up])
async def test_the_role_goes_at_once_and_the_project_after_grace(leave: Callable[[FakeApp], object]) -> None:
    app = await a_playground(TRACED)
    await leave(app)  # type: ignore[misc]
    await later(app, MINUTE)
    assert users(app) == set()
    assert marker(app).withdrawn is not None
    assert shown(app)["projects"].startswith(
        "success: playground access withdrawn; its project is deleted after "
    )
    await later(app, app.timeouts.grace - 2 * MINUTE)
    await sweep(app)
    assert NAME in projects(app).names()
    await later(app, MINUTE)
    await sweep(app)
    await later(app, MINUTE)
    assert projects(app).names() == []
    app.calls.forget()
    await sweep(app)
    assert app.calls.writes("projects") == []


async def test_the_role_goes_even_when_foundry_is_busy_or_away() -> None:
    app = await a_playground()

    async def broken(call: Call) -> None:
        if call.name == "update_project":
            raise Unavailable("out of order")

    app.repository.commit({path_of("alpha"): Asked().text()})
    app.calls.before = broken
    with pytest.raises(Unavailable):
        await run(app, PROVISION_PROJECTS)
    assert users(app) == set()


async def test_the_time_of_the_withdrawal_is_written_once() -> None:
    app = await a_playground()
    await _gives_it_up(app)
    since = marker(app).withdrawn
    app.calls.forget()
    await later(app, DAY)
    await sweep(app)
    await run(app, PROVISION_PROJECTS)
    assert app.calls.writes() == []
    assert marker(app).withdrawn == since


async def test_who_comes_back_within_grace_finds_the_project_as_it_was() -> None:
    app = await a_playground(TRACED)
    await withdraw(app)
    await later(app, 6 * DAY)
    app.calls.forget()
    await ask(app, TRACED)
    await later(app, MINUTE)
    assert app.calls.writes("projects") == ["update_project team-alpha"]
    assert users(app) == {READERS}
    assert marker(app).withdrawn is None
    await later(app, 2 * DAY)
    await sweep(app)
    assert NAME in projects(app).names()


async def test_who_comes_back_while_the_project_goes_gets_a_new_one_when_it_is_gone() -> None:
    app = await a_playground()
    await _gives_it_up(app)
    app.clock.advance(app.timeouts.grace)
    await run(app, PROVISION_PROJECTS)
    await ask(app, TRIED)
    assert shown(app)["projects"] == "pending: waiting: ProjectDeleting"
    await later(app, MINUTE)
    assert (projects(app).names(), users(app)) == ([NAME], {READERS})


async def test_a_team_whose_product_is_gone_loses_its_project_all_the_same() -> None:
    app = await a_playground()
    await withdraw(app)
    app.gateway.state.products.pop(NAME)
    await later(app, app.timeouts.grace)
    await sweep(app)
    await later(app, MINUTE)
    assert NAME not in projects(app).names()


async def test_nothing_is_deleted_when_the_branch_wants_it_again_at_the_last_moment() -> None:
    app = await a_playground()
    await _gives_it_up(app)
    app.clock.advance(app.timeouts.grace)

    async def return_now(call: Call) -> None:
        if call.name == "readers_of":
            app.calls.after = nothing
            app.repository.commit({path_of("alpha"): TRIED.text()})

    app.calls.after = return_now
    await start_sweep(app, "the timer")
    await drain(app)
    assert "delete_project team-alpha" not in app.calls.writes("projects")


# -------------------------------------------------------------------------------------------------- ownership

STRANGERS = (None, Marker(REPOSITORY + 1, "alpha", "p", "0"), Marker(REPOSITORY, "bravo", "p", "0"))


@pytest.mark.parametrize("theirs", STRANGERS)
async def test_a_project_that_is_not_ours_is_neither_changed_nor_opened(theirs: Marker | None) -> None:
    app = await a_platform()
    projects(app).kept[NAME] = Kept("Theirs", theirs, "Succeeded", app.clock.now())
    app.repository.commit({path_of("alpha"): TRIED.text()})
    with pytest.raises(NotManaged):
        await run(app, PROVISION_PROJECTS)
    roles(app).assigned.add((NAME, OTHER_READERS))
    app.repository.commit({path_of("alpha"): Asked().text()})
    assert await run(app, PROVISION_PROJECTS) == Done(wrote=False), (
        "a team that wants none has nothing to do with it"
    )
    assert app.calls.writes("projects", "roles") == []


async def test_a_connection_that_is_not_ours_stays() -> None:
    app = await a_playground()
    theirs = TracingConnection("theirs", ours=False)
    projects(app).kept[NAME].connection = theirs
    await run(app, PROVISION_PROJECTS)
    app.repository.commit({path_of("alpha"): TRACED.text()})
    with pytest.raises(PermanentError) as refused:
        await run(app, PROVISION_PROJECTS)
    assert refused.value.reason == "NotManaged"
    assert projects(app).kept[NAME].connection == theirs


# ------------------------------------------------------------------------------------------------ half states


async def test_a_role_that_a_dead_delivery_left_behind_goes_although_there_is_no_project() -> None:
    app = await a_team()
    roles(app).assigned.add((NAME, OTHER_READERS))
    await sweep(app)
    assert users(app) == set()


async def test_a_role_is_found_and_taken_away_when_nothing_else_of_the_team_is_left() -> None:
    app = await a_team()
    roles(app).assigned.add(("team-gone", OTHER_READERS))
    await sweep(app)
    assert users(app, "gone") == set()


@pytest.mark.parametrize(("more", "left"), [("", {READERS}), ("unknown: 1\n", set())])
async def test_a_role_without_project_stays_until_a_catalogue_judges(more: str, left: set[str]) -> None:
    """The team has no product, and its project was deleted: only the role is left, which opens nothing."""
    app = await a_platform()
    app.repository.commit({path_of("alpha"): TRIED.text() + more, DEFAULT_CATALOG_PATH: "models: []\n"})
    roles(app).assigned.add((NAME, READERS))
    await sweep(app)
    assert app.calls.writes("roles") == []
    await push(app, {DEFAULT_CATALOG_PATH: catalog_text()})
    await sweep(app)
    assert users(app) == left


async def _lose_the_project(app: FakeApp) -> None:
    del projects(app).kept[NAME]


async def _lose_the_role(app: FakeApp) -> None:
    roles(app).assigned.clear()


async def _let_others_in(app: FakeApp) -> None:
    roles(app).assigned.add((NAME, OTHER_READERS))


async def _withdraw_by_hand(app: FakeApp) -> None:
    kept = projects(app).kept[NAME]
    kept.marker = replace(marker(app), withdrawn=app.clock.now())


async def _lose_the_connection(app: FakeApp) -> None:
    projects(app).kept[NAME].connection = None


@pytest.mark.parametrize(
    "harm", [_lose_the_project, _lose_the_role, _let_others_in, _withdraw_by_hand, _lose_the_connection]
)
async def test_what_differs_is_found_by_a_sweep_and_the_next_one_has_nothing_to_write(
    harm: Callable[[FakeApp], object],
) -> None:
    app = await a_playground(TRACED)
    before = world(app)
    await harm(app)  # type: ignore[misc]
    assert world(app) != before
    await start_sweep(app, "a person", deep=True)
    await later(app, MINUTE)
    assert world(app) == before
    app.calls.forget()
    await start_sweep(app, "a person", deep=True)
    await later(app, MINUTE)
    assert app.calls.writes() == []


async def test_a_user_that_no_request_names_is_told_and_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    app = await a_playground()
    roles(app).by_others |= {(NAME, OTHER_READERS), (NAME, READERS)}
    with caplog.at_level("INFO"):
        await sweep(app)
    assert f"{OTHER_READERS} may use the Foundry project team-alpha and no request names it" in caplog.text
    assert f"{READERS} may use" not in caplog.text
    assert app.calls.writes() == []
