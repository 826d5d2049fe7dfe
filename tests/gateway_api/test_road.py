"""What an answer says of a road, and the annotation that keeps it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from shared.gateway_api.road import (
    NotReached,
    RoadAnswer,
    RoadNote,
    RoadVerdict,
    Served,
    Unserved,
    Word,
    judge_road,
    next_note,
    read_note,
)

NOW = datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC)
WORDS: tuple[Word, ...] = ("Answers", "OtherName", "RoadFails", "NotReachable")


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (Served(("phi-4",)), "Answers"),
        (Served(("base", "phi-4")), "Answers"),
        (Served(("Phi-4",)), "OtherName"),
        (Served(("phi-4-mini", "x")), "OtherName"),
        (Served(()), "OtherName"),
        *((Unserved(status), "RoadFails") for status in (200, 204, 301, 307, 404, 413, 429, 500, 503, 504)),
        (Unserved(None, "closed"), "RoadFails"),
        *((Unserved(status), "NotReachable") for status in (400, 401, 403, 407, 495, 496)),
        (NotReached("no connection"), "NotReachable"),
    ],
    ids=str,
)
def test_each_answer_has_its_verdict(answer: RoadAnswer, word: Word) -> None:
    verdict = judge_road(answer, "phi-4")
    assert verdict.word == word
    assert bool(verdict.text) == (word != "Answers")


def test_another_name_is_told_with_its_cure() -> None:
    text = judge_road(Served(("a\nb", "c")), "phi-4").text
    assert "servedName" in text
    assert "phi-4" in text
    assert "a b, c" in text
    assert "\n" not in text


def test_a_status_is_told() -> None:
    assert "404" in judge_road(Unserved(404), "phi-4").text


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("detail", ["", "status 503", "asked for a, it serves b c"])
def test_a_note_is_read_as_it_was_written(word: Word, detail: str) -> None:
    note = RoadNote(RoadVerdict(word, detail), 3, NOW)
    assert read_note(note.text) == note


@given(some.text(max_size=400), some.sampled_from(WORDS))
def test_any_answer_fits_into_an_annotation(told: str, word: Word) -> None:
    verdict = judge_road(Unserved(503, told), "phi-4")
    note = RoadNote(RoadVerdict(word, verdict.detail), 1, NOW)
    assert read_note(note.text) == note
    assert note.text.isprintable()
    assert len(verdict.detail) <= 200


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "Answers",
        "answers 1 2026-11-30T12:00:00Z",
        "Answers one 2026-11-30T12:00:00Z",
        "Answers -1 2026-11-30T12:00:00Z",
        "Answers ² 2026-11-30T12:00:00Z",
        f"Answers {'9' * 5_000} 2026-11-30T12:00:00Z",
        "Answers 1 yesterday",
        "Answers 1 2026-11-30",
        "Answers  1 2026-11-30T12:00:00Z",
    ],
)
def test_a_text_of_others_is_no_note(text: str | None) -> None:
    assert read_note(text) is None


def test_a_note_of_others_is_cut_and_printable() -> None:
    note = read_note(f"RoadFails 1 2026-11-30T12:00:00Z a\u202e\x00{'b' * 500}")
    assert note is not None
    assert note.verdict.detail.isprintable()
    assert len(note.verdict.detail) <= 200


def test_a_verdict_is_written_when_it_changes_and_stands_since_it_began() -> None:
    fails, later = RoadVerdict("RoadFails", "status 404"), NOW + timedelta(minutes=1)
    first = next_note(None, fails, 1, NOW)
    assert first == RoadNote(fails, 1, NOW)
    assert next_note(first, fails, 1, later) is None
    other = RoadVerdict("RoadFails", "status 503")
    assert next_note(first, other, 1, later) == RoadNote(other, 1, NOW)
    answers = RoadVerdict("Answers")
    assert next_note(first, answers, 1, later) == RoadNote(answers, 1, later)
    assert next_note(first, fails, 2, later) == RoadNote(fails, 2, later)
