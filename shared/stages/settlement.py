"""What becomes of a message: completed, come back later, dead-lettered. The only file that decides it.

A trigger returns normally when `settle` returns: the host completes the message. Whatever must follow is
queued before that, so nothing is lost; a message that is handled twice queues the same ids twice, and Service
Bus drops the second. An exception that is not ours flies: the host abandons the message, the broker delivers
it again and in the end puts it aside.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shared import telemetry
from shared.app import App
from shared.errors import (
    AccessDenied,
    Busy,
    MergekeyError,
    PermanentError,
    RetriesExhausted,
    TemporaryError,
    TooLarge,
    Unavailable,
    WaitedTooLong,
)
from shared.marker import format_time, parse_time
from shared.messaging.messages import (
    CUT,
    DeadLetter,
    Message,
    Sweep,
    TeamMessage,
    content_type,
    read_envelope,
)
from shared.messaging.outcomes import Done, Event, Outcome, Push
from shared.messaging.retry_state import (
    LARGEST_MESSAGE,
    IncomingMessage,
    RetryState,
    bounded,
    delay,
    waiting_id,
    waiting_until,
)
from shared.messaging.routes import DEAD_LETTERS, Stage
from shared.ports import OutgoingMessage, Status
from shared.stages.outgoing import sweep
from shared.stages.receive_push import queue_changes

Work = Callable[[App, Event[Any]], Awaitable[Outcome]]

#: GitHub gives a webhook ten seconds; what is not done by then is left to a sweep, which must still be
#: queued.
PUSH_BUDGET = timedelta(seconds=6)
#: What a sweep set off need not be tried for longer: the next sweep comes after a quarter of an hour.
SWEEP_PATIENCE = timedelta(minutes=15)
#: Bytes that are kept of a message that is too large to be kept whole.
BEGINNING = 1024


@dataclass(frozen=True, slots=True)
class Case:
    """A message in the hands of a stage. `message` is None as long as it has not been read."""

    app: App
    stage: Stage
    received: IncomingMessage
    trail: RetryState
    now: datetime
    message: Message | None = None

    @property
    def again(self) -> bool:
        """Whether it was begun before: it failed, or whoever had it died or lost its lock."""
        return bool(self.trail.failing_since) or self.received.delivery_count > 1

    @property
    def swept(self) -> bool:
        """Whether a sweep set it off: then nobody waits for it beside a commit, and it is looked at again
        anyway.
        """
        return isinstance(self.message, TeamMessage) and self.message.cause == "sweep"


async def settle(app: App, stage: Stage, received: IncomingMessage, work: Work) -> None:
    """Run a stage on a message and see to what follows."""
    case = Case(app, stage, received, RetryState.of(received), max(app.clock.now(), received.enqueued))
    try:
        case = replace(case, message=stage.message.decode(received.body))
        outcome = await work(app, Event(case.message, case.now, case.trail.root, again=case.again))
        status = await _follow_up(case, outcome)
    except MergekeyError as error:
        status = await _fail(case, error)
    if isinstance(case.message, TeamMessage) and status is not None:
        await app.reports.statuses(
            [Status(case.message.commit, f"mergekey/{case.message.team}/{stage.short}", *status)]
        )


async def settle_push(app: App, push: Push) -> tuple[int, str]:
    """HTTP status and text for GitHub. Trouble with GitHub becomes a sweep; trouble with Service Bus a 503,
    which GitHub shows.
    """
    now = app.clock.now()
    try:
        async with asyncio.timeout(PUSH_BUDGET.total_seconds()):
            return 202, await queue_changes(app, push, now)
    except TimeoutError:
        telemetry.push_failed(push.delivery, Unavailable(f"not done in {PUSH_BUDGET}"))
    except MergekeyError as error:
        telemetry.push_failed(push.delivery, error)
    try:
        await app.bus.send(
            [
                sweep(
                    app,
                    Sweep(why="trouble while a push was taken in", verdict=True),
                    f"{push.delivery}/sweep",
                    now,
                )
            ]
        )
    except MergekeyError as error:
        telemetry.push_failed(push.delivery, error)
        return 503, "the push could not be queued: redeliver it"
    return 202, "everything is looked at in a moment"


async def start_sweep(app: App, why: str, deep: bool = False) -> str:
    """Queue a sweep, and return its id: the moment to the microsecond, so that whoever asks is not taken for
    the timer, nor for itself.
    """
    now = app.clock.now()
    message_id = f"sweep-{now.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    await app.bus.send([sweep(app, Sweep(why=why[:200], deep=deep), message_id, now)])
    return message_id


async def collect(app: App, stage: Stage, received: IncomingMessage) -> None:
    """Take what the broker put aside (too many deliveries, no session id, ...) to the one list of dead
    letters.
    """
    error = PermanentError(
        received.description or "the broker put the message aside", reason=received.reason or "DeadLettered"
    )
    trail = replace(RetryState.of(received), attempt=received.delivery_count - 1)
    await _dead_letter(Case(app, stage, received, trail, received.enqueued), error)


async def _follow_up(case: Case, outcome: Outcome) -> tuple[str, str] | None:
    """Done: nothing is left to queue. Waiting: a copy for this stage alone, unless it has waited too long."""
    assert case.message is not None
    trail, now = case.trail, case.now
    if isinstance(outcome, Done):
        telemetry.done(case.stage, case.message, outcome)
        # Whoever saw beside the commit that it waits must see the end of it, even when another chain has done
        # the work.
        note = outcome.note or ("nothing is left to wait for" if trail.waiting_for else None)
        return None if note is None else ("success", note)
    since = (trail.waiting_since if trail.waiting_for == outcome.reason else "") or format_time(now)
    if not outcome.patient and now - parse_time(since) >= case.app.limits.waiting:
        raise WaitedTooLong(f"{outcome.reason} for {case.app.limits.waiting}, since {since}")
    due = waiting_until(outcome, now, parse_time(since))
    copy = RetryState(
        trail.root, trail.sequence + 1, waiting_for=outcome.reason, waiting_since=since, replays=trail.replays
    )
    await _come_back(case, copy, waiting_id(case.stage, case.message, outcome, due), due)
    telemetry.waiting(case.stage, case.message, outcome)
    return "pending", f"waiting: {outcome.reason}" + (f": {outcome.note}" if outcome.note else "")


async def _fail(case: Case, error: MergekeyError) -> tuple[str, str] | None:
    """Errors that may pass come back later, until they have lasted too long; the others become dead
    letters.
    """
    trail = _failing(case, error)
    denied = isinstance(error, AccessDenied)
    lasted = case.now - parse_time(trail.denied_since if denied else trail.failing_since)
    if (denied or isinstance(error, TemporaryError)) and lasted < _patience(case, error):
        try:
            await _try_again(case, trail, error, lasted)
            return None
        except TooLarge as refused:
            error = refused  # a stranger's message, which left no room for what a copy has to remember
    elif isinstance(error, TemporaryError):
        if case.swept:
            telemetry.left_to_the_next_sweep(case.stage, trail.root, error)
            return None
        error = RetriesExhausted(f"for {lasted}: {error}")
    await _dead_letter(case, error)
    return "failure", f"{error.reason}: {error.message}"


async def _try_again(case: Case, trail: RetryState, error: MergekeyError, lasted: timedelta) -> None:
    due = case.now + delay(error, trail, lasted)
    await _come_back(case, trail, f"{trail.root}/{case.stage.name}/{trail.sequence}", due)
    telemetry.retrying(case.stage, trail.root, error, due)


def _failing(case: Case, error: MergekeyError) -> RetryState:
    """The trail of the next copy. Who is busy costs no attempt; how long a role is missing is counted by
    itself.
    """
    trail, now = case.trail, format_time(case.now)
    denied = (trail.denied_since or now) if isinstance(error, AccessDenied) else ""
    attempt = trail.attempt + (not isinstance(error, Busy))
    return replace(
        trail,
        sequence=trail.sequence + 1,
        attempt=attempt,
        failing_since=trail.failing_since or now,
        denied_since=denied,
    )


def _patience(case: Case, error: MergekeyError) -> timedelta:
    limit = case.app.limits.denied if isinstance(error, AccessDenied) else case.app.limits.failing
    return min(limit, SWEEP_PATIENCE) if case.swept else limit


async def _come_back(case: Case, trail: RetryState, message_id: str, due: datetime) -> None:
    received, stage = case.received, case.stage
    properties = trail.properties()
    copy = OutgoingMessage(
        stage.entity,
        bounded(message_id),
        received.body,
        received.session,
        to=stage.to,
        due=due,
        properties=properties,
    )
    await case.app.bus.send([copy])


async def _dead_letter(case: Case, error: MergekeyError) -> None:
    received, trail, envelope = case.received, case.trail, read_envelope(case.received.body)
    letter = DeadLetter(
        stage=case.stage.name,
        team=str(envelope.get("subject") or received.session or ""),
        reason=error.reason,
        message=error.message,
        actor=error.actor,
        attempts=trail.attempt + 1,
        message_id=received.message_id,
        session=received.session or "",
        root=trail.root,
        sequence=trail.sequence,
        replays=trail.replays,
    )
    await _keep(case, letter)
    telemetry.dead_lettered(case.stage, trail.root, error)


async def _keep(case: Case, letter: DeadLetter) -> None:
    """Queue the letter with the whole message, or, where there is no room for both, with its beginning.

    A message that never became a letter would be handed out again at once, for ever.
    """
    body, message_id = (
        case.received.body,
        bounded(f"{case.received.message_id}/dead-letter/{case.stage.name}"),
    )
    entire = OutgoingMessage(
        DEAD_LETTERS, message_id, body, properties=letter.properties(), content_type=content_type(body)
    )
    if entire.size <= LARGEST_MESSAGE:
        try:
            await case.app.bus.send([entire])
            return
        except TooLarge:
            pass  # the service counts what we do not know of, or takes less
    cut = replace(letter, body_size=len(body), body_sha256=hashlib.sha256(body).hexdigest())
    await case.app.bus.send(
        [replace(entire, body=body[:BEGINNING], properties=cut.properties(), content_type=CUT)]
    )
