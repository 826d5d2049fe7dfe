"""What both the fake and GitHub say about webhook calls, and when they repeat one."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.adapters.github_deliveries import GitHubDeliveries
from shared.errors import Unavailable
from shared.messaging.webhook_deliveries import Delivery, missed
from tests.contract.announcers import Announcer, RealAnnouncer
from tests.contract.sides import Watch

DAY = timedelta(days=1)


async def _attempts(github: Announcer, guid: str) -> list[Delivery]:
    """Newest first."""
    return [
        each for each in await github.port.since(github.now() - DAY, only_failed=False) if each.guid == guid
    ]


async def test_a_call_is_listed_with_what_became_of_it(announcer: Announcer) -> None:
    await announcer.answers(202)
    guid = await announcer.push()
    [row] = await _attempts(announcer, guid)
    assert (row.event, row.repository, row.status, row.redelivery, row.succeeded) == (
        "push",
        announcer.repository,
        202,
        False,
        True,
    )
    assert announcer.now() - timedelta(minutes=1) < row.at <= announcer.now()


@pytest.mark.parametrize("status", [0, 503])
async def test_the_newest_comes_first_and_failed_ones_can_be_had_alone(
    announcer: Announcer, status: int
) -> None:
    await announcer.answers(status)
    first = await announcer.push()
    await announcer.answers(202)
    second = await announcer.push()
    for only_failed, told in ((False, [second, first]), (True, [first])):
        listed = await announcer.port.since(announcer.now() - DAY, only_failed)
        assert [each.guid for each in listed if each.guid in (first, second)] == told


async def test_what_is_older_is_left_out(announcer: Announcer, clock: Watch) -> None:
    await announcer.answers(503)
    for minutes in (20, 5):
        await announcer.push()
        clock.advance(timedelta(minutes=minutes))
    moment = announcer.now()
    clock.advance(timedelta(seconds=2))
    late = await announcer.push()
    assert [each.guid for each in await announcer.port.since(moment, only_failed=True)] == [late]


async def test_it_is_read_on_page_by_page(announcer: Announcer) -> None:
    await announcer.answers(503)
    guid = await announcer.push()
    await announcer.ping(120)
    listed = [
        each.guid
        for each in await announcer.port.since(announcer.now() - timedelta(minutes=5), only_failed=True)
    ]
    assert guid in listed
    assert len(listed) == len(set(listed)) >= 121


@pytest.mark.parametrize("side", ["adapter"])
async def test_of_a_crowd_only_the_newest_are_read(announcer: Announcer) -> None:
    assert isinstance(announcer, RealAnnouncer)
    await announcer.answers(202)
    guid = await announcer.push()
    await announcer.ping(3)
    few, all_of_them = (GitHubDeliveries(announcer.client, most) for most in (3, 4))
    assert guid not in [each.guid for each in await few.since(announcer.now() - DAY, only_failed=False)]
    assert [each.guid for each in await all_of_them.since(announcer.now() - DAY, only_failed=False)][
        -1
    ] == guid


async def test_what_failed_is_repeated_under_its_own_id(announcer: Announcer) -> None:
    await announcer.answers(503)
    guid = await announcer.push()
    [failed] = missed(await _attempts(announcer, guid), announcer.repository).again
    await announcer.answers(202)
    await announcer.port.redeliver(failed.id)
    assert await announcer.made(guid) == [(503, False), (202, True)]
    assert missed(await _attempts(announcer, guid), announcer.repository).since is None


async def test_who_asks_twice_for_the_same_is_heard_once(announcer: Announcer) -> None:
    await announcer.answers(503)
    guid = await announcer.push()
    [failed] = await _attempts(announcer, guid)
    await announcer.port.redeliver(failed.id)
    await announcer.port.redeliver(failed.id)
    assert await announcer.made(guid) == [(503, False), (503, True)]
    [again, _] = await _attempts(announcer, guid)
    await announcer.port.redeliver(again.id)
    assert len(await announcer.made(guid)) == 3


async def test_what_github_has_forgotten_cannot_be_repeated(announcer: Announcer) -> None:
    await announcer.answers(202)
    await announcer.push()
    with pytest.raises(Unavailable) as refused:
        await announcer.port.redeliver(4711)
    assert refused.value.reason == "NotFound"
