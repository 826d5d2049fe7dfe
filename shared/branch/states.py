"""The table of states: what follows from a team's files, its product's marker, the date and the guard.

The rows are the states of the team's files on the branch (`Files`), the columns the states of its access
(`Mark`). Pushes, sweeps, stages and the HTTP API look their cell up here; none of them decides by itself.

Files. The paths of a team are those in its folder. A file *is a request of the team* if it has a known form
and names the team, even if it has problems; the file at the marker's path always is, because the access in
force was made from it.

- `valid`: the request is granted. `expired`: it is valid, and its last day, the one in force, has passed.
- `new_end`: it is valid, and its last day, not the one in force, has passed since the file came to the
  branch. (A day that was past already when it came is taken for a mistake: the problem is `AlreadyOver`, and
  the file is `invalid`.)
- `shortened`: it is valid, and brings the last day forward to within a week.
- `invalid`: the file is a request of the team and has problems, by itself or together with other requests.
- `unreadable`: the marker's path is a link, a submodule, a pointer to a large file or too large, or is below
  a link or submodule.
- `no_request`: there are files at the team's paths, none at the marker's path, and none is a request of the
  team.
- `gone`: there is no file. `no_catalogue`: there is a file, and no valid catalogue to evaluate it with.
  `no_tree`: the branch is missing or empty.

Of several requests of a team, the one at the marker's path counts; if there is none, all of them are
`invalid`. A request that was moved counts at its new path.

Marks. `none`: the team has nothing in use. `lost`: its product was deleted by somebody else, and other
objects of it are in use. `unfinished`: its product was never finished. `in_force`: its access is as granted.
`expired`: the last day of the granted access has passed. `held`: the guard holds its withdrawal;
`held_expired`: both. `withdrawn`: its access ended, and its grace period runs or is over. `unmanaged`: the
product with the team's name is not managed by this repository. `unreadable`: the product is ours, and a field
of its marker cannot be read or was added by a newer version of Mergekey.

Actions. `grant`: provision what the request says. `keep`: write nothing; the access in force stays and
counts. `end`: suspend, disable and mark as withdrawn; delete after the grace period. `end?`: as `end` if the
guard allows it; otherwise mark as held and keep. `grant?`: as `grant` if the guard allows a last day that was
brought forward; otherwise keep. `rest`: the access stays withdrawn; remaining objects are deleted when the
grace period has ended, or when the product does not exist any more. `freeze`: as `end`, but nothing is
deleted, because the branch cannot be read. `none`: nothing.

The stage that would write an unmanaged product refuses it (`NotManaged`); the team's other objects are
withdrawn without it. An unreadable marker counts as far as it can be read: the guard counts its team, and the
next write replaces every field. A marker of a newer version is never written: see
`shared.resources.plan.refusal`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, get_args

from shared.catalog.catalog import Catalog
from shared.marker import Marker
from shared.requests.request import AccessRequest
from shared.resources.actual import Product

Files = Literal[
    "valid",
    "expired",
    "new_end",
    "shortened",
    "invalid",
    "unreadable",
    "no_request",
    "gone",
    "no_catalogue",
    "no_tree",
]
Mark = Literal[
    "none",
    "lost",
    "unfinished",
    "in_force",
    "expired",
    "held",
    "held_expired",
    "withdrawn",
    "unmanaged",
    "unreadable",
]
Action = Literal["grant", "grant?", "keep", "end", "end?", "rest", "freeze", "none"]
#: The access of a team: as it asks for (`granted`); as it was granted last (`kept`, or `held` by the guard);
#: withdrawn (`ended`, `frozen`); none at all (`none`); or an unmanaged product has its name (`not_ours`).
Access = Literal["granted", "kept", "held", "ended", "frozen", "none", "not_ours"]

MARKS: tuple[Mark, ...] = get_args(Mark)

# fmt: off
_TABLE: Mapping[Files, tuple[Action, ...]] = {
    #                        lost            in_force          held              withdrawn        unreadable
    #                none            unfinished       expired           held_expired      unmanaged
    "valid":        ("grant","grant","grant","grant", "grant", "grant", "grant", "grant", "grant","grant"),
    "expired":      ("rest", "end",  "end",  "end",   "end",   "end",   "end",   "rest",  "end",  "end"),
    "new_end":      ("rest", "end?", "end?", "end?",  "end",   "end?",  "end",   "rest",  "end?", "end?"),
    "shortened":    ("grant","grant","grant","grant?","grant", "grant?","grant", "grant", "grant","grant?"),
    "invalid":      ("rest", "keep", "keep", "keep",  "end",   "keep",  "end",   "rest",  "keep", "keep"),
    "unreadable":   ("rest", "keep", "keep", "keep",  "end",   "keep",  "end",   "rest",  "keep", "keep"),
    "no_request":   ("rest", "end?", "end?", "end?",  "end",   "end?",  "end",   "rest",  "end?", "end?"),
    "gone":         ("rest", "end?", "end?", "end?",  "end",   "end?",  "end",   "rest",  "end?", "end?"),
    "no_catalogue": ("none", "keep", "keep", "keep",  "freeze","keep",  "freeze","freeze","keep", "keep"),
    "no_tree":      ("none", "keep", "keep", "keep",  "freeze","keep",  "freeze","freeze","keep", "keep"),
}
# fmt: on

#: The guard decides about a last day that is brought forward to within so many days: once the day has
#: passed, access ends without the guard.
SOON = timedelta(days=7)


def action(files: Files, mark: Mark) -> Action:
    """The cell of the table."""
    return _TABLE[files][MARKS.index(mark)]


def is_over(day: date | None, today: date) -> bool:
    """Whether a last day has passed. Access ends when the day is over in UTC."""
    return day is not None and day < today


def is_shortened(day: date | None, before: date | None, today: date) -> bool:
    """Whether a last day that has not passed ends access within a week, and earlier than `before`, the last
    day in force (None: there is none).
    """
    soon = day is not None and today <= day < today + SOON
    return soon and day is not None and (before is None or day < before)


@dataclass(frozen=True, slots=True)
class TeamFile:
    """A file at one of a team's paths. `readable`: it is a regular file that can be read; `is_request`: it
    has a known form and names the team; `request` is set if it has no problems.
    """

    path: str
    readable: bool = True
    is_request: bool = False
    request: AccessRequest | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The row of a team, and the path of the file that it comes from: empty if there is none."""

    files: Files
    path: str = ""
    request: AccessRequest | None = None


