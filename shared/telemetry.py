"""All log lines, in one place: one line per event, never a body, never a key. Application Insights picks it
up from `logging`.
"""

from __future__ import annotations

import json
import logging
import re
from contextvars import ContextVar
from datetime import datetime, timedelta

from shared import calls
from shared.documents.problem import visible
from shared.errors import MergekeyError
from shared.messaging.dead_letters import Letter
from shared.messaging.messages import Message
from shared.messaging.outcomes import Done, Waiting
from shared.messaging.routes import Stage

log = logging.getLogger("mergekey")


def one_line(record: logging.LogRecord) -> bool:
    """Escape the arguments of a log line: ids, names and texts are untrusted, and must not begin a line of
    their own.

    A filter of the logger, so that no line is forgotten. Lets every record pass.
    """
    if isinstance(record.args, tuple):
        record.args = tuple(visible(str(each)) for each in record.args)
    return True


log.addFilter(one_line)


# One trace from a push to its keys: the host names it (W3C `traceparent`), and messages carry it on.

#: The application property by which Service Bus's own clients, the host's among them, carry a trace.
TRACE_PROPERTY = "Diagnostic-Id"
_TRACE_PARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_trace: ContextVar[str] = ContextVar("trace", default="")


def follow_trace(parent: object) -> None:
    """Let what is queued from here on, in this call of a function, belong to a trace. Anything but a
    `traceparent` is no trace: messages can come from others.
    """
    text = str(parent or "")
    _trace.set(text if _TRACE_PARENT.fullmatch(text) else "")


def trace() -> str:
    """The `traceparent` of this call, empty for none."""
    return _trace.get()


def measured(work: str, waited: timedelta | None = None) -> None:
    """The numbers of a function that ends, as JSON: how long its message waited in its queue, in seconds, and
    the calls to other systems since the last such line. Without any there is no line.
    """
    rows = calls.take()
    if rows or waited is not None:
        seconds = {} if waited is None else {"waited": round(waited.total_seconds(), 1)}
        log.info("Measured: %s", json.dumps({"work": work, **seconds, "calls": rows}))


def push_failed(delivery: str, error: MergekeyError) -> None:
    log.error("Receive push: delivery %s: %s", delivery, error)


def done(stage: Stage, message: Message, outcome: Done) -> None:
    log.info("%s: %s done%s", stage.label, message.session, f": {outcome.note}" if outcome.note else "")


def waiting(stage: Stage, message: Message, outcome: Waiting) -> None:
    log.info("%s: %s waits %s: %s", stage.label, message.session, outcome.after, outcome.reason)


def found(team: str, what: str) -> None:
    log.warning("Sweep: %s: %s", team, what)


def noted(team: str, what: str) -> None:
    """What a stage found beside its work: nothing is changed for it, a person should look."""
    log.warning("Workspaces: %s: %s", team, what)


def not_told(what: str, error: Exception) -> None:
    """A report lacks something that could not be read."""
    log.info("Check run: %s are not told: %s", what, error)


def not_looked_at(what: str, why: str) -> None:
    log.info("Sweep: %s are not looked at: %s", what, why)


def not_looked_at_deeply(team: str, error: MergekeyError) -> None:
    log.warning("Sweep: %s: could not be looked at deeply: %s", team, error)


def not_compared(team: str, error: MergekeyError) -> None:
    log.error("Sweep: %s: could not be compared: %s", team, error)


def not_queued(team: str) -> None:
    log.error("Sweep: %s: what would have to be done does not fit into a message", team)


def portioned(queued: int, waiting: int) -> None:
    """After an upgrade."""
    log.warning(
        "Sweep: %s teams differ by the version alone: %s are queued, %s wait for the next sweeps",
        queued + waiting,
        queued,
        waiting,
    )


def ends_by_new_rules(team: str) -> None:
    log.warning(
        "Sweep: %s: its access would end; the first sweep after an upgrade only tells it, the next one does "
        "it",
        team,
    )


def unmanaged_resource(what: str) -> None:
    """Nothing is changed: a person must look."""
    log.error("Sweep: %s", what)


def retrying(stage: Stage, root: str, error: MergekeyError, due: datetime) -> None:
    log.warning("%s: %s tried again at %s: %s", stage.label, root, due.isoformat(timespec="seconds"), error)


def left_to_the_next_sweep(stage: Stage, root: str, error: MergekeyError) -> None:
    log.error("%s: %s is left to the next sweep: %s", stage.label, root, error)


def dead_lettered(stage: Stage, root: str, error: MergekeyError) -> None:
    log.error("%s: %s is a dead letter: %s (%s must act)", stage.label, root, error, error.actor)


# Audit: who did what by hand.


def replayed(by: str, letter: Letter) -> None:
    log.warning("Audit: %s replayed dead letter %s", by, _named(letter))


def discarded(by: str, letter: Letter, why: str) -> None:
    log.warning("Audit: %s discarded dead letter %s because: %s", by, _named(letter), why)


def sweep_ordered(by: str, message_id: str, deep: bool) -> None:
    log.warning("Audit: %s asked for the %ssweep %s", by, "deep " if deep else "", message_id)


def _named(letter: Letter) -> str:
    about = f"{letter.stage}, team {letter.team}, {letter.reason}, root {letter.correlation_id}"
    return f"{letter.sequence} ({about})"
