"""What is answered about teams whose file cannot be followed: the request that is in force, and who can read
their secrets, whatever the file says.
"""

from __future__ import annotations

import pytest

from shared.api.records import Reader, TeamRecord
from shared.requests.paths import DEFAULT_CATALOG_PATH
from tests.fakes.app import OTHER_READERS, READERS, Asked, FakeApp, path_of
from tests.stages.asking import record
from tests.stages.road import a_team, push, sweep, teams_in_force

BROKEN = "models: []\n"


def _tokens(found: TeamRecord) -> dict[str, int | None]:
    assert found.granted is not None
    return {model.name: model.tokens_per_minute for model in found.granted.models}


@pytest.mark.parametrize(
    "files",
    [
        {path_of("alpha"): Asked(models=("gpt-4.l",)).text()},
        {path_of("alpha"): "no: request"},
        {path_of("alpha"): "a: ["},
        {DEFAULT_CATALOG_PATH: BROKEN},
        {DEFAULT_CATALOG_PATH: None},
        {DEFAULT_CATALOG_PATH: BROKEN, path_of("alpha"): Asked(tokens=9000).text()},
    ],
)
async def test_a_team_whose_file_is_not_followed_shows_what_is_in_force(files: dict[str, str | None]) -> None:
    app = await a_team(Asked(tokens=4321))
    await push(app, dict(files))
    found = await record(app)
    assert (found.access, _tokens(found)) == ("kept", {"gpt-4.1": 4321})


async def test_held_teams_show_what_is_in_force() -> None:
    teams = [f"team{number:02}" for number in range(12)]
    app = await teams_in_force(*teams)
    await push(app, {path_of(team): None for team in teams[:10]})
    found = await record(app, teams[0])
    assert (found.access, list(_tokens(found))) == ("held", ["gpt-4.1"])


async def test_a_team_without_access_in_force_shows_none() -> None:
    app = await a_team()
    await push(app, {path_of("bravo"): Asked(team="bravo", models=("gpt-4.l",)).text()})
    found = await record(app, "bravo")
    assert (found.access, found.granted) == ("none", None)


async def test_a_whole_list_beside_a_broken_catalogue_reads_one_more_file() -> None:
    app = await teams_in_force("alpha", "bravo", "charlie")
    await push(app, {DEFAULT_CATALOG_PATH: BROKEN})
    app.calls.forget()
    await record(app)
    assert [call.name for call in app.calls.made].count("file") == 2  # of the team by itself, and of all


async def _strangers(app: FakeApp) -> dict[str, bool]:
    return {each.group: each.stranger for each in (await record(app)).readers}


async def test_readers_are_the_assignments_and_strangers_are_marked(caplog: pytest.LogCaptureFixture) -> None:
    app = await a_team()
    secrets = ("alpha-primary-key", "alpha-secondary-key", "alpha-endpoint")
    assert (await record(app)).readers == (Reader(READERS, secrets, stranger=False),)
    app.roles.by_others.add(("alpha-primary-key", OTHER_READERS))
    assert (await record(app)).readers[0] == Reader(OTHER_READERS, ("alpha-primary-key",), stranger=True)
    await sweep(app)
    assert f"{OTHER_READERS} may read the secret alpha-primary-key" in caplog.text
    app.roles.assigned.clear()
    assert await _strangers(app) == {OTHER_READERS: True}


async def test_a_group_that_a_person_let_in_and_the_request_names_is_no_stranger() -> None:
    app = await a_team()
    app.roles.assigned.discard(("alpha-endpoint", READERS))
    app.roles.by_others.add(("alpha-endpoint", READERS))
    assert await _strangers(app) == {READERS: False}
