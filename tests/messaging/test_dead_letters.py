"""Dead letters: grouping, filters, which may be replayed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.messaging.dead_letters import MAX_REPLAYS, Filter, Group, Letter, grouped, refusal, team_of

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LETTER = Letter(
    sequence=7,
    message_id="d1/alpha/dead-letter/provision-gateway",
    enqueued=NOON,
    stage="provision-gateway",
    team="alpha",
    reason="Rejected",
    message="400",
    actor="the platform",
    attempts=1,
    correlation_id="d1/alpha",
    hop=3,
    session="alpha",
    replays=0,
    blob="b" * 40,
    body=b"{}",
)


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        (Filter(), True),
        (Filter(team="alpha", stage="provision-gateway", reason="Rejected", before=NOON, up_to=7), True),
        (Filter(team="alph"), False),
        (Filter(stage="gateway"), False),
        (Filter(reason="rejected"), False),
        (Filter(before=NOON - timedelta(seconds=1)), False),
        (Filter(up_to=6), False),
    ],
)
def test_a_filter_takes_what_it_names(wanted: Filter, taken: bool) -> None:
    assert wanted.takes(LETTER) is taken


def test_groups_are_by_stage_and_reason_with_the_largest_first() -> None:
    older = replace(LETTER, sequence=3, enqueued=NOON - timedelta(hours=1))
    other = replace(LETTER, sequence=9, stage="deliver-keys")
    assert grouped([other, LETTER, older]) == [
        Group("provision-gateway", "Rejected", "the platform", 2, NOON - timedelta(hours=1), 7),
        Group("deliver-keys", "Rejected", "the platform", 1, NOON, 9),
    ]
    assert grouped([]) == []


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({}, None),
        ({"replays": MAX_REPLAYS - 1}, None),
        (
            {"replays": MAX_REPLAYS},
            (
                "it was replayed 5 times and failed each time: find the cause, then discard it, and the next "
                "sweep looks again"
            ),
        ),
        (
            {"session": ""},
            (
                "it has no session, so its stage could not receive it: discard it, and the next sweep looks "
                "again"
            ),
        ),
        (
            {"body": b"x" * 1024, "body_size": 261_900, "body_sha256": "f0" * 32},
            "only the first 1024 of its 261900 bytes were kept, since Service Bus takes no larger message: "
            "discard it, and the next sweep looks again",
        ),
        ({"stage": ""}, "no stage put it there, so its stage is unknown: look at it and discard it"),
    ],
)
def test_what_would_lead_nowhere_is_not_replayed(changed: dict[str, object], why: str | None) -> None:
    assert refusal(replace(LETTER, **changed)) == why  # type: ignore[arg-type]  # fields of Letter


def test_each_replay_has_an_id_of_its_own_that_tells_of_what() -> None:
    assert LETTER.replay_id == "d1/alpha/dead-letter/provision-gateway/replay/1"
    assert replace(LETTER, replays=1).replay_id.endswith("/replay/2")


@pytest.mark.parametrize(
    ("team", "found"), [("alpha", "alpha"), ("catalogue", None), ("", None), ("../x", None)]
)
def test_only_a_team_can_have_objects(team: str, found: str | None) -> None:
    assert team_of(replace(LETTER, team=team)) == found


def test_a_letter_stands_for_its_trouble_for_a_day() -> None:
    assert LETTER.trouble == ("alpha", "b" * 40, "provision-gateway")
    assert LETTER.stands(NOON + timedelta(hours=23))
    assert not LETTER.stands(NOON + timedelta(hours=24))
