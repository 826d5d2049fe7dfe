"""The problems of a file, with their positions."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from shared.documents.characters import straightened
from shared.documents.secret_detection import looks_like_a_key

#: As GitHub has them for annotations.
Level = Literal["failure", "warning", "notice"]

_MAX_QUOTE_LENGTH = 60
_MAX_PROBLEMS = 100
#: How alike two names are (0 to 1) before one is taken for a slip of the other, and the length from
#: which a name is taken for the beginning of another.
_NEAR, _SHORTEST_PART = 0.76, 4
_HELD, _MISPLACED = frozenset({"WithdrawalsHeld", "EndsHeld"}), "MisplacedFile"


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a text: `line` and `column` count from 1, the column in characters."""

    line: int
    column: int


START = Position(1, 1)


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing to change in one file.

    `reason` is a CamelCase word for machines and for the docs; `message` says what is wrong and what to write
    instead. Problems sort by path, then by position. A warning, and a notice, which asks for
    nothing, is shown and refuses nothing.
    """

    path: str
    line: int
    column: int
    reason: str
    message: str
    level: Level = "failure"


def problem_at(path: str, position: Position, reason: str, message: str, level: Level = "failure") -> Problem:
    """A problem at a position."""
    return Problem(path, position.line, position.column, reason, message, level)


def failures(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Without warnings and notices."""
    return tuple(problem for problem in problems if problem.level == "failure")


def capped(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems of one file in order, without repetition, at most the first 100."""
    return tuple(sorted(set(problems))[:_MAX_PROBLEMS])


def most_important(problems: Sequence[Problem], most: int) -> tuple[Problem, ...]:
    """At most `most` problems, the most important first and otherwise in order. When some are left out the
    last one says how many.
    """
    if len(problems) <= most:
        return tuple(problems)
    ranked = sorted(problems, key=_rank)
    shown, first = ranked[: most - 1], ranked[most - 1]
    message = (
        f"{len(ranked) - len(shown):,} more problems are not shown. Mend those that are, and the next check "
        "shows others."
    )
    return (*shown, problem_at(first.path, START, "MoreProblems", message, first.level))


def _rank(problem: Problem) -> int:
    """Problems that need a person's approval come first, then other failures, then misplaced files, of which
    there can be any number. Warnings and notices come last.
    """
    if problem.level != "failure":
        return 3 if problem.level == "warning" else 4
    return 0 if problem.reason in _HELD else 2 if problem.reason == _MISPLACED else 1


def quote(value: object) -> str:
    """A text from a file for a message: in quotes, at most 60 characters, nothing invisible, no key."""
    text = str(value)
    if looks_like_a_key(text):
        return "(not shown, it looks like a key)"
    shown = text if len(text) <= _MAX_QUOTE_LENGTH else text[: _MAX_QUOTE_LENGTH - 1] + "…"
    return "'" + visible(shown) + "'"


def visible(text: str) -> str:
    """The text with every character that a terminal or a page would act on, or not show, written as its
    escape.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )


def listed(names: Iterable[str]) -> str:
    """Names for a sentence: `'a', 'b', 'c'`."""
    return ", ".join(quote(name) for name in names)


def counted(number: int, noun: str) -> str:
    """`1 team`, `2 teams`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def did_you_mean(written: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the known name nearest to the written one; empty when none is near."""
    near = nearest(written, known)
    return f" Did you mean {quote(near)}?" if near is not None else ""


def nearest(written: str, known: Iterable[str]) -> str | None:
    """The known name that a written one is a slip of, or begins or ends with; None when none is near."""
    by_folded = {_folded(name): name for name in reversed(list(known))}
    folded = _folded(written[:_MAX_QUOTE_LENGTH])
    if folded in by_folded:
        return by_folded[folded]
    longer = [name for name in by_folded if _is_part(folded, name)]
    near = difflib.get_close_matches(folded, by_folded, n=1, cutoff=_NEAR)
    shorter = [name for name in by_folded if _is_part(name, folded)]
    found = [*sorted(longer, key=len)[:1], *near, *sorted(shorter, key=len)[-1:]]
    return by_folded[found[0]] if found else None


def _is_part(short: str, long: str) -> bool:
    return len(short) >= _SHORTEST_PART and long.startswith(short)


def _folded(name: str) -> str:
    """A name without case, separators and characters that only look like others."""
    return re.sub(r"[-_. /:]", "", straightened(name)).casefold()
