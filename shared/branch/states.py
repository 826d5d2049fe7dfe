"""What a team's files, its product's marker, the day and the guard say together, and what follows from it:
one table.

Rows are what the branch has of the team (`Files`), columns what stands of its access (`Mark`). Pushes,
sweeps, stages and the HTTP API look their cell up here; none of them decides by itself.

Files. A team's paths are those whose folder is the team's. A file *reads as a request of the team* when it
has a known form and names the team, whatever else is wrong with it; the file at the marker's path always
does, because what is in force was made from it.

- `valid`: one that is granted. `over`: valid, and its last day, which is the one in force, has passed.
- `new_end`: valid, and its last day, which is not the one in force, has passed since the file came to the
  branch. (A day that was past already when it came is a slip of the pen: the problem `AlreadyOver`, so the
  file is `invalid`.)
- `shortened`: valid, and brings the last day forward to within a week.
- `invalid`: it reads as a request of the team, and something is wrong with it, or with all requests together.
- `unreadable`: the marker's path is a link, a submodule, a pointer to a large file or too large, or lies
  under a link or submodule.
- `junk`: there are files at the team's paths, none of them at the marker's, and none reads as a request of
  the team.
- `gone`: there is none. `no_catalogue`: there is one, and no valid catalogue to judge it by. `no_tree`: the
  branch is missing or empty.

Of several files that read as requests the one at the marker's path counts; else they are `invalid` together.
One that moved counts where it is now.

Marks. `none`: nothing of the team works. `robbed`: somebody took its product away, other things of it work.
`begun`: its product was never finished. `in_force`. `lapsed`: the last day of what was granted has passed.
`held`: the guard keeps its withdrawal; `held_lapsed` both. `withdrawn`: in its grace period or after it.
`strange`: the product with the team's name is somebody else's. `garbled`: ours, but a field of its marker
cannot be read, or a newer version of Mergekey wrote one more.

What follows. `grant`: bring everything to what the request says. `keep`: write nothing; what is in force
stays and counts. `end`: suspend, disable, mark as withdrawn; delete after the grace period. `end?`: the same,
when the guard lets it; else it is marked as held and kept. `grant?`: the same for a last day that was brought
forward; else what is in force is kept. `rest`: it stays withdrawn; what is left is deleted when its grace
period has ended, or when its product is gone already. `freeze`: as `end`, and nothing is deleted, because
nobody can say what the branch asks for. `none`: nothing.

A stranger's product is refused by the stage that would write it (`NotManaged`); what of a team is ours is
ended without it. A garbled marker says what can be read of it: the guard counts its team, and the next write
of the marker has every field anew. One that a newer version wrote is never written: see
`shared.marker.require_known`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, get_args

from shared.marker import Marker
from shared.requests.request import AccessRequest
from shared.resources.actual import Product

Files = Literal[
    "valid",
    "over",
    "new_end",
    "shortened",
    "invalid",
    "unreadable",
    "junk",
    "gone",
    "no_catalogue",
    "no_tree",
]
Mark = Literal[
    "none", "robbed", "begun", "in_force", "lapsed", "held", "held_lapsed", "withdrawn", "strange", "garbled"
]
Action = Literal["grant", "grant?", "keep", "end", "end?", "rest", "freeze", "none"]
#: What a team has: what it asks for; what it was granted last (`kept`, or `held` by the guard); nothing any
#: more (`ended`, `frozen`); nothing at all (`none`); or a stranger's product stands in the place of its own.
Access = Literal["granted", "kept", "held", "ended", "frozen", "none", "not_ours"]

MARKS: tuple[Mark, ...] = get_args(Mark)

# fmt: off
_TABLE: Mapping[Files, tuple[Action, ...]] = {
    #                        robbed          in_force          held              withdrawn        garbled
    #                none            begun            lapsed            held_lapsed       strange
    "valid":        ("grant","grant","grant","grant", "grant", "grant", "grant", "grant", "grant","grant"),
    "over":         ("rest", "end",  "end",  "end",   "end",   "end",   "end",   "rest",  "end",  "end"),
    "new_end":      ("rest", "end?", "end?", "end?",  "end",   "end?",  "end",   "rest",  "end?", "end?"),
    "shortened":    ("grant","grant","grant","grant?","grant", "grant?","grant", "grant", "grant","grant?"),
    "invalid":      ("rest", "keep", "keep", "keep",  "end",   "keep",  "end",   "rest",  "keep", "keep"),
    "unreadable":   ("rest", "keep", "keep", "keep",  "end",   "keep",  "end",   "rest",  "keep", "keep"),
    "junk":         ("rest", "end?", "end?", "end?",  "end",   "end?",  "end",   "rest",  "end?", "end?"),
    "gone":         ("rest", "end?", "end?", "end?",  "end",   "end?",  "end",   "rest",  "end?", "end?"),
    "no_catalogue": ("none", "keep", "keep", "keep",  "freeze","keep",  "freeze","freeze","keep", "keep"),
    "no_tree":      ("none", "keep", "keep", "keep",  "freeze","keep",  "freeze","freeze","keep", "keep"),
}
# fmt: on

#: A last day that is brought forward to within so many days counts for the guard: afterwards nobody would ask
#: it any more.
SOON = timedelta(days=7)


def action(files: Files, mark: Mark) -> Action:
    """The cell of the table."""
    return _TABLE[files][MARKS.index(mark)]


def is_over(day: date | None, today: date) -> bool:
    """Whether a last day has passed: it counts as a whole, in UTC."""
    return day is not None and day < today


def is_shortened(day: date | None, before: date | None, today: date) -> bool:
    """Whether a last day that has not passed ends access within a week, and earlier than the one that is in
    force (None: it has none).
    """
    soon = day is not None and today <= day < today + SOON
    return soon and day is not None and (before is None or day < before)


@dataclass(frozen=True, slots=True)
class Home:
    """A file at one of a team's paths. `readable`: a regular file that can be read; `is_request`: it has a
    known form and names the team; `request`: what it asks for, where nothing is wrong with it.
    """

    path: str
    readable: bool = True
    is_request: bool = False
    request: AccessRequest | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What the branch has of a team, and the file that it is about: empty where there is none."""

    files: Files
    path: str = ""
    request: AccessRequest | None = None


