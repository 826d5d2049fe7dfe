"""The SDK clients as the app builds them, pointed at the stand-ins."""

from __future__ import annotations

import contextlib
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from azure.identity.aio import ManagedIdentityCredential
from azure.keyvault.secrets.aio import SecretClient
from azure.mgmt.apimanagement.aio import ApiManagementClient
from azure.mgmt.authorization.aio import AuthorizationManagementClient

from standins.identity import IDENTITY_HEADER
from standins.tests.plugin import StandIns
from standins.world import SUBSCRIPTION

GROUP, SERVICE = "rg-gateway", "apim-local"


@contextlib.contextmanager
def managed_identity(standins: StandIns) -> Iterator[None]:
    """The two variables that App Service sets; azure-identity reads them whenever it asks for a token."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IDENTITY_ENDPOINT", f"{standins.addresses['identity']}/msi/token")
        patch.setenv("IDENTITY_HEADER", IDENTITY_HEADER)
        yield


def api_management(standins: StandIns, credential: ManagedIdentityCredential) -> ApiManagementClient:
    return ApiManagementClient(
        credential,
        SUBSCRIPTION,
        base_url=standins.addresses["resource-manager"],
        connection_verify=standins.ca,
    )


def authorization(standins: StandIns, credential: ManagedIdentityCredential) -> AuthorizationManagementClient:
    return AuthorizationManagementClient(
        credential,
        SUBSCRIPTION,
        base_url=standins.addresses["resource-manager"],
        connection_verify=standins.ca,
    )


def key_vault(standins: StandIns, credential: ManagedIdentityCredential) -> SecretClient:
    return SecretClient(
        standins.addresses["key-vault"],
        credential,
        verify_challenge_resource=False,
        connection_verify=standins.ca,
    )


def with_etag(_response: Any, resource: Any, headers: dict[str, str]) -> tuple[Any, str]:
    """For `cls=`: the SDK's models have no ETag, the headers do."""
    return resource, headers["ETag"]


def ask(
    standins: StandIns, method: str, url: str, *, body: Any = None, **headers: str
) -> tuple[int, Any, dict[str, str]]:
    """One request without an SDK: status, JSON body (or None), headers. Underscores of header names become
    dashes.
    """
    content = None if body is None else json.dumps(body).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(
        url, data=content, method=method, headers={"Content-Type": "application/json", **names}
    )
    context = ssl.create_default_context(cafile=standins.ca)
    try:
        with urllib.request.urlopen(request, timeout=120, context=context) as response:
            status, text, answered = response.status, response.read(), dict(response.headers)
    except urllib.error.HTTPError as error:
        status, text, answered = error.code, error.read(), dict(error.headers)
    return status, json.loads(text) if text else None, answered
