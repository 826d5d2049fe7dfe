"""What the branch says of each team, and whom the guard holds, by the rules as they are told to people: the
judge's own words for them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from shared import names
from shared.branch.review import Baseline, File, Review, review
from shared.marker import Marker
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.requests.request import AccessRequest
from tests.fakes.app import PATHS, REPOSITORY
from tests.fakes.cluster import WORKSPACE
from tests.fakes.repository import SYMBOLIC_LINK, TOLD, Files
from tests.simulation.account import Accounts
from tests.simulation.people import TEAMS
from tests.simulation.scene import Scene

#: `missing`: nothing that could be a request; `new end`: its day came to the branch and passed there; `soon`:
#: its day comes forward to within a week; `doubt`: nobody can say what it asks for, or it is wrong.
Row = Literal["valid", "soon", "new end", "over", "missing", "doubt"]
_TRAILER = re.compile(r"^allow-withdrawals:(.*)$", re.IGNORECASE | re.MULTILINE)
_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Said:
    """What the branch says of one team: the row, and the file that it is about."""

    row: Row
    path: str = ""


class Rules:
    """Looks at a place of the branch's history beside what there is now."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._accounts = Accounts(scene)
        #: What was said of places while the world was as it is, and that world.
        self._remembered: dict[int, Mapping[str, Said]] = {}
        self._world: object = None

    def today(self) -> date:
        return self._scene.true.now().date()

    def markers(self) -> dict[str, Marker]:
        """Of the products that are ours, by team."""
        products = self._scene.app.gateway.state.products.items()
        ours = [
            (name, product.marker)
            for name, product in products
            if product.marker and product.marker.repository == REPOSITORY
        ]
        return {marker.team: marker for name, marker in ours if name == names.product(marker.team)}

    def has_lapsed(self, marker: Marker | None) -> bool:
        """Whether the last day of what was granted is over."""
        return marker is not None and marker.expires is not None and marker.expires < self.today()

    # --------------------------------------------------------------------------------------------- the branch

    def reviewed(self, files: Files) -> Review:
        """The review of these files, beside what is there now."""
        named = {path: File(content, mode) for path, (content, mode) in files.items()}
        past = self._accounts.past(files)
        found = review(named, PATHS, DEFAULT_CATALOG_PATH, past)
        return (
            Review({}, found.problems, None, teams_by_path=found.teams_by_path)
            if _is_missed(named, past)
            else found
        )

    def all_said(self, place: int) -> Mapping[str, Said]:
        """Of every team that has a file at this place, a link where its folder would be, or a product of
        ours. Looked at anew when the world has changed: most looks follow another one.
        """
        world = self._all_that_counts()
        if world != self._world:
            self._remembered.clear()
            self._world = world
        if place not in self._remembered:
            self._remembered[place] = self._said_at(place)
        return self._remembered[place]

    def _all_that_counts(self) -> object:
        """Everything that a verdict on a place of the history depends on."""
        app, repository = self._scene.app, self._scene.repository
        state, objects = app.gateway.state, app.cluster.state.objects if app.cluster else ()
        policies = [(name, policy.text) for name, policy in state.policies.items()]
        workspaces = [key for key in objects if key[1] == WORKSPACE]
        commits = len(repository.history), len(repository._parents), len(repository._commits)
        return self.today(), list(state.products.items()), policies, workspaces, commits

    def _said_at(self, place: int) -> dict[str, Said]:
        commit = self._scene.repository.history[place][1]
        files, markers = self._scene.repository.files_of(commit), self.markers()
        teams = {team for path in files if (team := PATHS.team_of(path))} | markers.keys()
        teams |= {team for team in TEAMS if _is_folder_a_link(files, team)}
        if not files or commit is None:
            return dict.fromkeys(teams, Said("doubt"))
        reviewed = self.reviewed(files)
        return {team: self._said(team, files, reviewed, commit, markers.get(team)) for team in teams}

    def _said(self, team: str, files: Files, reviewed: Review, commit: str, marker: Marker | None) -> Said:
        homes = [path for path in files if PATHS.team_of(path) == team]
        at = marker.path if marker is not None else ""
        requests = [path for path in homes if reviewed.teams_by_path.get(path) == team]
        counts = at if at in homes else requests[0] if len(requests) == 1 else ""
        if homes and reviewed.catalog is None:
            return Said("doubt")
        if not counts:
            hidden = is_hidden(files, at) if marker is not None else _is_folder_a_link(files, team)
            return Said("doubt" if hidden or requests else "missing")
        request = reviewed.requests.get(counts)
        return (
            Said("doubt") if request is None else Said(self._by_day(request, counts, commit, marker), counts)
        )

    def _by_day(self, request: AccessRequest, path: str, commit: str, marker: Marker | None) -> Row:
        day, today = request.expires, self.today()
        known = marker is not None and "expires" not in marker.unreadable
        if day is None or day >= today:
            earlier = marker is not None and (
                marker.expires is None or (day is not None and day < marker.expires)
            )
            return "soon" if day is not None and day < today + _WEEK and earlier else "valid"
        if not known or marker is None or marker.expires == day:
            return "over"
        return "doubt" if self._was_past(day, path, commit) else "new end"

    def _was_past(self, day: date, path: str, commit: str) -> bool:
        """Whether it was over already when the file came to the branch."""
        repository = self._scene.repository
        newest = repository._changed_in(path, commit)
        return newest is not None and day < repository._days[newest]

    # ---------------------------------------------------------------------------------------------- the guard

    def guarded(self, place: int, others: frozenset[str] = frozenset()) -> frozenset[str]:
        """The teams that the guard holds there. `others` have something that works, and perhaps no product of
        ours.
        """
        commit, markers = self._scene.repository.history[place][1], self.markers()
        in_force = {
            team
            for team, marker in markers.items()
            if marker.withdrawn is None and not self.has_lapsed(marker)
        }
        if commit is None or not self._scene.repository.files_of(commit):
            return frozenset(in_force)
        said, present = self.all_said(place), self._present(place)
        ends = {team for team in in_force if team in said and said[team].row in ("missing", "new end")}
        ends |= {
            team for team in in_force if team in said and said[team].row == "soon" and self._is_finished(team)
        }
        ends |= {team for team in others - markers.keys() if team not in said or said[team].row == "missing"}
        # Who comes back is not gone.
        gone = {
            team
            for team, marker in markers.items()
            if marker.withdrawn is not None and not self.has_lapsed(marker)
        }
        # Without a catalogue nobody knows whether a file brings its team back: then its place alone counts.
        unjudged = self._unjudged(place)
        counted = ends | {
            team for team in gone - unjudged if team not in said or said[team].row not in ("valid", "soon")
        }
        many = len(counted) > 1 or (bool(counted) and not present - counted)
        marked = {
            team for team in ends & markers.keys() if markers[team].held or "held" in markers[team].unreadable
        }
        held = ends if many else {team for team in marked if said[team].row != "soon"}
        return frozenset(team for team in held if not self.is_allowed(team, markers.get(team), commit))

    def _is_finished(self, team: str) -> bool:
        product = self._scene.app.gateway.state.products[names.product(team)]
        marker = product.marker
        return product.is_finished or (
            marker is not None and (marker.held is not None or bool(marker.unreadable) or marker.newer)
        )

    def _unjudged(self, place: int) -> set[str]:
        """The teams with a file that no catalogue judges."""
        files = self._scene.repository.files_of(self._scene.repository.history[place][1])
        return self._present(place) if self.reviewed(files).catalog is None else set()

    def _present(self, place: int) -> set[str]:
        files = self._scene.repository.files_of(self._scene.repository.history[place][1])
        return {team for path in files if (team := PATHS.team_of(path))}

    def is_allowed(self, team: str, marker: Marker | None, head: str) -> bool:
        """Whether a commit before the head names the team, and comes after the one that its access is from,
        where anybody knows that.
        """
        repository = self._scene.repository
        before = repository._history(head)
        newest = [sha for sha in reversed(repository._parents) if sha in before][:TOLD]
        naming = [sha for sha in newest if team in _named_in(repository._messages[sha])]
        if marker is None or marker.commit not in before:
            return bool(naming)
        return any(marker.commit in repository._history(sha) for sha in naming)


