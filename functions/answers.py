"""The shapes of answers about dead letters and of problems, for the description; tests compare every answer
with them.
"""

from __future__ import annotations

from datetime import datetime
from typing import NotRequired

from typing_extensions import TypedDict

from shared.api.dead_letters import Answer


class LetterRow(TypedDict):
    """One dead letter without its message's body. `converged`: whether its team has converged since, if the
    query asks for it.

    `body_size` (bytes) and `body_sha256` (hexadecimal) describe a message of which only the first bytes were
    kept, because it was too large; else they are 0 and empty.
    """

    sequence: int
    stage: str
    team: str
    reason: str
    message: str
    actor: str
    attempts: int
    replays: int
    enqueued: datetime
    most_replays: int
    root: str
    session: str
    body_size: int
    body_sha256: str
    converged: NotRequired[bool]


class WholeLetter(LetterRow):
    """One dead letter with its message."""

    message_id: str
    body: str


class GroupRow(TypedDict):
    """Letters of one stage with one reason. `last` is the highest of their numbers."""

    stage: str
    reason: str
    actor: str
    count: int
    last: int
    oldest: datetime


class LetterPage(TypedDict):
    """`groups` are of all letters, on the first page only; `next` is where the next page begins."""

    groups: list[GroupRow] | None
    letters: list[LetterRow]
    next: int | None


class Answers(TypedDict):
    """The result for each letter."""

    answers: list[Answer]


class Queued(TypedDict):
    """The id of the message that was queued."""

    queued: str


class ProblemDetails(TypedDict):
    """RFC 9457. `reason` is one CamelCase word for programs, `detail` is for people."""

    type: str
    title: str
    status: int
    reason: str
    detail: str
