"""Roles: those of Azure that a platform with API Management, AKS, Key Vault and Foundry meets, and custom
ones.

https://learn.microsoft.com/rest/api/authorization/role-definitions and
https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from aiohttp import web

from standins.http import route
from standins.resource_manager.arm import ArmError, Json, insensitive, not_known, properties_of
from standins.roles import role_assignments
from standins.store import Store, Table
from standins.world import SUBSCRIPTION, World

_MANY = "/{scope:.+?}" + insensitive("/providers/Microsoft.Authorization/roleDefinitions")
_NAMED = re.compile(r"roleName eq '([^']+)'", re.IGNORECASE)
_ID = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{{}}"

_READS = [
    "Microsoft.Authorization/*/read",
    "Microsoft.Resources/deployments/*",
    "Microsoft.Resources/subscriptions/resourceGroups/read",
]
_GRANTS = ["Microsoft.Authorization/roleAssignments/write", "Microsoft.Authorization/roleAssignments/delete"]
_AKS = "Microsoft.ContainerService/managedClusters/"
_SECRETS = "Microsoft.KeyVault/vaults/secrets/"
#: Roles that Key Vault Data Access Administrator may grant: those for data of a vault.
_VAULT_ROLES = (
    "00482a5a-887f-4fb3-b363-3b7fe8e74483,4633458b-17de-408a-b874-0445c86b69e6,21090545-7ca7-4776-b22c-"
    "e363652d74d2,b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
)


def _only(roles: str) -> str:
    """The condition of roles that may grant some roles and no others."""
    compared = "[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals"
    return (
        "((!(ActionMatches{'Microsoft.Authorization/roleAssignments/write'})) OR "
        f"(@Request{compared}{{{roles}}})) AND "
        "((!(ActionMatches{'Microsoft.Authorization/roleAssignments/delete'})) OR "
        f"(@Resource{compared}{{{roles}}}))"
    )


def permission(
    actions: list[str],
    data: list[str] | None = None,
    excepted: list[str] | None = None,
    only: str | None = None,
) -> Json:
    """One permission of a role; `only` is its condition."""
    shown: Json = {
        "actions": actions,
        "notActions": excepted or [],
        "dataActions": data or [],
        "notDataActions": [],
    }
    return shown | ({"condition": only, "conditionVersion": "2.0"} if only else {})


#: Id -> name and permission. What they allow elsewhere in Azure is left out where it is long.
BUILT_IN: Mapping[str, tuple[str, Json]] = {
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635": ("Owner", permission(["*"])),
    "b24988ac-6180-42a0-ab88-20f7382dd24c": (
        "Contributor",
        permission(["*"], excepted=["Microsoft.Authorization/*/Delete", "Microsoft.Authorization/*/Write"]),
    ),
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": ("Reader", permission(["*/read"])),
    "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9": (
        "User Access Administrator",
        permission(["*/read", "Microsoft.Authorization/*"]),
    ),
    "f58310d9-a9f6-439a-9e8d-f62e7b41a168": (
        "Role Based Access Control Administrator",
        permission([*_GRANTS, "*/read"]),
    ),
    "312a565d-c81f-4fd8-895a-4e21e48d571c": (
        "API Management Service Contributor",
        permission(["Microsoft.ApiManagement/service/*", *_READS]),
    ),
    "4abbcc35-e782-43d8-92c5-2d3f1bd2253f": (
        "Azure Kubernetes Service Cluster User Role",
        permission([f"{_AKS}listClusterUserCredential/action", f"{_AKS}read"]),
    ),
    "0ab0b1a8-8aac-4efd-b8c2-3ee1fb270be8": (
        "Azure Kubernetes Service Cluster Admin Role",
        permission(
            [
                f"{_AKS}listClusterAdminCredential/action",
                f"{_AKS}accessProfiles/listCredential/action",
                f"{_AKS}read",
            ]
        ),
    ),
    "25fbc0a9-bd7c-42a3-aa1a-3b75d497ee68": (
        "Cognitive Services Contributor",
        permission(["Microsoft.CognitiveServices/*", *_READS]),
    ),
    "a97b65f3-24c7-4388-baec-2e87135dc908": (
        "Cognitive Services User",
        permission(
            ["Microsoft.CognitiveServices/*/read", "Microsoft.CognitiveServices/accounts/listkeys/action"]
        ),
    ),
    "53ca6127-db72-4b80-b1b0-d745d6d5456d": (
        "Azure AI User",
        permission(
            ["Microsoft.CognitiveServices/*/read", "Microsoft.Authorization/*/read"],
            ["Microsoft.CognitiveServices/*"],
        ),
    ),
    "eadc314b-1a2d-4efa-be10-5d325db5065e": (
        "Azure AI Project Manager",
        permission(
            [
                *_GRANTS,
                "Microsoft.CognitiveServices/accounts/*/read",
                "Microsoft.CognitiveServices/accounts/projects/*",
                *_READS,
            ],
            ["Microsoft.CognitiveServices/*"],
            only=_only("53ca6127-db72-4b80-b1b0-d745d6d5456d"),
        ),
    ),
    "8b54135c-b56d-4d72-a534-26097cfdc8d8": (
        "Key Vault Data Access Administrator",
        permission([*_GRANTS, *_READS, "Microsoft.KeyVault/vaults/*/read"], only=_only(_VAULT_ROLES)),
    ),
    "00482a5a-887f-4fb3-b363-3b7fe8e74483": (
        "Key Vault Administrator",
        permission([*_READS, "Microsoft.KeyVault/vaults/read"], ["Microsoft.KeyVault/vaults/*"]),
    ),
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": (
        "Key Vault Secrets Officer",
        permission([*_READS, "Microsoft.KeyVault/vaults/read"], [f"{_SECRETS}*"]),
    ),
    "4633458b-17de-408a-b874-0445c86b69e6": (
        "Key Vault Secrets User",
        permission([], [f"{_SECRETS}getSecret/action", f"{_SECRETS}readMetadata/action"]),
    ),
    "21090545-7ca7-4776-b22c-e363652d74d2": (
        "Key Vault Reader",
        permission(
            [*_READS, "Microsoft.KeyVault/vaults/*/read"],
            ["Microsoft.KeyVault/vaults/*/read", f"{_SECRETS}readMetadata/action"],
        ),
    ),
}


def routes(app: web.Application, world: World) -> None:
    one = _MANY + "/{name}"
    route(app, "GET", _MANY, "LIST role definitions", partial(_list, world))
    route(app, "GET", one, "GET role definition", partial(_get, world))
    route(app, "PUT", one, "PUT role definition", partial(_put, world))
    route(app, "DELETE", one, "DELETE role definition", partial(_delete, world))


def exists(world: World, role: str) -> bool:
    """Whether there is a role with this GUID."""
    return role.lower() in BUILT_IN or role.lower() in _custom(world.folder)


def permissions_of(world: World, role: str) -> list[Json]:
    """What the role with this GUID allows."""
    if role.lower() in BUILT_IN:
        return [BUILT_IN[role.lower()][1]]
    row = _custom(world.folder).get(role.lower())
    return [] if row is None else row["properties"]["permissions"]


def define(
    world: World,
    role: str,
    name: str,
    permissions: list[Json],
    description: str = "",
    scopes: list[str] | None = None,
) -> Json:
    """Write a custom role, and answer it as it is shown."""
    shown = _shown(role, name, "CustomRole", permissions)
    shown["properties"] |= {
        "description": description,
        "assignableScopes": scopes or [f"/subscriptions/{SUBSCRIPTION}"],
    }
    _custom(world.folder)[role.lower()] = shown
    return shown


def _shown(role: str, name: str, kind: str, permissions: list[Json]) -> Json:
    properties = {
        "roleName": name,
        "type": kind,
        "description": "",
        "assignableScopes": ["/"],
        "permissions": permissions,
    }
    return {
        "id": _ID.format(role),
        "type": "Microsoft.Authorization/roleDefinitions",
        "name": role,
        "properties": properties,
    }


def _all(world: World) -> list[Json]:
    own = [_shown(role, name, "BuiltInRole", [allowed]) for role, (name, allowed) in BUILT_IN.items()]
    return own + list(_custom(world.folder).values())


async def _list(world: World, request: web.Request) -> web.Response:
    expression = request.query.get("$filter", "")
    match = _NAMED.fullmatch(expression.strip())
    if expression and match is None:
        raise not_known(world, f"the filter {expression} of role definitions")
    rows = [
        row
        for row in _all(world)
        if match is None or row["properties"]["roleName"].lower() == match[1].lower()
    ]
    return web.json_response({"value": rows})


async def _get(world: World, request: web.Request) -> web.Response:
    role = request.match_info["name"]
    for row in _all(world):
        if row["name"].lower() == role.lower():
            return web.json_response(row)
    raise ArmError(
        404, "RoleDefinitionDoesNotExist", f"The specified role definition with ID '{role}' does not exist."
    )


async def _put(world: World, request: web.Request) -> web.Response:
    role, properties = request.match_info["name"].lower(), await properties_of(request)
    _check(world, role, properties)
    empty: Json = permission([])
    kept = [
        empty | {key: value for key, value in one.items() if value is not None}
        for one in properties["permissions"]
    ]
    name, scopes = properties["roleName"], properties["assignableScopes"]
    return web.json_response(
        define(world, role, name, kept, properties.get("description") or "", scopes), status=201
    )


def _check(world: World, role: str, properties: Json) -> None:
    """Raises ArmError unless a custom role can be what these properties say."""
    name, permissions, scopes = (
        properties.get(key) for key in ("roleName", "permissions", "assignableScopes")
    )
    if not name or not isinstance(permissions, list) or not permissions or not scopes:
        raise ArmError(
            400, "InvalidRoleDefinition", "roleName, permissions and assignableScopes are required."
        )
    if role in BUILT_IN or any(
        row["properties"]["roleName"] == name and row["name"] != role for row in _all(world)
    ):
        raise ArmError(
            409,
            "RoleDefinitionWithSameNameExists",
            f"A custom role with the same name '{name}' already exists in this directory.",
        )


async def _delete(world: World, request: web.Request) -> web.Response:
    role = request.match_info["name"].lower()
    if any(
        row["properties"]["roleDefinitionId"].lower().endswith(role)
        for row in role_assignments(world).values()
    ):
        raise ArmError(
            400,
            "RoleDefinitionHasAssignments",
            f"There are existing role assignments referencing role (code: {role}).",
        )
    row: Any = _custom(world.folder).pop(role, None)
    return web.Response(status=204) if row is None else web.json_response(row)


@cache
def _custom(folder: Path) -> Table:
    return Store(folder / "role-definitions.sqlite").table("custom")
