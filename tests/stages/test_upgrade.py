"""After an upgrade the world is not written anew at once, and nobody's access ends by rules that nobody has
seen at work.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.marker import RULES
from shared.messaging.messages import AccessChange
from shared.messaging.routes import TOPIC
from shared.names import FRAGMENT
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.stages.settlement import start_sweep
from tests.fakes.app import GPU, Asked, FakeApp, path_of
from tests.stages import edits
from tests.stages.road import a_platform, drain, later, push

TEAMS = tuple(f"team{number:02}x" for number in range(12))


async def twelve(portion: int = 4) -> FakeApp:
    app = await a_platform()
    await push(app, {path_of(team): Asked(team=team).text() for team in TEAMS})
    app.sweep_upgrades = portion
    return app


def written_by_another_version(app: FakeApp, *teams: str) -> None:
    """As a version left it that made another policy of the same request."""
    for team in teams:
        product = app.gateway.state.products[f"team-{team}"]
        assert product.marker is not None
        app.gateway.state.products[f"team-{team}"] = replace(
            product, marker=replace(product.marker, digest="0" * 64)
        )


async def swept(app: FakeApp) -> list[str]:
    """The teams that a sweep queues something for; what it queued is done."""
    before = len(app.bus.sent)
    app.calls.forget()
    app.clock.advance(timedelta(minutes=15))
    await start_sweep(app, "the timer")
    await drain(app)
    sent = [envelope for envelope in app.bus.sent[before:] if envelope.entity == TOPIC]
    return sorted({AccessChange.decode(envelope.body).team for envelope in sent})


def looked_up(app: FakeApp) -> int:
    return sum(call.name == "file" for call in app.calls.made)


async def test_teams_that_differ_by_the_version_alone_are_written_in_portions(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = await twelve()
    written_by_another_version(app, *TEAMS)
    with caplog.at_level(logging.WARNING, "mergekey"):
        assert await swept(app) == list(TEAMS[:4])
    assert "12 teams differ by the version alone: 4 are queued, 8 wait for the next sweeps" in caplog.text
    assert [await swept(app), await swept(app), await swept(app)] == [list(TEAMS[4:8]), list(TEAMS[8:]), []]


async def test_reports_alone_say_the_number_first(caplog: pytest.LogCaptureFixture) -> None:
    app = await twelve()
    app.sweep_report_only = True
    written_by_another_version(app, *TEAMS)
    with caplog.at_level(logging.WARNING, "mergekey"):
        assert await swept(app) == []
    assert "12 teams differ by the version alone: 4 are queued, 8 wait for the next sweeps" in caplog.text


async def test_limits_that_were_edited_by_hand_wait_for_no_portion() -> None:
    """However many they are: what was written by another version has another digest on its namespace too."""
    app = await a_platform()
    gpus = TEAMS[:6]
    await push(app, {path_of(team): Asked(team=team, dedicated={"mistral-7b": GPU}).text() for team in gpus})
    await later(app, timedelta(minutes=30))
    app.sweep_upgrades = 2
    for team in gpus:
        edits.objects_of(app, f"team-{team}")[edits.NETWORK].manifest["spec"]["ingress"] = [{}]
    assert await swept(app) == list(gpus)
    assert app.cluster is not None
    for team in gpus:
        marked = app.cluster.state.namespaces[f"team-{team}"].manifest["metadata"]["annotations"]
        marked["mergekey.dev/digest"] = "0" * 64
    assert await swept(app) == list(gpus[:2])


async def test_what_differs_otherwise_waits_for_nobody() -> None:
    app = await twelve()
    written_by_another_version(app, *TEAMS[:8])
    app.repository.commit({path_of(TEAMS[8]): Asked(team=TEAMS[8], tokens=1_234).text()})
    app.gateway.open_product(f"team-{TEAMS[7]}")
    app.gateway.state.links.discard((f"team-{TEAMS[6]}", "ai"))
    assert await swept(app) == [*TEAMS[:4], *TEAMS[6:9]]


async def test_another_catalogue_is_no_version() -> None:
    app = await twelve()
    written_by_another_version(app, *TEAMS)
    catalog = app.repository.text(DEFAULT_CATALOG_PATH)
    app.repository.commit(
        {DEFAULT_CATALOG_PATH: catalog.replace("maxTokensPerMinute: 100000", "maxTokensPerMinute: 90000")}
    )
    assert set(TEAMS) <= set(await swept(app))


async def test_nobodys_text_is_looked_up_while_there_are_few_and_at_most_twice_for_a_team() -> None:
    """Beside what the account of capacities reads of teams whose digest is another."""
    counts = []
    for portion in (100, 12, 4):
        app = await twelve(portion)
        written_by_another_version(app, *TEAMS)
        await swept(app)
        counts.append(looked_up(app))
    assert counts[0] == counts[1]
    assert counts[2] <= counts[0] + 2 * len(TEAMS)


# -------------------------------------------------------------------------------------------- the first sweep


def upgraded(app: FakeApp) -> None:
    """Nothing in the world says yet that a sweep has judged by these rules."""
    app.gateway.state.rules = RULES - 1


async def test_the_first_sweep_after_an_upgrade_ends_nobodys_access_and_the_second_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = await twelve()
    upgraded(app)
    app.repository.commit({path_of(TEAMS[0]): None})
    app.gateway.state.links.discard((f"team-{TEAMS[1]}", "ai"))
    with caplog.at_level(logging.WARNING, "mergekey"):
        assert await swept(app) == [TEAMS[1]]
    assert f"{TEAMS[0]}: its access would end; the first sweep after an upgrade only tells it" in caplog.text
    assert f"put_fragment {FRAGMENT}" in app.calls.writes()
    assert app.gateway.state.subscriptions[f"team-{TEAMS[0]}"].state == "active"
    assert await swept(app) == [TEAMS[0]]
    assert app.gateway.state.subscriptions[f"team-{TEAMS[0]}"].state == "suspended"


async def test_a_push_acts_by_the_new_rules_at_once() -> None:
    app = await twelve()
    upgraded(app)
    await push(app, {path_of(TEAMS[0]): None})
    assert app.gateway.state.subscriptions[f"team-{TEAMS[0]}"].state == "suspended"


async def test_what_was_withdrawn_before_the_upgrade_is_cleaned_away_all_the_same() -> None:
    app = await twelve()
    await push(app, {path_of(TEAMS[0]): None})
    upgraded(app)
    app.clock.advance(app.timeouts.grace)
    assert await swept(app) == [TEAMS[0]]
    assert f"team-{TEAMS[0]}" not in app.gateway.state.products


async def test_reports_alone_leave_the_number_of_the_rules_as_it_is() -> None:
    app = await twelve()
    upgraded(app)
    app.sweep_report_only = True
    await swept(app)
    assert (app.gateway.state.rules, app.calls.writes()) == (RULES - 1, [])


async def test_a_fragment_that_somebody_deleted_is_no_upgrade() -> None:
    app = await twelve()
    app.gateway.state.fragments.clear()
    app.repository.commit({path_of(TEAMS[0]): None})
    assert await swept(app) == ["catalogue", TEAMS[0]]
