"""Who may read a team's secrets: https://learn.microsoft.com/azure/key-vault/general/rbac-guide

An assignment's name is made of its scope, group and role, so that making it twice is making it once.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.adapters.translate import translated
from shared.domain.actual import Reader
from shared.errors import InvalidRequest

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

SYSTEM = "Role assignments"
#: Key Vault Secrets User, by its id: names of roles change.
SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"


class RoleAssignments:
    """The role assignments on the secrets of one vault. `vault_id` is the vault's Azure resource id."""

    def __init__(self, vault_id: str, resource_manager: str, credential: AsyncTokenCredential) -> None:
        from azure.mgmt.authorization.aio import AuthorizationManagementClient

        self._vault = vault_id
        subscription = vault_id.strip("/").split("/")[1]
        self._role = f"/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/{SECRETS_USER}"
        scopes = ["https://management.azure.com/.default"]
        base = resource_manager.rstrip("/")
        self._client: Any = AuthorizationManagementClient(credential, subscription, base_url=base, credential_scopes=scopes, retry_total=0)

    async def granted(self, group: str) -> frozenset[str]:
        """One call for all secrets: the assignments of the group below the vault."""
        return frozenset(secret for secret, _ in await self._assigned(self._vault, f"principalId eq '{group}'"))

    async def readers(self) -> Mapping[str, frozenset[Reader]]:
        found: dict[str, frozenset[Reader]] = {}
        for secret, reader in await self._assigned(self._vault, None):
            found[secret] = found.get(secret, frozenset()) | {reader}
        return found

    async def readers_of(self, secret: str) -> frozenset[Reader]:
        return frozenset(reader for _, reader in await self._assigned(self._scope(secret), "atScope()"))

    async def _assigned(self, scope: str, condition: str | None) -> list[tuple[str, Reader]]:
        """Secret and reader of every assignment of the role on a secret of the vault."""
        with translated(SYSTEM):
            listed = self._client.role_assignments.list_for_scope(scope, filter=condition)
            assigned = [found async for found in listed if str(found.role_definition_id).lower().endswith(SECRETS_USER)]
        prefix = f"{self._vault}/secrets/".lower()
        below = [found for found in assigned if str(found.scope).lower().startswith(prefix)]
        return [(str(found.scope)[len(prefix) :], self._reader(found)) for found in below]

    def _reader(self, found: Any) -> Reader:
        group = str(found.principal_id)
        return Reader(group, found.name == self._name(str(found.scope), group))

    async def grant(self, secret: str, group: str) -> None:
        from azure.core.exceptions import HttpResponseError, ResourceExistsError
        from azure.mgmt.authorization.v2022_04_01.models import RoleAssignmentCreateParameters

        scope = self._scope(secret)
        body = RoleAssignmentCreateParameters(role_definition_id=self._role, principal_id=group, principal_type="Group")
        with translated(SYSTEM):
            try:
                await self._client.role_assignments.create(scope, self._name(scope, group), body)
            except ResourceExistsError:
                return
            except HttpResponseError as error:
                if error.error is not None and error.error.code == "PrincipalNotFound":
                    raise InvalidRequest(f"there is no Entra group {group}: correct entraGroup", reason="NoSuchGroup") from None
                raise

    async def revoke(self, secret: str, group: str) -> None:
        scope = self._scope(secret)
        with translated(SYSTEM):
            await self._client.role_assignments.delete(scope, self._name(scope, group))

    def _scope(self, secret: str) -> str:
        return f"{self._vault}/secrets/{secret}"

    def _name(self, scope: str, group: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{scope.lower()}|{group}|{SECRETS_USER}"))

    async def close(self) -> None:
        await self._client.close()
