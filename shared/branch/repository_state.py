"""What a tree of the branch holds for us, worked out once for every tree: a look at it is a look-up.

Trees, and the files that were read of one, never change; a few of them are kept, found by the very object.
Pure.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from shared.git import NOT_REGULAR, Entry, Tree
from shared.requests.paths import RequestPaths, catalog_near_miss, encloses

K = TypeVar("K")
V = TypeVar("V")

#: Trees of which something is kept: before and after a push, and what other stages still look at.
TREES = 8


class Kept(Generic[K, V]):
    """The values that were made of the objects used last. An object is known by its identity, `more` by
    equality; both are held, so that no other object gets the same identity.
    """

    def __init__(self, most: int = TREES) -> None:
        self._most = most
        self._values: OrderedDict[tuple[int, object], tuple[K, V]] = OrderedDict()

    def get(self, key: K, more: object = None) -> V | None:
        """The value of this very object, or None."""
        found = self._values.get((id(key), more))
        if found is None:
            return None
        self._values.move_to_end((id(key), more))
        return found[1]

    def put(self, key: K, value: V, more: object = None) -> V:
        """Keep the value in the place of the one that was not used for the longest time; returns it."""
        self._values[id(key), more] = (key, value)
        if len(self._values) > self._most:
            self._values.popitem(last=False)
        return value

    def clear(self) -> None:
        """Forget all."""
        self._values.clear()

    def newest(self, more: object = None) -> tuple[K, V] | None:
        """The object used last, with its value."""
        return next((found for key, found in reversed(self._values.items()) if key[1] == more), None)


@dataclass(frozen=True, slots=True)
class RepositoryState:
    """What a tree holds. `requests` are the paths of all requests, sorted; `by_team` groups them
    by team.
    """

    requests: tuple[str, ...]
    by_team: Mapping[str, tuple[str, ...]]


_STATES: Kept[Tree, RepositoryState] = Kept()
_REVIEWED: Kept[Tree, frozenset[str]] = Kept()


def repository_state(tree: Tree, paths: RequestPaths) -> RepositoryState:
    """The state of the repository at this tree."""
    known = _STATES.get(tree, paths)
    return known if known is not None else _STATES.put(tree, _state(tree, paths), paths)


def _state(tree: Tree, paths: RequestPaths) -> RepositoryState:
    teams = {path: team for path in sorted(tree) if (team := paths.team_of(path)) is not None}
    by_team: dict[str, tuple[str, ...]] = {}
    for path, team in teams.items():
        by_team[team] = (*by_team.get(team, ()), path)
    return RepositoryState(tuple(teams), by_team)


def requests_of(tree: Tree, paths: RequestPaths) -> tuple[str, ...]:
    """The paths of all requests in a tree."""
    return repository_state(tree, paths).requests


def request_paths_of(tree: Tree, team: str, paths: RequestPaths) -> tuple[str, ...]:
    """The paths of this team's files. More than one is a mistake in the repository."""
    return repository_state(tree, paths).by_team.get(team, ())


def is_read(path: str, paths: RequestPaths, catalog_path: str) -> bool:
    """Whether the content of the file at this path is read."""
    return path == catalog_path or paths.folder(path) is not None


def is_misplaced(path: str, entry: Entry, paths: RequestPaths, catalog_path: str) -> bool:
    """Whether a request or the catalogue was probably meant to be here, or is hidden by what is here."""
    if entry.mode in NOT_REGULAR:
        return encloses(path, paths, catalog_path)
    return paths.near_miss(path) is not None or catalog_near_miss(path, catalog_path) is not None


def reviewed_paths(tree: Tree, paths: RequestPaths, catalog_path: str) -> frozenset[str]:
    """The paths that a review has anything to say of: files that are read, and what is misplaced."""
    known = _REVIEWED.get(tree, (paths, catalog_path))
    if known is not None:
        return known
    requests = repository_state(tree, paths).requests
    others = tree.keys() - set(requests)
    misplaced = (path for path in others if is_misplaced(path, tree[path], paths, catalog_path))
    return _REVIEWED.put(
        tree, frozenset([*requests, *({catalog_path} & tree.keys()), *misplaced]), (paths, catalog_path)
    )
