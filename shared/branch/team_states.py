"""The cell of the table of states for each team, from the branch's files and from lists of what exists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date

from shared import names
from shared.branch.review import File, Review
from shared.branch.states import Found, Home, TeamState, files_of, is_over, mark_of
from shared.branch.tree_diff import requests_of
from shared.branch.withdrawal_guard import MissingTeam, Why
from shared.documents.problem import Problem, listed, problem_at
from shared.documents.strict_yaml import MAX_FILE_BYTES, is_pointer
from shared.git import NOT_REGULAR, Tree, is_hidden
from shared.marker import Marker
from shared.requests.paths import RequestPaths
from shared.requests.request import AccessRequest
from shared.resources.actual import Product


@dataclass(frozen=True, slots=True)
class BranchFiles:
    """What the branch has: its tree, the contents that were read, and the review of them."""

    tree: Tree
    files: Mapping[str, File]
    reviewed: Review
    paths: RequestPaths


@dataclass(frozen=True, slots=True)
class Existing:
    """What exists of teams: their products by name, and the teams of which anything else works."""

    repository: int
    products: Mapping[str, Product]
    in_use: frozenset[str]


def paths_by_team(tree: Tree, paths: RequestPaths) -> dict[str, tuple[str, ...]]:
    """Every team that has a file where its request may stand, with the paths of its files."""
    found: dict[str, tuple[str, ...]] = {}
    for path in requests_of(tree, paths):
        team = paths.team_of(path)
        if team is not None and names.team_problem(team) is None:
            found[team] = (*found.get(team, ()), path)
    return found


def states(
    branch: BranchFiles, existing: Existing, teams: Iterable[str], today: date
) -> dict[str, TeamState]:
    """The state of every team that has files, and of these `teams`, which have objects of ours."""
    by_team = paths_by_team(branch.tree, branch.paths)
    every = sorted(by_team.keys() | set(teams))
    return {team: state(branch, existing, team, by_team.get(team, ()), today) for team in every}


def state(branch: BranchFiles, existing: Existing, team: str, homes: Iterable[str], today: date) -> TeamState:
    """The state of one team; `homes` are the paths of its files. One that has none, and no marker that tells,
    gets the usual path.
    """
    product, ours = existing.products.get(names.product(team)), Marker(existing.repository, team, "", "")
    marker = (
        speaking(product.marker, branch.paths) if product is not None and ours.owns(product.marker) else None
    )
    in_use = team in existing.in_use
    mark = mark_of(product, ours, today, in_use=in_use)
    usual = branch.paths.patterns[0].replace("*", team)
    if not branch.tree:
        return TeamState(
            team, "no_tree", mark, (marker.path if marker else "") or usual, None, marker, in_use
        )
    found = _found(branch, team, homes, marker, today)
    return TeamState(team, found.files, mark, found.path or usual, found.request, marker, in_use)


def speaking(marker: Marker | None, paths: RequestPaths) -> Marker | None:
    """A marker as far as it speaks for its own team: where it names the place of another team's request, its
    path is unknown.
    """
    if marker is None or paths.team_of(marker.path) in (None, marker.team):
        return marker
    return replace(marker, path="", unreadable=marker.unreadable | {"path"})


def _found(branch: BranchFiles, team: str, homes: Iterable[str], marker: Marker | None, today: date) -> Found:
    files = [_home(branch, team, path) for path in homes]
    hidden = is_hidden(branch.tree, marker.path) if marker is not None else _is_folder_hidden(branch, team)
    return files_of(files, marker, today, hidden=hidden, catalogue=branch.reviewed.catalog is not None)


def _home(branch: BranchFiles, team: str, path: str) -> Home:
    file = branch.files.get(path)
    content = file.content if file is not None else b""
    readable = (
        branch.tree[path].mode not in NOT_REGULAR
        and len(content) <= MAX_FILE_BYTES
        and not is_pointer(content)
    )
    return Home(path, readable, branch.reviewed.named.get(path) == team, branch.reviewed.requests.get(path))


def _is_folder_hidden(branch: BranchFiles, team: str) -> bool:
    """Without a marker nobody knows where the team's file was: then only a link in the place of its own
    folder counts.
    """
    return any(
        folder in branch.tree and branch.tree[folder].mode in NOT_REGULAR
        for folder in branch.paths.folders_of(team)
    )


def ending(found: TeamState, today: date) -> MissingTeam | None:
    """The team as the guard counts it: when its access would end, or has ended and is in its grace period.
    None for all others: whoever comes back, too.
    """
    marker = found.marker
    if marker is not None and found.mark == "withdrawn" and found.action != "grant":
        return MissingTeam(
            found.team,
            found.path,
            marker.commit,
            True,
            over=marker.has_lapsed(today),
            marked=True,
            why=_why(found),
        )
    if not found.is_guarded or (found.mark == "strange" and not found.in_use):
        return None
    if marker is None:
        return MissingTeam(found.team, found.path, "", False, why=_why(found))
    # A day that is brought forward is asked about anew each time: while it is not written, the one that is in
    # force stays.
    held = found.files != "shortened" and (marker.held is not None or "held" in marker.unreadable)
    return MissingTeam(
        found.team, found.path or marker.path, marker.commit, False, held, marked=True, why=_why(found)
    )


def _why(found: TeamState) -> Why:
    return found.files if found.files in ("junk", "new_end", "shortened") else "gone"


def already_over(path: str, request: AccessRequest, came: date, reviewed: Review) -> Problem | None:
    """What is wrong with a last day that was past on the day on which the file came to the branch; None when
    it was not.
    """
    if not is_over(request.expires, came):
        return None
    message = (
        f"The last day {request.expires} was already past when this file came to the branch, on {came}. What "
        "was granted before stays. Write a later day; to end the access, write today's, or remove the file."
    )
    return problem_at(path, reviewed.last_days_at[path], "AlreadyOver", message)


def days_past(found: Review, before: Review | None, today: date) -> list[Problem]:
    """What a checkout says of days that have passed. Beside what is in force (`before`) a day that is new is
    refused, as it will be when it comes to the branch; alone nobody knows whether it is the natural end of
    what was granted: a warning.
    """
    over = {path: request for path, request in found.requests.items() if is_over(request.expires, today)}
    if before is None:
        message = (
            "The last day {0.expires} has passed, so this request grants nothing. Write a later day, or "
            "remove the file."
        )
        return [
            problem_at(path, found.last_days_at[path], "AlreadyOver", message.format(request), "warning")
            for path, request in over.items()
        ]
    known = {request.team: request.expires for request in before.requests.values()}
    new = ((path, request) for path, request in over.items() if known.get(request.team) != request.expires)
    return [
        problem for path, request in new if (problem := already_over(path, request, today, found)) is not None
    ]


def ends_held(held: Iterable[MissingTeam], allowance: str, reviewed: Review) -> list[Problem]:
    """One for each team whose last day is brought forward, together with too many others'."""
    shortened = [each for each in held if each.why == "shortened"]
    teams = listed(each.team for each in shortened)
    message = (
        f"Too many teams would lose their access within a week: {teams}. Nothing changes for them. If it is "
        f"meant, push a commit whose message ends with the line\n\n    {allowance}\n\nelse write later days."
    )
    return [
        problem_at(each.path, reviewed.last_days_at[each.path], "EndsHeld", message) for each in shortened
    ]
