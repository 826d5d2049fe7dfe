"""What is answered to teams and to the platform, over fakes: what is said of a team in each state, to whom, and with how many calls."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date, timedelta

import pytest

from shared.access import Audience, models, providers, team, teams
from shared.domain import names
from shared.domain.conditions import Condition
from shared.domain.paths import DEFAULT_CATALOG_PATH
from shared.domain.record import TeamRecord
from shared.errors import Rejected, Unavailable
from shared.probing import probe_everything
from tests.fakes.app import GPU, OTHER_READERS, READERS, Asked, FakeApp, path_of
from tests.fakes.calls import Call
from tests.pipeline.road import a_platform, a_team, ask, later, push, withdraw

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
    }
    assert found.ready
    assert (found.access, found.entra_group, found.commit) == ("granted", READERS, found.provisioned_commit)
    assert found.secrets == ("alpha-primary-key", "alpha-secondary-key", "alpha-endpoint")
    assert found.granted is not None
    [model] = found.granted.models
    assert (model.name, model.tokens_per_minute) == ("gpt-4.1", 4321)
    assert model.chat_completions_url == "https://ai.contoso.com/openai/deployments/gpt-4.1/chat/completions"
    assert (found.endpoints.azure_endpoint, found.endpoints.base_url) == ("https://ai.contoso.com", "https://ai.contoso.com/openai/v1")
    assert condition(found, "Keys").since is not None


async def test_before_a_stage_came_by_its_part_is_in_progress_and_says_what_is_missing() -> None:
    app = await a_platform()
    app.repository.commit({path_of("alpha"): Asked().text()})
    found = await record(app)
    assert reasons(found) == {
        "Request": "True Valid",
        "Gateway": "False InProgress",
        "Keys": "False InProgress",
        "Workspaces": "True NothingAsked",
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
        "granted", "is_linked", "namespace", "peek", "product", "subscription", "versions", "versions", "versions",
    ]  # fmt: skip
    assert [call for call in app.calls.made if call.writes] == []


async def test_a_list_costs_lists_and_no_team() -> None:
    app = await a_team()
    await ask(app, Asked(team="bravo"))
    app.calls.forget()
    await teams(app, EVERYBODY)
    assert {"product", "subscription", "versions", "namespace"} & {call.name for call in app.calls.made} == set()
    assert [call for call in app.calls.made if call.writes] == []


@pytest.mark.parametrize(("system", "kind"), [("gateway", "Gateway"), ("vault", "Keys"), ("cluster", "Workspaces")])
async def test_a_system_that_does_not_answer_hides_its_part_only(system: str, kind: str) -> None:
    app = await a_team(Asked(dedicated={"phi-4": GPU}))
    await later(app, timedelta(minutes=30))

    async def down(call: Call) -> None:
        if call.system == system and call.name != "subscription":
            raise Unavailable("no answer")

    app.calls.before = down
    found = await team(app, "alpha", EVERYBODY)
    assert found is not None
    assert {each.type for each in found.conditions if each.status == "Unknown"} == {kind}
    assert {each.type for each in found.conditions if each.status == "True"} == {"Request", "Gateway", "Keys", "Workspaces"} - {kind}


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


# ------------------------------------------------------------------------------------------------------------------- health


async def test_every_system_is_asked_once() -> None:
    app = await a_team()
    app.calls.forget()
    health = await probe_everything(app)
    assert health.healthy
    assert [probe.system for probe in health.probes] == [
        "GitHub", "Service Bus", "API Management", "Key Vault", "role assignments", "Kubernetes",
    ]  # fmt: skip
    assert len(app.calls.made) == 6


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
