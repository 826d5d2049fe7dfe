"""The stand-ins, asked by Microsoft's own command line: a client that knows nothing of them, nor of this
project.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from standins.identity import principal
from standins.tests.clients import kubectl
from standins.tests.clients.azure_cli import OPERATOR, AzureCli, Refused, installed, signed_in
from standins.tests.plugin import StandIns
from standins.world import SUBSCRIPTION, TENANT

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/ai"
APIM = f"{GROUP}/providers/Microsoft.ApiManagement/service/contoso-ai"
VAULT = f"{GROUP}/providers/Microsoft.KeyVault/vaults/contoso-keys"
USER = "4633458b-17de-408a-b874-0445c86b69e6"
ACCOUNT = ("cognitiveservices", "account")
IN_APIM = ("-g", "ai", "--service-name", "contoso-ai")
SECTIONS = ("inbound", "backend", "outbound", "on-error")
POLICY = f"<policies>{''.join(f'<{name}><base /></{name}>' for name in SECTIONS)}</policies>"
#: What Microsoft's credential plugin does for whoever signed in with az:
#: `kubelogin get-token --login azurecli --server-id <application>`.
KUBELOGIN = """#!/bin/sh
while [ "$1" != --server-id ]; do shift; done
token=$(az account get-access-token --resource "$2" --query accessToken --output tsv) || exit 1
printf '{"apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential", "status": \
{"token": "%s"}}' "$token"
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def az(standins: StandIns, tmp_path_factory: pytest.TempPathFactory) -> AzureCli:
    return await signed_in(installed(), standins, tmp_path_factory.mktemp("azure-cli"))


@pytest.fixture
def product() -> str:
    return f"team-{uuid.uuid4().hex[:10]}"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def officer(az: AzureCli) -> AzureCli:
    """The operator, who made itself an officer of the vault."""
    who = ("--assignee-object-id", principal(OPERATOR), "--assignee-principal-type", "ServicePrincipal")
    await az("role", "assignment", "create", *who, "--role", "Key Vault Secrets Officer", "--scope", VAULT)
    return az


async def test_signing_in_finds_the_tenant_and_its_subscription(az: AzureCli) -> None:
    account = await az("account", "show")
    assert (account["id"], account["tenantId"], account["state"]) == (SUBSCRIPTION, TENANT, "Enabled")
    assert account["user"] == {"name": OPERATOR, "type": "servicePrincipal"}


async def test_its_resource_group_and_its_providers_are_shown(az: AzureCli) -> None:
    assert (await az("group", "show", "-n", "ai"))["id"] == GROUP
    assert (await az("provider", "show", "-n", "Microsoft.ApiManagement"))[
        "registrationState"
    ] == "Registered"


@pytest.mark.wrong_on_purpose  # az sends the capacity as text
async def test_a_foundry_account_with_a_model_is_made_and_shown(az: AzureCli) -> None:
    name = f"foundry-{uuid.uuid4().hex[:10]}"
    at = ("-g", "ai", "-n", name)
    await az(
        *ACCOUNT,
        "create",
        *at,
        "--kind",
        "AIServices",
        "--sku",
        "S0",
        "-l",
        "westeurope",
        "--custom-domain",
        name,
        "--yes",
    )
    model = ("--model-name", "gpt-4.1", "--model-version", "2025-04-14", "--model-format", "OpenAI")
    await az(
        *ACCOUNT,
        "deployment",
        "create",
        *at,
        "--deployment-name",
        "chat",
        *model,
        "--sku-name",
        "Standard",
        "--sku-capacity",
        "10",
    )
    shown = await az(*ACCOUNT, "show", *at)
    assert (shown["kind"], shown["properties"]["customSubDomainName"]) == ("AIServices", name)
    assert name in {row["name"] for row in await az(*ACCOUNT, "list", "-g", "ai")}
    [deployment] = await az(*ACCOUNT, "deployment", "list", *at)
    assert (deployment["name"], deployment["properties"]["model"]["name"], deployment["sku"]["capacity"]) == (
        "chat",
        "gpt-4.1",
        10,
    )


async def test_the_service_is_shown(az: AzureCli) -> None:
    service = await az("apim", "show", "-g", "ai", "-n", "contoso-ai")
    assert (service["name"], service["provisioningState"]) == ("contoso-ai", "Succeeded")
    assert service["gatewayUrl"].startswith("https://")


async def test_a_named_value_keeps_its_secret_until_it_is_asked_for(az: AzureCli) -> None:
    name = f"nv-{uuid.uuid4().hex[:10]}"
    named = (*IN_APIM, "--named-value-id", name)
    made = await az(
        "apim", "nv", "create", *named, "--display-name", name, "--value", "s3cret", "--secret", "true"
    )
    assert (made["name"], made["secret"], made.get("value")) == (name, True, None)
    assert (await az("apim", "nv", "show", *named)).get("value") is None
    assert (await az("apim", "nv", "show-secret", *named))["value"] == "s3cret"