def files_of(
    files: Sequence[TeamFile],
    marker: Marker | None,
    today: date,
    *,
    hidden: bool = False,
    catalogue: bool = True,
) -> Found:
    """The row of a team. `marker` is that of its product, if it is ours; `hidden` tells whether a link or
    submodule covers the place of its file, `catalogue` whether there is a valid one.
    """
    marked_path = marker.path if marker else ""
    if not files:
        return Found("unreadable" if hidden else "gone", marked_path)
    file = _file(files, marker)
    if not catalogue:
        return Found("no_catalogue", file.path if file else files[0].path)
    if file is not None:
        return _row_of(file, marker, today)
    if hidden:
        return Found("unreadable", marked_path)
    return Found("invalid" if any(file.is_request for file in files) else "no_request", files[0].path)


def _row_of(file: TeamFile, marker: Marker | None, today: date) -> Found:
    """The row of the file that counts."""
    if not file.readable:
        return Found("unreadable", file.path)
    if file.request is None:
        return Found("invalid", file.path)
    return Found(_by_day(file.request.expires, marker, today), file.path, file.request)


def _file(files: Sequence[TeamFile], marker: Marker | None) -> TeamFile | None:
    """The file that counts: the one at the marker's path, otherwise the only request of the team."""
    at_marker = next((file for file in files if marker is not None and file.path == marker.path), None)
    if at_marker is not None:
        return at_marker
    requests = [file for file in files if file.is_request]
    return requests[0] if len(requests) == 1 else None


def _by_day(day: date | None, marker: Marker | None, today: date) -> Files:
    """The row of a valid request. Without a marker, a last day that has passed is taken for the one that was
    granted.
    """
    if is_over(day, today):
        known = marker is not None and "expires" not in marker.unreadable
        return "new_end" if known and marker is not None and marker.expires != day else "expired"
    known_end = marker.expires if marker is not None else None
    return "shortened" if marker is not None and is_shortened(day, known_end, today) else "valid"


def mark_of(product: Product | None, ours: Marker, today: date, *, in_use: bool) -> Mark:
    """The column of a team. `ours` names repository and team; `in_use` tells whether other objects of the
    team are in use.
    """
    if product is None:
        return "lost" if in_use else "none"
    if product.marker is None or not ours.owns(product.marker):
        return "unmanaged"
    return _mark_of_own(product.marker, today, finished=product.is_finished)


def _mark_of_own(marker: Marker, today: date, *, finished: bool) -> Mark:
    """The column of a team whose own product carries this marker."""
    if marker.withdrawn is not None:
        return "withdrawn"
    if marker.has_lapsed(today):
        return "held_expired" if marker.held else "expired"
    if marker.held is not None:
        return "held"
    if marker.unreadable or marker.newer:
        return "unreadable"
    return "in_force" if finished else "unfinished"


@dataclass(frozen=True, slots=True)
class StandingRequest:
    """A request as it is in force, and the catalogue with which it was granted."""

    request: AccessRequest
    catalog: Catalog


@dataclass(frozen=True, slots=True)
class TeamState:
    """The cell of a team. `marker` is that of its product, if it is ours; `path` and `request` as in `Found`;
    `in_use` tells whether other objects of the team are in use.
    """

    team: str
    files: Files
    mark: Mark
    path: str = ""
    request: AccessRequest | None = None
    marker: Marker | None = None
    in_use: bool = False

    @property
    def action(self) -> Action:
        return action(self.files, self.mark)

    @property
    def is_guarded(self) -> bool:
        """Whether the guard decides."""
        return self.action.endswith("?")

    def access(self, *, held: bool) -> Access:
        """The access of the team; `held` tells whether the guard holds it."""
        if self.mark == "unmanaged" and self.action in ("grant", "keep"):
            return "not_ours"
        if held and self.is_guarded:
            return "held" if self.action == "end?" else "kept"
        if self.mark == "none" and self.action in ("rest", "none"):
            return "none"
        return _ACCESS[self.action]


_ACCESS: Mapping[Action, Access] = {
    "grant": "granted",
    "grant?": "granted",
    "keep": "kept",
    "end": "ended",
    "end?": "ended",
    "rest": "ended",
    "freeze": "frozen",
    "none": "none",
}
