"""What is answered to a team about its playground."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from shared import names
from shared.marker import format_time
from shared.requests.paths import DEFAULT_CATALOG_PATH
from tests.fakes.app import OTHER_READERS, READERS, Asked, FakeApp, catalog_text, path_of
from tests.fakes.projects import Kept
from tests.stages.asking import condition, reasons, record
from tests.stages.road import a_platform, a_team, arrive, ask, later, push, sweep, withdraw

TRIED = Asked(playground=True)
PROJECT = "team-alpha"


async def a_playground() -> FakeApp:
    app = await a_team(TRIED)
    await later(app, timedelta(minutes=1))
    return app


def kept(app: FakeApp) -> Kept:
    assert app.projects is not None
    return app.projects.kept[PROJECT]


async def playground(app: FakeApp) -> tuple[str, str, str]:
    found = condition(await record(app), "Projects")
    return found.status, found.reason, found.message


async def test_a_playground_is_told_while_it_is_being_made_and_when_it_stands() -> None:
    app = await a_team(TRIED)
    assert (await playground(app))[:2] == ("False", "ProjectNotReady")
    await later(app, timedelta(minutes=1))
    assert await playground(app) == ("True", "Ready", PROJECT)
    found = await record(app)
    assert found.ready
    assert found.granted is not None
    assert found.granted.playground_project == PROJECT


async def test_a_playground_that_nobody_may_use_yet_says_what_to_add() -> None:
    app = await a_team(replace(TRIED, readers=None))
    await later(app, timedelta(minutes=1))
    status, reason, message = await playground(app)
    assert (status, reason) == ("True", "Ready")
    assert PROJECT in message
    assert "entraGroup" in message


async def test_before_its_stage_came_by_a_playground_is_not_there() -> None:
    app = await a_platform()
    app.repository.commit({path_of("alpha"): TRIED.text()})
    assert (await playground(app))[:2] == ("False", "InProgress")


async def test_a_playground_that_foundry_could_not_make_is_told_with_its_letter() -> None:
    app = await a_platform()
    assert app.projects is not None
    app.projects.failing.add(PROJECT)
    await ask(app, TRIED)
    app.clock.advance(app.projects.takes)
    assert (await playground(app))[:2] == ("False", "ProjectFailed")
    app.projects.failing.clear()
    await later(app, timedelta(seconds=10))
    found = condition(await record(app), "Projects")
    assert (found.status, found.reason, found.since is not None) == ("False", "ProjectFailed", True)
    assert "dead letter " in found.message
    await push(app, {path_of("alpha"): replace(TRIED, tokens=1).text()})
    await later(app, timedelta(minutes=1))
    assert (await playground(app))[1] == "Ready"


async def test_a_playground_that_is_not_as_requested_says_what_differs() -> None:
    app = await a_playground()
    assert app.project_roles is not None
    app.project_roles.assigned = {(PROJECT, OTHER_READERS)}
    differs = f"delete project role {OTHER_READERS}; create project role {READERS}"
    assert await playground(app) == ("False", "InProgress", differs)
    app.project_roles.assigned = {(PROJECT, READERS)}
    kept(app).marker = None
    assert (await playground(app))[:2] == ("False", "InProgress")
    kept(app).passing, kept(app).ends = "Deleting", app.clock.now() + timedelta(minutes=1)
    assert (await playground(app))[1] == "InProgress", (
        "what becomes of somebody else's project is not this team's business"
    )


async def test_a_playground_that_is_being_deleted_while_it_is_asked_for_is_told() -> None:
    app = await a_playground()
    kept(app).passing, kept(app).ends = "Deleting", app.clock.now() + timedelta(minutes=1)
    assert (await playground(app))[:2] == ("False", "ProjectDeleting")


async def test_a_playground_that_is_being_made_says_nothing_of_the_gateway() -> None:
    app = await a_team(TRIED)
    app.gateway.state.products.clear()
    found = await record(app)
    assert reasons(found)["Projects"] == "False ProjectNotReady"
    assert reasons(found)["Gateway"] == "False InProgress"


LEFT = f"delete project role {READERS}; update project marker {PROJECT}"


async def test_a_playground_that_was_given_up_is_told_until_it_is_deleted() -> None:
    app = await a_playground()
    app.repository.commit({path_of("alpha"): Asked().text()})
    assert await playground(app) == ("False", "InProgress", LEFT)
    await push(app, {path_of("alpha"): Asked(tokens=9).text()})
    await later(app, timedelta(minutes=1))
    found = await record(app)
    told = condition(found, "Projects")
    assert (told.status, told.reason, found.ready) == ("True", "Withdrawn", True)
    assert told.since is not None
    assert PROJECT in told.message
    assert format_time(told.since + timedelta(days=7)) in told.message
    assert found.granted is not None
    assert found.granted.playground_project is None
    kept(app).passing, kept(app).ends = "Deleting", app.clock.now() + timedelta(minutes=1)
    assert await playground(app) == ("True", "NothingAsked", "no playground")


async def test_a_playground_is_withdrawn_with_everything_else() -> None:
    app = await a_playground()
    before = app.repository.branch
    app.repository.commit({path_of("alpha"): None, path_of("zulu"): Asked(team="zulu").text()})
    assert await playground(app) == ("False", "InProgress", LEFT)
    await arrive(app, before)
    await later(app, timedelta(minutes=1))
    found, marker = condition(await record(app), "Projects"), kept(app).marker
    assert marker is not None
    assert (found.status, found.reason, found.since) == ("False", "Withdrawn", marker.withdrawn)


async def test_a_playground_is_not_about_to_go_while_the_catalogue_is_not_valid() -> None:
    app = await a_platform()
    asked = Asked(playground=True, expires=app.clock.now().date() + timedelta(days=20))
    await ask(app, asked)
    await later(app, timedelta(days=21))
    await sweep(app)
    await push(app, {DEFAULT_CATALOG_PATH: "models: ["})
    await later(app, app.timeouts.grace)
    assert condition(await record(app), "Access").reason == "Ended"
    assert condition(await record(app), "Projects").reason == "Withdrawn"


async def test_a_playground_stays_while_its_request_is_refused() -> None:
    app = await a_playground()
    await push(app, {path_of("alpha"): replace(TRIED, models=("gpt-4.l",)).text()})
    assert (await playground(app))[:2] == ("True", "KeptInForce")
    kept(app).passing, kept(app).ends = "Accepted", app.clock.now() + timedelta(minutes=1)
    assert (await playground(app))[1] == "ProjectNotReady"


async def test_a_team_of_which_only_a_project_is_left_is_told_of() -> None:
    app = await a_playground()
    await withdraw(app)
    app.gateway.state.products.pop(names.product("alpha"))
    app.gateway.state.subscriptions.pop(names.subscription("alpha"))
    app.vault.kept.clear()
    assert reasons(await record(app))["Projects"] == "False Withdrawn"


async def test_a_platform_without_a_playground_says_so_and_asks_nobody_about_it() -> None:
    app = FakeApp(playground=False)
    app.repository.commit(
        {
            DEFAULT_CATALOG_PATH: catalog_text(),
            path_of("alpha"): TRIED.text(),
            path_of("bravo"): Asked("bravo").text(),
        }
    )
    status, reason, message = await playground(app)
    assert (status, reason) == ("False", "NoPlayground")
    assert "playgroundAccess" in message
    assert reasons(await record(app, "bravo"))["Projects"] == "True NothingAsked"
    found = await record(app)
    assert found.granted is not None
    assert (found.granted.playground_access, found.granted.playground_project) == (True, None)
