"""Decides whether a message is completed, comes back later, or becomes a dead letter. No other file decides
that.

A trigger returns normally when `settle` returns: the host completes the message. Whatever must follow is
queued before that, so nothing is lost; a message that is handled twice queues the same ids twice, and Service
Bus drops the second. Ids of copies name the second at which they come, and that is after the end of the
stage: a handler that lost its lock and wrote late is followed by a copy that sees it. Unexpected exceptions
propagate: the host abandons the message, and Service Bus delivers it again and in the end moves it to the
native dead-letter queue.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from shared import telemetry
from shared.app import App
from shared.errors import (
    AccessDenied,
    Busy,
    KindNotServed,
    MergekeyError,
    PermanentError,
    RetriesExhausted,
    TemporaryError,
    TooLarge,
    Unavailable,
    WaitedTooLong,
)
from shared.marker import format_time, parse_time, read_time
from shared.messaging.messages import (
    CUT,
    DeadLetter,
    Message,
    Sweep,
    TeamMessage,
    content_type,
    read_envelope,
)
from shared.messaging.outcomes import Done, Event, Outcome, Push, Waiting
from shared.messaging.retry_state import (
    MAX_MESSAGE_BYTES,
    IncomingMessage,
    RetryState,
    bounded_id,
    retry_due,
    retry_id,
    waiting_id,
    waiting_until,
)
from shared.messaging.routes import DEAD_LETTERS, Stage
from shared.ports import OutgoingMessage, Status
from shared.stages.outgoing import microsecond, sweep
from shared.stages.receive_push import queue_changes

Work = Callable[[App, Event[Any]], Awaitable[Outcome]]
#: State, text and reason of a commit status; the reason is empty where all went well.
Shown = tuple[str, str, str]

#: GitHub waits ten seconds for a webhook. A push that takes longer is left to a sweep, which must still be
#: queued in that time.
PUSH_TIMEOUT = timedelta(seconds=6)
#: A change that a sweep queued is not retried for longer: the next sweep comes after a quarter of an hour.
SWEEP_RETRY_TIMEOUT = timedelta(minutes=15)
#: A copy comes so long after the end of its stage: ids name a second, and the next one begins meanwhile.
SOONEST = timedelta(seconds=1)
#: What the work of the webhook is called beside the names of stages.
RECEIVE_PUSH = "receive-push"
#: Bytes that a dead letter keeps of a message that is too large.
PREVIEW_LENGTH = 1024


@dataclass(frozen=True, slots=True)
class Case:
    """A message that a stage handles. `message` is None as long as its body has not been parsed. `behind` is
    how far the clock of this machine was behind `now`, when the stage began.
    """

    app: App
    stage: Stage
    received: IncomingMessage
    retry: RetryState
    now: datetime
    message: Message | None = None
    behind: timedelta = timedelta(0)

    @property
    def ended(self) -> datetime:
        """The moment at which the stage has ended. Copies come later, and so does one that another handler
        of the message has sent with the same id: it sees what this one has written.
        """
        return max(self.now, self.app.clock.now() + self.behind)

    @property
    def is_retry(self) -> bool:
        """True for a retry, and for a redelivery after a crash or a lost lock."""
        return bool(self.retry.failing_since) or self.received.delivery_count > 1

    @property
    def is_left_to_sweeps(self) -> bool:
        """Whether a sweep queued it, and the next sweep tries again. Once a status says "waiting", people
        wait for its end, and no sweep gives it one where nothing differs (any more).
        """
        is_from_sweep = isinstance(self.message, TeamMessage) and self.message.cause == "sweep"
        return is_from_sweep and not self.retry.waiting_for


async def settle(app: App, stage: Stage, received: IncomingMessage, work: Work) -> None:
    """Run a stage on a message, queue what follows, and report the status."""
    clock = app.clock.now()
    now = max(clock, received.enqueued)
    case = Case(app, stage, received, RetryState.of(received), now, behind=now - clock)
    try:
        await _settle(case, work)
    finally:
        telemetry.measured(stage.name, case.now - received.enqueued)


async def _settle(case: Case, work: Work) -> None:
    app, stage, received = case.app, case.stage, case.received
    try:
        case = replace(case, message=stage.message.decode(received.body))
        outcome = await work(
            app,
            Event(
                case.message,
                case.now,
                case.retry.correlation_id,
                is_retry=case.is_retry,
                waited_for=case.retry.waiting_for,
                waited_since=read_time(case.retry.waiting_since),
            ),
        )
        status = await _follow_up(case, outcome)
    except MergekeyError as error:
        status = await _fail(case, error)
    if isinstance(case.message, TeamMessage) and status is not None:
        await app.reports.statuses(
            [Status(case.message.commit, f"mergekey/{case.message.team}/{stage.short}", *status)]
        )


async def settle_push(app: App, push: Push) -> tuple[int, str]:
    """Return the HTTP status and text for GitHub. An error of GitHub queues a sweep; an error of Service Bus
    answers 503, which GitHub shows.
    """
    try:
        return await _settle_push(app, push)
    finally:
        telemetry.measured(RECEIVE_PUSH)


async def _settle_push(app: App, push: Push) -> tuple[int, str]:
    now = app.clock.now()
    try:
        async with asyncio.timeout(PUSH_TIMEOUT.total_seconds()):
            return 202, await queue_changes(app, push, now)
    except TimeoutError:
        telemetry.push_failed(push.delivery, Unavailable(f"not done in {PUSH_TIMEOUT}"))
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


async def start_sweep(app: App, why: str, deep: bool = False, team: str = "") -> str:
    """Queue a sweep, and return its id: the time to the microsecond, so that two sweeps that are asked for at
    about the same time are two messages.
    """
    now = app.clock.now()
    message_id = f"sweep-{microsecond(now)}"
    await app.bus.send([sweep(app, Sweep(why=why[:200], deep=deep, team=team), message_id, now)])
    return message_id


async def collect(app: App, stage: Stage, received: IncomingMessage) -> None:
    """Move a message from a native dead-letter queue (too many deliveries, no session id, ...) to the queue
    `dead-letters`.
    """
    error = PermanentError(
        received.description or "the broker put the message aside", reason=received.reason or "DeadLettered"
    )
    retry = replace(RetryState.of(received), attempt=received.delivery_count - 1)
    await _dead_letter(Case(app, stage, received, retry, received.enqueued), error)


async def _follow_up(case: Case, outcome: Outcome) -> Shown | None:
    """Queue what follows from an outcome; return the commit status, or None for none."""
    assert case.message is not None
    if not isinstance(outcome, Done):
        return await _wait(case, case.message, outcome)
    telemetry.done(case.stage, case.message, outcome)
    # A status that says "waiting" must get its end, even when another chain of messages has done the work.
    note = outcome.note or ("nothing is left to wait for" if case.retry.waiting_for else None)
    return None if note is None else ("success", note, "")


async def _wait(case: Case, message: Message, outcome: Waiting) -> Shown:
    """Queue a copy for this stage alone. Raises WaitedTooLong after `Limits.waiting` for the same reason."""
    retry, now = case.retry, case.now
    since = (retry.waiting_since if retry.waiting_for == outcome.reason else "") or format_time(now)
    limit = case.app.timeouts.wait + outcome.longer
    if not outcome.patient and now - parse_time(since) >= limit:
        raise WaitedTooLong(f"{outcome.reason} for {limit}, since {since}")
    ended = case.ended
    due = waiting_until(_after(outcome, ended - now), ended, parse_time(since))
    copy = RetryState(
        retry.correlation_id,
        retry.hop + 1,
        waiting_for=outcome.reason,
        waiting_since=since,
        replays=retry.replays,
    )
    await _send_copy(case, copy, waiting_id(case.stage, message, outcome, due), due)
    telemetry.waiting(case.stage, message, outcome)
    told = f"waiting: {outcome.reason}" + (f": {outcome.note}" if outcome.note else "")
    return "pending", told, outcome.reason


def _after(outcome: Waiting, taken: timedelta) -> Waiting:
    """The wait that is left when the stage has taken so long: a patient one ends at a certain moment, the
    others begin with the end of the stage.
    """
    return replace(outcome, after=max(outcome.after - taken, SOONEST)) if outcome.patient else outcome


async def _fail(case: Case, error: MergekeyError) -> Shown | None:
    """Retry temporary errors until they have lasted too long; make a dead letter of the others."""
    retry = _retry_state(case, error)
    denied = isinstance(error, AccessDenied)
    lasted = case.now - parse_time(retry.denied_since if denied else retry.failing_since)
    if (denied or isinstance(error, TemporaryError)) and lasted < _timeout(case, error):
        try:
            await _try_again(case, retry, error, lasted)
            return _shown_while_retrying(case, error)
        except TooLarge as refused:
            error = refused  # a foreign message leaves no room for the properties of a copy
    elif isinstance(error, TemporaryError):
        if case.is_left_to_sweeps:
            telemetry.left_to_the_next_sweep(case.stage, retry.correlation_id, error)
            return None
        error = RetriesExhausted(f"for {lasted}: {error}")
    await _dead_letter(case, error)
    return "failure", f"{error.reason}: {error.message}", error.reason


def _shown_while_retrying(case: Case, error: MergekeyError) -> Shown | None:
    """What a person must do is said at once, beside the push; most errors pass by themselves."""
    if not isinstance(error, KindNotServed) or case.is_left_to_sweeps:
        return None
    return "pending", f"waiting: {error.reason}: {error.message}", error.reason


async def _try_again(case: Case, retry: RetryState, error: MergekeyError, lasted: timedelta) -> None:
    due = retry_due(error, retry, lasted, case.ended)
    await _send_copy(case, retry, retry_id(case.stage, retry, due), due)
    telemetry.retrying(case.stage, retry.correlation_id, error, due)


def _retry_state(case: Case, error: MergekeyError) -> RetryState:
    """The state of the next copy. A conflict (`Busy`) is not counted as an attempt, and the time for which a
    role is missing is counted separately.
    """
    retry, now = case.retry, format_time(case.now)
    denied = (retry.denied_since or now) if isinstance(error, AccessDenied) else ""
    attempt = retry.attempt + (not isinstance(error, Busy))
    is_shown = _shown_while_retrying(case, error) is not None
    return replace(
        retry,
        # A status that says "waiting" must get its end.
        waiting_for=error.reason if is_shown else retry.waiting_for,
        hop=retry.hop + 1,
        attempt=attempt,
        failing_since=retry.failing_since or now,
        denied_since=denied,
    )


def _timeout(case: Case, error: MergekeyError) -> timedelta:
    limit = case.app.timeouts.permission if isinstance(error, AccessDenied) else case.app.timeouts.retry
    return min(limit, SWEEP_RETRY_TIMEOUT) if case.is_left_to_sweeps else limit


async def _send_copy(case: Case, retry: RetryState, message_id: str, due: datetime) -> None:
    received, stage = case.received, case.stage
    copy = OutgoingMessage(
        stage.entity,
        bounded_id(message_id),
        received.body,
        received.session,
        to=stage.to,
        due=due,
        properties=retry.properties(),
    )
    await case.app.bus.send([copy])


async def _dead_letter(case: Case, error: MergekeyError) -> None:
    received, retry, envelope = case.received, case.retry, read_envelope(case.received.body)
    letter = DeadLetter(
        stage=case.stage.name,
        team=str(envelope.get("subject") or received.session or ""),
        reason=error.reason,
        message=error.message,
        actor=error.actor,
        attempts=retry.attempt + 1,
        message_id=received.message_id,
        session=received.session or "",
        correlation_id=retry.correlation_id,
        hop=retry.hop,
        replays=retry.replays,
    )
    await _queue_letter(case, letter)
    telemetry.dead_lettered(case.stage, retry.correlation_id, error)


async def _queue_letter(case: Case, letter: DeadLetter) -> None:
    """Queue the letter with the whole message, or with its first bytes where there is no room for all.

    A message that could not become a letter would be delivered again at once, without end.
    """
    body = case.received.body
    message_id = bounded_id(f"{case.received.message_id}/dead-letter/{case.stage.name}")
    whole = OutgoingMessage(
        DEAD_LETTERS, message_id, body, properties=letter.properties(), content_type=content_type(body)
    )
    if whole.size <= MAX_MESSAGE_BYTES:
        try:
            await case.app.bus.send([whole])
            return
        except TooLarge:
            pass  # Service Bus adds what `size` does not count, or accepts less
    cut = replace(letter, body_size=len(body), body_sha256=hashlib.sha256(body).hexdigest())
    preview = replace(whole, body=body[:PREVIEW_LENGTH], properties=cut.properties(), content_type=CUT)
    await case.app.bus.send([preview])
