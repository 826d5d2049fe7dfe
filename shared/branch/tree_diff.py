"""The difference between two trees, compared by path and blob.

The commits between them do not matter, so a first push, a force push, a revert and a thousand commits at once
need no special case.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shared.branch.repository_state import is_misplaced, request_paths_of
from shared.git import Tree
from shared.requests.paths import RequestPaths


@dataclass(frozen=True, slots=True)
class TreeDiff:
    """The differences: requests that were added or changed, requests that were removed, whether the catalogue
    was changed or removed, and files at wrong paths or links above requests (`misplaced`).
    """

    changed: tuple[str, ...]
    removed: tuple[str, ...]
    catalog: bool
    misplaced: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.changed) + len(self.removed)


def diff_trees(before: Tree, after: Tree, paths: RequestPaths, catalog_path: str) -> TreeDiff:
    """The requests that a push touched. `before` is empty for a first push: every request is then new."""
    differing = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    requests = [path for path in differing if paths.folder(path) is not None]
    removed = tuple(path for path in requests if path not in after)
    changed = {path for path in requests if path in after} | _remaining_files(removed, after, paths)
    return TreeDiff(
        changed=tuple(sorted(changed)),
        removed=removed,
        catalog=catalog_path in differing,
        misplaced=_misplaced(differing, after, paths, catalog_path),
    )


def _remaining_files(removed: Iterable[str], after: Tree, paths: RequestPaths) -> set[str]:
    """The remaining files of teams that lost one. When a second file is deleted, the remaining one may become
    valid.
    """
    teams = {paths.team_of(path) or "" for path in removed}
    return {path for team in teams for path in request_paths_of(after, team, paths)}


def _misplaced(
    differing: Iterable[str], after: Tree, paths: RequestPaths, catalog_path: str
) -> tuple[str, ...]:
    return tuple(
        path for path in differing if path in after and is_misplaced(path, after[path], paths, catalog_path)
    )
