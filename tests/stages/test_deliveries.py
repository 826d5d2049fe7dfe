"""Pushes that GitHub could not deliver: a sweep has them delivered again, so that people see their
verdict.
"""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from shared.errors import AccessDenied, MergekeyError, PermanentError, Rejected, Throttled, Unavailable
from shared.messaging.webhook_deliveries import MAX_ATTEMPTS, MAX_REDELIVERIES, WINDOW
from shared.stages.settlement import start_sweep
from tests.fakes.app import REPOSITORY, Asked, FakeApp, path_of
from tests.fakes.calls import Call
from tests.fakes.deliveries import FakeDeliveries
from tests.stages.road import a_team, arrive, drain

QUARTER = timedelta(minutes=15)


async def a_platform_that_is_told() -> tuple[FakeApp, FakeDeliveries]:
    """With a team, and an App whose deliveries can be listed."""
    app = await a_team()
    app.deliveries = FakeDeliveries(app.calls, app.clock)
    app.calls.forget()
    return app, app.deliveries


async def sweep(app: FakeApp) -> list[str]:
    """A quarter of an hour passes, and everything is looked at. Which deliveries GitHub is asked to
    repeat.
    """
    app.clock.advance(QUARTER)
    app.calls.forget()
    await start_sweep(app, "the timer")
    await drain(app)
    return [call.target for call in app.calls.made if call.name == "redeliver"]


async def test_a_push_that_did_not_arrive_is_delivered_again_and_gets_its_verdict() -> None:
    app, github = await a_platform_that_is_told()
    before = app.repository.branch
    commit = app.repository.commit(
        {path_of("bravo"): Asked(team="bravo").text(), path_of("charlie"): "nonsense: ["}
    )
    failed = github.delivered("d-lost", 503, REPOSITORY)
    assert await sweep(app) == [str(failed.id)]
    assert "bravo-primary-key" in app.vault.names()
    assert commit not in [verdict.commit for verdict in app.reports.verdicts]
    app.calls.forget()
    await arrive(app, before, failed.guid)
    assert (app.reports.verdicts[-1].commit, app.reports.verdicts[-1].reasons) == (commit, ["NotYaml"])
    assert app.calls.writes() == []


async def test_where_every_push_arrived_one_list_is_read_and_nothing_is_asked_for() -> None:
    app, github = await a_platform_that_is_told()
    github.delivered("d-well", 202, REPOSITORY)
    assert await sweep(app) == []
    assert [str(call) for call in app.calls.made if call.system == "deliveries"] == ["since failed"]


async def test_what_was_delivered_again_is_not_asked_for_at_the_next_sweep() -> None:
    app, github = await a_platform_that_is_told()
    github.delivered("d-lost", 0, REPOSITORY)
    assert len(await sweep(app)) == 1
    assert await sweep(app) == []
    assert app.calls.writes("gateway", "vault", "roles", "cluster", "deliveries") == []


async def test_what_is_under_way_is_not_asked_for_twice() -> None:
    app, github = await a_platform_that_is_told()
    github.slow = True
    github.delivered("d-lost", 0, REPOSITORY)
    assert len(await sweep(app)) == 1
    assert await sweep(app) == []
    github.land()
    assert await sweep(app) == []


async def test_a_push_that_never_arrives_is_given_up_and_told(caplog: pytest.LogCaptureFixture) -> None:
    app, github = await a_platform_that_is_told()
    github.answer = 502
    github.delivered("d-lost", 502, REPOSITORY)
    asked = [await sweep(app) for _ in range(2 * 24 * 4)]
    assert [len(each) for each in asked[: MAX_ATTEMPTS - 1]] == [1, 1, 1]
    assert not any(asked[MAX_ATTEMPTS - 1 :]), (
        "nor does it begin anew when the first attempts are out of sight"
    )
    assert "deliveries of GitHub failed as often as is tried: 1 with 502; the last is d-lost" in caplog.text


