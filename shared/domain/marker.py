"""Whose object is it: the marker that Mergekey leaves on everything it makes.

    managed by mergekey; repo 1234; team alpha; path tenant-access/config/alpha/access.yaml; commit 0123abc; sha256:9f..

On gateway objects it ends the description, on Kubernetes objects and secrets its fields are annotations and tags.
An object is ours when repository and team are. The digest vouches for what was written before it; the commit is for people.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

_FORM = re.compile(
    r"managed by mergekey; repo (?P<repository>\d+); team (?P<team>[a-z0-9-]+); path (?P<path>[^;]+); commit (?P<commit>[0-9a-f]+)"
    r"; sha256:(?P<digest>[0-9a-f]*)(?:; expires (?P<expires>[0-9-]+))?(?:; held (?P<held>[0-9TZ:+-]+))?"
    r"(?:; withdrawn (?P<withdrawn>[0-9TZ:+-]+))?$"
)


@dataclass(frozen=True, slots=True)
class Marker:
    """The marker's fields. `digest` is empty while what it shall vouch for is still being written.

    Only a product's says more: the last day of the access that was granted, since when the guard holds its withdrawal, and since when
    it is withdrawn. What was granted ends on its day, and what is held stays held, whatever the branch says afterwards.
    """

    repository: int
    team: str
    path: str
    commit: str
    digest: str = ""
    withdrawn: datetime | None = None
    expires: date | None = None
    held: datetime | None = None

    def __str__(self) -> str:
        where = f"repo {self.repository}; team {self.team}; path {self.path}; commit {self.commit}"
        moments = {"held": self.held, "withdrawn": self.withdrawn}
        last_day = "" if self.expires is None else f"; expires {self.expires}"
        since = "".join(f"; {what} {format_time(moment)}" for what, moment in moments.items() if moment is not None)
        return f"managed by mergekey; {where}; sha256:{self.digest}{last_day}{since}"

    def owns(self, other: Marker | None) -> bool:
        """Whether an object that carries `other` is ours for the same team."""
        return other is not None and (other.repository, other.team) == (self.repository, self.team)

    def stands_as(self, other: Marker) -> bool:
        """In force, not held, and for the same file and until the same day as the other says."""
        return self.withdrawn is None and self.held is None and (self.path, self.expires) == (other.path, other.expires)

    def is_over(self, today: date) -> bool:
        """Whether the access is withdrawn, or its last day is."""
        return self.withdrawn is not None or self.has_lapsed(today)

    def has_lapsed(self, today: date) -> bool:
        """Whether the last day of what was granted is over."""
        return self.expires is not None and self.expires < today

    def unfinished(self) -> Marker:
        """The same marker before the digest may be written."""
        return replace(self, digest="")


def parse_marker(description: str | None) -> Marker | None:
    """The marker at the end of a description, or None when there is none: what we have not written is nobody's."""
    found = _FORM.search(description or "")
    if found is None:
        return None
    if any(found[what] and read_time(found[what]) is None for what in ("held", "withdrawn")):
        return None
    try:
        expires = date.fromisoformat(found["expires"]) if found["expires"] else None
    except ValueError:
        return None
    return Marker(
        repository=int(found["repository"]),
        team=found["team"],
        path=found["path"],
        commit=found["commit"],
        digest=found["digest"],
        withdrawn=read_time(found["withdrawn"]),
        expires=expires,
        held=read_time(found["held"]),
    )


def format_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    """What `format_time` wrote. Raises ValueError for anything else."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def read_time(text: str | None) -> datetime | None:
    """The same from where anybody may write; None for what is no time of ours."""
    try:
        return parse_time(text or "")
    except ValueError:
        return None
