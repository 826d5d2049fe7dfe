"""The list of findings, what a sweep would do, a sweep of one team, and the outcome of a push, over fakes."""

from __future__ import annotations

from shared.api.findings import Finding, FindingList, findings, push_outcome
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.stages.settlement import start_sweep
from tests.fakes.app import OTHER_READERS, Asked, FakeApp, path_of
from tests.fakes.calls import Call, nothing
from tests.stages.asking import record, refusing
from tests.stages.road import a_team, drain, push, teams_in_force

NARROW = """\
models:
  - {name: gpt-4.1, provider: foundry, endpoint: https://a.example/v1, maxTokensPerMinute: 100, capacity: 200}
"""


def _of(found: FindingList, kind: str) -> list[Finding]:
    return [each for each in found.findings if each.kind == kind]


def _unlink(app: FakeApp, *teams: str) -> None:
    for team in teams:
        app.gateway.state.links.discard((f"team-{team}", "ai"))


async def test_where_all_is_as_the_branch_says_nothing_is_found_and_nothing_written() -> None:
    app = await a_team()
    app.calls.forget()
    assert await findings(app) == FindingList(app.repository.branch, (), ())
    assert [call for call in app.calls.made if call.writes] == []


async def test_what_a_person_must_look_at_is_judged_when_it_is_asked() -> None:
    app = await a_team()
    app.roles.by_others.add(("alpha-endpoint", OTHER_READERS))
    app.repository.protected = False
    texts = [each.message for each in _of(await findings(app), "alert")]
    assert len(texts) == 2
    assert any(OTHER_READERS in text for text in texts)
    app.roles.by_others.clear()
    app.repository.protected = True
    assert (await findings(app)).findings == ()


async def test_what_is_overcommitted_and_refused_is_found_with_its_place() -> None:
    app = await a_team(Asked(tokens=5000))
    files: dict[str, str | bytes | None] = {
        DEFAULT_CATALOG_PATH: NARROW,
        path_of("bravo"): Asked(team="bravo", models=("gpt-4.l",)).text(),
    }
    await push(app, files)
    told = {each.reason: (each.team, each.path) for each in _of(await findings(app), "problem")}
    assert told["Overcommitted"] == ("catalogue", DEFAULT_CATALOG_PATH)
    assert told["UnknownModel"] == ("bravo", path_of("bravo"))
    assert {each.team for each in (await findings(app, "bravo")).findings} == {"bravo"}


async def test_a_dry_run_names_the_stages_and_those_left_alone_for_a_dead_letter() -> None:
    app = await a_team()
    _unlink(app, "alpha")
    [planned] = (await findings(app)).planned
    assert (planned.team, planned.change, planned.blocked) == ("alpha", "requested", ())
    assert "provision-gateway" in planned.stages
    await refusing(app, "link_product")
    await _sweep(app)
    app.calls.before = nothing
    [again] = (await findings(app)).planned
    assert (again.differences, again.blocked) == (planned.differences, ("provision-gateway",))


async def test_a_dry_run_plans_what_the_sweep_then_queues() -> None:
    app = await teams_in_force("alpha", "bravo", "charlie")
    _unlink(app, "alpha", "charlie")
    planned = {each.team for each in (await findings(app)).planned}
    app.calls.forget()
    await _sweep(app)
    assert planned == {"alpha", "charlie"} == _linked(app)
    assert (await findings(app)).planned == ()


async def test_while_sweeps_only_report_the_dry_run_says_so() -> None:
    app = await a_team()
    app.sweep_report_only = True
    _unlink(app, "alpha")
    [planned] = (await findings(app)).planned
    assert "SWEEP_REPORT_ONLY" in planned.left


async def test_a_sweep_of_one_team_mends_that_one_alone() -> None:
    app = await teams_in_force("alpha", "bravo")
    _unlink(app, "alpha", "bravo")
    app.calls.forget()
    await _sweep(app, "bravo")
    assert _linked(app) == {"bravo"}
    assert [each.team for each in (await findings(app)).planned] == ["alpha"]


async def test_the_status_of_a_push_tells_its_teams_part_by_part() -> None:
    app = await teams_in_force("alpha", "bravo", "charlie")
    await push(app, {path_of("alpha"): Asked(tokens=9).text(), path_of("bravo"): None})
    first = app.repository.branch
    assert first is not None
    await push(app, {path_of("alpha"): Asked(tokens=10).text()})
    outcome = await push_outcome(app, first[:8])
    assert outcome is not None
    assert (outcome.commit, outcome.catalog) == (first, False)
    assert [(each.team, each.current, each.access) for each in outcome.teams] == [
        ("alpha", False, "granted"),
        ("bravo", True, "ended"),
    ]
    assert outcome.teams[0].conditions == (await record(app)).conditions


async def test_the_status_of_a_refused_push_says_where_and_what_differs() -> None:
    app = await a_team()
    broken = Asked(models=("gpt-4.l",)).text()
    await push(app, {path_of("alpha"): broken, DEFAULT_CATALOG_PATH: NARROW})
    app.gateway.state.fragments.clear()
    outcome = await push_outcome(app, app.repository.branch or "")
    assert outcome is not None
    assert outcome.catalog
    assert {(each.kind, each.team) for each in outcome.findings} >= {
        ("problem", "alpha"),
        ("difference", "catalogue"),
    }


async def test_a_commit_that_is_not_on_the_branch_or_named_too_shortly_has_no_status() -> None:
    app = await a_team()
    assert await push_outcome(app, "0" * 40) is None
    assert await push_outcome(app, (app.repository.branch or "")[:6]) is None


async def _sweep(app: FakeApp, team: str = "") -> None:
    await start_sweep(app, "a test", team=team)
    await drain(app)


def _linked(app: FakeApp) -> set[str]:
    made: list[Call] = [call for call in app.calls.made if call.name == "link_product"]
    return {call.target.removeprefix("team-") for call in made}
