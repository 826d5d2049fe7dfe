"""The roles that the deployment (infra/roles.tf) gives to the app's identity at Resource Manager, held from the start.

There they are given for one API Management service, one vault, one cluster; here for the subscription, since a set of stand-ins plays
any number of them. A test compares the two texts.
"""

from __future__ import annotations

import uuid

from standins.identity import principal
from standins.resource_manager.role_definitions import define, permission
from standins.roles import role_assignments
from standins.world import SUBSCRIPTION, World

_SCOPE = f"/subscriptions/{SUBSCRIPTION}"
_GATEWAY_WRITER = str(uuid.uuid5(uuid.NAMESPACE_URL, "gateway writer"))
_DATA_ACCESS_ADMINISTRATOR = "8b54135c-b56d-4d72-a534-26097cfdc8d8"
_CLUSTER_USER = "4abbcc35-e782-43d8-92c5-2d3f1bd2253f"

GATEWAY_ACTIONS = [
    f"Microsoft.ApiManagement/service/{action}"
    for action in (
        "products/read",
        "products/write",
        "products/delete",
        "products/policies/read",
        "products/policies/write",
        "products/apis/read",
        "products/apis/write",
        "products/subscriptions/read",
        "subscriptions/read",
        "subscriptions/write",
        "subscriptions/delete",
        "subscriptions/listSecrets/action",
        "subscriptions/regeneratePrimaryKey/action",
        "subscriptions/regenerateSecondaryKey/action",
        "backends/read",
        "backends/write",
        "backends/delete",
        "apis/read",
        "apis/write",
        "apis/policies/read",
        "apis/policies/write",
        "apis/products/read",
        "policyFragments/read",
        "policyFragments/write",
        "operationresults/read",
    )
]
#: Key Vault Secrets User, for groups, and nothing else.
ONLY_SECRETS_USER = " AND ".join(
    f"((!(ActionMatches{{'Microsoft.Authorization/roleAssignments/{verb}'}})) OR "
    f"(@{source}[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals "
    "{4633458b-17de-408a-b874-0445c86b69e6} AND "
    f"@{source}[Microsoft.Authorization/roleAssignments:PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {{'Group'}}))"
    for verb, source in (("write", "Request"), ("delete", "Resource"))
)


def give_app_its_roles(world: World) -> None:
    """At every start, so that a test that took one away does not leave the next run without."""
    define(world, _GATEWAY_WRITER, "Mergekey gateway writer", [permission(GATEWAY_ACTIONS)])
    for role, condition in ((_GATEWAY_WRITER, None), (_DATA_ACCESS_ADMINISTRATOR, ONLY_SECRETS_USER), (_CLUSTER_USER, None)):
        _give(world, role, condition)


def _give(world: World, role: str, condition: str | None) -> None:
    name = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{principal()} {role}"))
    id_ = f"{_SCOPE}/providers/Microsoft.Authorization/roleAssignments/{name}"
    properties = {
        "roleDefinitionId": f"{_SCOPE}/providers/Microsoft.Authorization/roleDefinitions/{role}",
        "principalId": principal(),
        "principalType": "ServicePrincipal",
        "scope": _SCOPE,
        "condition": condition,
        "conditionVersion": condition and "2.0",
        "createdOn": "2026-01-01T00:00:00+00:00",
        "updatedOn": "2026-01-01T00:00:00+00:00",
    }
    row = {"id": id_, "name": name, "type": "Microsoft.Authorization/roleAssignments", "properties": properties, "since": 0.0}
    role_assignments(world)[id_.lower()] = row
