"""Role assignments at any scope: https://learn.microsoft.com/rest/api/authorization/role-assignments"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from functools import partial

from aiohttp import web

from standins.http import route
from standins.resource_manager.arm import SERVER, ArmError, Json, insensitive, not_known, properties_of, shown
from standins.roles import role_assignments
from standins.world import World

_MANY = "/{scope:.+?}" + insensitive("/providers/Microsoft.Authorization/roleAssignments")
_PRINCIPAL_TYPES = ("User", "Group", "ServicePrincipal", "ForeignGroup", "Device")
_OPTIONAL = ("description", "condition", "conditionVersion")
_PRINCIPAL = re.compile(r"principalId eq '([^']+)'", re.IGNORECASE)


def routes(app: web.Application, world: World) -> None:
    one = _MANY + "/{name}"
    route(app, "GET", _MANY, "LIST role assignments", partial(_list, world))
    route(app, "GET", one, "GET role assignment", partial(_get, world))
    route(app, "PUT", one, "PUT role assignment", partial(_put, world))
    route(app, "DELETE", one, "DELETE role assignment", partial(_delete, world))


async def _put(world: World, request: web.Request) -> web.Response:
    properties = await properties_of(request)
    row = _row(request, properties)
    table, key = role_assignments(world), row["id"].lower()
    old = table.get(key)
    if old is not None and _triple(old) != _triple(row):
        message = "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."
        raise ArmError(400, "RoleAssignmentUpdateNotPermitted", message)
    if any(_triple(other) == _triple(row) for name, other in table.items() if name != key):
        raise ArmError(409, "RoleAssignmentExists", "The role assignment already exists.")
    row["properties"]["createdOn"] = old["properties"]["createdOn"] if old else world.clock.utcnow().isoformat()
    row["properties"]["updatedOn"] = world.clock.utcnow().isoformat()
    table[key] = row
    return web.json_response(shown(row), status=201 if old is None else 200)


async def _get(world: World, request: web.Request) -> web.Response:
    row = role_assignments(world).get(_id(request).lower())
    if row is None:
        name = request.match_info["name"]
        raise ArmError(404, "RoleAssignmentNotFound", f"The role assignment '{name}' is not found.")
    return web.json_response(shown(row))


async def _delete(world: World, request: web.Request) -> web.Response:
    row = role_assignments(world).pop(_id(request).lower(), None)
    return web.Response(status=204) if row is None else web.json_response(shown(row))


async def _list(world: World, request: web.Request) -> web.Response:
    """Assignments at, above and below the scope; `atScope()` leaves out those below, `principalId eq` those of others."""
    wanted = _selection(world, request.query.get("$filter"), _scope(request).lower())
    return web.json_response({"value": [shown(row) for row in role_assignments(world).values() if wanted(row["properties"])]})


def _selection(world: World, expression: str | None, scope: str) -> Callable[[Json], bool]:
    terms = [term.strip() for term in re.split(r"\s+and\s+", expression or "", flags=re.IGNORECASE) if term.strip()]
    principals = [match[1].lower() for term in terms if (match := _PRINCIPAL.fullmatch(term))]
    at_scope = "atscope()" in (term.lower() for term in terms)
    if len(terms) != len(principals) + at_scope:
        raise not_known(world, f"the filter {expression} of {SERVER}")

    def wanted(assignment: Json) -> bool:
        at = assignment["scope"].lower()
        related = _contains(at, scope) or (not at_scope and _contains(scope, at))
        return related and all(assignment["principalId"].lower() == principal for principal in principals)

    return wanted


def _contains(outer: str, inner: str) -> bool:
    return f"{inner}/".startswith(f"{outer.rstrip('/')}/")


def _row(request: web.Request, properties: Json) -> Json:
    role, principal, kind = (properties.get(name) for name in ("roleDefinitionId", "principalId", "principalType"))
    if not isinstance(role, str) or not isinstance(principal, str) or not (_is_guid(principal) and _is_guid(role.rsplit("/", 1)[-1])):
        raise ArmError(400, "InvalidRoleAssignment", "roleDefinitionId and principalId are required and must be GUIDs.")
    if not _is_guid(request.match_info["name"]):
        raise ArmError(400, "InvalidRoleAssignmentId", "The role assignment ID must be a GUID.")
    if kind not in _PRINCIPAL_TYPES:
        # The directory may not know a new principal yet; the real service then fails like this unless the type is given.
        raise ArmError(400, "PrincipalNotFound", f"Principal {principal} does not exist in the directory. Set principalType.")
    kept = {"roleDefinitionId": role, "principalId": principal, "principalType": kind, "scope": _scope(request)}
    kept |= {name: properties.get(name) for name in _OPTIONAL}
    name = request.match_info["name"]
    return {"id": _id(request), "name": name, "type": "Microsoft.Authorization/roleAssignments", "properties": kept}


def _triple(row: Json) -> tuple[str, str, str]:
    properties = row["properties"]
    return properties["scope"].lower(), properties["principalId"].lower(), properties["roleDefinitionId"].rsplit("/", 1)[-1].lower()


def _scope(request: web.Request) -> str:
    # Clients that were given a scope with a leading slash send two.
    return "/" + request.match_info["scope"].strip("/")


def _id(request: web.Request) -> str:
    return f"{_scope(request)}/providers/Microsoft.Authorization/roleAssignments/{request.match_info['name']}"


def _is_guid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