def files_of(
    homes: Sequence[Home], marker: Marker | None, today: date, *, hidden: bool = False, catalogue: bool = True
) -> Found:
    """The row of a team. `marker` is its product's, where it is ours; `hidden` whether a link or submodule
    covers where its file was; `catalogue` whether there is a valid one.
    """
    marked_path = marker.path if marker else ""
    if not homes:
        return Found("unreadable" if hidden else "gone", marked_path)
    file = _file(homes, marker)
    if not catalogue:
        return Found("no_catalogue", file.path if file else homes[0].path)
    if file is not None:
        return _row_of(file, marker, today)
    if hidden:
        return Found("unreadable", marked_path)
    return Found("invalid" if any(home.is_request for home in homes) else "junk", homes[0].path)


def _row_of(file: Home, marker: Marker | None, today: date) -> Found:
    """The row of the file that counts."""
    if not file.readable:
        return Found("unreadable", file.path)
    if file.request is None:
        return Found("invalid", file.path)
    return Found(_by_day(file.request.expires, marker, today), file.path, file.request)


def _file(homes: Sequence[Home], marker: Marker | None) -> Home | None:
    """The file that counts: the one at the marker's path, else the only one that reads as a request of the
    team.
    """
    at_marker = next((home for home in homes if marker is not None and home.path == marker.path), None)
    if at_marker is not None:
        return at_marker
    requests = [home for home in homes if home.is_request]
    return requests[0] if len(requests) == 1 else None


def _by_day(day: date | None, marker: Marker | None, today: date) -> Files:
    """Where no marker says what was in force, a day that has passed is the natural end."""
    if is_over(day, today):
        known = marker is not None and "expires" not in marker.unreadable
        return "new_end" if known and marker is not None and marker.expires != day else "over"
    known_end = marker.expires if marker is not None else None
    return "shortened" if marker is not None and is_shortened(day, known_end, today) else "valid"


def mark_of(product: Product | None, ours: Marker, today: date, *, in_use: bool) -> Mark:
    """The column of a team. `ours` names repository and team; `in_use`: whether anything else of the team
    works.
    """
    if product is None:
        return "robbed" if in_use else "none"
    if product.marker is None or not ours.owns(product.marker):
        return "strange"
    return _mark_of_own(product.marker, today, finished=product.is_finished)


def _mark_of_own(marker: Marker, today: date, *, finished: bool) -> Mark:
    """The column of a team whose own product carries this marker."""
    if marker.withdrawn is not None:
        return "withdrawn"
    if marker.has_lapsed(today):
        return "held_lapsed" if marker.held else "lapsed"
    if marker.held is not None:
        return "held"
    if marker.unreadable or marker.newer:
        return "garbled"
    return "in_force" if finished else "begun"


@dataclass(frozen=True, slots=True)
class TeamState:
    """The cell that a team is in. `marker` is that of its product, where it is ours; `path` and `request` as
    in `Found`. `in_use`: whether anything else of the team works.
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
        """What the team has; `held`: whether the guard keeps it."""
        if self.mark == "strange" and self.action in ("grant", "keep"):
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
