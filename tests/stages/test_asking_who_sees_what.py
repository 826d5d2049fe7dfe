"""Who is answered, and with how many calls; what becomes of an answer when a system is silent."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.api.conditions import PARTS
from shared.api.teams import Audience, team, teams
from shared.errors import Unavailable
from tests.fakes.app import GPU, OTHER_READERS, READERS, Asked, path_of
from tests.fakes.calls import Call
from tests.stages.asking import EVERYBODY
from tests.stages.road import a_team, ask, later, push


async def test_members_see_their_own_team_and_nobody_elses() -> None:
    app = await a_team()
    await ask(app, Asked(team="bravo", readers=OTHER_READERS))
    await ask(app, Asked(team="charlie", readers=None))
    members = Audience(frozenset({READERS}))
    assert [each.team for each in (await teams(app, members)).teams] == ["alpha"]
    assert await team(app, "alpha", members) is not None
    assert [
        await team(app, name, members) for name in ("bravo", "charlie", "nobody", "No Team!", "catalogue")
    ] == [None] * 5


async def test_who_is_in_no_group_sees_nothing() -> None:
    app = await a_team(Asked(readers=None))
    nobody = Audience(frozenset())
    app.calls.forget()
    assert (await teams(app, nobody)).teams == ()
    assert await team(app, "alpha", nobody) is None
    assert app.calls.made == []


async def test_the_group_of_a_secret_that_another_repository_made_is_nobodys_here() -> None:
    app = await a_team()
    await push(app, {path_of("alpha"): "nonsense: ["})
    for kept in app.vault.kept.values():
        kept.versions = [
            replace(version, tags={**version.tags, "repository": "1"}) for version in kept.versions
        ]
    assert await team(app, "alpha", Audience(frozenset({READERS}))) is None
    assert (await teams(app, Audience(frozenset({READERS})))).teams == ()


async def test_a_stranger_costs_no_call_beyond_the_branch() -> None:
    app = await a_team()
    app.calls.forget()
    assert await team(app, "alpha", Audience(frozenset({OTHER_READERS}))) is None
    assert {call.system for call in app.calls.made} == {"repository"}


async def test_when_a_request_names_another_group_the_old_one_sees_it_no_more() -> None:
    app = await a_team()
    app.repository.commit({path_of("alpha"): Asked(readers=OTHER_READERS).text()})
    assert await team(app, "alpha", Audience(frozenset({READERS}))) is None
    assert await team(app, "alpha", Audience(frozenset({OTHER_READERS}))) is not None


async def test_while_a_request_is_refused_the_group_that_was_let_in_last_sees_it() -> None:
    app = await a_team()
    await push(app, {path_of("alpha"): Asked(models=("gpt-4.l",), readers=OTHER_READERS).text()})
    assert await team(app, "alpha", Audience(frozenset({READERS}))) is not None
    assert await team(app, "alpha", Audience(frozenset({OTHER_READERS}))) is None


async def test_one_team_costs_single_reads_and_no_lists() -> None:
    app = await a_team()
    app.calls.forget()
    await team(app, "alpha", EVERYBODY)
    assert sorted(call.name for call in app.calls.made if call.system != "repository") == [
        "is_linked", "namespace", "peek", "product", "project", *["readers_of"] * 4, *["subscription"] * 2,
        *["versions"] * 3,
    ]  # fmt: skip
    assert [call for call in app.calls.made if call.writes] == []


async def test_a_list_costs_lists_and_no_team() -> None:
    app = await a_team()
    await ask(app, Asked(team="bravo"))
    app.calls.forget()
    await teams(app, EVERYBODY)
    asked = [call.name for call in app.calls.made]
    assert {"product", "subscription", "versions", "namespace", "project", "readers_of"} & set(asked) == set()
    assert asked.count("projects") == 1
    assert [call for call in app.calls.made if call.writes] == []


@pytest.mark.parametrize(
    ("system", "kind"),
    [("gateway", "Gateway"), ("vault", "Keys"), ("cluster", "Workspaces"), ("projects", "Projects")],
)
async def test_a_system_that_does_not_answer_hides_its_part_only(system: str, kind: str) -> None:
    app = await a_team(Asked(dedicated={"phi-4": GPU}, playground=True))
    await later(app, timedelta(minutes=30))

    async def down(call: Call) -> None:
        if call.system == system and call.name != "subscription":
            raise Unavailable("no answer")

    app.calls.before = down
    found = await team(app, "alpha", EVERYBODY)
    assert found is not None
    assert {each.type for each in found.conditions if each.status == "Unknown"} == {kind}
    assert {each.type for each in found.conditions if each.status == "True"} == {
        "Request",
        "Access",
        *PARTS,
    } - {kind}


async def test_nobody_is_told_that_there_is_no_team_while_that_cannot_be_known() -> None:
    app = await a_team()

    async def down(call: Call) -> None:
        if call.system == "vault":
            raise Unavailable("no answer")

    app.calls.before = down
    with pytest.raises(Unavailable):
        await team(app, "bravo", Audience(frozenset({READERS})))


async def test_without_a_branch_nothing_is_told() -> None:
    app = await a_team()
    app.repository.delete_branch()
    with pytest.raises(Unavailable, match="NoBranch"):
        await teams(app, EVERYBODY)
