"""Settling a delivery: the outcomes of AMQP and the words of `$management`, as operations of a queue."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
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
    """What a receiver wants done with a delivery. `verb` is the first word of the call's kind, `properties`
    are application properties that the message keeps from now on.
    """

    verb: str
    reason: str | None = None
    description: str | None = None
    properties: Mapping[str, Any] | None = None

    def apply(self, queue: Queue, token: uuid.UUID) -> None:
        """Do it. Raises MessageLockLost."""
        actions: dict[str, Callable[[uuid.UUID], None]] = {
            "complete": queue.complete,
            "abandon": partial(queue.abandon, properties=self.properties),
            "release": queue.release,
            "defer": partial(queue.defer, properties=self.properties),
            "deadletter": partial(
                queue.dead_letter,
                properties=self.properties,
                reason=self.reason,
                description=self.description,
            ),
        }
        actions[self.verb](token)


def of_outcome(outcome: Described | None) -> Settlement:
    """The settlement an AMQP outcome stands for; a delivery settled without any is released. Raises
    NotAllowed. What is given back as modified is abandoned, which counts, whether or not it says that the
    delivery failed: so live tests of the SDKs have it.
    """
    if outcome is None or outcome.descriptor == RELEASED:
        return Settlement("release")
    if outcome.descriptor == ACCEPTED:
        return Settlement("complete")
    if outcome.descriptor == REJECTED:
        return _rejection(outcome.value)
    if outcome.descriptor == MODIFIED:
        _, elsewhere, properties = [*outcome.value, None, None, None][:3]
        return Settlement("defer" if elsewhere else "abandon", properties=properties)
    raise NotAllowed(f"Outcome {outcome.descriptor} does not settle a delivery.")


def of_request(body: dict[str, Any]) -> Settlement:
    """The settlement of an `update-disposition` request. Raises NotAllowed."""
    verbs = {"completed": "complete", "abandoned": "abandon", "defered": "defer", "suspended": "deadletter"}
    status = body["disposition-status"]
    if status not in verbs:
        raise NotAllowed(f"'{status}' is not a disposition status.")
    return Settlement(
        verbs[status],
        body.get("deadletter-reason"),
        body.get("deadletter-description"),
        body.get("properties-to-modify"),
    )


def _rejection(fields: list[Any]) -> Settlement:
    _, description, info = [*(fields[0].value if fields and fields[0] else []), None, None, None][:3]
    given = dict(info or {})
    reason, said = given.pop("DeadLetterReason", None), given.pop("DeadLetterErrorDescription", None)
    return Settlement("deadletter", reason, said or description, given)


def error_of(error: BusError) -> Described:
    """A refusal as an AMQP error, for a detach or a close. The SDK reads the third field, info, without
    looking whether it is there.
    """
    return described(ERROR, Symbol(error.condition), str(error), None)


def refusal(error: BusError) -> Described:
    """A refusal as an outcome: the SDKs raise when a rejected outcome carries an error."""
    return described(REJECTED, error_of(error))
