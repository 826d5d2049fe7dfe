"""What GitHub says of history is read with care."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from shared.adapters.github_answers import commits_of, is_before, newest_day_of
from shared.errors import Unavailable
from shared.ports import Commit


def _listed(moment: Any = "2026-03-02T09:00:00Z", **changed: Any) -> list[Any]:
    commit = {"message": "changed", "committer": {"date": moment}}
    return [{"sha": "a" * 40, "commit": commit, "parents": [{"sha": "c" * 40}], **changed}]


def test_a_list_of_commits_is_read_in_its_order() -> None:
    assert commits_of([*_listed(), *_listed(sha="b" * 40)]) == [
        Commit("a" * 40, "changed", "c" * 40),
        Commit("b" * 40, "changed", "c" * 40),
    ]
    assert commits_of([]) == []


@pytest.mark.parametrize(
    ("status", "before"), [("ahead", True), ("identical", True), ("behind", False), ("diverged", False)]
)
def test_a_comparison_says_who_comes_before_whom(status: str, before: bool) -> None:
    assert is_before({"status": status}) is before


@pytest.mark.parametrize(
    ("moment", "day"),
    [("2026-03-02T23:59:59Z", 2), ("2026-03-02T23:59:59-01:00", 3), ("2026-03-02T00:30:00+02:00", 1)],
)
def test_the_day_is_that_of_utc(moment: str, day: int) -> None:
    assert newest_day_of([*_listed(moment), *_listed("2020-01-01T00:00:00Z")]) == date(2026, 3, day)
    assert newest_day_of([]) is None


ODD: tuple[Any, ...] = (
    None,
    True,
    7,
    "",
    "text",
    {},
    {"commits": []},
    [None],
    [7],
    ["text"],
    [[]],
    [{}],
    [{"commit": None}],
)


@pytest.mark.parametrize(
    ("read", "answer"),
    [
        *((read, odd) for read in (commits_of, newest_day_of) for odd in ODD),
        *((is_before, odd) for odd in (*ODD, [], {"status": None}, {"status": []}, {"status": "AHEAD"})),
        *((commits_of, _listed(sha=sha)) for sha in (None, 7)),
        (commits_of, _listed(commit={"message": None})),
        (newest_day_of, _listed(commit={"committer": None})),
        *(
            (newest_day_of, _listed(moment))
            for moment in (None, 7, "", "yesterday", "2026-03-02", "2026-03-02T09:00:00")
        ),
        (newest_day_of, _listed("9999-12-31T23:59:59-05:00")),
    ],
)
def test_an_answer_that_makes_no_sense_is_trouble_at_github(read: Callable[[Any], Any], answer: Any) -> None:
    with pytest.raises(Unavailable, match="GitHub: the answer makes no sense: "):
        read(answer)
