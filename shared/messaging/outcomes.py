"""What a stage is given and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from shared.messaging.messages import Message, TeamMessage

M = TypeVar("M", bound=Message, covariant=True)


@dataclass(frozen=True, slots=True)
class Event(Generic[M]):
    """A message and the moment at which it is judged.

    `now` is never earlier than the moment at which Service Bus took the message, whatever the clock of this
    machine says. `root` is the id of the first message of the chain: ids of all that follows from it begin
    with it. `again`: it was begun before, or the branch has moved since. What was written then may have come
    too late, over something newer.
    """

    message: M
    now: datetime
    correlation_id: str
    is_retry: bool = False

    @property
    def verify_markers(self) -> bool:
        """Whether marks are not believed: what they vouch for is looked at too."""
        return self.is_retry or (isinstance(self.message, TeamMessage) and self.message.cause == "sweep")


@dataclass(frozen=True, slots=True)
class Push:
    """A push to our branch, as one webhook call tells of it. `before` is None when the branch is new.

    `allows` is whether one of its commits gives leave for withdrawals.
    """

    delivery: str
    before: str | None
    allows: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """Finished. `note` is what people shall see beside the commit; None when there is nothing worth saying.

    `wrote` is False when the world was found as it should be: then there is no need to look at the branch
    again.
    """

    note: str | None = None
    wrote: bool = True


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not finished, and nothing is wrong: come back after this time.

    `patient` waits are not given up. `revision` is the blob that was acted on: waits for the same one join
    into one chain. `note` is what people shall see beside the commit after the reason.
    """

    after: timedelta
    reason: str
    patient: bool = False
    revision: str = ""
    note: str = ""


Outcome = Done | Waiting


def worth_saying(event: Event[TeamMessage], wrote: bool, text: str) -> str | None:
    """The note of a stage: a sweep that finds everything as it should be says nothing."""
    return text if wrote or event.message.cause == "push" else None
