"""What is answered to a team, over fakes: what is said of it in each state."""

from __future__ import annotations

from datetime import date, timedelta

from shared import names
from shared.api.teams import Audience, team, teams
from shared.marker import format_time
from shared.messaging.routes import DELIVER_KEYS
from shared.requests.paths import DEFAULT_CATALOG_PATH
from tests.fakes.app import GPU, OTHER_READERS, READERS, Asked, FakeApp, catalog_text, path_of
from tests.stages.asking import EVERYBODY, condition, reasons, record, refusing
from tests.stages.road import a_platform, a_team, ask, later, push, withdraw


async def test_a_team_that_has_everything_is_ready_and_is_told_where_and_with_which_limits() -> None:
    found = await record(await a_team(Asked(tokens=4321)))
    assert reasons(found) == {
        "Request": "True Valid",
        "Access": "True Granted",
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
    assert (found.endpoints.azure_endpoint, found.endpoints.base_url) == (
        "https://ai.contoso.com",
        "https://ai.contoso.com/openai/v1",
    )
    assert (condition(found, "Keys").since is None, condition(found, "Keys").message) == (False, "")


async def test_keys_that_nobody_may_read_yet_say_what_to_add() -> None:
    app = await a_team(Asked(readers=None))
    keys = condition(await record(app), "Keys")
    assert (keys.status, keys.reason) == ("True", "InVault")
    assert "entraGroup" in keys.message
    assert keys.since == max(kept.versions[0].created for kept in app.vault.kept.values())


async def test_keys_that_change_hands_say_until_when_the_primary_works() -> None:
    app = await a_team()
    until = format_time(app.clock.now() + timedelta(hours=24))
    await ask(app, Asked(readers=OTHER_READERS))
    keys = condition(await record(app), "Keys")
    assert (keys.status, keys.reason) == ("True", "InVault")
    assert until in keys.message
    app.bus.queues[DELIVER_KEYS.name].clear()
    await later(app, timedelta(hours=24))
    over = condition(await record(app), "Keys")
    assert (over.status, over.reason) == ("False", "InProgress")
    assert "alpha-primary-key" in over.message


async def test_a_team_whose_keys_change_hands_and_whose_file_is_spoilt_is_the_new_groups() -> None:
    app = await a_team()
    await ask(app, Asked(readers=OTHER_READERS))
    await push(app, {path_of("alpha"): "team: {name: "})
    assert await team(app, "alpha", Audience(frozenset({READERS}))) is None
    assert await team(app, "alpha", Audience(frozenset({OTHER_READERS}))) is not None


async def test_a_workspace_on_a_platform_without_gpus_is_told() -> None:
    app = FakeApp(gpus=False)
    app.repository.commit(
        {DEFAULT_CATALOG_PATH: catalog_text(), path_of("alpha"): Asked(dedicated={"phi-4": GPU}).text()}
    )
    workspaces = condition(await record(app), "Workspaces")
    told = ("False", "NoCluster", "this platform has no GPU cluster: ask for the shared model")
    assert (workspaces.status, workspaces.reason, workspaces.message) == told


async def test_before_a_stage_came_by_its_part_is_in_progress_and_says_what_is_missing() -> None:
    app = await a_platform()
    app.repository.commit({path_of("alpha"): Asked().text()})
    found = await record(app)
    assert reasons(found) == {
        "Request": "True Valid",
        "Access": "True Granted",
        "Gateway": "False InProgress",
        "Keys": "False InProgress",
        "Workspaces": "True NothingAsked",
        "Projects": "True NothingAsked",
    }
    assert not found.ready


async def test_what_waits_for_people_is_told_with_its_reason_since_when_and_who_must_act() -> None:
    app = await a_platform()
    await refusing(app, "put_product_policy")
    await ask(app, Asked())
    await refusing(app)
    gateway = condition(await record(app), "Gateway")
    assert (gateway.status, gateway.reason, gateway.since) == ("False", "Rejected", app.clock.now())
    for part in ("400: no", "dead letter 6", "the platform"):
        assert part in gateway.message


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
    assert (waiting.status, waiting.reason) == ("False", "NodeClaimNotReady")
    assert "phi-4" in waiting.message
    await later(app, timedelta(minutes=30))
    ready = condition(await record(app), "Workspaces")
    assert (ready.status, ready.reason, ready.message) == ("True", "Ready", "phi-4")


async def test_a_request_that_is_refused_says_where_it_is_wrong_and_what_stays() -> None:
    app = await a_team()
    before = await record(app)
    await push(app, {path_of("alpha"): Asked(models=("gpt-4.l",)).text()})
    found = await record(app)
    assert (found.access, reasons(found)["Access"]) == ("kept", "True KeptInForce")
    assert condition(found, "Request").reason == "UnknownModel"
    assert condition(found, "Request").message.startswith(f"{path_of('alpha')}:4:14 ")
    assert "'gpt-4.l'" in condition(found, "Request").message
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
    assert (found.access, condition(found, "Request").reason) == ("none", "AboveCeiling")


async def test_the_file_that_was_there_first_is_the_one_that_is_told() -> None:
    app = await a_team()
    await push(app, {"developer-requests/alpha/access.yaml": Asked(tokens=1).text()})
    found = await record(app)
    assert (found.access, found.path) == ("granted", path_of("alpha"))
    assert [problem.reason for problem in found.problems] == ["DuplicateTeam"]


async def test_with_an_invalid_catalogue_nothing_is_judged_and_grants_stay() -> None:
    app = await a_team()
    await push(app, {DEFAULT_CATALOG_PATH: "models: []\n"})
    found = await record(app)
    assert (found.access, reasons(found)["Request"], reasons(found)["Gateway"]) == (
        "kept",
        "Unknown CatalogueInvalid",
        "True KeptInForce",
    )


async def test_a_team_whose_file_is_gone_sees_since_when_and_until_when() -> None:
    app = await a_team(Asked(dedicated={"phi-4": GPU}))
    await withdraw(app)
    found = await record(app)
    assert (found.access, found.granted, found.entra_group) == ("ended", None, READERS)
    assert found.withdrawn is not None
    assert found.withdrawn.deleted_after - found.withdrawn.since == timedelta(days=7)
    assert reasons(found) == {
        "Request": "False NoRequest",
        "Access": "False Ended",
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
    assert (found.access, request.reason, str(request.since)) == (
        "ended",
        "Expired",
        "2027-01-01 00:00:00+00:00",
    )
    assert reasons(found)["Gateway"] == "False InProgress"


async def test_a_team_that_the_guard_holds_keeps_what_it_has_and_is_told() -> None:
    app = await a_team()
    for name in ("bravo", "charlie", "delta"):
        await ask(app, Asked(team=name))
    await push(app, {path_of("alpha"): None, path_of("bravo"): None})
    found = await record(app)
    assert (found.access, reasons(found)["Access"]) == ("held", "True WithdrawalsHeld")
    assert reasons(found)["Request"] == "False NoRequest"
    assert reasons(found)["Keys"] == "True KeptInForce"


async def test_a_team_that_is_gone_and_deleted_is_not_there() -> None:
    app = await a_team()
    await withdraw(app)
    app.gateway.state.products.pop(names.product("alpha"))
    app.gateway.state.subscriptions.pop(names.subscription("alpha"))
    app.vault.kept.clear()
    assert await team(app, "alpha", EVERYBODY) is None
    assert [each.team for each in (await teams(app, EVERYBODY)).teams] == ["zulu"]
