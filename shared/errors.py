"""Everything that can go wrong, by who must act and by whether it may go away by itself.

An error has a `reason`, the CamelCase word that people search for (every one is explained in docs/errors.md),
a message without any secret in it, and who must act. Any other exception is a bug: it propagates, the host
abandons the message, and Service Bus redelivers it and finally puts it into its dead-letter queue.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

Actor = Literal["the team", "the platform", "nobody: it is tried again"]

#: Services ask for seconds or minutes, GitHub for an hour at most. Longer waits are cut to this one, because
#: nothing would run until then.
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
    """An object has the name that is needed but not our marker: it belongs to another owner and is not
    changed.
    """

    reason = "NotManaged"


class LabelLost(NotManaged):
    """A namespace of ours has lost the label without which the cluster's admission policy lets the app write
    nothing there, the label neither.
    """

    reason = "LabelLost"


class WorkspaceEdited(NotManaged):
    """People changed a field of a Workspace of ours that only we write: what it serves is theirs to say."""

    reason = "WorkspaceEdited"


class AccessDenied(PermanentError):
    """A role is missing. Roles take minutes to work, so settlement tries for a while before it gives up."""

    reason = "AccessDenied"


class Rejected(PermanentError):
    """A service rejected the request as invalid (400 or 422)."""

    reason = "Rejected"


class WorkspaceFailed(PermanentError):
    """A workspace does not serve, and waiting on cannot help. Its reason is the cause
    (`shared.kaito.causes`).
    """

    reason = "WorkspaceFailed"


class TooLarge(Rejected):
    """A message is larger than Service Bus takes."""


class MalformedMessage(PermanentError):
    """A message on our queue that is not one of ours."""

    reason = "MalformedMessage"


class WaitedTooLong(PermanentError):
    """A stage waited longer than its limit."""

    reason = "WaitedTooLong"


class RetriesExhausted(PermanentError):
    """A temporary trouble lasted longer than the limit."""

    reason = "RetriesExhausted"


class TemporaryError(MergekeyError):
    """Trying again later may help. `retry_after` is the wait that the service asked for, if it did, and at
    most an hour.
    """

    actor: Actor = "nobody: it is tried again"

    def __init__(
        self, message: str, *, reason: str | None = None, retry_after: timedelta | None = None
    ) -> None:
        super().__init__(message, reason=reason)
        self.retry_after = None if retry_after is None else min(retry_after, MAX_RETRY_AFTER)


#: What the platform must do where the kinds of an API group are not served.
_REMEDIES = {"kaito.sh": "install KAITO", "gateway.networking.k8s.io": "install Gateway API"}


class KindNotServed(TemporaryError):
    """The cluster does not serve a kind of object: its definition is not installed, or not in this version,
    or another server answers at the cluster's address. What there is of the kind is unknown, and not gone.

    Retried like any other temporary error, because the kind is there as soon as a person installs it.
    """

    reason = "KindNotServed"
    actor = "the platform"

    def __init__(self, cluster: str, api_version: str, kind: str) -> None:
        self.cluster, self.kind = cluster, kind
        self.group, _, self.version = api_version.rpartition("/")
        remedy = _REMEDIES.get(self.group, "correct AKS_CLUSTER_ID")
        super().__init__(
            f"{kind} ({api_version}) is not served by the cluster {cluster}: {self.actor} must {remedy}"
        )


class NewerVersion(TemporaryError):
    """A newer version of Mergekey wrote the object during an upgrade, and that version maintains it."""

    reason = "NewerVersion"


class Throttled(TemporaryError):
    """The service answered 429 or 503: the rate limit is exceeded, or the service is overloaded."""

    reason = "Throttled"


class Unavailable(TemporaryError):
    """The service answered 5xx, did not answer in time, could not be reached, or sent an invalid response."""

    reason = "Unavailable"


class NewerMessage(TemporaryError):
    """A newer version of this app wrote the message. Both versions run during an upgrade: the message waits
    for the newer one.
    """

    reason = "NewerMessage"


class Busy(TemporaryError):
    """The service answered 409 or 412: another client writes the same object. Not counted as an attempt."""

    reason = "Busy"
