"""Who may do what at Resource Manager: roles, their inheritance and conditions, and the roles that the
deployment gives to the app.
"""

from __future__ import annotations

import contextlib
import json
import re
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from azure.core.exceptions import HttpResponseError
from azure.identity.aio import ManagedIdentityCredential
from azure.mgmt.authorization.aio import AuthorizationManagementClient
from azure.mgmt.authorization.v2022_04_01.models import (
    Permission,
    RoleAssignmentCreateParameters,
    RoleDefinition,
)

from standins.identity import principal
from standins.resource_manager.app_roles import (
    GATEWAY_ACTIONS,
    ONLY_FOUNDRY_USER,
    ONLY_SECRETS_USER,
    PROJECT_ACTIONS,
    TRACES_ACTIONS,
)
from standins.tests.azure_clients import ask, authorization, key_vault, managed_identity
from standins.tests.plugin import ROOT, StandIns
from standins.world import SUBSCRIPTION

HERE = f"/subscriptions/{SUBSCRIPTION}"
GROUP = f"{HERE}/resourceGroups/rg-access"
SERVICE = f"{GROUP}/providers/Microsoft.ApiManagement/service/apim-access"
VAULT = f"{HERE}/resourceGroups/rg-vault/providers/Microsoft.KeyVault/vaults/kv-local"
CLUSTER = f"{GROUP}/providers/Microsoft.ContainerService/managedClusters/gpu"
API, AKS, ROLES = "api-version=2024-05-01", "api-version=2026-08-01", "api-version=2022-04-01"

OWNER, CONTRIBUTOR = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "b24988ac-6180-42a0-ab88-20f7382dd24c"
READER, ACCESS_ADMINISTRATOR = "acdd72a7-3385-48ef-bd42-f606fba81ae7", "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"
SERVICE_CONTRIBUTOR, CLUSTER_USER = (
    "312a565d-c81f-4fd8-895a-4e21e48d571c",
    "4abbcc35-e782-43d8-92c5-2d3f1bd2253f",
)
DATA_ACCESS_ADMINISTRATOR, SECRETS_USER = (
    "8b54135c-b56d-4d72-a534-26097cfdc8d8",
    "4633458b-17de-408a-b874-0445c86b69e6",
)
FOUNDRY_USER = "53ca6127-db72-4b80-b1b0-d745d6d5456d"


@pytest.fixture(autouse=True)
def _managed_identity(standins: StandIns) -> Iterator[None]:
    with managed_identity(standins):
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def owner(standins: StandIns) -> AsyncIterator[AuthorizationManagementClient]:
    with managed_identity(standins):
        async with (
            ManagedIdentityCredential(client_id="operator") as credential,
            authorization(standins, credential) as client,
        ):
            yield client


@contextlib.contextmanager
def propagation(standins: StandIns, seconds: float) -> Iterator[None]:
    standins.control.set_options("azure", role_propagation_seconds=seconds)
    try:
        yield
    finally:
        standins.control.set_options("azure", role_propagation_seconds=0)


def definition(role: str) -> str:
    return f"{HERE}/providers/Microsoft.Authorization/roleDefinitions/{role}"


