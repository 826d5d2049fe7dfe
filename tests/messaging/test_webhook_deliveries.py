"""Which webhook calls are worth another attempt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from shared.messaging.webhook_deliveries import MAX_ATTEMPTS, Delivery, missed

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
OURS = 700_000_001
_ids = count(1)


def attempts(
    guid: str, *statuses: int, event: str = "push", repository: int | None = OURS, at: datetime = NOON
) -> list[Delivery]:
    """The first call and its repetitions, a minute apart."""
    return [
        Delivery(
            next(_ids), guid, event, repository, at + timedelta(minutes=number), status, redelivery=number > 0
        )
        for number, status in enumerate(statuses)
    ]


def again(made: list[Delivery]) -> list[str]:
    return [each.guid for each in missed(made, OURS).again]


@pytest.mark.parametrize("status", [0, 403, 404, 408, 429, 500, 502, 503, 504])
def test_what_nobody_took_in_is_delivered_again(status: int) -> None:
    assert again(attempts("a", status)) == ["a"]


@pytest.mark.parametrize("status", [200, 202, 204])
def test_what_was_taken_in_is_not_delivered_again(status: int) -> None:
    assert missed(attempts("a", status), OURS).since is None


@pytest.mark.parametrize("status", [301, 400, 401, 413, 422])
def test_what_was_refused_is_told_and_not_delivered_again(status: int) -> None:
    found = missed(attempts("a", status), OURS)
    assert ([each.guid for each in found.refused], found.again, found.since) == (["a"], (), NOON)


def test_a_repetition_that_went_well_ends_it() -> None:
    assert missed(attempts("a", 503, 0, 202), OURS).since is None


def test_a_push_that_was_taken_in_once_stays_so_whatever_became_of_its_repetition() -> None:
    assert again(attempts("a", 202, 503)) == []


def test_it_is_the_last_attempt_that_is_repeated() -> None:
    made = attempts("a", 503, 0)
    assert [each.id for each in missed(made[::-1], OURS).again] == [made[-1].id]


def test_the_last_attempt_says_whether_another_is_worth_it() -> None:
    assert again(attempts("a", 401, 503)) == ["a"]
    assert again(attempts("a", 503, 401)) == []


def test_after_some_attempts_it_is_given_up() -> None:
    assert again(attempts("a", *(503,) * (MAX_ATTEMPTS - 1))) == ["a"]
    made = attempts("a", *(503,) * MAX_ATTEMPTS)
    found = missed(made, OURS)
    assert ([each.id for each in found.given_up], found.again) == ([made[-1].id], ())


def test_what_was_given_up_stays_so_when_its_first_attempt_is_out_of_sight() -> None:
    assert missed(attempts("a", *(503,) * MAX_ATTEMPTS)[1:], OURS).since is None


def test_the_oldest_push_comes_first() -> None:
    made = [
        *attempts("late", 503, at=NOON + timedelta(hours=1)),
        *attempts("early", 503, 503),
        *attempts("same", 0),
    ]
    assert again(made) == ["early", "same", "late"]
    assert missed(made, OURS).since == NOON


def test_only_pushes_to_our_repository_count() -> None:
    assert again(attempts("a", 503, event="ping") + attempts("b", 503, repository=OURS + 1)) == []
    assert again(attempts("c", 503, repository=None)) == ["c"]
