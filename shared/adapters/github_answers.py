"""Parses GitHub's responses: https://docs.github.com/rest/commits/commits

An invalid response is a failure of GitHub or of the network: it raises `Unavailable`, and the request is
retried.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from shared.adapters.answers import instance, text
from shared.adapters.translate import SECONDARY_LIMIT, is_limit, understood
from shared.calls import Call
from shared.git import Entry
from shared.ports import Commit, Head

SYSTEM = "GitHub"

#: Whether the base of a comparison is its head or one of the commits before it, by the comparison's status.
_IS_BEFORE = {"identical": True, "ahead": True, "behind": False, "diverged": False}


def note_answer(call: Call, status: int, headers: Mapping[str, str], content: bytes = b"") -> None:
    """Note how a call was answered. `headers` are found by their names in lower case. GitHub answers 403 for
    its limits, too.
    """
    limit = is_limit(status, headers) or (status == 403 and SECONDARY_LIMIT.encode() in content.lower())
    call.answered(status, headers.get("x-ratelimit-remaining", ""), throttled=limit)


def commits_of(answer: Any) -> list[Commit]:
    """The commits of a list, in its order. Raises Unavailable."""
    with understood(SYSTEM):
        return [
            Commit(text(row["sha"]), instance(str, row["commit"]["message"]), _first_parent(row))
            for row in instance(list, answer)
        ]


def _first_parent(row: Any) -> str:
    parents = instance(list, row["parents"])
    return text(parents[0]["sha"]) if parents else ""


def is_before(answer: Any) -> bool:
    """Whether a comparison says that its base is its head or one of the commits before it. Raises
    Unavailable.
    """
    with understood(SYSTEM):
        return _IS_BEFORE[answer["status"]]


def newest_day_of(answer: Any) -> date | None:
    """The UTC day on which the first commit of a list was committed; None for an empty list. Raises
    Unavailable.
    """
    with understood(SYSTEM):
        return next((_day(row["commit"]["committer"]["date"]) for row in instance(list, answer)), None)


def head_of(branch: Any) -> Head:
    """The newest commit of a branch. Raises inside of `understood`."""
    commit = branch["commit"]["commit"]
    protected, message = bool(branch.get("protected")), instance(str, commit["message"])
    return Head(text(branch["commit"]["sha"]), text(commit["tree"]["sha"]), protected, message)


def entry_of(row: Any) -> Entry:
    """A file of a tree; submodules have no size. Raises inside of `understood`."""
    return Entry(text(row["sha"]), text(row["mode"]), instance(int, row.get("size", 0)))


def _day(moment: Any) -> date:
    read = datetime.fromisoformat(moment)
    if read.tzinfo is None:
        raise ValueError("a time of no place")
    return read.astimezone(UTC).date()
