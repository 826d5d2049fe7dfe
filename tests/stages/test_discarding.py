"""Discard, and what sweeps do about what waits for people."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.messaging.messages import DeadLetter
from shared.messaging.routes import (
    DEAD_LETTERS,
    DELIVER_KEYS,
    PROVISION_GATEWAY,
    PROVISION_PROJECTS,
    PROVISION_WORKSPACES,
    SWEEP,
    TOPIC,
    Stage,
)
from shared.names import product
from shared.ports import OutgoingMessage
from shared.requests.paths import DEFAULT_CATALOG_PATH
from tests.fakes.app import GPU, Asked, FakeApp, catalog_text, path_of
from tests.stages.operators import (
    Refusing,
    a_dead_letter,
    addressed,
    discard,
    each,
    numbers,
    outcomes,
    sweep_now,
)
from tests.stages.road import a_platform, a_team, ask, later, push, withdraw, world

#: A request that every stage of the topic has work for.
EVERYTHING = Asked(dedicated={"phi-4": GPU}, playground=True)

# ---------------------------------------------------------------------------------------------------- discard


async def test_after_a_discard_the_next_sweep_looks_again() -> None:
    app = await a_dead_letter()
    assert outcomes(await discard(app)) == ["discarded"]
    assert len(await sweep_now(app)) == 1
    assert world(app) == world(await a_team())


async def test_a_discard_makes_the_next_sweep_look_even_where_lists_show_nothing() -> None:
    app = await a_team()
    about = DeadLetter("deliver-keys", "alpha", "X", "x", "the platform", 1, "m", "alpha", "m", 0)
    await app.bus.send([OutgoingMessage(DEAD_LETTERS, "x", b"{}", properties=about.properties())])
    before = world(app)
    assert await sweep_now(app) == []
    await discard(app)
    assert [sent.session for sent in await sweep_now(app)] == ["alpha"]
    assert world(app) == before
    assert await sweep_now(app) == []


async def test_trouble_that_is_still_there_after_a_discard_is_a_letter_again() -> None:
    app = await a_dead_letter()
    with Refusing(app):
        for _ in range(3):
            await discard(app)
            await sweep_now(app)
            assert len(app.bus.dead_letters()) == 1


async def test_a_discard_touches_no_product_that_is_not_ours() -> None:
    app = await a_dead_letter()
    name = product("alpha")
    foreign = replace(app.gateway.state.products[name], marker=None, published=True)
    app.gateway.state.products[name] = foreign
    await discard(app)
    assert app.gateway.state.products[name] == foreign


async def test_a_discard_publishes_nothing_that_is_not_finished() -> None:
    app = await a_dead_letter()
    await discard(app)
    assert not app.gateway.state.products[product("alpha")].published


async def test_a_discard_that_cannot_mark_the_product_keeps_the_letter() -> None:
    app = await a_team()
    with Refusing(app):
        await ask(app, Asked(tokens=2000))
    with Refusing(app, "publish_product"):
        assert outcomes(await discard(app)) == ["failed"]
    assert outcomes(await discard(app)) == ["discarded"]


async def test_only_letters_of_teams_that_converged_are_discarded_as_such() -> None:
    app = await a_dead_letter()
    with Refusing(app):
        await ask(app, replace(EVERYTHING, team="bravo"))
    alpha, bravo = await numbers(app)
    await ask(app, Asked(tokens=2000))
    assert [(each.sequence, each.outcome) for each in await discard(app, only_converged=True)] == [
        (alpha, "discarded"),
        (bravo, "skipped"),
    ]
    assert addressed(await sweep_now(app)) == each("bravo", "workspaces", "projects"), (
        "who has converged need not be looked at again"
    )


async def test_a_team_whose_file_cannot_be_read_has_not_converged() -> None:
    app = await a_dead_letter()
    app.repository.commit({path_of("alpha"): "nonsense: ["})
    [answer] = await discard(app, only_converged=True)
    assert (answer.outcome, answer.why) == ("skipped", "its team is not known to have converged")


async def test_a_letter_of_an_earlier_withdrawal_does_not_keep_a_later_one_off() -> None:
    app = await a_team()
    await ask(app, Asked(team="zulu"))
    with Refusing(app, "update"):
        await withdraw(app)
    assert len(await numbers(app)) == 1
    await ask(app, Asked())
    assert app.gateway.state.subscriptions["team-alpha"].state == "active"
    app.repository.commit({path_of("alpha"): None})
    await sweep_now(app)
    assert app.gateway.state.subscriptions["team-alpha"].state == "suspended"
    assert app.vault.value("alpha-primary-key") is None


async def test_who_is_in_force_stays_so_in_the_ledgers_after_a_discard() -> None:
    """The mark that a discard takes away vouches for what is written, not for whether anything is."""
    lower = catalog_text().replace(
        "    maxTokensPerMinute: 100000\n", "    maxTokensPerMinute: 10000\n    capacity: 20000\n", 1
    )
    app = await a_platform()
    await push(app, {DEFAULT_CATALOG_PATH: lower})
    await push(app, {path_of(team): Asked(team=team, tokens=10_000).text() for team in ("alpha", "bravo")})
    await push(app, {DEFAULT_CATALOG_PATH: lower.replace("capacity: 20000", "capacity: 15000")})
    app.gateway.state.subscriptions["team-alpha"] = replace(
        app.gateway.state.subscriptions["team-alpha"], state="suspended"
    )
    with Refusing(app, "versions"):
        await sweep_now(app)
    app.gateway.state.subscriptions["team-alpha"] = replace(
        app.gateway.state.subscriptions["team-alpha"], state="active"
    )
    assert len(await numbers(app)) == 1
    await discard(app)
    app.gateway.state.links.discard(("team-alpha", "ai"))
    await sweep_now(app, verdict=True)
    assert [
        problem.reason for problem in app.reports.verdicts[-1].problems if problem.level == "failure"
    ] == []
    assert ("team-alpha", "ai") in app.gateway.state.links


async def test_a_team_whose_models_do_not_serve_has_not_converged() -> None:
    app = await a_team(Asked(dedicated={"phi-4": GPU}))
    about = DeadLetter(
        "provision-workspaces", "alpha", "WaitedTooLong", "x", "the platform", 1, "m", "alpha", "m", 0
    )
    await app.bus.send([OutgoingMessage(DEAD_LETTERS, "x", b"{}", properties=about.properties())])
    assert outcomes(await discard(app, only_converged=True)) == ["skipped"]
    await later(app, timedelta(minutes=30))
    assert outcomes(await discard(app, only_converged=True)) == ["discarded"]


async def test_without_a_valid_catalogue_nobody_is_known_to_have_converged() -> None:
    app = await a_dead_letter()
    await ask(app, Asked(tokens=2000))
    await push(app, {app.paths.catalog: "models: []\n"})
    assert outcomes(await discard(app, only_converged=True)) == ["skipped"]


# ----------------------------------------------------------------------------------------------------- sweeps


async def test_a_sweep_leaves_a_letter_to_people_and_queues_the_team_elsewhere() -> None:
    app = await a_dead_letter(EVERYTHING)
    await ask(app, Asked(team="bravo"))
    app.vault.kept.clear()
    assert sorted(addressed(await sweep_now(app)), key=str) == sorted(
        [*each("alpha", "workspaces", "projects"), *each("bravo", "gateway")]
    )


@pytest.mark.parametrize(
    ("stage", "left"),
    [
        (PROVISION_GATEWAY, each("alpha", "workspaces", "projects")),
        (DELIVER_KEYS, each("alpha", "workspaces", "projects")),
        (PROVISION_WORKSPACES, each("alpha", "gateway", "projects")),
        (PROVISION_PROJECTS, each("alpha", "gateway", "workspaces")),
        (SWEEP, [("alpha", "all")]),
    ],
    ids=lambda value: value.name if isinstance(value, Stage) else "",
)
async def test_each_stage_stands_for_itself_and_keys_for_the_gateway_that_asks_for_them(
    stage: Stage, left: list[tuple[str | None, str | None]]
) -> None:
    app = await a_team(EVERYTHING)
    await _letter_about_alpha(app, stage)
    app.gateway.state.links.clear()
    assert addressed(await sweep_now(app)) == left


async def _letter_about_alpha(app: FakeApp, stage: Stage) -> None:
    [sent] = [
        sent for sent in app.bus.sent if (sent.entity, sent.session, sent.to) == (TOPIC, "alpha", "all")
    ]
    about = DeadLetter(stage.name, "alpha", "X", "x", "the platform", 1, "m", "alpha", "m", 0)
    await app.bus.send(
        [OutgoingMessage(DEAD_LETTERS, f"x-{stage.name}", sent.body, properties=about.properties())]
    )


async def test_with_letters_of_all_its_stages_a_team_is_not_queued() -> None:
    app = await a_team(EVERYTHING)
    for stage in (PROVISION_GATEWAY, PROVISION_WORKSPACES, PROVISION_PROJECTS):
        await _letter_about_alpha(app, stage)
    app.gateway.state.links.clear()
    assert await sweep_now(app) == []


async def test_another_request_of_the_team_is_other_trouble() -> None:
    app = await a_dead_letter()
    app.repository.commit({path_of("alpha"): Asked(tokens=2000).text()})
    assert addressed(await sweep_now(app)) == each("alpha", "gateway")
    assert app.gateway.state.links


async def test_after_a_day_a_sweep_tries_again() -> None:
    app = await a_dead_letter()
    assert await sweep_now(app) == []
    app.clock.advance(timedelta(days=1))
    assert addressed(await sweep_now(app)) == each("alpha", "gateway")


async def test_what_a_push_wants_to_be_looked_at_is_tried_whatever_waits_for_people() -> None:
    app = await a_dead_letter()
    assert addressed(await sweep_now(app, verdict=True)) == each("alpha", "gateway")


async def test_where_nothing_differs_no_letter_is_read() -> None:
    app = await a_team()
    app.calls.forget()
    await sweep_now(app)
    assert app.calls.names("dead-letters") == []


async def test_a_sweep_that_shall_only_report_queues_nothing(caplog: pytest.LogCaptureFixture) -> None:
    app = await a_team()
    app.gateway.state.links.clear()
    app.sweep_report_only = True
    assert await sweep_now(app) == []
    assert "alpha: create product link team-alpha" in caplog.text
    app.sweep_report_only = False
    assert len(await sweep_now(app)) == 1