class Somebody:
    """A new identity: what it is given, and what it is answered."""

    def __init__(self, standins: StandIns, owner: AuthorizationManagementClient) -> None:
        self.client = f"somebody-{uuid.uuid4().hex[:10]}"
        self.id = principal(self.client)
        self._standins = standins
        self._owner = owner

    async def gets(self, role: str, scope: str, condition: str | None = None) -> Any:
        body = RoleAssignmentCreateParameters(
            role_definition_id=definition(role),
            principal_id=self.id,
            principal_type="ServicePrincipal",
            condition=condition,
        )
        body.condition_version = None if condition is None else "2.0"
        return await self._owner.role_assignments.create(scope, str(uuid.uuid4()), body)

    async def loses(self, assignment: Any) -> None:
        await self._owner.role_assignments.delete(assignment.scope, assignment.name)

    async def asks(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with ManagedIdentityCredential(client_id=self.client) as credential:
            token = (await credential.get_token("https://management.azure.com/.default")).token
        url = self._standins.addresses["resource-manager"] + path
        status, answer, _ = ask(
            self._standins, method, url, body=body, Authorization=f"Bearer {token}", If_Match="*"
        )
        return status, answer

    async def may(self, method: str, path: str, body: Any = None) -> bool:
        """Whether the roles allow it, whatever comes of it then."""
        status, answer = await self.asks(method, path, body)
        denied = status == 403 and answer is not None and answer["error"]["code"] == "AuthorizationFailed"
        return not denied and status not in (401, 403, 501)


@pytest.fixture
def somebody(standins: StandIns, owner: AuthorizationManagementClient) -> Somebody:
    return Somebody(standins, owner)


PRODUCTS = f"{SERVICE}/products?{API}"
PRODUCT = f"{SERVICE}/products/p?{API}"


async def test_who_has_no_role_is_told_which_action_is_missing_and_where(somebody: Somebody) -> None:
    status, answer = await somebody.asks("PUT", PRODUCT, {"properties": {"displayName": "P"}})
    assert (status, answer["error"]["code"]) == (403, "AuthorizationFailed")
    assert answer["error"]["message"] == (
        f"The client '{somebody.client}' with object id '{somebody.id}' does not have authorization to "
        f"perform action 'Microsoft.ApiManagement/service/products/write' over scope '{SERVICE}/products/p' "
        "or the scope is invalid. If access was recently granted, please refresh your credentials."
    )
    _, answer = await somebody.asks("GET", PRODUCTS)
    assert (
        f"'Microsoft.ApiManagement/service/products/read' over scope '{SERVICE}'"
        in answer["error"]["message"]
    )
    _, answer = await somebody.asks("POST", f"{SERVICE}/subscriptions/s/listSecrets?{API}")
    assert (
        "'Microsoft.ApiManagement/service/subscriptions/listSecrets/action' over scope "
        f"'{SERVICE}/subscriptions/s'"
    ) in str(answer)
    _, answer = await somebody.asks("GET", f"{HERE}/resourceGroups?api-version=2024-11-01")
    assert (
        f"'Microsoft.Resources/subscriptions/resourceGroups/read' over scope '{HERE}'"
        in answer["error"]["message"]
    )


@pytest.mark.parametrize("scope", [HERE, GROUP.upper(), SERVICE, f"{SERVICE}/products/p"])
async def test_a_role_counts_at_its_scope_and_below(somebody: Somebody, scope: str) -> None:
    await somebody.gets(SERVICE_CONTRIBUTOR, scope)
    assert await somebody.may("GET", PRODUCT)
    assert not await somebody.may("GET", CLUSTER + f"?{AKS}")


@pytest.mark.parametrize(
    "scope", [f"{GROUP}-2", f"{SERVICE}2", f"{SERVICE}/products/p2", f"{HERE}/resourceGroups/other"]
)
async def test_a_role_does_not_count_beside_its_scope(somebody: Somebody, scope: str) -> None:
    await somebody.gets(OWNER, scope)
    assert not await somebody.may("GET", PRODUCT)


@pytest.mark.parametrize(
    ("role", "reads", "writes", "grants"),
    [
        (OWNER, True, True, True),
        (CONTRIBUTOR, True, True, False),
        (READER, True, False, False),
        (ACCESS_ADMINISTRATOR, True, False, True),
        (SERVICE_CONTRIBUTOR, True, True, False),
        (CLUSTER_USER, False, False, False),
    ],
)
async def test_built_in_roles_allow_what_they_say(
    somebody: Somebody, role: str, reads: bool, writes: bool, grants: bool
) -> None:
    await somebody.gets(role, GROUP)
    assert await somebody.may("GET", PRODUCT) is reads
    assert await somebody.may("DELETE", f"{SERVICE}/products/none?{API}") is writes
    assert (
        await somebody.may(
            "DELETE", f"{GROUP}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}?{ROLES}"
        )
        is grants
    )


async def test_a_group_gives_its_roles_to_its_members(
    standins: StandIns, owner: AuthorizationManagementClient
) -> None:
    group = str(uuid.uuid4())
    member = Somebody(standins, owner)
    member.client = f"member-{group}"
    body = RoleAssignmentCreateParameters(
        role_definition_id=definition(READER), principal_id=group, principal_type="Group"
    )
    await owner.role_assignments.create(SERVICE, str(uuid.uuid4()), body)
    assert await member.may("GET", PRODUCT)


async def test_the_check_can_be_turned_off(standins: StandIns, somebody: Somebody) -> None:
    standins.control.set_options("azure", check_roles=False)
    try:
        assert await somebody.may("GET", PRODUCT)
    finally:
        standins.control.set_options("azure", check_roles=True)


# -- time ----------------------------------------------------------------------------------------------------


async def test_a_role_takes_its_time_to_work_and_to_stop(standins: StandIns, somebody: Somebody) -> None:
    with propagation(standins, 60):
        given = await somebody.gets(READER, SERVICE)
        assert not await somebody.may("GET", PRODUCT)
        standins.control.advance(61)
        assert await somebody.may("GET", PRODUCT)
        await somebody.loses(given)
        assert await somebody.may("GET", PRODUCT)
        standins.control.advance(61)
        assert not await somebody.may("GET", PRODUCT)


async def test_a_role_that_was_taken_away_at_once_never_works_for_good(
    standins: StandIns, somebody: Somebody
) -> None:
    with propagation(standins, 60):
        await somebody.loses(await somebody.gets(READER, SERVICE))
        standins.control.advance(120)
        assert not await somebody.may("GET", PRODUCT)


async def test_the_vault_learns_of_roles_as_late(
    standins: StandIns, owner: AuthorizationManagementClient
) -> None:
    group, name = str(uuid.uuid4()), f"alpha-{uuid.uuid4().hex[:10]}"
    async with ManagedIdentityCredential() as app, key_vault(standins, app) as writer:
        await writer.set_secret(name, "for the team")
    body = RoleAssignmentCreateParameters(
        role_definition_id=definition(SECRETS_USER), principal_id=group, principal_type="Group"
    )
    async with (
        ManagedIdentityCredential(client_id=f"team-reader-{group}") as member,
        key_vault(standins, member) as reader,
    ):
        with propagation(standins, 60):
            await owner.role_assignments.create(f"{VAULT}/secrets/{name}", str(uuid.uuid4()), body)
            with pytest.raises(HttpResponseError, match="Forbidden"):
                await reader.get_secret(name)
            standins.control.advance(61)
            assert (await reader.get_secret(name)).value == "for the team"


# -- roles of one's own --------------------------------------------------------------------------------------


async def a_role(owner: AuthorizationManagementClient, *actions: str) -> str:
    """The id of a new custom role."""
    role = str(uuid.uuid4())
    permissions = [Permission(actions=list(actions), not_actions=[], data_actions=[], not_data_actions=[])]
    body = RoleDefinition(
        role_name=f"role {role}", role_type="CustomRole", permissions=permissions, assignable_scopes=[HERE]
    )
    made: Any = await owner.role_definitions.create_or_update(HERE, role, body)
    assert (made.name, made.role_type) == (role, "CustomRole")
    return role


async def test_a_custom_role_is_made_found_used_and_deleted(
    owner: AuthorizationManagementClient, somebody: Somebody
) -> None:
    role = await a_role(owner, "Microsoft.ApiManagement/service/products/read")
    [found] = [row async for row in owner.role_definitions.list(HERE, filter=f"roleName eq 'role {role}'")]
    assert found.id == definition(role)
    given = await somebody.gets(role, SERVICE)
    assert await somebody.may("GET", PRODUCT)
    assert not await somebody.may("PUT", PRODUCT, {"properties": {}})
    with pytest.raises(HttpResponseError, match="RoleDefinitionHasAssignments"):
        await owner.role_definitions.delete(HERE, role)
    await somebody.loses(given)
    await owner.role_definitions.delete(HERE, role)
    with pytest.raises(HttpResponseError, match="RoleDefinitionDoesNotExist"):
        await owner.role_definitions.get(HERE, role)


async def test_two_roles_cannot_have_one_name(owner: AuthorizationManagementClient) -> None:
    body = RoleDefinition(
        role_name="Reader",
        role_type="CustomRole",
        permissions=[Permission(actions=["*"])],
        assignable_scopes=[HERE],
    )
    with pytest.raises(HttpResponseError, match="RoleDefinitionWithSameNameExists"):
        await owner.role_definitions.create_or_update(HERE, str(uuid.uuid4()), body)


# -- the deployment's roles ----------------------------------------------------------------------------------


def deployment(role: str) -> list[str]:
    """The actions of one of the deployment's own roles."""
    actions: list[str] = json.loads((ROOT / "infra" / "roles.json").read_text())["own_roles"][role]["actions"]
    return actions


def condition_for(role: str) -> str:
    """The condition under which the deployment lets the app grant this role (its id)."""
    text = (ROOT / "infra" / "roles.tf").read_text()
    heredoc = re.search(r"for role, id in local\.grantable : role => <<-EOT\n(.*?)\n\s*EOT", text, re.DOTALL)
    assert heredoc is not None
    return heredoc[1].replace("${id}", role)


def test_the_app_has_at_the_stand_ins_what_the_deployment_gives_it() -> None:
    assert deployment("gateway writer") == GATEWAY_ACTIONS
    without = str.maketrans("", "", " \n()")
    for role, condition in ((SECRETS_USER, ONLY_SECRETS_USER), (FOUNDRY_USER, ONLY_FOUNDRY_USER)):
        assert condition_for(role).translate(without) == condition.translate(without)


def test_so_it_has_for_the_playground() -> None:
    assert deployment("projects writer") == PROJECT_ACTIONS
    assert deployment("traces reader") == TRACES_ACTIONS


def test_the_roles_that_the_app_may_grant_are_those_that_it_grants() -> None:
    text = (ROOT / "infra" / "roles.tf").read_text()
    block = text[text.index("grantable = {") : text.index("conditions = {")]
    assert set(re.findall(r'= "([0-9a-f-]{36})"', block)) == {SECRETS_USER, FOUNDRY_USER}


#: What the app asks of the gateway, by the action that it needs.
OPERATIONS = {
    "products/read": ("GET", "products/p"),
    "products/write": ("PUT", "products/p"),
    "products/delete": ("DELETE", "products/p"),
    "products/policies/read": ("GET", "products/p/policies/policy"),
    "products/policies/write": ("PUT", "products/p/policies/policy"),
    "products/apis/read": ("GET", "products/p/apis"),
    "products/apis/write": ("PUT", "products/p/apis/ai"),
    "products/apis/delete": ("DELETE", "products/p/apis/ai"),
    "products/subscriptions/read": ("GET", "products/p/subscriptions"),
    "subscriptions/read": ("GET", "subscriptions"),
    "subscriptions/write": ("PATCH", "subscriptions/s"),
    "subscriptions/delete": ("DELETE", "subscriptions/s"),
    "subscriptions/listSecrets/action": ("POST", "subscriptions/s/listSecrets"),
    "subscriptions/regeneratePrimaryKey/action": ("POST", "subscriptions/s/regeneratePrimaryKey"),
    "subscriptions/regenerateSecondaryKey/action": ("POST", "subscriptions/s/regenerateSecondaryKey"),
    "backends/read": ("GET", "backends"),
    "backends/write": ("PUT", "backends/b"),
    "backends/delete": ("DELETE", "backends/b"),
    "namedValues/read": ("GET", "namedValues"),
    "namedValues/write": ("PUT", "namedValues/v"),
    "namedValues/delete": ("DELETE", "namedValues/v"),
    "apis/read": ("GET", "apis/ai"),
    "apis/write": ("PUT", "apis/ai"),
    "apis/delete": ("DELETE", "apis/ai"),
    "apis/policies/read": ("GET", "apis/ai/policies/policy"),
    "apis/policies/write": ("PUT", "apis/ai/policies/policy"),
    "apis/products/read": ("GET", "apis/ai/products"),
    "policyFragments/read": ("GET", "policyFragments/f"),
    "policyFragments/write": ("PUT", "policyFragments/f"),
    # Where the outcome of a long operation is asked for: the first answer names one of the two.
    "operationresults/read": ("GET", "operationResults/o"),
    "tenant/operationResults/read": ("GET", "tenant/operationResults/o"),
}


@pytest.mark.wrong_on_purpose  # bodies are empty: roles are looked at before them
async def test_each_action_of_the_gateways_role_is_needed_and_opens_its_operation(
    owner: AuthorizationManagementClient, standins: StandIns
) -> None:
    given = deployment("gateway writer")
    actions = {action.removeprefix("Microsoft.ApiManagement/service/") for action in given}
    assert actions == OPERATIONS.keys()
    for needed, (method, path) in OPERATIONS.items():
        without, only = Somebody(standins, owner), Somebody(standins, owner)
        rest = [f"Microsoft.ApiManagement/service/{action}" for action in actions - {needed}]
        await without.gets(await a_role(owner, *rest), SERVICE)
        await only.gets(await a_role(owner, f"Microsoft.ApiManagement/service/{needed}"), SERVICE)
        body: Any = {} if method in ("PUT", "PATCH") else None
        status, _ = await without.asks(method, f"{SERVICE}/{path}?{API}", body)
        assert status == 403, needed
        assert await only.may(method, f"{SERVICE}/{path}?{API}", body), needed


async def test_the_cluster_is_found_with_its_role_only(somebody: Somebody) -> None:
    path = f"{CLUSTER}/listClusterUserCredential?{AKS}"
    assert not await somebody.may("POST", path)
    await somebody.gets(CLUSTER_USER, CLUSTER)
    assert (await somebody.asks("POST", path))[0] == 200
    assert not await somebody.may("POST", f"{CLUSTER}/listClusterAdminCredential?{AKS}")


def at_secret() -> str:
    return (
        f"{VAULT}/secrets/alpha-{uuid.uuid4().hex[:10]}/providers/Microsoft.Authorization/roleAssignments/"
        f"{uuid.uuid4()}?{ROLES}"
    )


def a_grant(role: str, kind: str) -> Any:
    return {
        "properties": {
            "roleDefinitionId": definition(role),
            "principalId": str(uuid.uuid4()),
            "principalType": kind,
        }
    }


async def test_the_app_may_grant_one_role_to_groups_and_nothing_else(
    owner: AuthorizationManagementClient, somebody: Somebody
) -> None:
    await somebody.gets(DATA_ACCESS_ADMINISTRATOR, VAULT, condition_for(SECRETS_USER))
    secret = at_secret()
    assert (await somebody.asks("PUT", secret, a_grant(SECRETS_USER, "Group")))[0] == 201
    assert (await somebody.asks("DELETE", secret))[0] == 200
    assert (await somebody.asks("DELETE", secret))[0] == 204
    assert not await somebody.may("PUT", at_secret(), a_grant(SECRETS_USER, "User"))
    assert not await somebody.may(
        "PUT", at_secret(), a_grant("b86a8fe4-44ce-4948-aee5-eccb2c155cd7", "Group")
    )
    foreign = await an_assignment_of_a_user(owner)
    assert not await somebody.may("DELETE", f"{foreign.id}?{ROLES}")
    assert not await somebody.may(
        "PUT", at_secret().replace("kv-local", "kv-other"), a_grant(SECRETS_USER, "Group")
    )


async def an_assignment_of_a_user(owner: AuthorizationManagementClient) -> Any:
    """Somebody's own assignment in the vault: for a user, not for a group."""
    body = RoleAssignmentCreateParameters(
        role_definition_id=definition(SECRETS_USER), principal_id=str(uuid.uuid4()), principal_type="User"
    )
    return await owner.role_assignments.create(VAULT, str(uuid.uuid4()), body)


async def test_the_built_in_role_for_grants_in_a_vault_is_limited_to_roles_of_vaults(
    somebody: Somebody,
) -> None:
    await somebody.gets(DATA_ACCESS_ADMINISTRATOR, VAULT)
    assert await somebody.may("PUT", at_secret(), a_grant(SECRETS_USER, "User"))
    assert not await somebody.may("PUT", at_secret(), a_grant(OWNER, "User"))


async def test_a_condition_that_is_none_is_not_taken(somebody: Somebody) -> None:
    with pytest.raises(HttpResponseError, match="condition with"):
        await somebody.gets(READER, SERVICE, "it is Monday")
