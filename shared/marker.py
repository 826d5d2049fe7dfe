"""The marker that Mergekey puts on every object it makes: it names the owner.

    managed by mergekey; repo 1234; team alpha; path tenant-access/config/alpha/access.yaml; commit 0123...;
    sha256:9f...

On gateway objects it ends the description, on Kubernetes objects and secrets its fields are annotations and
tags. An object is ours when repository and team are. The digest vouches for what was written before it; the
commit is for people.

Every user with write access to Azure may edit a marker. So its fields are read one by one: one that cannot be
read is unknown, and the object is ours all the same, or a request that was deleted would leave its key alive.
A field that this version does not know was written by a newer one, and its object is left to that version.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, Final

from shared import names

_BEGINNING: Final = "managed by mergekey; repo "
_REPOSITORY: Final = re.compile(r"[0-9]{1,19}")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_DIGEST: Final = re.compile(r"[0-9a-f]*")
_MAX_PATH_LENGTH: Final = 1024
#: An Entra group's object id, as requests are read.
_GROUP: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


#: The number of the rules by which access ends (`shared.branch.states`). A release that changes which access
#: ends, or is held, raises it: the first sweep after an upgrade only tells whose access would end, so that a
#: mistake in the rules is seen before a team loses its key.
RULES = 2

#: Git's word for no commit. A product's marker has it when a reservation was given back and the former commit
#: is not known any more: then the grants of its policy are in force.
NOWHERE = "0" * 40


@dataclass(frozen=True, slots=True)
class Marker:
    """The marker's fields. `digest` is empty while what it shall vouch for is still being written.

    Only a product's says more: the last day of the access that was granted, since when the guard holds its
    withdrawal, and since when it is withdrawn. Granted access ends on its last day, and a held withdrawal
    stays held, whatever the branch says afterwards.
    """

    repository: int
    team: str
    path: str
    commit: str
    digest: str = ""
    withdrawn: datetime | None = None
    expires: date | None = None
    held: datetime | None = None
    #: The fields that are there, or should be, and cannot be read, as markers spell them; each has its
    #: default then.
    unreadable: frozenset[str] = frozenset()
    #: Whether a newer version wrote it: it has a field that this one does not know.
    newer: bool = False

    def __str__(self) -> str:
        where = f"repo {self.repository}; team {self.team}; path {self.path}; commit {self.commit}"
        moments = {"held": self.held, "withdrawn": self.withdrawn}
        last_day = "" if self.expires is None else f"; expires {self.expires}"
        since = "".join(
            f"; {what} {format_time(moment)}" for what, moment in moments.items() if moment is not None
        )
        return f"managed by mergekey; {where}; sha256:{self.digest}{last_day}{since}"

    def owns(self, other: Marker | None) -> bool:
        """Whether an object that carries `other` is ours for the same team."""
        return other is not None and (other.repository, other.team) == (self.repository, self.team)

    def may_change(self, other: Marker | None) -> bool:
        """Whether it is ours for the same team, and no newer version looks after it."""
        return other is not None and self.owns(other) and not other.newer

    def stands_as(self, other: Marker) -> bool:
        """In force, not held, and for the same file and until the same day as the other says."""
        stands = self.withdrawn is None and self.held is None and not self.unreadable
        return stands and (self.path, self.expires) == (other.path, other.expires)

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
    """The marker at the end of a description; None when there is none, so that the object belongs to another
    owner.
    """
    _, found, text = (description or "").rpartition(_BEGINNING)
    repository, *parts = text.split("; ")
    if not found or not parts or not parts[0].startswith("team "):
        return None
    return marker_from(repository, parts[0].removeprefix("team "), map(_named, parts[1:]))


def marker_from(repository: str, team: str, fields: Iterable[tuple[str, str]]) -> Marker | None:
    """The marker that these texts make, each field by its name; None when they name no repository or no
    team.
    """
    if not _REPOSITORY.fullmatch(repository) or not is_team(team):
        return None
    known: dict[str, Any] = {}
    unreadable, newer = {"path", "commit", "digest"}, False
    for name, text in fields:
        read = _FIELDS.get(name)
        value = None if read is None or name in known else read(text)
        unreadable = unreadable | {name} if value is None else unreadable - {name}
        newer = newer or read is None
        known[name] = value
    values = {name: value for name, value in known.items() if name not in unreadable}
    return Marker(
        repository=int(repository),
        team=team,
        path=values.get("path", ""),
        commit=values.get("commit", ""),
        digest=values.get("digest", ""),
        withdrawn=values.get("withdrawn"),
        expires=values.get("expires"),
        held=values.get("held"),
        unreadable=frozenset(unreadable & _FIELDS.keys()),
        newer=newer,
    )


def is_team(name: str) -> bool:
    """Whether an object of ours can be marked with this name: a team's, or the catalogue's."""
    return name == names.CATALOG_TEAM or names.team_problem(name) is None


def owner_of(tags: Mapping[str, str]) -> tuple[int, str] | None:
    """The repository and the team that a secret's tags name; None when they are not ours."""
    repository, team = tags.get("repository") or "", tags.get("team") or ""
    return (int(repository), team) if _REPOSITORY.fullmatch(repository) and is_team(team) else None


def reader_of(tags: Mapping[str, str]) -> str:
    """The group that a secret's tags name as its reader; empty for none, and for a text that is not a group's
    id, because no role was ever given to that.
    """
    reader = (tags.get("reader") or "").lower()
    return reader if _GROUP.fullmatch(reader) else ""


def _named(part: str) -> tuple[str, str]:
    """The name and the text of one field, as descriptions spell it."""
    name, _, text = part.partition(":") if part.startswith("sha256:") else part.partition(" ")
    return ("digest" if name == "sha256" else name), text


def _path(text: str) -> str | None:
    return text if 0 < len(text) <= _MAX_PATH_LENGTH and text.isprintable() else None


def _commit(text: str) -> str | None:
    return text if _COMMIT.fullmatch(text) else None


def _digest(text: str) -> str | None:
    return text if _DIGEST.fullmatch(text) else None


def _day(text: str) -> date | None:
    """As `str` writes it: `fromisoformat` takes weeks and other spellings, too."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if str(day) == text else None


#: Years outside of these are not accepted: no clock of ours wrote them.
_EARLIEST, _LATEST = 2000, 9000


def format_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(maxsize=4096)
def parse_time(text: str) -> datetime:
    """Parse a time that `format_time` wrote. Raises ValueError for any other text."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def read_time(text: str | None) -> datetime | None:
    """Like `parse_time`, but returns None for invalid input, and for a year so far away that days cannot be
    added to it.
    """
    try:
        moment = parse_time(text or "")
    except ValueError:
        return None
    return moment if _EARLIEST <= moment.year <= _LATEST and format_time(moment) == text else None


_FIELDS: Final[Mapping[str, Callable[[str], Any]]] = {
    "path": _path,
    "commit": _commit,
    "digest": _digest,
    "expires": _day,
    "held": read_time,
    "withdrawn": read_time,
}
