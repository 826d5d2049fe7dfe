"""A message is a hint: what a stage does is what the branch says at that moment."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from shared.branch.decision import Decision
from shared.errors import Busy, InvalidRequest, Unavailable
from shared.git import blob_id
from shared.messaging.messages import AccessChange
from shared.messaging.outcomes import Done
from shared.messaging.routes import DELIVER_KEYS, PROVISION_CATALOG, PROVISION_GATEWAY, PROVISION_WORKSPACES
from shared.names import CATALOG_TEAM
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.stages.pipeline import provision_catalog, provision_gateway
from shared.stages.settlement import start_sweep
from tests.fakes.app import (
    GPU,
    OTHER_READERS,
    READERS,
    Asked,
    FakeApp,
    a_change,
    an_event,
    catalog_text,
    path_of,
)
from tests.fakes.calls import Call
from tests.stages.road import WORK, a_platform, a_team, ask, drain, push, run, shown, withdraw, world

TEAM_STAGES = (PROVISION_GATEWAY, PROVISION_WORKSPACES, DELIVER_KEYS)


async def _send(app: FakeApp, change: AccessChange) -> None:
    for stage in TEAM_STAGES:
        assert isinstance(await WORK[stage](app, an_event(app, change)), Done)


async def test_an_older_message_grants_what_the_branch_says_now() -> None:
    app = await a_platform()
    app.repository.commit({path_of("alpha"): Asked(tokens=90_000).text()})
    older = a_change(app)
    app.repository.commit({path_of("alpha"): Asked(tokens=7_000).text()})
    await provision_gateway(app, an_event(app, older))
    policy = app.gateway.state.policies["team-alpha"].text
    assert "7000" in policy
    assert "90000" not in policy


async def test_a_request_that_is_gone_ends_its_message_and_takes_nothing_away() -> None:
    app = await a_team()
    older, before = a_change(app), world(app)
    app.repository.commit({path_of("zulu"): Asked(team="zulu").text(), path_of("alpha"): None})
    await _send(app, older)
    assert app.calls.writes() == []
    assert world(app) == before


async def test_a_withdrawal_of_a_team_that_asks_again_takes_nothing_away() -> None:
    app = await a_team()
    stale = AccessChange(
        change="withdrawn", team="alpha", path=path_of("alpha"), commit=app.repository.branch or ""
    )
    await _send(app, stale)
    assert app.calls.writes() == []


async def test_text_that_is_not_the_branchs_is_read_again_and_nothing_of_it_counts() -> None:
    app = await a_platform()
    app.repository.commit({path_of("alpha"): Asked(tokens=7_000).text()})
    forged = a_change(app).model_copy(update={"text": Asked(tokens=90_000).text()})
    await provision_gateway(app, an_event(app, forged))
    assert a_change(app).blob in [call.target for call in app.calls.made if call.name == "blob"]
    policy = app.gateway.state.policies["team-alpha"].text
    assert "7000" in policy
    assert "90000" not in policy


async def test_text_with_the_right_hash_that_is_not_on_the_branch_counts_for_nothing() -> None:
    app = await a_platform()
    app.repository.commit({path_of("alpha"): Asked(tokens=7_000).text()})
    text = Asked(tokens=90_000).text()
    forged = a_change(app).model_copy(update={"text": text, "blob": blob_id(text.encode())})
    await provision_gateway(app, an_event(app, forged))
    assert "7000" in app.gateway.state.policies["team-alpha"].text


async def test_text_that_the_hash_proves_is_not_fetched() -> None:
    app = await a_platform()
    app.repository.commit({path_of("alpha"): Asked().text()})
    await run(app, PROVISION_GATEWAY)
    assert a_change(app).blob not in [call.target for call in app.calls.made if call.name == "blob"]


async def test_a_message_for_one_team_does_not_act_on_the_file_of_another() -> None:
    app = await a_platform()
    app.repository.commit({path_of("alpha"): Asked().text(), path_of("bravo"): Asked(team="bravo").text()})
    crossed = a_change(app, "bravo").model_copy(update={"team": "alpha"})
    await _send(app, crossed)
    assert app.calls.writes() == []


@pytest.mark.parametrize(
    "text",
    [
        "team: {name: alpha",
        Asked(models=("no-such-model",)).text(),
        Asked(team="bravo").text(),
        Asked(tokens=100_001).text(),
    ],
    ids=["not YAML", "unknown model", "another team", "above the ceiling"],
)
async def test_an_invalid_request_on_the_branch_changes_nothing(text: str) -> None:
    app = await a_team()
    before = world(app)
    await push(app, {path_of("alpha"): text})
    await _send(app, a_change(app))
    assert app.calls.writes() == []
    assert world(app) == before


async def test_a_teams_message_is_nothing_to_the_stage_of_the_catalogue() -> None:
    app = await a_team()
    app.calls.forget()
    assert await provision_catalog(app, an_event(app, a_change(app))) == Done()
    assert app.calls.made == []


@pytest.mark.parametrize("catalog", ["models: [", "models: []", None], ids=["not YAML", "empty", "gone"])
async def test_an_invalid_catalogue_on_the_branch_changes_nothing(catalog: str | None) -> None:
    app = await a_team()
    before = world(app)
    await push(app, {DEFAULT_CATALOG_PATH: catalog})
    await _send(app, a_change(app))
    assert await run(app, PROVISION_CATALOG, CATALOG_TEAM) == Done()
    assert app.calls.writes() == []
    assert world(app) == before


async def test_a_model_that_left_the_catalogue_leaves_the_teams_that_use_it_as_they_are() -> None:
    app = await a_team()
    before = world(app)["policies"]
    await push(app, {DEFAULT_CATALOG_PATH: catalog_text().replace("gpt-4.1", "gpt-5")})
    assert world(app)["policies"] == before


@pytest.mark.parametrize(("today", "in_force"), [(date(2026, 3, 2), True), (date(2026, 3, 3), False)])
async def test_access_lasts_to_the_end_of_its_last_day(today: date, in_force: bool) -> None:
    app = await a_team(Asked(expires=date(2026, 3, 2)))
    app.clock.advance(timedelta(days=(today - app.clock.now().date()).days))
    for stage in (PROVISION_GATEWAY, DELIVER_KEYS):
        await run(app, stage)
    assert app.gateway.state.subscriptions["team-alpha"].state == ("active" if in_force else "suspended")
    assert (app.vault.value("alpha-primary-key") is not None) == in_force


async def test_the_same_request_may_be_prolonged_within_grace() -> None:
    app = await a_team(Asked(expires=date(2026, 3, 2)))
    key = app.vault.value("alpha-primary-key")
    app.clock.advance(timedelta(days=2))
    await ask(app, Asked(expires=date(2026, 3, 3), tokens=9_999))
    await start_sweep(app, "the timer")
    await drain(app)
    assert app.vault.value("alpha-primary-key") is None
    await ask(app, Asked(expires=date(2027, 3, 3)))
    assert app.vault.value("alpha-primary-key") == key


async def test_a_request_without_a_branch_is_superseded() -> None:
    app = await a_team()
    change = a_change(app)
    app.repository.delete_branch()
    await _send(app, change)
    assert app.calls.writes() == []


async def test_an_emptied_branch_withdraws_nobody_even_when_a_message_says_so() -> None:
    app = await a_team()
    commit = app.repository.commit({path_of("alpha"): None})
    await _send(app, AccessChange(change="withdrawn", team="alpha", path=path_of("alpha"), commit=commit))
    assert set(app.calls.writes()) <= {"publish_product team-alpha"}, "that it is held, the product may say"
    assert app.gateway.state.subscriptions["team-alpha"].state == "active"
    assert app.vault.value("alpha-primary-key") is not None


async def test_a_branch_that_moves_while_a_stage_writes_is_followed() -> None:
    app = await a_platform()
    app.repository.commit({path_of("alpha"): Asked(tokens=90_000).text()})
    change = a_change(app)
    moved: list[str] = []

    async def move(call: Call) -> None:
        if call.name == "put_product_policy" and not moved:
            moved.append(app.repository.commit({path_of("alpha"): Asked(tokens=7_000).text()}))

    app.calls.before = move
    assert isinstance(await provision_gateway(app, an_event(app, change)), Done)
    assert "7000" in app.gateway.state.policies["team-alpha"].text
    marker = app.gateway.state.products["team-alpha"].marker
    assert marker is not None
    assert [marker.commit] == moved


async def test_after_a_move_nothing_that_a_mark_vouches_for_is_believed() -> None:
    """What was written before may have come too late, over something newer."""
    app = await a_team()
    app.repository.commit({path_of("alpha"): Asked(tokens=90_000).text()})
    change = a_change(app)
    moved: list[int] = []

    async def move(call: Call) -> None:
        if call.name == "put_product_policy" and not moved:
            app.repository.commit({path_of("alpha"): Asked(tokens=7_000).text()})
            moved.append(len(app.calls.made))

    app.calls.before = move
    app.calls.forget()
    await provision_gateway(app, an_event(app, change))
    links = [number for number, call in enumerate(app.calls.made) if call.name == "is_linked"]
    assert links
    assert min(links) > moved[0], "the first look believes the mark"


async def test_a_request_removed_while_keys_are_delivered_is_left_to_the_withdrawal() -> None:
    app = await a_platform()
    app.repository.commit({path_of("zulu"): Asked(team="zulu").text()})

    async def remove(call: Call) -> None:
        if call.name == "set" and path_of("alpha") in app.repository.files():
            app.repository.commit({path_of("alpha"): None})

    app.calls.before = remove
    await ask(app, Asked())
    await withdraw_message(app)
    assert app.gateway.state.subscriptions["team-alpha"].state == "suspended"
    assert app.vault.value("alpha-primary-key") is None


async def withdraw_message(app: FakeApp) -> None:
    """The push that removed the request comes late."""
    for stage in (PROVISION_GATEWAY, DELIVER_KEYS):
        await WORK[stage](app, an_event(app, a_change(app), "d9/alpha"))


async def test_a_branch_that_keeps_moving_is_looked_at_again_later() -> None:
    app = await a_platform()
    tokens = iter(range(1_000, 90_000))

    async def move(call: Call) -> None:
        if call.name in ("put_product_policy", "create_product"):
            app.repository.commit({path_of("alpha"): Asked(tokens=next(tokens)).text()})

    app.repository.commit({path_of("alpha"): Asked().text()})
    app.calls.after = move
    with pytest.raises(Busy) as moving:
        await provision_gateway(app, an_event(app, a_change(app)))
    assert moving.value.reason == "BranchMoving"


async def test_a_tree_that_github_does_not_give_is_asked_for_again_later() -> None:
    app = await a_team()
    tree = (await app.repository.head()).tree  # type: ignore[union-attr]  # there is a branch
    del app.repository._trees[tree]
    change = AccessChange(
        change="requested", team="alpha", path=path_of("alpha"), commit=app.repository.branch or ""
    )
    with pytest.raises(Unavailable):
        await provision_gateway(app, an_event(app, change))


async def test_a_platform_without_gpus_refuses_a_dedicated_model_and_grants_the_others() -> None:
    app = await a_platform(gpus=False)
    app.repository.commit({path_of("alpha"): Asked(dedicated={"phi-4": GPU}).text()})
    with pytest.raises(InvalidRequest) as refused:
        await run(app, PROVISION_GATEWAY)
    assert (refused.value.reason, refused.value.actor) == ("NoCluster", "the team")
    assert await run(app, PROVISION_WORKSPACES) == Done()
    await ask(app, Asked(team="bravo"))
    assert shown(app, "bravo")["gateway"] == "success: product and policy in place: gpt-4.1 10,000/min"


async def test_a_withdrawal_reaches_only_the_team_it_names() -> None:
    app = await a_team()
    await ask(app, Asked(team="bravo"))
    await withdraw(app, "bravo")
    await drain(app)
    states = {name: found.state for name, found in app.gateway.state.subscriptions.items()}
    assert (states["team-alpha"], states["team-bravo"]) == ("active", "suspended")


async def test_an_old_message_for_a_second_file_of_the_team_leaves_the_holder_in_force() -> None:
    app = await a_team()
    second = "developer-requests/alpha/access.yaml"
    await push(app, {second: Asked(tokens=90_000, readers=OTHER_READERS, dedicated={"phi-4": GPU}).text()})
    await _send(app, a_change(app, path=second))
    assert app.calls.writes() == []


async def test_an_old_message_grants_nothing_while_a_new_team_has_two_files() -> None:
    """The check of the push refused both, and no later look grants one of them."""
    app = await a_platform()
    second = "developer-requests/alpha/access.yaml"
    await push(app, {path_of("alpha"): Asked().text(), second: Asked(tokens=90_000).text()})
    assert {problem.reason for problem in app.reports.verdicts[-1].problems} == {"DuplicateTeam"}
    for path in (path_of("alpha"), second):
        await _send(app, a_change(app, path=path))
    assert "team-alpha" not in app.gateway.state.products
    await push(app, {second: "nonsense: ["})
    await _send(app, a_change(app))
    assert "team-alpha" in app.gateway.state.products


async def test_the_holder_can_change_beside_a_second_file() -> None:
    app = await a_team()
    await push(app, {"developer-requests/alpha/access.yaml": Asked(tokens=90_000).text()})
    await push(app, {path_of("alpha"): Asked(tokens=7_000).text()})
    assert "7000" in app.gateway.state.policies["team-alpha"].text


def test_groups_that_an_older_head_let_in_are_remembered_round_after_round() -> None:
    first = Decision("active", request=Asked().read())
    second = Decision("active", request=Asked(readers=OTHER_READERS).read()).after(first)
    third = Decision("ended").after(second)
    assert [sorted(each.granted_groups) for each in (first, second, third)] == [
        [],
        [READERS],
        sorted((READERS, OTHER_READERS)),
    ]
    assert (
        Decision("ended").after(Decision("active", request=Asked(readers=None).read())).granted_groups
        == frozenset()
    )
