"""GitHub's answers about history, read with care: https://docs.github.com/rest/commits/commits

An answer that makes no sense is trouble at GitHub, or on the way from there: it raises `Unavailable`, and is asked for again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

from shared.errors import Unavailable
from shared.ports import Commit

#: Whether the base of a comparison is its head or one of the commits before it, by the comparison's status.
_IS_BEFORE = {"identical": True, "ahead": True, "behind": False, "diverged": False}


def commits_of(answer: Any) -> list[Commit]:
    """The commits of a list, in its order. Raises Unavailable."""
    with _sensible("a list of commits"):
        return [Commit(_text(row["sha"]), _text(row["commit"]["message"])) for row in _rows(answer)]


def is_before(answer: Any) -> bool:
    """Whether a comparison says that its base is its head or one of the commits before it. Raises Unavailable."""
    with _sensible("a comparison"):
        return _IS_BEFORE[answer["status"]]


def newest_day_of(answer: Any) -> date | None:
    """The UTC day on which the first commit of a list was committed; None for an empty list. Raises Unavailable."""
    with _sensible("a list of commits"):
        return next((_day(row["commit"]["committer"]["date"]) for row in _rows(answer)), None)


@contextmanager
def _sensible(what: str) -> Iterator[None]:
    try:
        yield
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise Unavailable(f"GitHub answered with something else than {what}: {type(error).__name__}") from None


def _rows(answer: Any) -> list[Any]:
    if not isinstance(answer, list):
        raise TypeError
    return answer


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _day(moment: Any) -> date:
    read = datetime.fromisoformat(moment)
    if read.tzinfo is None:
        raise ValueError
    return read.astimezone(UTC).date()
