"""What becomes of a message: completed, come back later, dead-lettered. The only file that decides it.

A trigger returns normally when `settle` returns: the host completes the message. Whatever must follow is queued before that, so
nothing is lost; a message that is handled twice queues the same ids twice, and Service Bus drops the second.
An exception that is not ours flies: the host abandons the message, the broker delivers it again and in the end puts it aside.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from shared import telemetry
from shared.domain.marker import format_time, parse_time, read_time
from shared.errors import AccessDenied, Busy, MergekeyError, PermanentError, RetriesExhausted, TemporaryError, WaitedTooLong
from shared.messages import CONTENT_TYPE, DeadLetter, Message, Sweep, TeamMessage, read_envelope
from shared.outcome import Arrived, Done, Event, Outcome, Waiting
from shared.pipeline import receive_push
from shared.ports import App, Envelope, Status
from shared.stages import DEAD_LETTERS, Stage
from shared.successors import sweep

Properties = Mapping[str, str | int | float | bool]
Work = Callable[[App, Event[Any]], Awaitable[Outcome]]

LONGEST_WAIT = timedelta(minutes=1)
#: Service Bus allows 128 characters for a message id.
LONGEST_ID = 128


@dataclass(frozen=True, slots=True)
class Received:
    """A message as a trigger got it. `reason` and `description` are the broker's, for messages from a native dead-letter queue."""

    body: bytes
    message_id: str
    session: str | None
    enqueued: datetime
    properties: Properties = field(default_factory=dict)
    delivery_count: int = 1
    reason: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Trail:
    """What the copies of a message remember, as application properties."""

    root: str
    sequence: int = 0
    attempt: int = 0
    waiting_for: str = ""
    waiting_since: str = ""
    failing_since: str = ""

    @classmethod
    def of(cls, received: Received) -> Trail:
        known = received.properties
        return cls(
            root=str(known.get("root") or received.message_id),
            sequence=_number(known.get("sequence")),
            attempt=_number(known.get("attempt")),
            waiting_for=str(known.get("waiting-for") or ""),
            waiting_since=_moment(known.get("waiting-since")),
            failing_since=_moment(known.get("failing-since")),
        )

    def properties(self) -> dict[str, str | int | float | bool]:
        named = {"waiting-for": self.waiting_for, "waiting-since": self.waiting_since, "failing-since": self.failing_since}
        return {
            "root": self.root,
            "sequence": self.sequence,
            "attempt": self.attempt,
            **{name: text for name, text in named.items() if text},
        }


async def settle(app: App, stage: Stage, received: Received, work: Work) -> None:
    """Run a stage on a message and see to what follows."""
    now = max(app.clock.now(), received.enqueued)
    trail = Trail.of(received)
    message: Message | None = None
    try:
        message = stage.message.decode(received.body)
        outcome = await work(app, Event(message, now, trail.root))
        status = await _follow_up(app, stage, received, trail, message, outcome, now)
    except MergekeyError as error:
        status = await _fail(app, stage, received, trail, error, now)
    if isinstance(message, TeamMessage) and status is not None:
        await app.reports.statuses([Status(message.commit, f"mergekey/{message.team}/{stage.short}", *status)])


async def settle_push(app: App, push: Arrived) -> tuple[int, str]:
    """HTTP status and text for GitHub. Trouble with GitHub becomes a sweep; trouble with Service Bus a 503, which GitHub shows."""
    now = app.clock.now()
    try:
        return 202, await receive_push(app, push, now)
    except MergekeyError as error:
        telemetry.push_failed(push.delivery, error)
    try:
        await app.bus.send([sweep(app, Sweep(why="trouble while a push was taken in", verdict=True), f"{push.delivery}/sweep", now)])
    except MergekeyError as error:
        telemetry.push_failed(push.delivery, error)
        return 503, "the push could not be queued: redeliver it"
    return 202, "everything is looked at in a moment"


async def start_sweep(app: App, why: str) -> None:
    """Queue a sweep. Its id is the second, so that whoever asks again gets another one."""
    now = app.clock.now()
    await app.bus.send([sweep(app, Sweep(why=why), f"sweep-{format_time(now)}", now)])


async def collect(app: App, stage: Stage, received: Received) -> None:
    """Take what the broker put aside (too many deliveries, no session id, ...) to the one list of dead letters."""
    error = PermanentError(received.description or "the broker put the message aside", reason=received.reason or "DeadLettered")
    await _dead_letter(app, stage, received, replace(Trail.of(received), attempt=received.delivery_count - 1), error)


