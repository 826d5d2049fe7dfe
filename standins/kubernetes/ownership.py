"""Who owns which field: what server-side apply needs to merge, to remove and to object.

Fields are paths through maps; a list is one field, which is what the kinds here declare for nearly all of
theirs, except that each finalizer is a field of its own.
https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from standins.kubernetes.kinds import Object
from standins.kubernetes.schema import Schema

Path = tuple[str, ...]
#: `<operation>/<subresource>/<manager>` -> the version and the time of its last write, and the paths of the
#: fields it owns.
Owners = dict[str, dict[str, Any]]

#: Nobody owns these: the server sets them, or they say which object is meant.
_IDENTITY = {
    ("apiVersion",),
    ("kind",),
    ("metadata", "name"),
    ("metadata", "namespace"),
    ("metadata", "generateName"),
    ("spec", "finalizers"),
}
_SERVER = {
    "resourceVersion",
    "uid",
    "generation",
    "creationTimestamp",
    "managedFields",
    "deletionTimestamp",
    "selfLink",
}
_FINALIZERS = ("metadata", "finalizers")
#: The last step of a path that means a map or a set itself, apart from what is in it.
_ITSELF = "."
_ABSENT = object()


@dataclass(frozen=True)
class User:
    """The principal behind a token, and the object ids of its groups."""

    name: str
    groups: frozenset[str]

    @classmethod
    def of(cls, claims: dict[str, Any]) -> User:
        return cls(claims["oid"], frozenset(claims.get("groups", [])) | {"system:authenticated"})


@dataclass(frozen=True)
class Writer:
    """Who writes and how: the field manager, whether an apply may take fields from others, the part that is
    written, and who sent the request.

    `validation` is Strict, Warn or Ignore: what becomes of fields that are not declared; what to warn of is
    added to `warnings`.
    """

    manager: str
    api_version: str
    time: str
    force: bool = False
    subresource: str = ""
    dry_run: bool = False
    validation: str = "Warn"
    user: User = User("", frozenset())
    warnings: list[str] = field(default_factory=list)

    def name(self, operation: str) -> str:
        return f"{operation}/{self.subresource}/{self.manager}"

    def entry(self, paths: Iterable[Path]) -> dict[str, Any]:
        return {"apiVersion": self.api_version, "time": self.time, "paths": sorted(map(list, paths))}


@dataclass(frozen=True)
class Conflict(Exception):
    """Fields that somebody else owns and that would change, by owner."""

    fields: dict[Path, str]
    owners: Owners


def fields(value: Object, schema: Schema, subresource: str = "", structs: bool = False) -> dict[Path, Any]:
    """Every field of an object, or of its status, that somebody may own. A map that is there is a field of
    its own (its path ends with a dot); `structs`: except specification and status, which built-in kinds
    always have.
    """
    always = {("metadata", _ITSELF), *([("spec", _ITSELF), ("status", _ITSELF)] if structs else [])}
    return {
        path: leaf
        for path, leaf in _leaves(value, (), schema)
        if not _is_identity(path) and (path[0] == "status") == bool(subresource) and path not in always
    }


def applied(
    live: Object,
    wanted: Mapping[Path, Any],
    have: Mapping[Path, Any],
    owners: Owners,
    writer: Writer,
    schema: Schema,
) -> tuple[Object, Owners]:
    """The object and the owners after these fields were applied. Raises `Conflict` unless forced."""
    mine = writer.name("Apply")
    want = {path: leaf for path, leaf in wanted.items() if path[-1] != _ITSELF}
    changed = _changed(have, want)
    others = {path: owner for owner in owners if owner != mine for path in _paths(owners, owner)}
    taken = {path: owner for path, owner in others.items() if path in changed}
    if taken and not writer.force:
        raise Conflict(taken, owners)
    merged = deepcopy(live)
    kept = [*want, *others]
    for path in _paths(owners, mine):
        if path not in want and path not in others:
            _remove(merged, _whole_part(path, schema, kept))
    for path, leaf in want.items():
        _put(merged, path, leaf)
    entry = writer.entry(want)
    unchanged = mine in owners and owners[mine]["paths"] == entry["paths"] and not changed
    return merged, {**_without(owners, set(taken)), mine: owners[mine] if unchanged else entry}


def _whole_part(path: Path, schema: Schema, kept: list[Path]) -> Path:
    """What goes with a field: the largest part around it in which nothing is owned any more."""
    for length in range(1, len(path)):
        if path[0] == "metadata" or path[length - 1] not in schema.fields:
            break  # an entry of a map goes by itself
        part, schema = path[:length], schema.fields[path[length - 1]]
        if not any(other[:length] == part for other in kept):
            return part
    return path


def written(old: Mapping[Path, Any], new: Mapping[Path, Any], owners: Owners, writer: Writer) -> Owners:
    """The owners after a create, update or patch: whoever changes a field owns it, and what is gone nobody
    owns.
    """
    mine = writer.name("Update")
    changed = _changed(old, new)
    gone = old.keys() - new.keys()
    left = _without(owners, changed | gone)
    if not changed:
        return left
    return {**left, mine: writer.entry(changed.union(_paths(left, mine)))}


def _changed(old: Mapping[Path, Any], new: Mapping[Path, Any]) -> set[Path]:
    """The fields that are new or have another value."""
    return {path for path, leaf in new.items() if old.get(path, _ABSENT) != leaf}


def managed_fields(owners: Owners) -> list[Object]:
    """As `metadata.managedFields` shows it."""
    rows = []
    for owner, entry in owners.items():
        operation, subresource, manager = owner.split("/", 2)
        row = {
            "manager": manager,
            "operation": operation,
            "apiVersion": entry["apiVersion"],
            "time": entry["time"],
            "fieldsType": "FieldsV1",
            "fieldsV1": _tree(list(map(tuple, entry["paths"]))),
        }
        rows.append(row | ({"subresource": subresource} if subresource else {}))
    order = ("operation", "time", "manager", "apiVersion", "subresource")
    return sorted(rows, key=lambda row: [str(row.get(name, "")) for name in order])


def _tree(paths: list[Path]) -> Object:
    tree: Object = {}
    # What is in a map comes before the map itself, which is only named beside something that is in it.
    for path in sorted(paths, key=lambda path: path[-1] == _ITSELF):
        node = tree
        for depth, step in enumerate(path):
            if step != _ITSELF:
                node = node.setdefault(f'v:"{step}"' if path[:depth] == _FINALIZERS else f"f:{step}", {})
            elif node:
                node[step] = {}
    return tree


def objection(problem: Conflict) -> tuple[str, list[dict[str, str]]]:
    """What the server says of a conflict: the message, and a cause per field."""
    names = {
        owner: _printed(owner, problem.owners[owner]["apiVersion"]) for owner in set(problem.fields.values())
    }
    rows = [(names[owner], "." + ".".join(path)) for path, owner in sorted(problem.fields.items())]
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {name}", "field": path}
        for name, path in rows
    ]
    if len(rows) == 1:
        return f"Apply failed with 1 conflict: conflict with {rows[0][0]}: {rows[0][1]}", causes
    lines: list[str] = []
    for name in sorted(set(names.values())):
        lines += [f"conflicts with {name}:", *(f"- {path}" for owner, path in rows if owner == name)]
    return f"Apply failed with {len(rows)} conflicts: " + "\n".join(lines), causes


def _printed(owner: str, api_version: str) -> str:
    operation, subresource, manager = owner.split("/", 2)
    text = f'"{manager}"' + (f' with subresource "{subresource}"' if subresource else "")
    return f"{text} using {api_version}" if operation == "Update" else text


def _paths(owners: Owners, owner: str) -> list[Path]:
    return [tuple(path) for path in owners[owner]["paths"]] if owner in owners else []


def _leaves(value: Any, path: Path, schema: Schema | None) -> Iterator[tuple[Path, Any]]:
    if path == _FINALIZERS:
        yield (*path, _ITSELF), True
        yield from (((*path, each), True) for each in value)
    elif isinstance(value, dict) and (value or not path) and not (schema and schema.atomic):
        if path:
            yield (*path, _ITSELF), True
        for key, part in value.items():
            yield from _leaves(part, (*path, key), schema.of(key) if schema else None)
    else:
        yield path, value


def _is_identity(path: Path) -> bool:
    return path in _IDENTITY or (path[0] == "metadata" and path[1:2] != () and path[1] in _SERVER)


def _without(owners: Owners, paths: set[Path]) -> Owners:
    kept = {
        owner: {**entry, "paths": [path for path in entry["paths"] if tuple(path) not in paths]}
        for owner, entry in owners.items()
    }
    return {owner: entry for owner, entry in kept.items() if entry["paths"]}


def _put(value: Object, path: Path, leaf: Any) -> None:
    if path[:2] == _FINALIZERS:
        present = value.setdefault("metadata", {}).setdefault("finalizers", [])
        present += [] if path[2] in present else [path[2]]
        return
    for step in path[:-1]:
        if not isinstance(value.get(step), dict):
            value[step] = {}
        value = value[step]
    value[path[-1]] = deepcopy(leaf)


def _remove(value: Object, path: Path) -> None:
    """Remove a field, and the maps that become empty by it."""
    if path[:2] == _FINALIZERS:
        left = [each for each in value["metadata"].get("finalizers", []) if each != path[2]]
        value["metadata"] = {**value["metadata"], "finalizers": left}
        if not left:
            del value["metadata"]["finalizers"]
        return
    parents = [value]
    for step in path[:-1]:
        if not isinstance(parents[-1].get(step), dict):
            return
        parents.append(parents[-1][step])
    parents[-1].pop(path[-1], None)
    for parent, step in zip(reversed(parents[:-1]), reversed(path[:-1]), strict=True):
        if not parent[step]:
            del parent[step]
