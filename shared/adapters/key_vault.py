"""Key Vault: https://learn.microsoft.com/rest/api/keyvault/secrets

Values are written and never read: the tags of the versions describe them. A list of versions needs the right
to read metadata only.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from shared.adapters.answers import instance, text
from shared.adapters.azure_sdk import Counted, Lists, all_rows, client_options
from shared.adapters.translate import by_status, understood
from shared.resources.actual import SecretVersion
from shared.secret import SecretValue

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.core.rest import AsyncHttpResponse

SYSTEM = "Key Vault"
_ABSENT = 404


class KeyVault:
    """One vault.

    `verify_challenge` is the SDK's check that the vault's address belongs to the audience it names; turn it
    off only for a vault that is reached under another name.
    """

    def __init__(self, url: str, credential: AsyncTokenCredential, verify_challenge: bool) -> None:
        from azure.keyvault.secrets.aio import SecretClient

        base = url.rstrip("/")
        self._client = SecretClient(
            base,
            credential,
            verify_challenge_resource=verify_challenge,
            **client_options(SYSTEM, base, Lists(), Counted(SYSTEM)),
        )

    async def versions(self, name: str) -> list[SecretVersion]:
        from azure.core.exceptions import ResourceNotFoundError

        with understood(SYSTEM):
            try:
                listed = [
                    _version(name, found)
                    for found in await all_rows(SYSTEM, self._client.list_properties_of_secret_versions(name))
                ]
            except ResourceNotFoundError:
                return []
        return sorted(listed, key=lambda version: version.created, reverse=True)

    async def newest(self) -> list[SecretVersion]:
        with understood(SYSTEM):
            return [
                _version(text(found.name), found)
                for found in await all_rows(SYSTEM, self._client.list_properties_of_secrets())
            ]

    async def set(self, name: str, value: SecretValue, content_type: str, tags: Mapping[str, str]) -> None:
        with understood(SYSTEM):
            await self._client.set_secret(name, value.reveal(), content_type=content_type, tags=dict(tags))

    async def recover(self, name: str) -> None:
        """Start the recovery, which takes the vault some seconds; the stage retries meanwhile."""
        with understood(SYSTEM):
            _require_begun(await self._begin("POST", f"/deletedsecrets/{name}/recover"))

    async def deleted_tags(self, name: str) -> Mapping[str, str] | None:
        """By the list, which holds no values and needs the right to read metadata only. To get the one would
        need the right to read values
        (https://learn.microsoft.com/rest/api/keyvault/secrets/get-deleted-secret).
        """
        with understood(SYSTEM):
            for found in await all_rows(SYSTEM, self._client.list_deleted_secrets()):
                if text(found.name).lower() == name.lower():
                    return dict(found.properties.tags or {})
        return None

    async def update(self, version: SecretVersion, enabled: bool, tags: Mapping[str, str]) -> None:
        with understood(SYSTEM):
            await self._client.update_secret_properties(
                version.name, version.version, enabled=enabled, tags=dict(tags)
            )

    async def delete(self, name: str) -> None:
        """Start the deletion, without waiting for its end."""
        with understood(SYSTEM):
            answer = await self._begin("DELETE", f"/secrets/{name}")
            if answer.status_code != _ABSENT:
                _require_begun(answer)

    async def _begin(self, method: str, path: str) -> AsyncHttpResponse:
        """Begin a long-running operation. The SDK's own methods would wait for its end, a minute or more,
        while the message is locked.
        """
        from azure.core.rest import HttpRequest

        return await self._client.send_request(HttpRequest(method, path))

    async def close(self) -> None:
        await self._client.close()


def _require_begun(answer: AsyncHttpResponse) -> None:
    answer.raise_for_status()
    if answer.status_code >= 300:
        raise by_status(SYSTEM, answer.status_code)


def _version(name: str, properties: Any) -> SecretVersion:
    created = instance(datetime, properties.created_on)
    return SecretVersion(
        name, properties.version or "", bool(properties.enabled), created, dict(properties.tags or {})
    )
