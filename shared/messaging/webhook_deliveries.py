"""Failed webhook deliveries, and which of them GitHub is asked to redeliver: it never does so by itself.
Pure.

https://docs.github.com/webhooks/using-webhooks/handling-failed-webhook-deliveries
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

#: The age up to which deliveries are repeated: after a night's outage people get their check run in the
#: morning. GitHub forgets deliveries after three days.
WINDOW = timedelta(days=1)
#: The first delivery and its repetitions. Sweeps run every 15 minutes, so a failure may last for most of an
#: hour.
MAX_ATTEMPTS = 4
#: Redeliveries that one sweep asks for: GitHub limits writes, and each is a push that the app processes.
MAX_REDELIVERIES = 20
#: Answers of the platform in front of the app while that is stopped, not deployed or overloaded. Other 4xx
#: answers come from the app itself.
_PASSING = (
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to make a webhook call. `guid` is its X-GitHub-Delivery, which all attempts share; `status`
    is 0 when there was no answer.

    `repository` is None where GitHub does not say.
    """

    id: int
    guid: str
    event: str
    repository: int | None
    at: datetime
    status: int
    redelivery: bool

    @property
    def succeeded(self) -> bool:
        return 200 <= self.status < 300

    @property
    def may_pass(self) -> bool:
        """Whether the same call may succeed later. A wrong signature, for example, is refused again."""
        return not self.succeeded and (self.status == 0 or self.status >= 500 or self.status in _PASSING)


@dataclass(frozen=True, slots=True)
class Missed:
    """Pushes of which no delivery succeeded, each by its last attempt, oldest first.

    `again` are to be redelivered, `refused` would be refused again, `given_up` have failed in all attempts.
    `since` is the first attempt of them all, None when nothing was missed.
    """

    again: tuple[Delivery, ...]
    refused: tuple[Delivery, ...]
    given_up: tuple[Delivery, ...]
    since: datetime | None


def missed(attempts: Iterable[Delivery], repository: int) -> Missed:
    """Evaluate GitHub's list of deliveries. A push whose first attempt is not in the list is too old, so
    redelivery ends.
    """
    lost = _lost_pushes(attempts, repository)
    retryable = [made for made in lost if made[-1].may_pass]
    return Missed(
        again=tuple(made[-1] for made in retryable if len(made) < MAX_ATTEMPTS),
        refused=tuple(made[-1] for made in lost if not made[-1].may_pass),
        given_up=tuple(made[-1] for made in retryable if len(made) >= MAX_ATTEMPTS),
        since=min((made[0].at for made in lost), default=None),
    )


def _lost_pushes(attempts: Iterable[Delivery], repository: int) -> list[list[Delivery]]:
    """For each push to the repository without a successful attempt, its attempts, oldest first."""
    pushes: dict[str, list[Delivery]] = {}
    for attempt in sorted(attempts, key=lambda attempt: (attempt.at, attempt.id)):
        if attempt.event == "push" and attempt.repository in (repository, None):
            pushes.setdefault(attempt.guid, []).append(attempt)
    return [made for made in pushes.values() if not made[0].redelivery and not _was_delivered(made)]


def _was_delivered(made: Iterable[Delivery]) -> bool:
    return any(attempt.succeeded for attempt in made)
