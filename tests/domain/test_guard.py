"""How much may be withdrawn at once, and what gives leave for more."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.guard import Gone, gives_leave, is_named, judge


def _gone(count: int, withdrawn: int = 0, commit: str = "c1") -> list[Gone]:
    return [Gone(f"gone-{number:03}", f"path/{number}", commit, number < withdrawn) for number in range(count)]


def _present(count: int) -> list[str]:
    return [f"here-{number:03}" for number in range(count)]


@pytest.mark.parametrize(
    ("teams", "gone", "held"),
    [
        (40, 10, False), (40, 11, True), (12, 3, False), (12, 4, True), (11, 1, False), (11, 2, True), (2, 1, False), (1, 1, True),
        (30, 30, True), (5, 0, False), (0, 0, False),
    ],
)  # fmt: skip
def test_a_quarter_may_go_and_below_twelve_teams_one(teams: int, gone: int, held: bool) -> None:
    judged = judge(_present(teams - gone), _gone(gone), "")
    assert judged.teams == teams
    assert len(judged.held) == (gone if held else 0)
    assert len(judged.let_go) == (0 if held else gone)


def test_teams_in_their_grace_period_count_and_are_not_held_again() -> None:
    judged = judge(_present(34), _gone(6, withdrawn=2), "")
    assert judged.held == ()
    judged = judge(_present(29), _gone(11, withdrawn=8), "")
    assert [each.team for each in judged.held] == ["gone-008", "gone-009", "gone-010"]
    assert [each.withdrawn for each in judged.let_go] == [True] * 8


def test_access_that_ended_by_its_date_is_nobodys_to_hold_and_does_not_count() -> None:
    over = [replace(each, over=True) for each in _gone(2)]
    assert judge(_present(3), over, "").let_go == tuple(over)
    one = Gone("held-by-nobody", "path", "c1", withdrawn=False)
    assert judge(_present(3), [*over, one], "").held == ()
    assert judge(_present(0), [*over, one], "").held == (one,)
    assert judge(_present(3), [replace(each, held=True) for each in over], "").held == ()


def test_the_explanation_counts_nobody_whose_access_ended_by_its_date() -> None:
    over = [replace(each, over=True, withdrawn=True) for each in _gone(2)]
    others = [Gone(f"other-{number}", "path", "c1", withdrawn=False) for number in range(2)]
    assert "2 of 5 teams would lose their access (other-0, other-1)." in judge(_present(3), [*over, *others], "").explain()


def _leave(count: int) -> str:
    return judge(_present(1), _gone(count), "").allowance


@pytest.mark.parametrize("form", ["Remove {}", "Remove\n\n{}", "Remove\n\nSigned-off-by: Ada\n{}\n", "Remove\r\n\r\n{}\r\n"])
def test_a_trailer_that_names_number_and_digest_gives_leave(form: str) -> None:
    judged = judge(_present(1), _gone(5), form.format(_leave(5)))
    assert bool(judged.held) == (form == "Remove {}")
    named = [is_named(each.team, each.commit, judged.leave) for each in judged.gone]
    assert named == [form != "Remove {}"] * 5


@pytest.mark.parametrize(
    "line",
    ["Allow-Withdrawals: 5", "Allow-Withdrawals: 4 {digest}", "Allow-Withdrawals: 5 000000000000", "{leave}\n\nbye", "{leave}\r\n\r\nbye"],
)
def test_leave_for_something_else_is_none(line: str) -> None:
    leave = _leave(5)
    assert judge(_present(1), _gone(5), line.format(leave=leave, digest=leave[-12:])).held


def test_leave_does_not_count_for_a_team_that_came_back_in_between() -> None:
    leave = _leave(5)
    assert not judge(_present(1), _gone(5), leave).held
    assert judge(_present(1), _gone(5, commit="c2"), leave).held


def test_the_explanation_says_who_how_many_and_what_to_write() -> None:
    judged = judge(_present(3), _gone(3, withdrawn=1), "")
    text = judged.explain()
    assert "2 of 6 teams" in text
    assert "gone-001, gone-002" in text
    assert "1 more in their grace period" in text
    assert f"\n    {judged.allowance}\n" in text
    assert judge(_present(3), _gone(3, withdrawn=1), f"Remove\n\n{judged.allowance}").held == ()


@given(st.integers(0, 60), st.integers(0, 60))
def test_nothing_is_held_and_let_go_at_once(present: int, gone: int) -> None:
    judged = judge(_present(present), _gone(gone, withdrawn=gone // 2), "")
    assert set(judged.held) | set(judged.let_go) == set(judged.gone)
    assert not set(judged.held) & set(judged.let_go)
    assert not any(each.withdrawn for each in judged.held)


def test_the_explanation_is_silent_about_grace_periods_when_there_are_none() -> None:
    assert "(gone-000, gone-001). Nothing was withdrawn." in judge(_present(2), _gone(2), "").explain()


def test_leave_is_recognised_before_it_is_known_for_what() -> None:
    assert gives_leave(f"Remove\n\n{_leave(5)}")
    assert gives_leave("Remove\n\nAllow-Withdrawals: 99 000000000000")
    assert not gives_leave("Remove")


def test_the_digest_that_people_copy_is_the_same_in_every_version() -> None:
    assert _leave(2) == "Allow-Withdrawals: 2 b950fb2064c7"
