"""Access ends on the day that was granted, whatever the branch says afterwards: no file that cannot be read
keeps a key alive.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import pytest

from shared.messaging.routes import PROVISION_GATEWAY
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.stages.settlement import start_sweep
from tests.fakes.app import GPU, Asked, FakeApp, catalog_text, path_of
from tests.stages.road import a_platform, drain, later, push

DAY = timedelta(days=1)
SECRETS = ("alpha-endpoint", "alpha-primary-key", "alpha-secondary-key")
Spoil = Callable[[Asked], dict[str, str | bytes | None]]
ASKED = Asked(dedicated={"phi-4": GPU}, playground=True)


async def expiring(after: timedelta = DAY) -> tuple[FakeApp, Asked]:
    """Alpha's access is over `after` today; bravo's never is."""
    app = await a_platform()
    asked = Asked(dedicated={"phi-4": GPU}, playground=True, expires=app.clock.now().date() + after)
    await push(app, {path_of("alpha"): asked.text(), path_of("bravo"): Asked(team="bravo").text()})
    await later(app, timedelta(minutes=30))
    return app, asked


async def days(app: FakeApp, number: int) -> None:
    for _ in range(number):
        await later(app, DAY)
        await start_sweep(app, "the timer")
        await drain(app)


def is_active(app: FakeApp, team: str = "alpha") -> bool:
    subscription = app.gateway.state.subscriptions.get(f"team-{team}")
    return subscription is not None and subscription.state == "active"


def last_day(app: FakeApp) -> date | None:
    marker = app.gateway.state.products["team-alpha"].marker
    assert marker is not None
    return marker.expires


def misspelt(asked: Asked) -> dict[str, str | bytes | None]:
    return {path_of("alpha"): asked.text().replace("gpt-4.1", "gpt-4.l")}


def no_catalogue(asked: Asked) -> dict[str, str | bytes | None]:
    return {DEFAULT_CATALOG_PATH: catalog_text() + "nonsense: true\n"}


def lower_ceiling(asked: Asked) -> dict[str, str | bytes | None]:
    return {
        DEFAULT_CATALOG_PATH: catalog_text().replace("maxTokensPerMinute: 100000", "maxTokensPerMinute: 5000")
    }


def not_text(asked: Asked) -> dict[str, str | bytes | None]:
    return {path_of("alpha"): b"\xff\xfe"}


async def test_with_an_invalid_catalogue_access_ends_on_its_day_and_nothing_is_deleted() -> None:
    """Nobody knows whether the request would be valid; when the catalogue is mended, what was put off is
    done.
    """
    app, asked = await expiring()
    await push(app, no_catalogue(asked))
    await days(app, 20)
    assert app.gateway.state.subscriptions["team-alpha"].state == "suspended"
    assert [app.vault.value(secret) for secret in SECRETS] == [None] * 3
    assert app.cluster is not None
    assert app.projects is not None
    assert "team-alpha" in app.cluster.state.namespaces
    assert "team-alpha" in app.projects.names()
    app.calls.forget()
    await start_sweep(app, "the timer")
    await drain(app)
    assert app.calls.writes() == []
    assert app.bus.queues[PROVISION_GATEWAY.name] == []
    await push(app, {DEFAULT_CATALOG_PATH: catalog_text()})
    await days(app, 1)
    await later(app, timedelta(hours=3))
    assert "team-alpha" not in app.gateway.state.products
    assert "team-alpha" not in app.cluster.state.namespaces
    assert not [name for name in app.vault.names() if name.startswith("alpha")]


async def test_who_comes_back_while_the_catalogue_is_not_valid_finds_everything_when_it_is() -> None:
    app, asked = await expiring(30 * DAY)
    await push(app, {path_of("alpha"): None})
    await push(app, {path_of("alpha"): asked.text(), **no_catalogue(asked)})
    await days(app, 12)
    assert "team-alpha" in app.gateway.state.products
    await push(app, {DEFAULT_CATALOG_PATH: catalog_text()})
    assert is_active(app)
    assert app.vault.value("alpha-primary-key") is not None


@pytest.mark.parametrize("spoil", [misspelt, lower_ceiling, not_text])
async def test_access_ends_on_its_day_when_its_request_cannot_be_judged_any_more(spoil: Spoil) -> None:
    app, asked = await expiring()
    await push(app, spoil(asked))
    await days(app, 1)
    assert is_active(app), "on its last day"
    await days(app, 1)
    assert not is_active(app)
    assert [app.vault.value(secret) for secret in SECRETS] == [None] * 3
    assert app.cluster is not None
    await later(app, timedelta(hours=3))
    assert "team-alpha" not in app.cluster.state.namespaces
    await days(app, 9)
    assert "team-alpha" not in app.gateway.state.products
    assert not [name for name in app.vault.names() if name.startswith("alpha")]
    assert app.projects is not None
    assert "team-alpha" not in app.projects.names()
    assert is_active(app, "bravo")


async def test_a_sweep_after_that_writes_nothing() -> None:
    app, asked = await expiring()
    await push(app, misspelt(asked))
    await days(app, 3)
    app.calls.forget()
    await start_sweep(app, "the timer")
    await drain(app)
    assert app.calls.writes() == []


async def test_a_request_that_cannot_be_read_keeps_what_was_granted_until_then() -> None:
    app, asked = await expiring(30 * DAY)
    await push(app, misspelt(asked))
    await days(app, 20)
    assert is_active(app)


async def test_access_without_a_last_day_stays_while_its_request_cannot_be_read() -> None:
    app, _ = await expiring()
    await push(app, {path_of("bravo"): "team: {name: bravo}\n"})
    await days(app, 40)
    assert is_active(app, "bravo")


async def test_grace_ends_although_the_catalogue_has_dropped_the_model_meanwhile() -> None:
    app, _ = await expiring()
    await push(
        app, {path_of("alpha"): Asked(models=("text-embedding-3-large",), expires=last_day(app)).text()}
    )
    await days(app, 2)
    assert not is_active(app)
    text = catalog_text()
    before, _, after = text.partition("  - name: text-embedding-3-large")
    await push(
        app, {DEFAULT_CATALOG_PATH: before + "  - name: phi-4" + after.partition("  - name: phi-4")[2]}
    )
    await days(app, 8)
    assert "team-alpha" not in app.gateway.state.products
    assert not [name for name in app.vault.names() if name.startswith("alpha")]


async def test_a_withdrawn_team_with_an_unreadable_file_stays_until_the_end_of_grace() -> None:
    app, asked = await expiring(30 * DAY)
    await push(app, {path_of("alpha"): None})
    await push(app, misspelt(asked))
    await days(app, 3)
    assert app.gateway.state.subscriptions["team-alpha"].state == "suspended"
    await push(app, {path_of("alpha"): asked.text()})
    assert is_active(app)
    await push(app, {path_of("alpha"): None})
    await push(app, misspelt(asked))
    await days(app, 9)
    assert "team-alpha" not in app.gateway.state.products


async def test_another_last_day_is_written_though_nothing_else_changes() -> None:
    app, asked = await expiring()
    was = asked.expires
    app.calls.forget()
    await push(
        app,
        {path_of("alpha"): Asked(dedicated={"phi-4": GPU}, playground=True, expires=date(2031, 1, 1)).text()},
    )
    assert (was, last_day(app)) != (was, was)
    assert last_day(app) == date(2031, 1, 1)
    assert app.calls.writes("gateway") == ["publish_product team-alpha"]
    await push(app, {path_of("alpha"): ASKED.text()})
    assert last_day(app) is None
    await push(app, misspelt(asked))
    await days(app, 5)
    assert is_active(app)


async def test_a_second_file_that_cannot_be_read_ends_nothing() -> None:
    app, asked = await expiring()
    extended = Asked(dedicated={"phi-4": GPU}, playground=True, expires=date(2031, 1, 1))
    await push(app, {"developer-requests/alpha/access.yaml": "nonsense"})
    await push(app, {path_of("alpha"): extended.text()})
    await days(app, 3)
    assert is_active(app)
    assert asked.expires is not None


async def several() -> FakeApp:
    """The access of alpha and bravo is over tomorrow; that of carol and delta never is."""
    app = await a_platform()
    day = app.clock.now().date() + DAY
    asked = [
        Asked(team=team, dedicated={}, expires=day if team in ("alpha", "bravo") else None)
        for team in ("alpha", "bravo", "carol", "delta")
    ]
    await push(app, {path_of(each.team): each.text() for each in asked})
    await later(app, timedelta(minutes=30))
    return app


async def test_what_has_ended_by_its_date_is_not_held_when_the_files_go() -> None:
    app = await several()
    await later(app, 2 * DAY)
    await push(app, {path_of("alpha"): None, path_of("bravo"): None})
    assert not is_active(app, "alpha")
    assert not is_active(app, "bravo")
    assert app.reports.verdicts[-1].problems == ()


async def test_access_that_ended_by_its_date_does_not_count_when_another_file_goes() -> None:
    app = await several()
    await days(app, 2)
    await push(app, {path_of("alpha"): None})
    await push(app, {path_of("carol"): None})
    assert not is_active(app, "carol")
    assert is_active(app, "delta")


async def test_who_is_held_keeps_access_until_its_last_day_and_not_longer() -> None:
    app = await several()
    await push(app, {path_of("alpha"): None, path_of("bravo"): None})
    assert is_active(app, "alpha")
    assert {problem.reason for problem in app.reports.verdicts[-1].problems} == {"WithdrawalsHeld"}
    await days(app, 2)
    assert not is_active(app, "alpha")
    assert not is_active(app, "bravo")
    await days(app, 31)
    assert app.gateway.state.products.keys() == {"team-carol", "team-delta"}
