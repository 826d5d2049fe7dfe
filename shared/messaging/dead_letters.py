"""Dead letters as operators see them: groups, replays, and the failures that they stand for. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared import names

#: After so many replays the cause must be found before another one.
MAX_REPLAYS = 5
#: For so long a letter stands for its failure, and sweeps do not repeat it. After that they try again, in
#: case its cause is gone.
STANDS_FOR = timedelta(days=1)

#: Team, blob of its request (for a withdrawal the commit that the access came from) and stage.
Trouble = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter. `sequence` is its number in the queue, `enqueued` when it came there, `body` the
    message that failed.

    `correlation_id` and `hop` are the first id of the chain that it ended and the number of the last copy;
    `replays` counts earlier replays. `stage` is empty when the message is not one that a stage put there. Of
    a message that was too large to be kept, `body` is only the beginning, `body_size` are the bytes and
    `body_sha256` is the SHA-256 of the whole; else they are 0 and empty.
    """

    sequence: int
    message_id: str
    enqueued: datetime
    stage: str
    team: str
    reason: str
    message: str
    actor: str
    attempts: int
    correlation_id: str
    hop: int
    session: str
    replays: int
    blob: str
    body: bytes
    body_size: int = 0
    body_sha256: str = ""

    @property
    def trouble(self) -> Trouble:
        return self.team, self.blob, self.stage

    def stands(self, now: datetime) -> bool:
        """Whether it still stands for its failure."""
        return self.enqueued > now - STANDS_FOR

    @property
    def replay_id(self) -> str:
        """The message id of its next replay, so that duplicate detection joins two replays."""
        return f"{self.message_id}/replay/{self.replays + 1}"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which letters are meant; None means all. `before`: those that came no later; `up_to`: those that had a
    number up to this one.
    """

    team: str | None = None
    stage: str | None = None
    reason: str | None = None
    before: datetime | None = None
    up_to: int | None = None

    def takes(self, letter: Letter) -> bool:
        named = ((self.team, letter.team), (self.stage, letter.stage), (self.reason, letter.reason))
        if any(wanted is not None and wanted != found for wanted, found in named):
            return False
        return (self.before is None or letter.enqueued <= self.before) and (
            self.up_to is None or letter.sequence <= self.up_to
        )


@dataclass(frozen=True, slots=True)
class Group:
    """Letters of one stage with one reason. `last` is the highest number among them: what comes later has a
    higher one.
    """

    stage: str
    reason: str
    actor: str
    count: int
    oldest: datetime
    last: int


def grouped(letters: Iterable[Letter]) -> list[Group]:
    """The largest group first."""
    found: dict[tuple[str, str, str], list[Letter]] = {}
    for letter in letters:
        found.setdefault((letter.stage, letter.reason, letter.actor), []).append(letter)
    groups = [
        Group(
            *key, len(each), min(letter.enqueued for letter in each), max(letter.sequence for letter in each)
        )
        for key, each in found.items()
    ]
    return sorted(groups, key=lambda group: (-group.count, group.stage, group.reason))


def refusal(letter: Letter) -> str | None:
    """Why a letter may not be replayed; None when it may."""
    if not letter.stage:
        return "no stage put it there, so its stage is unknown: look at it and discard it"
    if letter.body_sha256:
        return (
            f"only the first {len(letter.body)} of its {letter.body_size} bytes were kept, since Service Bus "
            "takes no larger message: discard it, and the next sweep looks again"
        )
    if not letter.session:
        return (
            "it has no session, so its stage could not receive it: discard it, and the next sweep looks again"
        )
    if letter.replays >= MAX_REPLAYS:
        return (
            f"it was replayed {letter.replays} times and failed each time: find the cause, then discard it, "
            "and the next sweep looks again"
        )
    return None


def team_of(letter: Letter) -> str | None:
    """The team of the letter; None when the name is not valid for a team."""
    return letter.team if names.team_problem(letter.team) is None else None
