"""The contract tests against services that are named by settings, tried without Azure: a second set of
stand-ins plays them.

`python -m tests.contract.elsewhere` ends with 0 when the tests pass there and nothing that they made is left.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from standins.control import Control
from standins.identity import IDENTITY_HEADER, principal
from standins.stack import FOUNDRY_ID, TRACES_ID
from standins.tests.trust import FOLDER, give_certificates
from standins.world import SUBSCRIPTION

_GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/real/providers"
_REPOSITORY = "contoso/contract"


def main() -> int:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        give_certificates(folder)
        command = [
            sys.executable,
            "-m",
            "standins.run",
            "--folder",
            place,
            "--latency",
            "none",
            "--control",
            "--with-parent",
        ]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            # Cleaning up needs more than the app's own roles: it deletes APIs and policy fragments.
            Control(ready["control"]).set_options("azure", owners=[principal()])
            os.environ.update(_settings(ready["addresses"]))
            try:
                status = subprocess.run(
                    [sys.executable, "-m", "pytest", "-q", "tests/contract"], check=False
                ).returncode
                return status or asyncio.run(_left_over())
            finally:
                process.terminate()


def _settings(addresses: dict[str, str]) -> dict[str, str]:
    bus = (
        f"Endpoint=sb://{addresses['service-bus']};SharedAccessKeyName=local;SharedAccessKey=local;"
        "UseDevelopmentEmulator=true;"
    )
    app, repository = (
        _put(f"{addresses['github']}/_standin/app"),
        _put(f"{addresses['github']}/_standin/repositories/{_REPOSITORY}"),
    )
    return {
        "IDENTITY_ENDPOINT": f"{addresses['identity']}/msi/token",
        "IDENTITY_HEADER": IDENTITY_HEADER,
        "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
        "SSL_CERT_FILE": str(FOLDER / "bundle.pem"),
        "CONTRACT_RESOURCE_MANAGER_URL": addresses["resource-manager"],
        "CONTRACT_APIM_SERVICE_ID": f"{_GROUP}/Microsoft.ApiManagement/service/real",
        "CONTRACT_KEY_VAULT_URL": addresses["key-vault"],
        "CONTRACT_KEY_VAULT_ID": f"{_GROUP}/Microsoft.KeyVault/vaults/real",
        "CONTRACT_KEY_VAULT_VERIFY_CHALLENGE": "false",
        "CONTRACT_AKS_CLUSTER_ID": f"{_GROUP}/Microsoft.ContainerService/managedClusters/real",
        "CONTRACT_FOUNDRY_ACCOUNT_ID": FOUNDRY_ID,
        "CONTRACT_FOUNDRY_TRACING_ID": TRACES_ID,
        "CONTRACT_SERVICE_BUS": bus,
        "CONTRACT_GITHUB_API_URL": addresses["github"],
        "CONTRACT_GITHUB_GIT_URL": repository["git_url"],
        "CONTRACT_GITHUB_REPOSITORY": _REPOSITORY,
        "CONTRACT_GITHUB_APP_ID": str(app["app_id"]),
        "CONTRACT_GITHUB_APP_PRIVATE_KEY": app["private_key"],
        "CONTRACT_GITHUB_INSTALLATION_ID": str(app["installation_id"]),
    }


async def _left_over() -> int:
    """How many things that the tests made are still there; each is named on standard output."""
    from azure.identity.aio import DefaultAzureCredential
    from azure.keyvault.secrets.aio import SecretClient
    from azure.mgmt.apimanagement.aio import ApiManagementClient

    from tests.contract.targets import named

    wanted, left = named(), []
    async with DefaultAzureCredential() as credential:
        scopes = ["https://management.azure.com/.default"]
        url = str(wanted.resource_manager_url)
        async with ApiManagementClient(
            credential, SUBSCRIPTION, base_url=url, credential_scopes=scopes
        ) as client:
            at = ("real", "real")
            for kind in (client.product, client.api, client.backend):
                left += [str(each.name) async for each in kind.list_by_service(*at)]
        async with SecretClient(
            str(wanted.key_vault_url), credential, verify_challenge_resource=False
        ) as vault:
            left += [str(each.name) async for each in vault.list_properties_of_secrets()]
    left += await asyncio.to_thread(_branches, wanted.git_url)
    print("\n".join(f"left behind: {name}" for name in left) or "nothing is left behind")
    return len(left)


def _branches(url: str) -> list[str]:
    return subprocess.run(
        ["git", "ls-remote", "--heads", url], check=True, capture_output=True, text=True
    ).stdout.splitlines()


def _put(url: str) -> Any:
    request = urllib.request.Request(url, b"{}", {"Content-Type": "application/json"}, method="PUT")
    with urllib.request.urlopen(request, timeout=120) as response:
        return json.loads(response.read())


if __name__ == "__main__":
    sys.exit(main())
