"""What counts as which outcome, and the line of numbers that a function ends with."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest

from shared import calls, telemetry
from shared.calls import Outcome, counted, outcome_of


@pytest.fixture(autouse=True)
def _from_nothing() -> Iterator[None]:
    calls.take()
    yield
    calls.take()


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "ok"),
        (201, "ok"),
        (302, "ok"),
        (304, "ok"),
        (399, "ok"),
        (400, "refused"),
        (401, "refused"),
        (403, "refused"),
        (404, "absent"),
        (409, "refused"),
        (412, "refused"),
        (429, "throttled"),
        (499, "refused"),
        (500, "failed"),
        (503, "failed"),
    ],
)
def test_an_answer_has_one_outcome(status: int, outcome: Outcome) -> None:
    assert outcome_of(status) == outcome


def test_the_kind_of_a_call_is_that_of_its_method() -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        with counted("GitHub", method) as call:
            call.answered(200)
    assert calls.take() == [
        {"to": "GitHub", "kind": "deletes", "ok": 1},
        {"to": "GitHub", "kind": "reads", "ok": 2},
        {"to": "GitHub", "kind": "writes", "ok": 3},
    ]


@pytest.mark.parametrize("ending", [TimeoutError, asyncio.CancelledError, ConnectionError])
def test_a_call_without_an_answer_has_failed(ending: type[BaseException]) -> None:
    with pytest.raises(ending), counted("GitHub", "GET"):
        raise ending
    assert calls.take() == [{"to": "GitHub", "kind": "reads", "failed": 1}]


@pytest.mark.parametrize("left", ["", "no number", "-1", "\u00b2", "9" * 5_000])
def test_what_is_no_number_is_not_what_is_left(left: str) -> None:
    for each in ("7", left):
        with counted("GitHub", "GET") as call:
            call.answered(200, each)
    assert calls.take() == [{"to": "GitHub", "kind": "reads", "ok": 2, "left": 7}]


def test_the_line_of_numbers_has_what_was_counted_since_the_last_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with counted("Key Vault", "PUT") as call:
        call.answered(200)
    with caplog.at_level(logging.INFO, "mergekey"):
        telemetry.measured("deliver-keys", timedelta(seconds=2.34))
        telemetry.measured("deliver-keys", timedelta(0))
        telemetry.measured("list_teams")
    numbers = [json.loads(line.removeprefix("Measured: ")) for line in caplog.messages]
    assert numbers == [
        {
            "work": "deliver-keys",
            "waited": 2.3,
            "calls": [{"to": "Key Vault", "kind": "writes", "ok": 1}],
        },
        {"work": "deliver-keys", "waited": 0.0, "calls": []},
    ]
