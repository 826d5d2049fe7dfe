"""The shapes of answers about dead letters and of problems, for the description; tests hold every answer
against them.
"""

from __future__ import annotations

from datetime import datetime
from typing import NotRequired

from typing_extensions import TypedDict

from shared.api.dead_letters import Answer


class LetterRow(TypedDict):
    """One dead letter, all but its message's body. `converged`: whether its team has converged since, where
    that was asked.

    `body_size` (bytes) and `body_sha256` (hexadecimal) are those of a message of which only the beginning was
    kept, because it was too large; else 0 and empty.
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
    """With the message."""

    message_id: str
    body: str


class GroupRow(TypedDict):
    """Letters of one stage with one reason. `last` is the highest number among them."""

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
    """What became of each letter."""

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