def is_hidden(files: Files, path: str) -> bool:
    """Whether a link stands above the path."""
    return any(mode == SYMBOLIC_LINK and path.startswith(f"{link}/") for link, (_, mode) in files.items())


def _is_folder_a_link(files: Files, team: str) -> bool:
    """Whether a link stands in the place of a folder of the team. A file there hides nothing: then the folder
    is gone.
    """
    return any(files.get(folder, (b"", ""))[1] == SYMBOLIC_LINK for folder in PATHS.folders_of(team))


def _named_in(message: str) -> set[str]:
    return {name for line in _TRAILER.findall(message) for name in re.split(r"[,\s]+", line) if name}


def _is_missed(files: Mapping[str, File], past: Baseline) -> bool:
    """Whether the catalogue has lost a model that a team has and still names: such a catalogue counts for
    nothing.
    """
    offered = _models(files[DEFAULT_CATALOG_PATH].content) if DEFAULT_CATALOG_PATH in files else set()
    named = ((PATHS.team_of(path) or "", _models(file.content)) for path, file in files.items())
    return any((past.in_force.get(team, {}).keys() & models) - offered for team, models in named)


def _models(content: bytes) -> set[str]:
    """The models that a request or the catalogue names."""
    return set(re.findall(r"- \{?name: ([a-z0-9.-]+)", content.decode(errors="replace")))