async def _follow_up(
    app: App, stage: Stage, received: Received, trail: Trail, message: Message, outcome: Outcome, now: datetime
) -> tuple[str, str] | None:
    """Done: nothing is left to queue. Waiting: a copy for this stage alone, unless it has waited too long."""
    if isinstance(outcome, Done):
        telemetry.done(stage, message, outcome)
        # Whoever saw beside the commit that it waits must see the end of it, even when another chain has done the work.
        note = outcome.note or ("nothing is left to wait for" if trail.waiting_for else None)
        return None if note is None else ("success", note)
    since = (trail.waiting_since if trail.waiting_for == outcome.reason else "") or format_time(now)
    if not outcome.patient and now - parse_time(since) >= app.limits.waiting:
        raise WaitedTooLong(f"{outcome.reason} for {app.limits.waiting}, since {since}")
    # The longer it lasts, the rarer it is looked at: a quarter of the time that has passed, at most a minute between two looks.
    due = now + max(outcome.after, min((now - parse_time(since)) / 4, LONGEST_WAIT))
    copy = replace(trail, sequence=trail.sequence + 1, waiting_for=outcome.reason, waiting_since=since, failing_since="", attempt=0)
    await _come_back(app, stage, received, copy, _waiting_id(stage, message, outcome, due), due)
    telemetry.waiting(stage, message, outcome)
    return "pending", f"waiting: {outcome.reason}"


async def _fail(app: App, stage: Stage, received: Received, trail: Trail, error: MergekeyError, now: datetime) -> tuple[str, str] | None:
    """Errors that may pass come back later, until they have lasted too long; the others become dead letters."""
    since = trail.failing_since or format_time(now)
    lasted = now - parse_time(since)
    patience = app.limits.denied if isinstance(error, AccessDenied) else app.limits.failing
    passing = isinstance(error, TemporaryError | AccessDenied)
    if passing and lasted < patience:
        copy = replace(trail, sequence=trail.sequence + 1, failing_since=since, attempt=trail.attempt + (not isinstance(error, Busy)))
        due = now + _delay(error, copy, lasted)
        await _come_back(app, stage, received, copy, f"{trail.root}/{stage.name}/{copy.sequence}", due)
        telemetry.retrying(stage, trail.root, error, due)
        return None
    if isinstance(error, TemporaryError):
        error = RetriesExhausted(f"for {lasted}: {error}")
    await _dead_letter(app, stage, received, trail, error)
    return "failure", f"{error.reason}: {error.message}"


async def _come_back(app: App, stage: Stage, received: Received, trail: Trail, message_id: str, due: datetime) -> None:
    copy = Envelope(
        stage.entity, _bounded(message_id), received.body, session=received.session, to=stage.to, due=due, properties=trail.properties()
    )
    await app.bus.send([copy])


async def _dead_letter(app: App, stage: Stage, received: Received, trail: Trail, error: MergekeyError) -> None:
    letter = DeadLetter(
        stage=stage.name,
        team=str(read_envelope(received.body).get("subject") or received.session or "")[:LONGEST_ID],
        reason=error.reason,
        message=error.message,
        actor=error.actor,
        attempts=trail.attempt + 1,
        message_id=received.message_id,
        session=received.session or "",
        root=trail.root,
        sequence=trail.sequence,
    )
    message_id = _bounded(f"{received.message_id}/dead-letter/{stage.name}")
    content_type = CONTENT_TYPE if "specversion" in read_envelope(received.body) else "application/octet-stream"
    await app.bus.send([Envelope(DEAD_LETTERS, message_id, received.body, properties=letter.properties(), content_type=content_type)])
    telemetry.dead_lettered(stage, trail.root, error)


def _waiting_id(stage: Stage, message: Message, outcome: Waiting, due: datetime) -> str:
    """One per push, team, revision and slot of time: beside its commit people look for the end. Sweeps of the same revision join."""
    slot = int(due.timestamp() // max(outcome.after.total_seconds(), 1))
    if outcome.patient:
        slot = int(due.timestamp())
    if not isinstance(message, TeamMessage):
        return f"{stage.name}/{slot}"
    whose = message.commit[:12] if message.cause == "push" else message.cause
    return f"{stage.name}/{message.team}/{outcome.revision[:40] or message.change}/{whose}/{slot}"


def _delay(error: MergekeyError, trail: Trail, lasted: timedelta) -> timedelta:
    """What the service asked for, else exponential from 2 s to 10 min; spread by the chain's id, so that no crowd comes back at once.

    Who is busy is asked again soon: after a quarter of the time it has been, from 2 s to a minute.
    """
    asked = error.retry_after if isinstance(error, TemporaryError) else None
    spread = int(hashlib.sha256(f"{trail.root}/{trail.sequence}".encode()).hexdigest()[:4], 16) / 0xFFFF
    exponential = min(2.0 * 2 ** min(trail.attempt, 10), 600.0)
    seconds = min(max(2.0, lasted.total_seconds() / 4), 60.0) if isinstance(error, Busy) else exponential
    return max(asked or timedelta(0), timedelta(seconds=seconds / 2)) + timedelta(seconds=seconds / 2 * spread)


def _bounded(message_id: str) -> str:
    if len(message_id) <= LONGEST_ID:
        return message_id
    return f"{message_id[:63]}/{hashlib.sha256(message_id.encode()).hexdigest()}"


def _moment(value: object) -> str:
    """A time of ours as text, else nothing."""
    return str(value) if read_time(str(value)) is not None else ""


def _number(value: object) -> int:
    """Properties of a message that is not ours can be anything."""
    return value if isinstance(value, int) and value >= 0 else 0
