"""Azure role assignments, shared in one process by Resource Manager, which writes them, and the services that obey them."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

from standins.store import Store, Table
from standins.world import World


def role_assignments(world: World) -> Table:
    """The one table of role assignments of this set of stand-ins: id in lower case -> the assignment as Resource Manager shows it.

    A table keeps its rows in memory, so writer and readers must hold the same object.
    """
    return _table(world.folder)


def holds_role(world: World, principals: Collection[str], roles: Collection[str], scope: re.Pattern[str]) -> bool:
    """Whether one of the principals (object ids) has one of the roles (role definition GUIDs) at a scope that matches (lower case)."""
    return any(_grants(row["properties"], principals, roles, scope) for row in role_assignments(world).values())


def _grants(assignment: dict[str, Any], principals: Collection[str], roles: Collection[str], scope: re.Pattern[str]) -> bool:
    role = assignment["roleDefinitionId"].rsplit("/", 1)[-1].lower()
    return assignment["principalId"].lower() in principals and role in roles and scope.fullmatch(assignment["scope"].lower()) is not None


@cache
def _table(folder: Path) -> Table:
    return Store(folder / "role-assignments.sqlite").table("role-assignments")
