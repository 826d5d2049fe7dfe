"""Role assignments in the Resource Manager stand-in, and the vault that obeys them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.identity.aio import ManagedIdentityCredential
from azure.keyvault.secrets.aio import SecretClient
from azure.mgmt.authorization.aio import AuthorizationManagementClient
from azure.mgmt.authorization.v2022_04_01.models import RoleAssignmentCreateParameters

from standins.identity import principal
from standins.tests.azure_clients import ask, authorization, key_vault, managed_identity
from standins.tests.differences import known_difference
from standins.tests.plugin import StandIns
from standins.world import SUBSCRIPTION

SECRETS_USER = (
    f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/4633458b-17de-408a-"
    "b874-0445c86b69e6"
)
VAULT = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-vault/providers/Microsoft.KeyVault/vaults/kv-local"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def credential(standins: StandIns) -> AsyncIterator[ManagedIdentityCredential]:
    with managed_identity(standins):
        async with ManagedIdentityCredential() as credential:
            yield credential


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def roles(
    standins: StandIns, credential: ManagedIdentityCredential
) -> AsyncIterator[AuthorizationManagementClient]:
    async with authorization(standins, credential) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def vault(standins: StandIns, credential: ManagedIdentityCredential) -> AsyncIterator[SecretClient]:
    async with key_vault(standins, credential) as client:
        yield client


@pytest.fixture
def scope() -> str:
    return f"{VAULT}/secrets/alpha-{uuid.uuid4().hex[:12]}-primary-key"


def an_assignment(group: str | None = None) -> RoleAssignmentCreateParameters:
    return RoleAssignmentCreateParameters(
        role_definition_id=SECRETS_USER, principal_id=group or str(uuid.uuid4()), principal_type="Group"
    )


async def test_an_assignment_is_made_read_and_taken_away(
    roles: AuthorizationManagementClient, scope: str
) -> None:
    name, wanted = str(uuid.uuid4()), an_assignment()
    made = await roles.role_assignments.create(scope, name, wanted)
    assert (made.name, made.scope, made.principal_id, made.principal_type) == (
        name,
        scope,
        wanted.principal_id,
        "Group",
    )
    assert (await roles.role_assignments.create(scope, name, wanted)).id == made.id
    assert (await roles.role_assignments.get(scope, name)).role_definition_id == SECRETS_USER
    assert (await roles.role_assignments.delete(scope, name)).id == made.id
    assert await roles.role_assignments.delete(scope, name) is None


async def test_the_same_grant_under_another_name_is_refused(
    roles: AuthorizationManagementClient, scope: str
) -> None:
    wanted = an_assignment()
    await roles.role_assignments.create(scope, str(uuid.uuid4()), wanted)
    with pytest.raises(ResourceExistsError) as refused:
        await roles.role_assignments.create(scope, str(uuid.uuid4()), wanted)
    assert refused.value.error is not None
    assert refused.value.error.code == "RoleAssignmentExists"


async def test_an_assignment_cannot_be_moved_to_somebody_else(
    roles: AuthorizationManagementClient, scope: str
) -> None:
    name = str(uuid.uuid4())
    await roles.role_assignments.create(scope, name, an_assignment())
    with pytest.raises(HttpResponseError, match="RoleAssignmentUpdateNotPermitted"):
        await roles.role_assignments.create(scope, name, an_assignment())


async def test_a_role_that_does_not_exist_cannot_be_assigned(
    roles: AuthorizationManagementClient, scope: str
) -> None:
    wanted = an_assignment()
    wanted.role_definition_id = SECRETS_USER.replace("4633458b", "00000000")
    with pytest.raises(HttpResponseError, match="RoleDefinitionDoesNotExist"):
        await roles.role_assignments.create(scope, str(uuid.uuid4()), wanted)


@known_difference(
    "resource-manager",
    "A role assignment at a resource that does not exist is answered with 404 ResourceNotFound.",
)
async def test_a_role_is_assigned_at_what_exists(roles: AuthorizationManagementClient, scope: str) -> None:
    with pytest.raises(ResourceNotFoundError):
        await roles.role_assignments.create(scope, str(uuid.uuid4()), an_assignment())


async def test_an_assignment_without_principal_type_is_refused(
    roles: AuthorizationManagementClient, scope: str
) -> None:
    wanted = an_assignment()
    wanted.principal_type = None  # type: ignore[assignment]
    with pytest.raises(HttpResponseError, match="PrincipalNotFound"):
        await roles.role_assignments.create(scope, str(uuid.uuid4()), wanted)


async def test_assignments_are_listed_by_scope_and_by_principal(
    roles: AuthorizationManagementClient, scope: str
) -> None:
    mine, other, name = str(uuid.uuid4()), str(uuid.uuid4()), str(uuid.uuid4())
    below = await roles.role_assignments.create(scope, name, an_assignment(mine))
    at = await roles.role_assignments.create(VAULT, str(uuid.uuid4()), an_assignment(mine))
    await roles.role_assignments.create(VAULT, str(uuid.uuid4()), an_assignment(other))

    async def listed(scope: str, expression: str) -> set[str | None]:
        return {row.id async for row in roles.role_assignments.list_for_scope(scope, filter=expression)}

    assert await listed(VAULT, f"principalId eq '{mine}'") == {below.id, at.id}
    assert await listed(VAULT, f"atScope() and principalId eq '{mine}'") == {at.id}
    assert await listed(scope, f"atScope() and principalId eq '{mine}'") == {below.id, at.id}
    assert below.id not in await listed(VAULT, "atScope()")
    with pytest.raises(HttpResponseError, match="filter"):
        await listed(VAULT, "roleDefinitionId eq 'x'")


async def test_assignments_of_a_principal_are_those_of_its_groups_too(
    roles: AuthorizationManagementClient, scope: str
) -> None:
    group = str(uuid.uuid4())
    client = f"team-reader-{group}"
    async with ManagedIdentityCredential(client_id=client) as member:
        await member.get_token("https://vault.azure.net/.default")
    made = await roles.role_assignments.create(scope, str(uuid.uuid4()), an_assignment(group))
    for who, term in ((principal(client), "assignedTo"), (group, "assignedTo")):
        assert made.id in [
            row.id
            async for row in roles.role_assignments.list_for_scope(
                scope, filter=f"atScope() and {term}('{who}')"
            )
        ]
    assert [
        row.id
        async for row in roles.role_assignments.list_for_scope(
            scope, filter=f"principalId eq '{principal(client)}'"
        )
    ] == []


async def test_a_member_of_the_group_reads_exactly_the_secret_that_was_granted(
    standins: StandIns, roles: AuthorizationManagementClient, vault: SecretClient, scope: str
) -> None:
    group, name, assignment = str(uuid.uuid4()), scope.rsplit("/", 1)[-1], str(uuid.uuid4())
    await vault.set_secret(name, "for the team")
    await vault.set_secret(f"{name}-other", "not for the team")
    async with (
        ManagedIdentityCredential(client_id=f"team-reader-{group}") as member,
        key_vault(standins, member) as reader,
    ):
        await expect_forbidden(reader, name)
        await roles.role_assignments.create(scope, assignment, an_assignment(group))
        assert (await reader.get_secret(name)).value == "for the team"
        await expect_forbidden(reader, f"{name}-other")
        with pytest.raises(HttpResponseError, match="setSecret"):
            await reader.set_secret(name, "mine now")
        await roles.role_assignments.delete(scope, assignment)
        await expect_forbidden(reader, name)


async def expect_forbidden(reader: SecretClient, name: str) -> None:
    with pytest.raises(HttpResponseError) as refused:
        await reader.get_secret(name)
    assert refused.value.status_code == 403
    assert refused.value.error is not None
    assert refused.value.error.innererror == {"code": "ForbiddenByRbac"}


def test_nobody_reads_assignments_without_a_token(standins: StandIns) -> None:
    url = (
        f"{standins.addresses['resource-manager']}{VAULT}/providers/Microsoft.Authorization/"
        "roleAssignments?api-version=2022-04-01"
    )
    status, body, headers = ask(standins, "GET", url)
    assert (status, body["error"]["code"]) == (401, "AuthenticationFailed")
    assert "WWW-Authenticate" in headers
