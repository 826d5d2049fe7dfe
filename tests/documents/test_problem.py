"""What somebody wrote, shown back to them: short, visible, with the word that was probably meant."""

from __future__ import annotations

import pytest

from shared.documents.problem import (
    START,
    Position,
    capped,
    did_you_mean,
    listed,
    most_important,
    problem_at,
    quote,
    visible,
)


def test_what_was_written_is_shown_in_quotes_and_no_longer_than_sixty_characters() -> None:
    assert quote("phi-4") == "'phi-4'"
    assert quote("a" * 60) == f"'{'a' * 60}'"
    assert quote("a" * 61) == f"'{'a' * 59}…'"
    assert quote(7) == "'7'"


def test_what_a_terminal_would_act_on_is_shown_as_its_escape() -> None:
    assert visible("Ä 漢 a'b\"") == "Ä 漢 a'b\""
    assert visible("a\x1b[31mb\u200bc\n") == "a\\x1b[31mb\\u200bc\\n"
    assert quote("a\tb") == "'a\\tb'"


def test_names_are_listed_for_a_sentence() -> None:
    assert listed(["b", "a"]) == "'b', 'a'"
    assert listed([]) == ""


@pytest.mark.parametrize(
    ("written", "advice"),
    [
        ("gpt-4.0", " Did you mean 'gpt-4.1'?"),
        ("GPT-4.1", " Did you mean 'gpt-4.1'?"),
        ("PHI-4", " Did you mean 'Phi-4'?"),
        ("mistral", ""),
        ("p", ""),
        ("phi-4" + "!" * 6, " Did you mean 'Phi-4'?"),
        ("phi-4" + "!" * 7, " Did you mean 'Phi-4'?"),
        ("phi", " Did you mean 'Phi-4'?"),
        ("gpt-5", ""),
        ("gpt-4", " Did you mean 'gpt-4.1'?"),
        ("gpt-4.1-2025-04-14", " Did you mean 'gpt-4.1'?"),
        ("gpt\u20114.1", " Did you mean 'gpt-4.1'?"),
    ],
)
def test_the_nearest_known_name_is_proposed_and_only_when_one_is_near(written: str, advice: str) -> None:
    assert did_you_mean(written, ["gpt-4.1", "Phi-4", "text-embedding-3-large"]) == advice


def test_problems_are_told_once_in_order_and_not_more_than_a_hundred() -> None:
    many = [problem_at("a.yaml", Position(line, 1), "Odd", "no") for line in range(150, 0, -1)]
    told = capped([*many, *many])
    assert [problem.line for problem in told] == list(range(1, 101))


def test_of_many_problems_the_most_important_are_kept_and_the_rest_is_counted() -> None:
    warnings = [problem_at("a", START, "ModelRetires", "no", "warning")]
    misplaced = [problem_at(f"b{number}", START, "MisplacedFile", "no") for number in range(1000)]
    faults = [problem_at("c", START, "TooLarge", "no"), problem_at("b", START, "Empty", "no")]
    held = [problem_at("d", START, "WithdrawalsHeld", "no"), problem_at("e", START, "EndsHeld", "no")]
    told = most_important([*warnings, *misplaced, *faults, *held], 7)
    assert told[:-1] == (*held, *faults, *misplaced[:2])
    assert (told[-1].path, told[-1].reason, told[-1].level) == ("b2", "MoreProblems", "failure")
    assert told[-1].message.startswith("999 more problems")


def test_what_is_left_out_is_a_failure_only_when_one_is_among_it() -> None:
    warnings = [problem_at("a", START, "ModelRetires", "no", "warning")] * 3
    assert [problem.level for problem in most_important(warnings, 2)] == ["warning", "warning"]
    assert most_important(warnings, 3) == tuple(warnings)