async def test_a_product_is_made_shown_listed_and_deleted(az: AzureCli, product: str) -> None:
    named = (*IN_APIM, "--product-id", product)
    made = await az(
        "apim",
        "product",
        "create",
        *named,
        "--product-name",
        f"Of {product}",
        "--subscription-required",
        "true",
    )
    assert (made["name"], made["displayName"], made["subscriptionRequired"]) == (
        product,
        f"Of {product}",
        True,
    )
    shown = await az("apim", "product", "show", *named)
    assert shown["id"] == f"{APIM}/products/{product}"
    assert product in {row["name"] for row in await az("apim", "product", "list", *IN_APIM)}
    await az("apim", "product", "delete", *named, "--delete-subscriptions", "true", "--yes")
    with pytest.raises(Refused, match="ResourceNotFound"):
        await az("apim", "product", "show", *named)


async def test_a_policy_is_written_and_read_by_hand(az: AzureCli, product: str) -> None:
    await az("apim", "product", "create", *IN_APIM, "--product-id", product, "--product-name", product)
    url = f"{APIM}/products/{product}/policies/policy?api-version=2024-05-01"
    body = json.dumps({"properties": {"format": "rawxml", "value": POLICY}})
    written = await az("rest", "--method", "put", "--url", url, "--body", body, "--headers", "If-Match=*")
    read = await az("rest", "--method", "get", "--url", f"{url}&format=rawxml")
    assert written["name"] == read["name"] == "policy"
    assert "<inbound>" in read["properties"]["value"]


async def test_a_secret_is_set_shown_listed_disabled_deleted_and_recovered(
    standins: StandIns, officer: AzureCli
) -> None:
    address, name = standins.addresses["key-vault"], f"alpha-{uuid.uuid4().hex[:10]}"
    url = f"{address}/secrets/{name}"
    # `az keyvault secret set` knows vaults by name only, and no name leads to this address.
    put = (
        "rest",
        "--method",
        "put",
        "--url",
        f"{url}?api-version=7.5",
        "--resource",
        "https://vault.azure.net",
    )
    version = (await officer(*put, "--body", '{"value": "s3cret", "tags": {"team": "alpha"}}'))["id"]

    async def secret(verb: str, identifier: str, *words: str) -> Any:
        return await officer("keyvault", "secret", verb, "--id", identifier, *words)

    assert (await secret("show", url))["value"] == "s3cret"
    assert {row["name"]: row["tags"] for row in await secret("list", address)}[name] == {"team": "alpha"}
    assert [row["id"] for row in await secret("list-versions", url)] == [version]
    await secret("set-attributes", version, "--enabled", "false")
    with pytest.raises(Refused, match="SecretDisabled"):
        await secret("show", url)
    deleted = await secret("delete", url)
    assert deleted["recoveryId"] == f"{address}/deletedsecrets/{name}"
    assert name in {row["name"] for row in await secret("list-deleted", address)}
    with pytest.raises(Refused, match="purge protection"):
        await secret("purge", deleted["recoveryId"])
    await secret("recover", deleted["recoveryId"])
    await secret("set-attributes", version, "--enabled", "true")
    assert (await secret("show", url))["value"] == "s3cret"


async def test_a_role_is_assigned_listed_and_taken_away(az: AzureCli) -> None:
    group, scope = str(uuid.uuid4()), f"{VAULT}/secrets/alpha-{uuid.uuid4().hex[:10]}"
    who = ("--assignee-object-id", group, "--assignee-principal-type", "Group")
    made = await az("role", "assignment", "create", *who, "--role", USER, "--scope", scope)
    assert (made["principalId"], made["scope"]) == (group, scope)
    found = await az("role", "assignment", "list", "--scope", scope, "--fill-principal-name", "false")
    assert [row["roleDefinitionName"] for row in found if row["id"] == made["id"]] == [
        "Key Vault Secrets User"
    ]
    await az("role", "assignment", "delete", "--ids", made["id"])
    found = await az("role", "assignment", "list", "--scope", scope, "--fill-principal-name", "false")
    assert made["id"] not in {row["id"] for row in found}


async def test_the_cluster_is_shown(az: AzureCli) -> None:
    shown = await az("aks", "show", "-g", "ai", "-n", "contoso-gpu")
    assert (shown["name"], shown["provisioningState"], shown["disableLocalAccounts"]) == (
        "contoso-gpu",
        "Succeeded",
        True,
    )


async def test_the_credentials_of_the_cluster_open_it_for_kubectl(az: AzureCli, tmp_path: Path) -> None:
    program, file = kubectl.installed(), tmp_path / "kubeconfig"
    await az("aks", "get-credentials", "-g", "ai", "-n", "contoso-gpu", "--file", str(file))
    plugin = tmp_path / "kubelogin"
    plugin.write_text(KUBELOGIN)
    plugin.chmod(0o755)
    path = f"{tmp_path}:{az.program.parent}:{az.environment['PATH']}"
    command = kubectl.Kubectl(program, file, tmp_path, {**az.environment, "PATH": path})
    assert "default" in {row["metadata"]["name"] for row in (await command.get("namespaces"))["items"]}
