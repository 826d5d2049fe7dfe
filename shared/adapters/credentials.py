"""One credential for everything in Azure: the managed identity of the function app, or the user who is signed
in on a laptop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential


def credential() -> AsyncTokenCredential:
    """Azure's own settings apply: AZURE_CLIENT_ID names a user-assigned identity, AZURE_TOKEN_CREDENTIALS
    narrows the search.
    """
    from azure.identity.aio import DefaultAzureCredential

    return DefaultAzureCredential()
