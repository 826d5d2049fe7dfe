"""Settling a delivery: the outcomes of AMQP and the words of `$management`, as operations of a queue."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from standins.service_bus.codec import Described, Symbol, described
from standins.service_bus.errors import BusError, NotAllowed
from standins.service_bus.queues import Queue

ACCEPTED, REJECTED, RELEASED, MODIFIED = 0x24, 0x25, 0x26, 0x27
ERROR = 0x1D


@dataclass(frozen=True)
class Delivery:
    """A message handed out under a lock."""

    queue: Queue
    token: uuid.UUID


@dataclass(frozen=True)
class Settlement:
    """What a receiver wants done with a delivery. `verb` is the first word of the call's kind."""

    verb: str
    reason: str | None = None
    description: str | None = None

    def apply(self, queue: Queue, token: uuid.UUID) -> None:
        """Do it. Raises MessageLockLost."""
        actions: dict[str, Callable[[uuid.UUID], None]] = {
            "complete": queue.complete,
            "abandon": queue.abandon,
            "release": queue.release,
            "defer": queue.defer,
            "deadletter": partial(queue.dead_letter, reason=self.reason, description=self.description),
        }
        actions[self.verb](token)


def of_outcome(outcome: Described | None) -> Settlement:
    """The settlement an AMQP outcome stands for; a delivery settled without any is released. Raises
    NotAllowed.
    """
    if outcome is None or outcome.descriptor == RELEASED:
        return Settlement("release")
    if outcome.descriptor == ACCEPTED:
        return Settlement("complete")
    if outcome.descriptor == REJECTED:
        return _rejection(outcome.value)
    if outcome.descriptor == MODIFIED:
        failed, elsewhere = [*outcome.value, None, None][:2]
        return Settlement("defer" if elsewhere else "abandon" if failed else "release")
    raise NotAllowed(f"Outcome {outcome.descriptor} does not settle a delivery.")


def of_request(body: dict[str, Any]) -> Settlement:
    """The settlement of an `update-disposition` request. Raises NotAllowed."""
    verbs = {"completed": "complete", "abandoned": "abandon", "defered": "defer", "suspended": "deadletter"}
    status = body["disposition-status"]
    if status not in verbs:
        raise NotAllowed(f"'{status}' is not a disposition status.")
    return Settlement(verbs[status], body.get("deadletter-reason"), body.get("deadletter-description"))


def _rejection(fields: list[Any]) -> Settlement:
    _, description, info = [*(fields[0].value if fields and fields[0] else []), None, None, None][:3]
    given = info or {}
    return Settlement(
        "deadletter", given.get("DeadLetterReason"), given.get("DeadLetterErrorDescription") or description
    )


def error_of(error: BusError) -> Described:
    """A refusal as an AMQP error, for a detach or a close. The SDK reads the third field, info, without
    looking whether it is there.
    """
    return described(ERROR, Symbol(error.condition), str(error), None)


def refusal(error: BusError) -> Described:
    """A refusal as an outcome: the SDKs raise when a rejected outcome carries an error."""
    return described(REJECTED, error_of(error))
