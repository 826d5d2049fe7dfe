"""How much may be withdrawn at once, and what gives leave for more."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.branch.withdrawal_guard import MissingTeam, approved_teams, withhold


def _gone(count: int, withdrawn: int = 0, commit: str = "c1") -> list[MissingTeam]:
    return [
        MissingTeam(f"gone-{number:03}", f"path/{number}", commit, number < withdrawn, marked=True)
        for number in range(count)
    ]


def _present(count: int) -> list[str]:
    return [f"here-{number:03}" for number in range(count)]


@pytest.mark.parametrize(
    ("teams", "gone", "held"),
    [
        (40, 10, False), (40, 11, True), (12, 3, False), (12, 4, True), (11, 1, False), (11, 2, True),
        (2, 1, False), (1, 1, True), (30, 30, True), (5, 0, False), (0, 0, False),
    ],
)  # fmt: skip
def test_a_quarter_may_go_and_below_twelve_teams_one(teams: int, gone: int, held: bool) -> None:
    judged = withhold(_present(teams - gone), _gone(gone))
    assert judged.teams == teams
    assert len(judged.held) == (gone if held else 0)
    assert len(judged.releasable) == (0 if held else gone)


def test_teams_in_their_grace_period_count_and_are_not_held_again() -> None:
    judged = withhold(_present(34), _gone(6, withdrawn=2))
    assert judged.held == ()
    judged = withhold(_present(29), _gone(11, withdrawn=8))
    assert [each.team for each in judged.held] == ["gone-008", "gone-009", "gone-010"]
    assert [each.withdrawn for each in judged.releasable] == [True] * 8


def test_access_that_ended_by_its_date_is_nobodys_to_hold_and_does_not_count() -> None:
    over = [replace(each, over=True) for each in _gone(2)]
    assert withhold(_present(3), over).releasable == tuple(over)
    one = MissingTeam("held-by-nobody", "path", "c1", withdrawn=False)
    assert withhold(_present(3), [*over, one]).held == ()
    assert withhold(_present(0), [*over, one]).held == (one,)
    assert withhold(_present(3), [replace(each, held=True) for each in over]).held == ()


def test_the_explanation_counts_nobody_whose_access_ended_by_its_date() -> None:
    over = [replace(each, over=True, withdrawn=True) for each in _gone(2)]
    others = [MissingTeam(f"other-{number}", "path", "c1", withdrawn=False) for number in range(2)]
    text = withhold(_present(3), [*over, *others]).explain()
    assert "2 of 5 teams" in text
    assert "(other-0, other-1)" in text


@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "Remove\n\n{}",
        "Remove\n\nSigned-off-by: Ada\n{}\n",
        "Remove\r\n\r\n{}\r\n",
        "Remove (#7)\n\n* remove\n\n{}\n\n* mend a word\n\nCo-authored-by: Ada",
        "Remove\n\nallow-withdrawals: gone-000\n  , gone-001",
    ],
)
def test_a_trailer_in_any_block_of_trailers_names_teams(form: str) -> None:
    named = approved_teams(form.format("Allow-Withdrawals: gone-000, gone-001"))
    assert "gone-000" in named
    assert [each.team for each in withhold(_present(1), _gone(3), {"gone-000", "gone-001"}).held] == [
        "gone-002"
    ]


@pytest.mark.parametrize(
    "message",
    [
        "Remove Allow-Withdrawals: gone-000",
        "Remove\nAllow-Withdrawals: gone-000",
        "Remove\n\nwrite Allow-Withdrawals: gone-000",
        "Remove\n\nThe line is:\nAllow-Withdrawals: gone-000",
        "",
    ],
)
def test_words_in_a_text_are_no_trailer(message: str) -> None:
    assert approved_teams(message) == frozenset()


def test_the_trailer_that_is_printed_names_exactly_those_that_are_held() -> None:
    judged = withhold(_present(1), _gone(5, withdrawn=1))
    assert judged.approval == "Allow-Withdrawals: gone-001, gone-002, gone-003, gone-004"
    assert withhold(_present(1), _gone(5, withdrawn=1), approved_teams(judged.approval)).held == ()


def test_a_number_and_a_digest_name_no_team() -> None:
    assert not approved_teams("Remove\n\nAllow-Withdrawals: 5 3f9a1c0b7d2e") & {
        each.team for each in _gone(5)
    }


def test_the_explanation_says_who_how_many_and_what_to_write() -> None:
    judged = withhold(_present(3), _gone(3, withdrawn=1))
    text = judged.explain()
    assert "2 of 6 teams" in text
    assert "gone-001, gone-002" in text
    assert "1 more" in text
    assert "grace" in text
    assert f"\n    {judged.approval}\n" in text
    assert withhold(_present(3), _gone(3, withdrawn=1), approved_teams(judged.approval)).held == ()


@given(st.integers(0, 60), st.integers(0, 60))
def test_nothing_is_held_and_let_go_at_once(present: int, gone: int) -> None:
    judged = withhold(_present(present), _gone(gone, withdrawn=gone // 2))
    assert set(judged.held) | set(judged.releasable) == set(judged.missing)
    assert not set(judged.held) & set(judged.releasable)
    assert not any(each.withdrawn for each in judged.held)


def test_the_explanation_is_silent_about_grace_periods_when_there_are_none() -> None:
    text = withhold(_present(2), _gone(2)).explain()
    assert "(gone-000, gone-001)" in text
    assert "grace" not in text
