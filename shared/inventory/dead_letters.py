"""Reads dead letters, page by page, without locking any."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from shared.app import App
from shared.errors import MalformedMessage
from shared.messaging.dead_letters import Letter
from shared.messaging.messages import DeadLetter, read_envelope
from shared.ports import QueuedDeadLetter


async def letters(app: App, first: int = 1) -> AsyncIterator[Letter]:
    """All dead letters from a number on, in order."""
    while page := await app.dead_letters.peek(first):
        for kept in page:
            yield read_letter(kept)
        first = page[-1].sequence + 1


async def numbered(app: App, sequences: Iterable[int]) -> dict[int, Letter]:
    """The dead letters with these numbers that still exist. Pages without any of them are skipped."""
    found: dict[int, Letter] = {}
    wanted = sorted(set(sequences))
    while wanted and (page := await app.dead_letters.peek(wanted[0])):
        found |= {kept.sequence: read_letter(kept) for kept in page if kept.sequence in wanted}
        wanted = [sequence for sequence in wanted if sequence > page[-1].sequence]
    return found


def read_letter(kept: QueuedDeadLetter) -> Letter:
    """A message that no stage put there is a letter without a stage."""
    received = kept.received
    try:
        about = DeadLetter.of(received.properties)
    except MalformedMessage as error:
        about = DeadLetter("", "", error.reason, error.message, error.actor, 0, "", "", "", 0)
    data = read_envelope(received.body).get("data")
    return Letter(
        sequence=kept.sequence,
        message_id=received.message_id,
        enqueued=received.enqueued,
        stage=about.stage,
        team=about.team,
        reason=about.reason,
        message=about.message,
        actor=about.actor,
        attempts=about.attempts,
        correlation_id=about.correlation_id,
        hop=about.hop,
        session=about.session,
        replays=about.replays,
        blob=str(data.get("blob") or data.get("granted") or "") if isinstance(data, dict) else "",
        body=received.body,
        body_size=about.body_size,
        body_sha256=about.body_sha256,
    )
