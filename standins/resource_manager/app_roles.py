"""The roles that the deployment (infra/roles.json) gives to the app's identity at Resource Manager, held from
the start.

There they are given for one API Management service, one vault, one cluster, one Foundry account; here for the
subscription, since a set of stand-ins plays any number of them. A test compares the two texts.
"""

from __future__ import annotations

import uuid

from standins.identity import principal
from standins.resource_manager.role_definitions import define, permission
from standins.roles import role_assignments
from standins.world import SUBSCRIPTION, World

_SCOPE = f"/subscriptions/{SUBSCRIPTION}"
_GATEWAY_WRITER = str(uuid.uuid5(uuid.NAMESPACE_URL, "gateway writer"))
_PROJECTS_WRITER = str(uuid.uuid5(uuid.NAMESPACE_URL, "projects writer"))
_TRACES_READER = str(uuid.uuid5(uuid.NAMESPACE_URL, "traces reader"))
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
        "products/apis/delete",
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
        "namedValues/read",
        "namedValues/write",
        "namedValues/delete",
        "apis/read",
        "apis/write",
        "apis/delete",
        "apis/policies/read",
        "apis/policies/write",
        "apis/products/read",
        "policyFragments/read",
        "policyFragments/write",
        "operationresults/read",
        "tenant/operationResults/read",
    )
]


def _only(role: str) -> str:
    """The condition that allows to give and take this role, for groups, and no other."""
    return " AND ".join(
        f"((!(ActionMatches{{'Microsoft.Authorization/roleAssignments/{verb}'}})) OR "
        f"(@{source}[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals "
        f"{{{role}}} AND @{source}[Microsoft.Authorization/roleAssignments:PrincipalType] "
        "ForAnyOfAnyValues:StringEqualsIgnoreCase {'Group'}))"
        for verb, source in (("write", "Request"), ("delete", "Resource"))
    )


#: Key Vault Secrets User on secrets, Foundry User on projects.
ONLY_SECRETS_USER, ONLY_FOUNDRY_USER = (
    _only("4633458b-17de-408a-b874-0445c86b69e6"),
    _only("53ca6127-db72-4b80-b1b0-d745d6d5456d"),
)


PROJECT_ACTIONS = [
    "Microsoft.CognitiveServices/accounts/read",
    "Microsoft.CognitiveServices/accounts/projects/read",
    "Microsoft.CognitiveServices/accounts/projects/write",
    "Microsoft.CognitiveServices/accounts/projects/delete",
    "Microsoft.CognitiveServices/accounts/projects/connections/read",
    "Microsoft.CognitiveServices/accounts/projects/connections/write",
    "Microsoft.CognitiveServices/accounts/projects/connections/delete",
    "Microsoft.Authorization/roleAssignments/read",
    "Microsoft.Authorization/roleAssignments/write",
    "Microsoft.Authorization/roleAssignments/delete",
]
TRACES_ACTIONS = ["Microsoft.Insights/components/read"]


def give_app_its_roles(world: World) -> None:
    """At every start, so that a test that took one away does not leave the next run without."""
    define(world, _GATEWAY_WRITER, "Mergekey gateway writer", [permission(GATEWAY_ACTIONS)])
    define(world, _PROJECTS_WRITER, "Mergekey projects writer", [permission(PROJECT_ACTIONS)])
    define(world, _TRACES_READER, "Mergekey traces reader", [permission(TRACES_ACTIONS)])
    conditions = {_DATA_ACCESS_ADMINISTRATOR: ONLY_SECRETS_USER, _PROJECTS_WRITER: ONLY_FOUNDRY_USER}
    for role in (
        _GATEWAY_WRITER,
        _DATA_ACCESS_ADMINISTRATOR,
        _CLUSTER_USER,
        _PROJECTS_WRITER,
        _TRACES_READER,
    ):
        _give(world, role, conditions.get(role))


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
    row = {
        "id": id_,
        "name": name,
        "type": "Microsoft.Authorization/roleAssignments",
        "properties": properties,
        "since": 0.0,
    }
    role_assignments(world)[id_.lower()] = row
