"""Azure role assignments, shared in one process by Resource Manager, which writes them, and the services that
obey them.

A new assignment takes a while to work and a deleted one to stop, because the services keep what they know of
roles for some minutes:
https://learn.microsoft.com/azure/role-based-access-control/troubleshooting#symptom---role-assignment-changes-are-not-being-detected
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from standins.store import Store, Table
from standins.world import Options, World

Row = dict[str, Any]

#: The name under which the options that hold for the whole subscription are changed.
SERVER = "azure"
OPTIONS: Mapping[str, Any] = {
    # Whether Resource Manager answers 403 to a principal without a fitting role.
    "check_roles": True,
    # Application ids that are Owner of the subscription without an assignment, as whoever set it up.
    "owners": ["operator"],
    # How long a new role assignment does not work yet, and a deleted one still does, in seconds of the clock.
    "role_propagation_seconds": 0.0,
    # Whether Resource Manager counts requests and answers 429.
    "throttling": False,
    # How long an operation that outlasts its first answer takes, in seconds of the clock.
    "operation_seconds": 0.0,
}


def options(world: World) -> Options:
    """The options of the subscription, declared by whoever asks first."""
    return world.options.get(SERVER) or world.options_of(SERVER, OPTIONS)


def role_assignments(world: World) -> Table:
    """The one table of role assignments of this set of stand-ins: id in lower case -> the assignment as
    Resource Manager shows it.

    A table keeps its rows in memory, so writer and readers must hold the same object.
    """
    return _store(world.folder)[0]


def grant(world: World, row: Row) -> None:
    """Write an assignment; one that was there keeps the time since when it holds."""
    table, key = role_assignments(world), row["id"].lower()
    since = table[key].get("since", 0.0) if key in table else world.clock.now()
    table[key] = row | {"since": since}


def revoke(world: World, id_: str) -> Row | None:
    """Take an assignment away, and answer it; the services obey it for as long as it takes them to notice."""
    row: Row | None = role_assignments(world).pop(id_.lower(), None)
    if row is not None:
        ended = _store(world.folder)[1]
        for key in [key for key, old in ended.items() if old["until"] <= _known_until(world)]:
            del ended[key]
        ended[f"{row['id'].lower()} {world.clock.now()}"] = row | {"until": world.clock.now()}
    return row


def in_force(world: World) -> Iterable[Row]:
    """The assignments that the services obey at this moment."""
    noticed = _known_until(world)
    current, ended = _store(world.folder)
    return (
        row
        for row in chain(current.values(), ended.values())
        if row.get("since", 0.0) <= noticed < row.get("until", float("inf"))
    )


def holds_role(
    world: World, principals: Collection[str], roles: Collection[str], scope: re.Pattern[str]
) -> bool:
    """Whether one of the principals (object ids) has one of the roles (role definition GUIDs) at a scope that
    matches (lower case).
    """
    return any(_grants(row["properties"], principals, roles, scope) for row in in_force(world))


def _known_until(world: World) -> float:
    """What happened later than this, the services have not noticed yet."""
    return world.clock.now() - float(options(world)["role_propagation_seconds"])


def _grants(
    assignment: Row, principals: Collection[str], roles: Collection[str], scope: re.Pattern[str]
) -> bool:
    role = assignment["roleDefinitionId"].rsplit("/", 1)[-1].lower()
    return (
        assignment["principalId"].lower() in principals
        and role in roles
        and scope.fullmatch(assignment["scope"].lower()) is not None
    )


@cache
def _store(folder: Path) -> tuple[Table, Table]:
    store = Store(folder / "role-assignments.sqlite")
    return store.table("role-assignments"), store.table("ended")
