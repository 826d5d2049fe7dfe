"""The roles with which groups read a team's secrets, or use its Foundry project:
https://learn.microsoft.com/azure/key-vault/general/rbac-guide and
https://learn.microsoft.com/azure/ai-foundry/concepts/rbac-foundry.

An assignment's name is derived from its scope, group and role, so that creating it is idempotent.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.adapters.answers import text
from shared.adapters.azure_sdk import ResourceId, all_rows, resource_manager_options
from shared.adapters.sharing import NextFlight
from shared.adapters.translate import understood
from shared.errors import InvalidRequest
from shared.resources.actual import RoleGrant

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

SYSTEM = "Role assignments"
#: Roles by their ids, because names of roles change: Key Vault Secrets User; Foundry User, which was Azure AI
#: User.
SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
FOUNDRY_USER = "53ca6127-db72-4b80-b1b0-d745d6d5456d"


class RoleAssignments:
    """The assignments of one role on the members of one collection: `<id of a vault>/secrets`,
    `<id of a Foundry account>/projects`.
    """

    def __init__(
        self, collection: str, role: str, resource_manager: str, credential: AsyncTokenCredential
    ) -> None:
        from azure.mgmt.authorization.aio import AuthorizationManagementClient

        self._collection = collection
        self._owner = collection.rpartition("/")[0]
        self._id = role
        subscription = ResourceId.of(self._owner).subscription
        self._role = f"/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"
        self._lists: NextFlight[Mapping[str, frozenset[RoleGrant]]] = NextFlight()
        self._client: Any = AuthorizationManagementClient(
            credential, subscription, **resource_manager_options(SYSTEM, resource_manager)
        )

    async def granted(self, group: str) -> frozenset[str]:
        """One call for all: the assignments of the group below the vault (account)."""
        return frozenset(name for name, _ in await self._assigned(self._owner, f"principalId eq '{group}'"))

    async def readers(self) -> Mapping[str, frozenset[RoleGrant]]:
        """Concurrent callers share one list, which begins after they asked: it has the assignments of all
        teams.
        """
        return await self._lists.share(self._readers)

    async def _readers(self) -> Mapping[str, frozenset[RoleGrant]]:
        found: dict[str, frozenset[RoleGrant]] = {}
        for name, reader in await self._assigned(self._owner, None):
            found[name] = found.get(name, frozenset()) | {reader}
        return found

    async def readers_of(self, name: str) -> frozenset[RoleGrant]:
        from azure.core.exceptions import ResourceNotFoundError

        with understood(SYSTEM):
            try:
                return frozenset(reader for _, reader in await self._listed(self._scope(name), "atScope()"))
            except ResourceNotFoundError:
                return frozenset()

    async def _assigned(self, scope: str, condition: str | None) -> list[tuple[str, RoleGrant]]:
        """Name and reader of every assignment of the role on a member of the collection."""
        with understood(SYSTEM):
            return await self._listed(scope, condition)

    async def _listed(self, scope: str, condition: str | None) -> list[tuple[str, RoleGrant]]:
        listed = self._client.role_assignments.list_for_scope(scope, filter=condition)
        assigned = [
            found
            for found in await all_rows(SYSTEM, listed)
            if text(found.role_definition_id).lower().endswith(self._id)
        ]
        prefix = f"{self._collection}/".lower()
        below = [found for found in assigned if text(found.scope).lower().startswith(prefix)]
        # An assignment that was made by hand may spell the name in another case.
        return [(str(found.scope)[len(prefix) :].lower(), self._reader(found)) for found in below]

    def _reader(self, found: Any) -> RoleGrant:
        group = text(found.principal_id)
        return RoleGrant(group, found.name == self._name(str(found.scope), group))

    async def grant(self, name: str, group: str) -> None:
        from azure.core.exceptions import HttpResponseError, ResourceExistsError
        from azure.mgmt.authorization.v2022_04_01.models import RoleAssignmentCreateParameters

        scope = self._scope(name)
        body = RoleAssignmentCreateParameters(
            role_definition_id=self._role, principal_id=group, principal_type="Group"
        )
        with understood(SYSTEM):
            try:
                await self._client.role_assignments.create(scope, self._name(scope, group), body)
            except ResourceExistsError:
                return
            except HttpResponseError as error:
                if error.error is not None and error.error.code == "PrincipalNotFound":
                    raise InvalidRequest(
                        f"there is no Entra group {group}: correct entraGroup", reason="NoSuchGroup"
                    ) from None
                raise

    async def revoke(self, name: str, group: str) -> None:
        scope = self._scope(name)
        with understood(SYSTEM):
            await self._client.role_assignments.delete(scope, self._name(scope, group))

    def _scope(self, name: str) -> str:
        return f"{self._collection}/{name}"

    def _name(self, scope: str, group: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{scope.lower()}|{group}|{self._id}"))

    async def close(self) -> None:
        await self._client.close()
