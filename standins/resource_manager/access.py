"""Who may do what at Resource Manager: roles, inherited from the scopes above, with their conditions.

https://learn.microsoft.com/azure/role-based-access-control/overview#how-azure-rbac-determines-if-a-user-has-access-to-a-resource
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from standins.resource_manager.arm import ArmError, Json, body
from standins.resource_manager.conditions import Facts, condition, matches
from standins.resource_manager.role_definitions import permissions_of
from standins.roles import in_force, options, role_assignments
from standins.world import Right, World

_VERBS = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}
_ASSIGNMENTS = "microsoft.authorization/roleassignments/"
_ATTRIBUTES = ("roleDefinitionId", "principalId", "principalType")


@dataclass(frozen=True)
class Wish:
    """What a request needs: an action (`Microsoft.ApiManagement/service/products/write`) over a scope, the id
    of a resource.
    """

    action: str
    scope: str


def wish(method: str, path: str) -> Wish:
    """What a request to this path needs; a path without a provider belongs to Microsoft.Resources."""
    _, separator, tail = path.rpartition("/providers/")
    if separator and "/" in tail:
        provider, *parts = tail.split("/")
    else:
        provider, parts = "Microsoft.Resources", path.strip("/").split("/")
    if [part.lower() for part in parts[2:4]] == ["tenant", "operationresults"]:
        parts.insert(3, "")  # there is one tenant in a service, without a name
    kinds = "/".join([provider, *parts[::2]])
    parent = path.rpartition("/")[0]
    if method == "POST":
        return Wish(f"{kinds}/action", parent)
    return Wish(f"{kinds}/{_VERBS[method]}", path if len(parts) % 2 == 0 else parent)


async def check_access(world: World, request: web.Request, claims: Mapping[str, Any]) -> None:
    """Raises 403 when no role of the caller, or of a group of theirs, allows the request. `claims` are those
    of the token.
    """
    wanted = wish(request.method, f"/{request.path.strip('/')}")
    # Whoever may begin an operation of Foundry may ask how it goes. API Management's own page names actions
    # for it: https://learn.microsoft.com/azure/role-based-access-control/permissions/integration
    polls = wanted.action.startswith("Microsoft.CognitiveServices/locations/operation")
    if polls or not options(world)["check_roles"] or claims["appid"] in options(world)["owners"]:
        return
    facts = await _facts(world, request, wanted)
    if not any(_allows(world, row, facts) for row in _assignments(world, claims, wanted.scope)):
        message = (
            f"The client '{claims['appid']}' with object id '{claims['oid']}' does not have authorization to "
            f"perform action '{wanted.action}' over scope '{wanted.scope}' or the scope is invalid. If "
            "access was recently granted, please refresh your credentials."
        )
        raise ArmError(403, "AuthorizationFailed", message)
    world.rights.add(Right("resource-manager", claims["oid"], wanted.action, wanted.scope))


def sees(world: World, claims: Mapping[str, Any]) -> bool:
    """Whether a principal has any role at all: only then does it see the subscription in lists."""
    everything = not options(world)["check_roles"] or claims["appid"] in options(world)["owners"]
    return everything or any(
        row["properties"]["principalId"].lower() in _principals(claims) for row in in_force(world)
    )


def _assignments(world: World, claims: Mapping[str, Any], scope: str) -> Iterator[Json]:
    principals, at = _principals(claims), f"{scope.lower()}/"
    for row in in_force(world):
        if row["properties"]["principalId"].lower() in principals and at.startswith(
            f"{row['properties']['scope'].lower().rstrip('/')}/"
        ):
            yield row["properties"]


def _principals(claims: Mapping[str, Any]) -> set[str]:
    return {claims["oid"], *claims.get("groups", ())}


def _allows(world: World, assignment: Json, facts: Facts) -> bool:
    if not _holds(assignment.get("condition"), facts):
        return False
    for permission in permissions_of(world, assignment["roleDefinitionId"].rsplit("/", 1)[-1]):
        allowed = any(matches(pattern, facts.action) for pattern in permission["actions"])
        excepted = any(matches(pattern, facts.action) for pattern in permission["notActions"])
        if allowed and not excepted and _holds(permission.get("condition"), facts):
            return True
    return False


def _holds(text: str | None, facts: Facts) -> bool:
    # Deleting what is not there is 204, whatever the condition says of the assignment: there is none to
    # compare with.
    absent = facts.action.lower() == f"{_ASSIGNMENTS}delete" and not facts.attributes
    return not text or absent or condition(text)(facts)


async def _facts(world: World, request: web.Request, wanted: Wish) -> Facts:
    """Conditions ask about the assignment that is sent (@Request) and the one that is there (@Resource)."""
    attributes: dict[tuple[str, str], str] = {}
    if wanted.action.lower().startswith(_ASSIGNMENTS):
        sent = (await body(request)).get("properties") if request.method == "PUT" else None
        there = role_assignments(world).get(wanted.scope.lower(), {}).get("properties")
        for source, properties in (("request", sent), ("resource", there)):
            if isinstance(properties, dict):
                found = {
                    name: properties[name] for name in _ATTRIBUTES if isinstance(properties.get(name), str)
                }
                attributes |= {
                    (source, name.lower()): value.rsplit("/", 1)[-1] for name, value in found.items()
                }
    return Facts(wanted.action, attributes)
