"""Which teams did a push touch: two trees compared by path and blob, never a list of commits.

So the first push, a force push, a revert and a thousand commits at once all come out right.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shared.git import NOT_REGULAR, Entry, Tree
from shared.requests.paths import RequestPaths, catalog_near_miss, encloses


@dataclass(frozen=True, slots=True)
class TreeDiff:
    """What differs: requests that are new or changed, paths that are gone, whether the catalogue changed or
    went, misplaced files and links that hide requests.
    """

    changed: tuple[str, ...]
    gone: tuple[str, ...]
    catalog: bool
    near_misses: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.changed) + len(self.gone)


def diff_trees(before: Tree, after: Tree, paths: RequestPaths, catalog_path: str) -> TreeDiff:
    """The requests that a push touched. `before` is empty for a first push: then everything is new and
    nothing is gone.
    """
    differing = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    requests = [path for path in differing if paths.folder(path) is not None]
    gone = tuple(path for path in requests if path not in after)
    changed = {path for path in requests if path in after} | _remaining_files(gone, after, paths)
    return TreeDiff(
        changed=tuple(sorted(changed)),
        gone=gone,
        catalog=catalog_path in differing,
        near_misses=_misplaced(differing, after, paths, catalog_path),
    )


def _remaining_files(gone: Iterable[str], after: Tree, paths: RequestPaths) -> set[str]:
    """The files that stay of teams that lost one: a second file is cleared up by deleting it, and the team is
    touched by the file that stays.
    """
    teams = {paths.team_of(path) or "" for path in gone}
    return {path for team in teams for path in request_paths_of(after, team, paths)}


def _misplaced(
    differing: Iterable[str], after: Tree, paths: RequestPaths, catalog_path: str
) -> tuple[str, ...]:
    return tuple(
        path for path in differing if path in after and _is_misplaced(path, after[path], paths, catalog_path)
    )


def _is_misplaced(path: str, entry: Entry, paths: RequestPaths, catalog_path: str) -> bool:
    if entry.mode in NOT_REGULAR:
        return encloses(path, paths, catalog_path)
    return paths.near_miss(path) is not None or catalog_near_miss(path, catalog_path) is not None


def requests_of(tree: Tree, paths: RequestPaths) -> tuple[str, ...]:
    """The paths of all requests in a tree."""
    return tuple(sorted(path for path in tree if paths.folder(path) is not None))


def request_paths_of(tree: Tree, team: str, paths: RequestPaths) -> tuple[str, ...]:
    """The files of this team: more than one is a mistake."""
    return tuple(path for path in requests_of(tree, paths) if paths.team_of(path) == team)
