"""Whose object is it: the marker that Mergekey leaves on everything it makes.

    managed by mergekey; repo 1234; team alpha; path tenant-access/config/alpha/access.yaml; commit 0123abc; sha256:9f..

On gateway objects it ends the description, on Kubernetes objects and secrets its fields are annotations and tags.
An object is ours when repository and team are. The digest vouches for what was written before it; the commit is for people.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime

_FORM = re.compile(
    r"managed by mergekey; repo (?P<repository>\d+); team (?P<team>[a-z0-9-]+); path (?P<path>[^;]+); commit (?P<commit>[0-9a-f]+)"
    r"; sha256:(?P<digest>[0-9a-f]*)(?:; withdrawn (?P<withdrawn>[0-9TZ:+-]+))?$"
)


@dataclass(frozen=True, slots=True)
class Marker:
    """The marker's fields. `digest` is empty while what it shall vouch for is still being written."""

    repository: int
    team: str
    path: str
    commit: str
    digest: str = ""
    withdrawn: datetime | None = None

    def __str__(self) -> str:
        where = f"repo {self.repository}; team {self.team}; path {self.path}; commit {self.commit}"
        text = f"managed by mergekey; {where}; sha256:{self.digest}"
        return text if self.withdrawn is None else f"{text}; withdrawn {format_time(self.withdrawn)}"

    def owns(self, other: Marker | None) -> bool:
        """Whether an object that carries `other` is ours for the same team."""
        return other is not None and (other.repository, other.team) == (self.repository, self.team)

    def stands_at(self, path: str) -> bool:
        """In force, and for the file at this path."""
        return self.withdrawn is None and self.path == path

    def unfinished(self) -> Marker:
        """The same marker before the digest may be written."""
        return replace(self, digest="")


def parse_marker(description: str | None) -> Marker | None:
    """The marker at the end of a description, or None when there is none: what we have not written is nobody's."""
    found = _FORM.search(description or "")
    if found is None:
        return None
    withdrawn = found["withdrawn"]
    if withdrawn and read_time(withdrawn) is None:
        return None
    return Marker(
        repository=int(found["repository"]),
        team=found["team"],
        path=found["path"],
        commit=found["commit"],
        digest=found["digest"],
        withdrawn=read_time(withdrawn),
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
