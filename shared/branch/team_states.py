"""The cell of the table of states for each team, found from the branch's files and the existing objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date

from shared import names
from shared.branch.repository_state import requests_of
from shared.branch.review import File, Review
from shared.branch.states import Found, TeamFile, TeamState, files_of, is_over, mark_of
from shared.branch.withdrawal_guard import Cause, MissingTeam
from shared.documents.problem import Problem, listed, problem_at
from shared.documents.strict_yaml import MAX_FILE_BYTES, is_pointer
from shared.git import NOT_REGULAR, Tree, is_hidden
from shared.marker import Marker
from shared.requests.paths import RequestPaths
from shared.requests.request import AccessRequest
from shared.resources.actual import Product


@dataclass(frozen=True, slots=True)
class BranchFiles:
    """The branch: its tree, the contents that were read, and their review."""

    tree: Tree
    files: Mapping[str, File]
    reviewed: Review
    paths: RequestPaths


@dataclass(frozen=True, slots=True)
class Existing:
    """The existing objects: products by name, and the teams whose other objects are in use."""

    repository: int
    products: Mapping[str, Product]
    in_use: frozenset[str]


def paths_by_team(tree: Tree, paths: RequestPaths) -> dict[str, tuple[str, ...]]:
    """Every team that has files at its paths, with these paths."""
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


def state(branch: BranchFiles, existing: Existing, team: str, paths: Iterable[str], today: date) -> TeamState:
    """The state of one team; `paths` are those of its files. A team without files and without a marker gets
    the default path.
    """
    product, ours = existing.products.get(names.product(team)), Marker(existing.repository, team, "", "")
    marker = (
        trusted_marker(product.marker, branch.paths)
        if product is not None and ours.owns(product.marker)
        else None
    )
    in_use = team in existing.in_use
    mark = mark_of(product, ours, today, in_use=in_use)
    usual = branch.paths.patterns[0].replace("*", team)
    if not branch.tree:
        return TeamState(
            team, "no_tree", mark, (marker.path if marker else "") or usual, None, marker, in_use
        )
    found = _found(branch, team, paths, marker, today)
    return TeamState(team, found.files, mark, found.path or usual, found.request, marker, in_use)


def trusted_marker(marker: Marker | None, paths: RequestPaths) -> Marker | None:
    """The marker without its path if the path belongs to another team's request: such a path counts as
    unreadable.
    """
    if marker is None or paths.team_of(marker.path) in (None, marker.team):
        return marker
    return replace(marker, path="", unreadable=marker.unreadable | {"path"})


def _found(branch: BranchFiles, team: str, paths: Iterable[str], marker: Marker | None, today: date) -> Found:
    files = [_team_file(branch, team, path) for path in paths]
    hidden = is_hidden(branch.tree, marker.path) if marker is not None else _is_folder_hidden(branch, team)
    return files_of(files, marker, today, hidden=hidden, catalogue=branch.reviewed.catalog is not None)


def _team_file(branch: BranchFiles, team: str, path: str) -> TeamFile:
    file = branch.files.get(path)
    content = file.content if file is not None else b""
    readable = (
        branch.tree[path].mode not in NOT_REGULAR
        and len(content) <= MAX_FILE_BYTES
        and not is_pointer(content)
    )
    return TeamFile(
        path, readable, branch.reviewed.teams_by_path.get(path) == team, branch.reviewed.requests.get(path)
    )


def _is_folder_hidden(branch: BranchFiles, team: str) -> bool:
    """Without a marker the place of the team's file is unknown: then only a link in the place of its folder
    counts.
    """
    return any(
        folder in branch.tree and branch.tree[folder].mode in NOT_REGULAR
        for folder in branch.paths.folders_of(team)
    )


def missing_team_of(found: TeamState, today: date) -> MissingTeam | None:
    """The team as the guard counts it, if its access would end, or has ended and is in its grace period.
    None for all other teams, and for a team that comes back.
    """
    marker = found.marker
    missing = MissingTeam(
        found.team,
        found.path,
        commit="" if marker is None else marker.commit,
        withdrawn=False,
        marked=marker is not None,
        cause=_cause(found),
    )
    if marker is not None and found.mark == "withdrawn" and found.action != "grant":
        return replace(missing, withdrawn=True, over=marker.has_lapsed(today))
    if not found.is_guarded or (found.mark == "unmanaged" and not found.in_use):
        return None
    return replace(missing, held=_is_marked_held(found))


def _is_marked_held(found: TeamState) -> bool:
    """Whether the product is marked as held. The guard decides anew each time about a last day that is
    brought forward: until it is written, the one in force stays.
    """
    marker = found.marker
    if marker is None or found.files == "shortened":
        return False
    return marker.held is not None or "held" in marker.unreadable


def _cause(found: TeamState) -> Cause:
    return found.files if found.files in ("no_request", "new_end", "shortened") else "gone"


def already_over_problem(path: str, request: AccessRequest, came: date, reviewed: Review) -> Problem | None:
    """The problem of a last day that was past already on the day on which the file came to the branch
    (`came`); None if it was not.
    """
    if not is_over(request.expires, came):
        return None
    message = (
        f"The last day {request.expires} was already past when this file came to the branch, on {came}. The "
        "access granted before stays. Write a later day; to end the access, write today's, or remove the "
        "file."
    )
    return problem_at(path, reviewed.last_days_at[path], "AlreadyOver", message)


def past_day_problems(found: Review, before: Review | None, today: date) -> list[Problem]:
    """The problems of last days in a checkout that have passed. A day that differs from the one in force
    (`before`) is refused, as it will be when it comes to the branch. Without `before` the day in force is
    unknown, and the problem is a warning.
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
        problem
        for path, request in new
        if (problem := already_over_problem(path, request, today, found)) is not None
    ]


def held_end_problems(held: Iterable[MissingTeam], approval: str, reviewed: Review) -> list[Problem]:
    """A problem for each team that is held because too many last days were brought forward at once."""
    shortened = [each for each in held if each.cause == "shortened"]
    teams = listed(each.team for each in shortened)
    message = (
        f"Too many teams would lose their access within a week: {teams}. Nothing changes for them. If this "
        f"is intended, push a commit whose message ends with the line\n\n    {approval}\n\n"
        "Otherwise write later days."
    )
    return [
        problem_at(each.path, reviewed.last_days_at[each.path], "EndsHeld", message) for each in shortened
    ]
