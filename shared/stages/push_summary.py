"""What a push means for each team, for its check run: the requests before it are read beside the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared import names, telemetry
from shared.app import App
from shared.branch.evaluation import read_files
from shared.branch.push_summary import TeamChange, team_lines
from shared.branch.repository_state import request_paths_of
from shared.branch.review import File, Review, read
from shared.branch.tree_diff import TreeDiff
from shared.branch.withdrawal_guard import MissingTeams
from shared.catalog.catalog import Catalog
from shared.errors import MergekeyError
from shared.git import Tree
from shared.requests.paths import RequestPaths
from shared.requests.request import AccessRequest


@dataclass(frozen=True, slots=True)
class Before:
    """The branch before the push, with the requests that it touched."""

    tree: Tree
    files: Mapping[str, File]


async def files_before(app: App, touched: TreeDiff, before: Tree) -> Mapping[str, File]:
    """The touched requests as they were before the push. What cannot be read is not told: no decision depends
    on it.
    """
    try:
        return await read_files(app, {*touched.changed, *touched.removed} & before.keys(), before)
    except MergekeyError as error:
        telemetry.not_told("the requests before the push", error)
        return {}


def push_lines(
    app: App, touched: TreeDiff, before: Before, after: Tree, reviewed: Review, missing: MissingTeams
) -> list[str]:
    """A line for each team that the push concerns. Nothing is granted without a valid catalogue."""
    catalog, paths = reviewed.catalog, app.paths.requests
    if catalog is None:
        return []
    held = {each.team for each in missing.held}
    changed = [reviewed.requests[path] for path in touched.changed if path in reviewed.requests]
    changes = []
    for request in changed:
        former = request_paths_of(before.tree, request.team, paths)
        was = _request_before(former, before.files, catalog, paths)
        changes.append(TeamChange(request.team, was, request, is_new=not former))
    for team in _gone(touched, after, paths):
        former = request_paths_of(before.tree, team, paths)
        was = _request_before(former, before.files, catalog, paths)
        changes.append(TeamChange(team, was, None, held=team in held))
    return team_lines(changes, app.timeouts.grace)


def _gone(touched: TreeDiff, after: Tree, paths: RequestPaths) -> list[str]:
    """The teams that lost their last file."""
    teams = {paths.team_of(path) or "" for path in touched.removed}
    return [
        team
        for team in teams
        if names.team_problem(team) is None and not request_paths_of(after, team, paths)
    ]


def _request_before(
    former: tuple[str, ...], files: Mapping[str, File], catalog: Catalog, paths: RequestPaths
) -> AccessRequest | None:
    """The request of a team that had one file, read with the catalogue of today."""
    if len(former) != 1 or former[0] not in files:
        return None
    return read(former[0], files[former[0]].content, catalog, paths).request
