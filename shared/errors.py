"""Everything that can go wrong, by who must act and by whether it may go away by itself.

An error has a `reason`, the CamelCase word that people search for (every one is explained in docs/errors.md),
a message without any secret in it, and who must act. What is not a `MergekeyError` is a bug: nobody catches
it, the broker delivers the message again and in the end puts it aside.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

Actor = Literal["the team", "the platform", "nobody: it is tried again"]

#: Services ask for seconds or minutes, GitHub for an hour at most. Whoever asks for longer is not believed:
#: nobody would look until then.
MAX_RETRY_AFTER = timedelta(hours=1)


class MergekeyError(Exception):
    """The base: a reason, a message for people, who must act."""

    reason = "Error"
    actor: Actor = "the platform"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if reason is not None:
            self.reason = reason

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class PermanentError(MergekeyError):
    """Trying again cannot help. The message goes to the dead letters."""


class InvalidRequest(PermanentError):
    """The request on the branch cannot be granted as it is written."""

    reason = "InvalidRequest"
    actor: Actor = "the team"


class NotManaged(PermanentError):
    """An object has the name we need but not our marker: it is somebody else's and stays as it is."""

    reason = "NotManaged"


class AccessDenied(PermanentError):
    """A role is missing. Roles take minutes to work, so settlement tries for a while before it gives up."""

    reason = "AccessDenied"


class Rejected(PermanentError):
    """A service refused what we sent as wrong (400 or 422)."""

    reason = "Rejected"


class TooLarge(Rejected):
    """A message is larger than Service Bus takes."""


class MalformedMessage(PermanentError):
    """A message on our queue that is not one of ours."""

    reason = "MalformedMessage"


class WaitedTooLong(PermanentError):
    """What a stage was waiting for did not come."""

    reason = "WaitedTooLong"


class RetriesExhausted(PermanentError):
    """A temporary trouble lasted longer than the limit."""

    reason = "RetriesExhausted"


class TemporaryError(MergekeyError):
    """Trying again later may help. `retry_after` is the service's own word about when, if it gave one; of
    more than an hour, an hour.
    """

    actor: Actor = "nobody: it is tried again"

    def __init__(
        self, message: str, *, reason: str | None = None, retry_after: timedelta | None = None
    ) -> None:
        super().__init__(message, reason=reason)
        self.retry_after = None if retry_after is None else min(retry_after, MAX_RETRY_AFTER)


class NewerVersion(TemporaryError):
    """A newer version of Mergekey wrote it, while an upgrade is going on: that one looks after it."""

    reason = "NewerVersion"


class Throttled(TemporaryError):
    """429 or 503 with the wish to come back later."""

    reason = "Throttled"


class Unavailable(TemporaryError):
    """5xx, no connection, no answer in time, or one that makes no sense."""

    reason = "Unavailable"


class NewerMessage(TemporaryError):
    """A message that a newer version of this app wrote. While one takes the place of another, both run: it
    waits for the newer.
    """

    reason = "NewerMessage"


class Busy(TemporaryError):
    """409 or 412: somebody else is writing the same object. Not counted as an attempt."""

    reason = "Busy"
