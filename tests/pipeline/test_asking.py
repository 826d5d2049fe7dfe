"""What is answered to teams and to the platform, over fakes: what is said of a team in each state, to whom, and with how many calls."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date, timedelta

import pytest

from shared.access import Audience, models, providers, team, teams
from shared.domain import names
from shared.domain.backends import PoolMember
from shared.domain.catalog import Breaker
from shared.domain.conditions import PARTS
from shared.domain.marker import format_time
from shared.domain.paths import DEFAULT_CATALOG_PATH
from shared.domain.record import TeamRecord
from shared.domain.view import Condition
from shared.errors import Rejected, Unavailable
from shared.probing import probe_everything
from tests.api_page import POOLED
from tests.fakes.app import GPU, OTHER_READERS, READERS, Asked, FakeApp, catalog_text, path_of
from tests.fakes.calls import Call
from tests.fakes.projects import Kept
from tests.pipeline.road import a_platform, a_team, arrive, ask, later, push, withdraw

EVERYBODY = Audience(None)


async def record(app: FakeApp, name: str = "alpha") -> TeamRecord:
    """By itself; it must be what the list says, too."""
    found = await team(app, name, EVERYBODY)
    assert found is not None
    [listed] = [each for each in (await teams(app, EVERYBODY)).teams if each.team == name]
    assert listed == found
    return found


def reasons(found: TeamRecord) -> dict[str, str]:
    return {condition.type: f"{condition.status} {condition.reason}" for condition in found.conditions}


def condition(found: TeamRecord, kind: str) -> Condition:
    return next(each for each in found.conditions if each.type == kind)


async def refusing(app: FakeApp, *calls: str) -> None:
    """From now on these calls are refused for good."""

    async def refuse(call: Call) -> None:
        if call.name in calls:
            raise Rejected("400: no")

    app.calls.before = refuse


# --------------------------------------------------------------------------------------------------------------- conditions


async def test_a_team_that_has_everything_is_ready_and_is_told_where_and_with_which_limits() -> None:
    found = await record(await a_team(Asked(tokens=4321)))
    assert reasons(found) == {
        "Request": "True Valid",
        "Gateway": "True AsRequested",
        "Keys": "True InVault",
        "Workspaces": "True NothingAsked",
        "Projects": "True NothingAsked",
    }
    assert found.ready
    assert (found.access, found.entra_group, found.commit) == ("granted", READERS, found.provisioned_commit)
    assert found.secrets == ("alpha-primary-key", "alpha-secondary-key", "alpha-endpoint")
    assert found.granted is not None
    [model] = found.granted.models
    assert (model.name, model.tokens_per_minute) == ("gpt-4.1", 4321)
    assert model.chat_completions_url == "https://ai.contoso.com/openai/deployments/gpt-4.1/chat/completions"
    assert (found.endpoints.azure_endpoint, found.endpoints.base_url) == ("https://ai.contoso.com", "https://ai.contoso.com/openai/v1")
    assert (condition(found, "Keys").since is None, condition(found, "Keys").message) == (False, "")


async def test_before_a_stage_came_by_its_part_is_in_progress_and_says_what_is_missing() -> None:
    app = await a_platform()
    app.repository.commit({path_of("alpha"): Asked().text()})
    found = await record(app)
    assert reasons(found) == {
        "Request": "True Valid",
        "Gateway": "False InProgress",
        "Keys": "False InProgress",
        "Workspaces": "True NothingAsked",
        "Projects": "True NothingAsked",
    }
    assert condition(found, "Gateway").message == "its product is not there"
    assert not found.ready


async def test_what_waits_for_people_is_told_with_its_reason_since_when_and_who_must_act() -> None:
    app = await a_platform()
    await refusing(app, "put_product_policy")
    await ask(app, Asked())
    await refusing(app)
    gateway = condition(await record(app), "Gateway")
    assert (gateway.status, gateway.reason, gateway.since) == ("False", "Rejected", app.clock.now())
    assert "400: no (dead letter 6; who must act: the platform)" in gateway.message


async def test_a_letter_about_an_older_request_says_nothing_about_this_one() -> None:
    app = await a_platform()
    await refusing(app, "put_product_policy")
    await ask(app, Asked())
    await refusing(app)
    app.repository.commit({path_of("alpha"): Asked(tokens=1).text()})
    assert condition(await record(app), "Gateway").reason == "InProgress"


async def test_a_letter_whose_trouble_is_gone_says_nothing_any_more() -> None:
    app = await a_platform()
    await refusing(app, "put_product_policy")
    await ask(app, Asked())
    await refusing(app)
    await push(app, {path_of("alpha"): Asked(tokens=1).text()})
    await push(app, {path_of("alpha"): Asked().text()})
    assert (await record(app)).ready


async def test_a_workspace_is_told_in_the_clusters_words() -> None:
    app = await a_team(Asked(dedicated={"phi-4": GPU}))
    waiting = condition(await record(app), "Workspaces")
    assert (waiting.status, waiting.reason, waiting.message) == ("False", "NodeClaimNotReady", "phi-4 is not ready yet")
    await later(app, timedelta(minutes=30))
    ready = condition(await record(app), "Workspaces")
    assert (ready.status, ready.reason, ready.message) == ("True", "Ready", "phi-4")


async def test_a_request_that_is_refused_says_where_it_is_wrong_and_what_stays() -> None:
    app = await a_team()
    before = await record(app)
    await push(app, {path_of("alpha"): Asked(models=("gpt-4.l",)).text()})
    found = await record(app)
    assert found.access == "refused"
    assert condition(found, "Request").reason == "UnknownModel"
    assert condition(found, "Request").message.startswith(f"{path_of('alpha')}:4:14 There is no model 'gpt-4.l'")
    assert reasons(found)["Gateway"] == "True KeptInForce"
    assert reasons(found)["Keys"] == "True KeptInForce"
    assert [problem.reason for problem in found.problems] == ["UnknownModel"]
    assert (found.provisioned_commit, found.entra_group) == (before.provisioned_commit, READERS)


async def test_what_all_files_say_together_refuses_a_request_that_is_valid_by_itself() -> None:
    app = await a_platform()
    for number in range(3):
        await ask(app, Asked(team=f"owner{number}", dedicated={"phi-4": GPU}))
    await ask(app, Asked(dedicated={"phi-4": GPU}))
    found = await record(app)
    assert (found.access, condition(found, "Request").reason) == ("refused", "AboveCeiling")


async def test_the_file_that_was_there_first_is_the_one_that_is_told() -> None:
    app = await a_team()
    await push(app, {"developer-requests/alpha/access.yaml": Asked(tokens=1).text()})
    found = await record(app)
    assert (found.access, found.path) == ("granted", path_of("alpha"))
    assert [problem.reason for problem in found.problems] == ["DuplicateTeam"]


async def test_with_a_catalogue_that_is_not_valid_nothing_is_judged_and_what_was_granted_stays() -> None:
    app = await a_team()
    await push(app, {DEFAULT_CATALOG_PATH: "models: []\n"})
    found = await record(app)
    assert (found.access, reasons(found)["Request"], reasons(found)["Gateway"]) == (
        "unjudged",
        "Unknown CatalogueInvalid",
        "True KeptInForce",
    )


async def test_a_team_whose_file_is_gone_sees_since_when_and_until_when() -> None:
    app = await a_team(Asked(dedicated={"phi-4": GPU}))
    await withdraw(app)
    found = await record(app)
    assert (found.access, found.granted, found.entra_group) == ("gone", None, READERS)
    assert found.withdrawn is not None
    assert found.withdrawn.deleted_after - found.withdrawn.since == timedelta(days=7)
    assert reasons(found) == {
        "Request": "False NoRequest",
        "Gateway": "False Withdrawn",
        "Keys": "False Withdrawn",
        "Workspaces": "False Withdrawn",
        "Projects": "False NotThere",
    }


async def test_a_team_whose_last_day_is_over_is_told_so() -> None:
    app = await a_team(Asked(expires=date(2026, 12, 31)))
    app.clock.advance_to(app.clock.now().replace(year=2027))
    found = await record(app)
    request = condition(found, "Request")
    assert (found.access, request.reason, str(request.since)) == ("expired", "Expired", "2027-01-01 00:00:00+00:00")
    assert reasons(found)["Gateway"] == "False InProgress"


async def test_a_team_that_the_guard_holds_keeps_what_it_has_and_is_told() -> None:
    app = await a_team()
    for name in ("bravo", "charlie", "delta"):
        await ask(app, Asked(team=name))
    await push(app, {path_of("alpha"): None, path_of("bravo"): None})
    found = await record(app)
    assert (found.access, reasons(found)["Request"]) == ("held", "False WithdrawalsHeld")
    assert reasons(found)["Keys"] == "True KeptInForce"


async def test_a_team_that_is_gone_and_deleted_is_not_there() -> None:
    app = await a_team()
    await withdraw(app)
    app.gateway.state.products.pop(names.product("alpha"))
    app.gateway.state.subscriptions.pop(names.subscription("alpha"))
    app.vault.kept.clear()
    assert await team(app, "alpha", EVERYBODY) is None
    assert [each.team for each in (await teams(app, EVERYBODY)).teams] == ["zulu"]


# --------------------------------------------------------------------------------------------------------------- playgrounds

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
    assert await playground(app) == ("False", "ProjectNotReady", f"Foundry is making or changing the project {PROJECT}")
    await later(app, timedelta(minutes=1))
    assert await playground(app) == ("True", "Ready", PROJECT)
    found = await record(app)
    assert found.ready
    assert found.granted is not None
    assert found.granted.playground_project == PROJECT


async def test_a_playground_that_nobody_may_use_yet_says_what_to_add() -> None:
    app = await a_team(replace(TRIED, readers=None))
    await later(app, timedelta(minutes=1))
    assert await playground(app) == ("True", "Ready", f"{PROJECT}: nobody may use it yet, add entraGroup")


async def test_before_its_stage_came_by_a_playground_is_not_there() -> None:
    app = await a_platform()
    app.repository.commit({path_of("alpha"): TRIED.text()})
    status, reason, message = await playground(app)
    assert (status, reason) == ("False", "InProgress")
    assert message.startswith("its Foundry project is not there")


async def test_a_playground_that_foundry_could_not_make_is_told_with_its_letter() -> None:
    app = await a_platform()
    assert app.projects is not None
    app.projects.failing.add(PROJECT)
    await ask(app, TRIED)
    app.clock.advance(app.projects.takes)
    assert await playground(app) == ("False", "ProjectFailed", f"Foundry could not make the project {PROJECT}")
    app.projects.failing.clear()
    await later(app, timedelta(seconds=10))
    found = condition(await record(app), "Projects")
    assert (found.status, found.reason, found.since is not None) == ("False", "ProjectFailed", True)
    assert "it was told to try again (dead letter " in found.message
    await push(app, {path_of("alpha"): replace(TRIED, tokens=1).text()})
    await later(app, timedelta(minutes=1))
    assert (await playground(app))[1] == "Ready"


async def test_a_playground_that_is_not_as_requested_says_what_differs() -> None:
    app = await a_playground()
    assert app.project_roles is not None
    app.project_roles.assigned = {(PROJECT, OTHER_READERS)}
    differs = "its group may not use its Foundry project; another group than its own may use its Foundry project"
    assert await playground(app) == ("False", "InProgress", differs)
    app.project_roles.assigned = {(PROJECT, READERS)}
    kept(app).marker = None
    assert await playground(app) == ("False", "InProgress", "its Foundry project is not managed by mergekey")
    kept(app).passing, kept(app).ends = "Deleting", app.clock.now() + timedelta(minutes=1)
    assert (await playground(app))[1] == "InProgress", "what becomes of somebody else's project is not this team's business"


async def test_a_playground_that_is_being_deleted_while_it_is_asked_for_is_told() -> None:
    app = await a_playground()
    kept(app).passing, kept(app).ends = "Deleting", app.clock.now() + timedelta(minutes=1)
    assert (await playground(app))[:2] == ("False", "ProjectDeleting")


async def test_a_playground_that_was_given_up_is_told_until_it_is_deleted_and_nothing_is_amiss() -> None:
    app = await a_playground()
    app.repository.commit({path_of("alpha"): Asked().text()})
    left = "its playground access has ended and a group may use its Foundry project"
    unmarked = "its playground access has ended and its Foundry project is not withdrawn"
    assert await playground(app) == ("False", "InProgress", f"{left}; {unmarked}")
    await push(app, {path_of("alpha"): Asked(tokens=9).text()})
    await later(app, timedelta(minutes=1))
    found = await record(app)
    told = condition(found, "Projects")
    assert (told.status, told.reason, found.ready) == ("True", "Withdrawn", True)
    assert told.since is not None
    assert told.message == f"{PROJECT} is deleted after {format_time(told.since + timedelta(days=7))}, unless it is asked for again"
    assert found.granted is not None
    assert found.granted.playground_project is None
    kept(app).passing, kept(app).ends = "Deleting", app.clock.now() + timedelta(minutes=1)
    assert await playground(app) == ("True", "NothingAsked", "no playground")


async def test_a_playground_is_withdrawn_with_everything_else() -> None:
    app = await a_playground()
    before = app.repository.branch
    app.repository.commit({path_of("alpha"): None, path_of("zulu"): Asked(team="zulu").text()})
    assert (await playground(app))[:2] == ("False", "InProgress")
    await arrive(app, before)
    await later(app, timedelta(minutes=1))
    found, marker = condition(await record(app), "Projects"), kept(app).marker
    assert marker is not None
    assert (found.status, found.reason, found.since) == ("False", "Withdrawn", marker.withdrawn)


async def test_a_playground_stays_while_its_request_is_refused() -> None:
    app = await a_playground()
    await push(app, {path_of("alpha"): replace(TRIED, models=("gpt-4.l",)).text()})
    assert await playground(app) == ("True", "KeptInForce", "as it was granted last")
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
    app.repository.commit({DEFAULT_CATALOG_PATH: catalog_text(), path_of("alpha"): TRIED.text(), path_of("bravo"): Asked("bravo").text()})
    assert await playground(app) == ("False", "NoPlayground", "this platform has no playground: take playgroundAccess out")
    assert reasons(await record(app, "bravo"))["Projects"] == "True NothingAsked"
    found = await record(app)
    assert found.granted is not None
    assert (found.granted.playground_access, found.granted.playground_project) == (True, None)


# ----------------------------------------------------------------------------------------------------------- who sees what


async def test_members_see_their_own_team_and_nobody_elses() -> None:
    app = await a_team()
    await ask(app, Asked(team="bravo", readers=OTHER_READERS))
    await ask(app, Asked(team="charlie", readers=None))
    members = Audience(frozenset({READERS}))
    assert [each.team for each in (await teams(app, members)).teams] == ["alpha"]
    assert await team(app, "alpha", members) is not None
    assert [await team(app, name, members) for name in ("bravo", "charlie", "nobody", "No Team!", "catalogue")] == [None] * 5


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
        kept.versions = [replace(version, tags={**version.tags, "repository": "1"}) for version in kept.versions]
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


# -------------------------------------------------------------------------------------------------------- calls and trouble


async def test_one_team_costs_single_reads_and_no_lists() -> None:
    app = await a_team()
    app.calls.forget()
    await team(app, "alpha", EVERYBODY)
    assert sorted(call.name for call in app.calls.made if call.system != "repository") == [
        "granted", "is_linked", "namespace", "peek", "product", "project", "readers_of", "subscription", "versions", "versions", "versions",
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
    ("system", "kind"), [("gateway", "Gateway"), ("vault", "Keys"), ("cluster", "Workspaces"), ("projects", "Projects")]
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
    assert {each.type for each in found.conditions if each.status == "True"} == {"Request", *PARTS} - {kind}


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


# ------------------------------------------------------------------------------------------------------ models and providers


async def test_the_catalogue_is_told_with_what_was_granted_of_it() -> None:
    app = await a_team(Asked(tokens=2000))
    await ask(app, Asked(team="bravo", tokens=3000, dedicated={"phi-4": GPU}))
    offers = {offer.name: offer for offer in (await models(app, closely=True)).models}
    assert offers["gpt-4.1"].grants.granted == 5000
    assert [(share.team, share.tokens_per_minute) for share in offers["gpt-4.1"].grants.shares or ()] == [("alpha", 2000), ("bravo", 3000)]
    assert offers["phi-4"].grants.shares == (), "a workspace of a team's own takes nothing from others"
    assert (offers["phi-4"].shared, offers["mistral-7b"].shared, offers["mistral-7b"].instance_types) == (True, False, (GPU,))


_COUNTED = f"""\
overCommitment: 1.2
models:
  - {{name: gpt-4.1, provider: foundry, endpoint: https://a.example/v1, maxTokensPerMinute: 100, capacity: 200}}
  - {{name: free, provider: foundry, endpoint: https://a.example/v1}}
  - {{name: phi-4, provider: kaito, preset: phi-4, endpoint: http://phi-4.shared.internal/v1, maxTokensPerMinute: 50, capacity: 50,
      dedicated: {{instanceTypes: [{GPU}], perTeam: 1, total: 3}}}}
"""


def asking(name: str, models: str, more: str = "") -> dict[str, str | bytes | None]:
    return {path_of(name): f"team: {{name: {name}, owner: lead@contoso.com}}\nmodels: {{{models}}}\n{more}"}


async def test_what_the_catalogues_answer_shows_is_what_a_refusal_shows() -> None:
    app = await a_platform()
    await push(
        app,
        {
            DEFAULT_CATALOG_PATH: _COUNTED,
            **asking("alpha", "foundry: [{name: gpt-4.1}]"),
            **asking("bravo", "foundry: [{name: gpt-4.1}, {name: free}]", "limits: {tokensPerMinute: 30}\n"),
            **asking("charlie", "kaito: [{name: phi-4, dedicated: true}]"),
            **asking("delta", "foundry: [{name: gpt-4.1, tokensPerMinute: 50}]", "expires: 2026-01-31\n"),
            **asking("echo", "foundry: [{name: gpt-4.1, tokensPerMinute: 20}]"),
            **asking("foxtrot", "foundry: [{name: gpt-4.1, tokensPerMinute: 10}, {name: free}]"),
        },
    )
    second = asking("echo", "foundry: [{name: gpt-4.1, tokensPerMinute: 90}]")[path_of("echo")]
    grown = asking("foxtrot", "foundry: [{name: gpt-4.1, tokensPerMinute: 100}, {name: free, tokensPerMinute: 7}]")
    newcomer = asking("golf", "foundry: [{name: gpt-4.1, tokensPerMinute: 95}]")
    await push(app, {"developer-requests/echo/access.yaml": second, **grown, **newcomer})
    grants = {offer.name: offer.grants for offer in (await models(app, closely=True)).models}
    assert {share.team: share.tokens_per_minute for share in grants["gpt-4.1"].shares or ()} == {
        "alpha": 100, "bravo": 30, "echo": 20, "foxtrot": 10,
    }  # fmt: skip
    refused = {problem.path: problem.message for problem in app.reports.verdicts[-1].problems if problem.reason == "AboveCapacity"}
    assert refused.keys() == {path_of("foxtrot"), path_of("golf")}
    for message in refused.values():
        assert "'gpt-4.1' has 240 tokens per minute for all teams: alpha 100, bravo 30, echo 20, foxtrot 10; 80 are left." in message
    [told] = [problem.message for problem in (await record(app, "golf")).problems]
    assert told == refused[path_of("golf")]
    assert (grants["gpt-4.1"].capacity, grants["gpt-4.1"].grantable, grants["gpt-4.1"].granted) == (200, 240, 160)
    assert (grants["free"].grantable, grants["free"].granted, grants["free"].unlimited) == (None, 30, 1), "what was in force stays"
    assert (grants["phi-4"].grantable, grants["phi-4"].shares) == (60, ())


async def test_who_is_no_reader_of_the_platform_sees_sums_only() -> None:
    app = await a_team()
    assert {offer.grants.shares for offer in (await models(app, closely=False)).models} == {None}


async def test_a_catalogue_that_is_not_valid_cannot_be_told() -> None:
    app = await a_team()
    await push(app, {DEFAULT_CATALOG_PATH: "models: []\n"})
    for question in (models(app, closely=False), providers(app)):
        with pytest.raises(Unavailable, match="CatalogueInvalid"):
            await question


async def test_backends_are_told_beside_what_the_catalogue_says() -> None:
    app = await a_team()
    assert {backend.state for backend in (await providers(app)).backends} == {"as_catalogued"}
    assert (await providers(app)).differences == ()
    state = app.gateway.state.backends
    gpt, phi = state["shared--gpt-4-1"], state["shared--phi-4"]
    state["shared--gpt-4-1"] = replace(gpt, url="https://elsewhere/v1")
    state["shared--phi-4"] = replace(phi, marker=None)
    state["shared--old"] = replace(gpt, name="shared--old")
    del state["shared--text-embedding-3-large"]
    found = await providers(app)
    assert {backend.name: backend.state for backend in found.backends} == {
        "shared--gpt-4-1": "different",
        "shared--old": "not_needed",
        "shared--phi-4": "not_managed",
        "shared--text-embedding-3-large": "missing",
    }
    assert found.differences


async def test_pools_are_told_with_their_members_and_backends_with_their_breakers_as_they_stand() -> None:
    app = await a_platform()
    await push(app, {DEFAULT_CATALOG_PATH: POOLED})
    backends = {backend.name: backend for backend in (await providers(app)).backends}
    rule, pool = Breaker(3, 60, 30), "shared--gpt-4-1"
    assert (backends[pool].url, backends[pool].wanted_url) == (None, None)
    assert backends[pool].members == (
        PoolMember(f"{pool}--france", 30, 1),
        PoolMember(f"{pool}--reserve", 100, 2),
        PoolMember(f"{pool}--sweden", 70, 1),
    )
    assert {name: backend.breaker for name, backend in backends.items()} == {
        pool: None, f"{pool}--france": rule, f"{pool}--reserve": rule, f"{pool}--sweden": rule, "shared--plain": None,
    }  # fmt: skip
    state = app.gateway.state.backends
    state[pool] = replace(state[pool], members=state[pool].members[:1])
    state[f"{pool}--sweden"] = replace(state[f"{pool}--sweden"], breaker=None)
    del state["shared--plain"]
    found = {backend.name: (backend.state, backend.breaker, len(backend.members)) for backend in (await providers(app)).backends}
    assert found == {
        pool: ("different", None, 1),
        f"{pool}--france": ("as_catalogued", rule, 0),
        f"{pool}--reserve": ("as_catalogued", rule, 0),
        f"{pool}--sweden": ("different", None, 0),
        "shared--plain": ("missing", None, 0),
    }


# ------------------------------------------------------------------------------------------------------------------- health


async def test_every_system_is_asked_once() -> None:
    app = await a_team()
    app.calls.forget()
    health = await probe_everything(app)
    assert health.healthy
    assert [probe.system for probe in health.probes] == [
        "GitHub", "Service Bus", "API Management", "Key Vault", "role assignments", "Kubernetes", "Foundry",
    ]  # fmt: skip
    assert len(app.calls.made) == 7


async def test_a_system_that_refuses_or_is_slow_is_named_and_nobody_waits_for_it() -> None:
    app = await a_team()
    never = asyncio.Event()

    async def trouble(call: Call) -> None:
        if call.system == "vault":
            await never.wait()
        if call.system == "gateway":
            raise Unavailable("503 from somewhere")

    app.calls.before = trouble
    health = await probe_everything(app, timedelta(milliseconds=50))
    assert not health.healthy
    assert {probe.system: probe.reason for probe in health.probes if not probe.healthy} == {
        "API Management": "Unavailable",
        "Key Vault": "NoAnswer",
    }
