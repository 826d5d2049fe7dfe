"""The shapes of answers about dead letters and of problems, for the description; tests compare every answer
with them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, NotRequired

from pydantic import WithJsonSchema
from typing_extensions import TypedDict

from shared.api.dead_letters import Answer, Listing
from shared.messaging.dead_letters import MAX_REPLAYS, Group, Letter

#: A time in UTC by ISO 8601, in seconds.
Timestamp = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]


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
    enqueued: Timestamp
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
    oldest: Timestamp


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


def letter_page(page: Listing, converged: frozenset[int] | None = None) -> LetterPage:
    """A page of letters. `converged` are the numbers of those whose team has converged since, if they were
    asked for.
    """
    letters = [letter_row(letter) for letter in page.letters]
    if converged is not None:
        for row in letters:
            row["converged"] = row["sequence"] in converged
    groups = None if page.groups is None else [_group_row(group) for group in page.groups]
    return LetterPage(groups=groups, letters=letters, next=page.following)


def letter_row(letter: Letter) -> LetterRow:
    return LetterRow(
        sequence=letter.sequence,
        stage=letter.stage,
        team=letter.team,
        reason=letter.reason,
        message=letter.message,
        actor=letter.actor,
        attempts=letter.attempts,
        replays=letter.replays,
        enqueued=_timestamp(letter.enqueued),
        most_replays=MAX_REPLAYS,
        root=letter.correlation_id,
        session=letter.session,
        body_size=letter.body_size,
        body_sha256=letter.body_sha256,
    )


def whole_letter(letter: Letter) -> WholeLetter:
    """A letter with the original message. Bytes that are not UTF-8 are escaped."""
    body = letter.body.decode(errors="backslashreplace")
    return {**letter_row(letter), "message_id": letter.message_id, "body": body}


def _group_row(group: Group) -> GroupRow:
    return GroupRow(
        stage=group.stage,
        reason=group.reason,
        actor=group.actor,
        count=group.count,
        last=group.last,
        oldest=_timestamp(group.oldest),
    )


def _timestamp(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
