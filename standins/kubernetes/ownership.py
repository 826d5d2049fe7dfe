"""Who owns which field: what server-side apply needs to merge, to remove and to object.

Fields are paths through maps; a list is one field, which is what the kinds here declare for nearly all of theirs.
https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from standins.kubernetes.kinds import Object

Path = tuple[str, ...]
#: Manager and operation (`Apply` or `Update`), as text `<operation> <manager>` -> the fields it owns.
Owners = dict[str, list[list[str]]]

#: Nobody owns these: the server sets them, or they say which object is meant.
_IDENTITY = {("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace")}
_ABSENT = object()
_SERVER = {"resourceVersion", "uid", "generation", "creationTimestamp", "managedFields", "deletionTimestamp", "finalizers"}


@dataclass(frozen=True)
class Writer:
    """Who writes: the field manager, and whether an apply may take fields from others."""

    manager: str
    force: bool = False


@dataclass(frozen=True)
class Conflict(Exception):
    """Fields that somebody else owns and that would change, by owner."""

    fields: dict[Path, str]


def fields(value: Object) -> dict[Path, Any]:
    """Every field of an object that somebody may own."""
    return {path: leaf for path, leaf in _leaves(value, ()) if not _is_servers(path)}


def applied(live: Object, want: dict[Path, Any], owners: Owners, writer: Writer) -> tuple[Object, Owners]:
    """The object and the owners after these fields were applied. Raises `Conflict` unless forced."""
    mine = f"Apply {writer.manager}"
    have = fields(live)
    changed = {path for path, leaf in want.items() if have.get(path, _ABSENT) != leaf}
    taken = {path: owner for owner, paths in owners.items() if owner != mine for path in map(tuple, paths) if path in changed}
    if taken and not writer.force:
        raise Conflict(taken)
    others = {tuple(path) for owner, paths in owners.items() if owner != mine for path in paths}
    merged = deepcopy(live)
    for path in map(tuple, owners.get(mine, [])):
        if path not in want and path not in others:
            _remove(merged, path)
    for path, leaf in want.items():
        _put(merged, path, leaf)
    return merged, {**_without(owners, set(taken)), mine: sorted(map(list, want))}


def written(before: Object, after: Object, owners: Owners, writer: Writer) -> Owners:
    """The owners after a create, update or patch: whoever changes a field owns it, and what is gone nobody owns."""
    mine = f"Update {writer.manager}"
    old, new = fields(before), fields(after)
    changed = {path for path, leaf in new.items() if old.get(path, _ABSENT) != leaf}
    left = _without(owners, changed | (old.keys() - new.keys()))
    kept = {tuple(path) for path in left.get(mine, [])}
    return {**left, mine: sorted(map(list, kept | changed))} if kept | changed else left


def managed_fields(owners: Owners, api_version: str, time: str) -> list[Object]:
    """As `metadata.managedFields` shows it."""
    rows = []
    for owner, paths in owners.items():
        operation, _, manager = owner.partition(" ")
        tree: Object = {}
        for path in paths:
            node = tree
            for step in path:
                node = node.setdefault(f"f:{step}", {})
        row = {"manager": manager, "operation": operation, "apiVersion": api_version, "time": time}
        rows.append(row | {"fieldsType": "FieldsV1", "fieldsV1": tree})
    return rows


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict) and (value or not path):
        for key, part in value.items():
            yield from _leaves(part, (*path, key))
    else:
        yield path, value


def _is_servers(path: Path) -> bool:
    return path in _IDENTITY or path[0] == "status" or (path[0] == "metadata" and path[1] in _SERVER)


def _without(owners: Owners, paths: set[Path]) -> Owners:
    kept = {owner: [path for path in owned if tuple(path) not in paths] for owner, owned in owners.items()}
    return {owner: owned for owner, owned in kept.items() if owned}


def _put(value: Object, path: Path, leaf: Any) -> None:
    for step in path[:-1]:
        if not isinstance(value.get(step), dict):
            value[step] = {}
        value = value[step]
    value[path[-1]] = deepcopy(leaf)


def _remove(value: Object, path: Path) -> None:
    """Remove a field, and the maps that become empty by it."""
    parents = [value]
    for step in path[:-1]:
        if not isinstance(parents[-1].get(step), dict):
            return
        parents.append(parents[-1][step])
    parents[-1].pop(path[-1], None)
    for parent, step in zip(reversed(parents[:-1]), reversed(path[:-1]), strict=True):
        if not parent[step]:
            del parent[step]