async def test_what_the_app_refused_is_told_in_one_line_and_left(caplog: pytest.LogCaptureFixture) -> None:
    app, github = await a_platform_that_is_told()
    for number in range(30):
        github.delivered(f"d-{number}", 401, REPOSITORY)
    with caplog.at_level(logging.WARNING, "mergekey"):
        assert await sweep(app) == []
    assert [record.getMessage() for record in caplog.records] == [
        "Sweep: deliveries of GitHub were refused, and would be again: 30 with 401; the last is d-29"
    ]


async def test_a_crowd_is_spread_over_sweeps_the_oldest_first() -> None:
    app, github = await a_platform_that_is_told()
    failed = [
        str(github.delivered(f"d-{number:02}", 503, REPOSITORY).id) for number in range(MAX_REDELIVERIES + 5)
    ]
    assert await sweep(app) == failed[:MAX_REDELIVERIES]
    assert await sweep(app) == failed[MAX_REDELIVERIES:]
    assert await sweep(app) == []


async def test_what_failed_longer_ago_is_left_alone() -> None:
    app, github = await a_platform_that_is_told()
    github.delivered("d-old", 503, REPOSITORY)
    app.clock.advance(WINDOW)
    assert await sweep(app) == []


async def test_a_sweep_that_only_reports_tells_and_asks_for_nothing(caplog: pytest.LogCaptureFixture) -> None:
    app, github = await a_platform_that_is_told()
    app.sweep_report_only = True
    github.delivered("d-lost", 503, REPOSITORY)
    assert await sweep(app) == []
    assert "delivery d-lost: failed with 503" in caplog.text


async def test_without_a_github_app_nothing_is_looked_for(caplog: pytest.LogCaptureFixture) -> None:
    app = await a_team()
    with caplog.at_level(logging.INFO, "mergekey"):
        assert await sweep(app) == []
    assert len([line for line in caplog.messages if "failed deliveries are not looked at" in line]) == 1


class Failing:
    """One call of GitHub's list of deliveries fails."""

    def __init__(self, name: str, error: Exception) -> None:
        self._name = name
        self._error = error

    async def __call__(self, call: Call) -> None:
        if call.system == "deliveries" and call.name == self._name:
            raise self._error


@pytest.mark.parametrize(
    "error", [Unavailable("GitHub answered 502"), AccessDenied("GitHub answered 401"), Throttled("429")]
)
@pytest.mark.parametrize("name", ["since", "redeliver"])
async def test_trouble_with_githubs_list_does_not_keep_the_sweep_from_its_work(
    name: str, error: MergekeyError, caplog: pytest.LogCaptureFixture
) -> None:
    app, github = await a_platform_that_is_told()
    app.repository.commit({path_of("bravo"): Asked(team="bravo").text()})
    github.delivered("d-lost", 503, REPOSITORY)
    app.calls.before = Failing(name, error)
    await sweep(app)
    assert "bravo-primary-key" in app.vault.names()
    assert str(error) in caplog.text
    assert app.bus.dead_letters() == []


@pytest.mark.parametrize(("error", "asked"), [(Rejected("422"), 3), (Throttled("429"), 1)])
async def test_a_delivery_that_cannot_be_repeated_keeps_no_other_from_it(
    error: MergekeyError, asked: int
) -> None:
    app, github = await a_platform_that_is_told()
    for number in range(3):
        github.delivered(f"d-{number}", 503, REPOSITORY)
    app.calls.before = Failing("redeliver", error)
    assert len(await sweep(app)) == asked
    assert isinstance(error, PermanentError) == (asked > 1)


async def test_a_bug_is_not_taken_for_trouble_with_github() -> None:
    app, _ = await a_platform_that_is_told()
    app.calls.before = Failing("since", KeyError("a bug"))
    with pytest.raises(KeyError):
        await sweep(app)
