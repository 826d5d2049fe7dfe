"""Role assignments at any scope: https://learn.microsoft.com/rest/api/authorization/role-assignments"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from functools import partial

from aiohttp import web

from standins.http import route
from standins.identity import groups_of
from standins.resource_manager.arm import SERVER, ArmError, Json, insensitive, not_known, properties_of, shown
from standins.resource_manager.conditions import UnknownCondition, condition
from standins.resource_manager.role_definitions import exists
from standins.roles import grant, revoke, role_assignments
from standins.world import TENANT, World

_MANY = "/{scope:.+?}" + insensitive("/providers/Microsoft.Authorization/roleAssignments")
_PRINCIPAL_TYPES = ("User", "Group", "ServicePrincipal", "ForeignGroup", "Device")
_OPTIONAL = ("description", "condition", "conditionVersion")
_PRINCIPAL = re.compile(r"(?P<field>principalId eq |assignedTo\()'(?P<id>[^']+)'\)?", re.IGNORECASE)


def routes(app: web.Application, world: World) -> None:
    one = _MANY + "/{name}"
    route(app, "GET", _MANY, "LIST role assignments", partial(_list, world))
    route(app, "GET", one, "GET role assignment", partial(_get, world))
    route(app, "PUT", one, "PUT role assignment", partial(_put, world))
    route(app, "DELETE", one, "DELETE role assignment", partial(_delete, world))


async def _put(world: World, request: web.Request) -> web.Response:
    properties = await properties_of(request)
    row = _row(request, properties)
    _check(world, row)
    table, key = role_assignments(world), row["id"].lower()
    old = table.get(key)
    if old is not None and _triple(old) != _triple(row):
        message = "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."
        raise ArmError(400, "RoleAssignmentUpdateNotPermitted", message)
    if any(_triple(other) == _triple(row) for name, other in table.items() if name != key):
        raise ArmError(409, "RoleAssignmentExists", "The role assignment already exists.")
    caller, now = request["claims"]["oid"], world.clock.utcnow().isoformat()
    row["properties"] |= {"createdOn": now, "createdBy": caller} if old is None else _created(old)
    row["properties"] |= {"updatedOn": now, "updatedBy": caller}
    grant(world, row)
    return web.json_response(shown(row), status=201 if old is None else 200)


def _created(old: Json) -> Json:
    return {name: old["properties"].get(name) for name in ("createdOn", "createdBy")}


def _check(world: World, row: Json) -> None:
    """The role must exist, and a condition be one. Raises 404, 400."""
    role = row["properties"]["roleDefinitionId"].rsplit("/", 1)[-1]
    if not exists(world, role):
        raise ArmError(
            404,
            "RoleDefinitionDoesNotExist",
            f"The specified role definition with ID '{role}' does not exist.",
        )
    text, version = (row["properties"][name] for name in ("condition", "conditionVersion"))
    if text and version != "2.0":
        raise ArmError(
            400, "InvalidRoleAssignmentCondition", "The given role assignment condition is invalid."
        )
    try:
        condition(text) if text else None
    except UnknownCondition as error:
        raise not_known(world, f"a condition with: {error}") from error


async def _get(world: World, request: web.Request) -> web.Response:
    row = role_assignments(world).get(_id(request).lower())
    if row is None:
        name = request.match_info["name"]
        raise ArmError(404, "RoleAssignmentNotFound", f"The role assignment '{name}' is not found.")
    return web.json_response(shown(row))


async def _delete(world: World, request: web.Request) -> web.Response:
    row = revoke(world, _id(request))
    return web.Response(status=204) if row is None else web.json_response(shown(row))


async def _list(world: World, request: web.Request) -> web.Response:
    """Assignments at, above and below the scope.

    `atScope()` leaves out those below, `principalId eq` those of others, `assignedTo` those neither of a
    principal nor of its groups.
    """
    wanted = _selection(world, request.query.get("$filter"), _scope(request).lower())
    return web.json_response(
        {"value": [shown(row) for row in role_assignments(world).values() if wanted(row["properties"])]}
    )


def _selection(world: World, expression: str | None, scope: str) -> Callable[[Json], bool]:
    terms = [
        term.strip() for term in re.split(r"\s+and\s+", expression or "", flags=re.IGNORECASE) if term.strip()
    ]
    principals = [_meant(world, match) for term in terms if (match := _PRINCIPAL.fullmatch(term))]
    at_scope = "atscope()" in (term.lower() for term in terms)
    if len(terms) != len(principals) + at_scope:
        raise not_known(world, f"the filter {expression} of {SERVER}")

    def wanted(assignment: Json) -> bool:
        at = assignment["scope"].lower()
        related = _contains(at, scope) or (not at_scope and _contains(scope, at))
        return related and all(assignment["principalId"].lower() in meant for meant in principals)

    return wanted


def _meant(world: World, match: re.Match[str]) -> set[str]:
    principal = match["id"].lower()
    return {principal, *(groups_of(world, principal) if match["field"].lower() == "assignedto(" else ())}


def _contains(outer: str, inner: str) -> bool:
    return f"{inner}/".startswith(f"{outer.rstrip('/')}/")


def _row(request: web.Request, properties: Json) -> Json:
    role, principal, kind = (
        properties.get(name) for name in ("roleDefinitionId", "principalId", "principalType")
    )
    if (
        not isinstance(role, str)
        or not isinstance(principal, str)
        or not (_is_guid(principal) and _is_guid(role.rsplit("/", 1)[-1]))
    ):
        raise ArmError(
            400, "InvalidRoleAssignment", "roleDefinitionId and principalId are required and must be GUIDs."
        )
    if not _is_guid(request.match_info["name"]):
        raise ArmError(400, "InvalidRoleAssignmentId", "The role assignment ID must be a GUID.")
    if kind not in _PRINCIPAL_TYPES:
        # The directory may not know a new principal yet; the real service then fails like this unless the
        # type is given:
        # https://learn.microsoft.com/azure/role-based-access-control/troubleshooting#symptom---assigning-a-role-to-a-new-principal-sometimes-fails
        message = (
            f"Principal {principal.replace('-', '')} does not exist in the directory {TENANT}. "
            "Check that you have the correct principal ID. If you are creating this principal and then "
            "immediately assigning a role, this error might be related to a replication delay. "
            "In this case, set the role assignment principalType property to a value, such as "
            "ServicePrincipal, User, or Group. See https://aka.ms/docs-principaltype"
        )
        raise ArmError(400, "PrincipalNotFound", message)
    kept = {
        "roleDefinitionId": role,
        "principalId": principal,
        "principalType": kind,
        "scope": _scope(request),
    }
    kept |= {name: properties.get(name) for name in _OPTIONAL}
    name = request.match_info["name"]
    return {
        "id": _id(request),
        "name": name,
        "type": "Microsoft.Authorization/roleAssignments",
        "properties": kept,
    }


def _triple(row: Json) -> tuple[str, str, str]:
    properties = row["properties"]
    return (
        properties["scope"].lower(),
        properties["principalId"].lower(),
        properties["roleDefinitionId"].rsplit("/", 1)[-1].lower(),
    )


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
