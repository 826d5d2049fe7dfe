"""The input and the result of a stage."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from shared.messaging.messages import Message, TeamMessage

M = TypeVar("M", bound=Message, covariant=True)


@dataclass(frozen=True, slots=True)
class Event(Generic[M]):
    """A message and the moment at which it is processed.

    `now` is never earlier than the moment at which Service Bus took the message, whatever the clock of this
    machine says. `correlation_id` is the id of the first message of the chain: the ids of all that follow
    begin with it. `is_retry` is true for a retry, for a redelivery after a crash or a lost lock, and after
    the branch has moved: an earlier attempt may have overwritten a newer state. `waited_for` is the reason
    for which the message was scheduled, empty for none, `waited_since` since when, None for none.
    """

    message: M
    now: datetime
    correlation_id: str
    is_retry: bool = False
    waited_for: str = ""
    waited_since: datetime | None = None

    @property
    def verify_markers(self) -> bool:
        """Whether the state is read that markers vouch for, instead of trusting them."""
        return self.is_retry or (isinstance(self.message, TeamMessage) and self.message.cause == "sweep")


@dataclass(frozen=True, slots=True)
class Push:
    """A push to our branch, from one webhook delivery. `before` is None when the branch is new, `after` when
    it was deleted, or is not known.

    `allows` is whether one of its commits allows withdrawals.
    """

    delivery: str
    before: str | None
    allows: bool = False
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """Finished. `note` is the text of the commit status; None for no status.

    `wrote` is False when nothing had to be written: then the branch is not checked again.
    """

    note: str | None = None
    wrote: bool = True


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not finished, without an error: the stage runs again after this time.

    `patient` waits have no limit, others may take `longer` than the limit of all stages. `revision` is the
    blob that was applied: waits for the same one join into one chain. `note` follows the reason in the
    commit status.
    """

    after: timedelta
    reason: str
    patient: bool = False
    revision: str = ""
    note: str = ""
    longer: timedelta = timedelta(0)


Outcome = Done | Waiting


def worth_saying(event: Event[TeamMessage], wrote: bool, text: str) -> str | None:
    """The note of a stage: a sweep that finds no difference reports nothing."""
    return text if wrote or event.message.cause == "push" else None
