"""Named values: in policies, secret, in a Key Vault, driven by azure-mgmt-apimanagement."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity.aio import ManagedIdentityCredential
from azure.keyvault.secrets.aio import SecretClient
from azure.mgmt.apimanagement.models import (
    KeyVaultContractCreateProperties,
    NamedValueCreateContract,
    NamedValueUpdateParameters,
)

from standins.tests.api_management.builders import QUICKLY, WHERE, Client, options, problem, raw, unique
from standins.tests.azure_clients import key_vault, managed_identity
from standins.tests.differences import known_difference
from standins.tests.plugin import StandIns


def a_value(display_name: str, **properties: Any) -> NamedValueCreateContract:
    return NamedValueCreateContract(**{"display_name": display_name, "value": "v1", **properties})


def in_vault(name: str) -> KeyVaultContractCreateProperties:
    return KeyVaultContractCreateProperties(secret_identifier=f"https://vault.example/secrets/{name}")


async def put(client: Client, name: str, value: NamedValueCreateContract) -> Any:
    return await (await client.named_value.begin_create_or_update(*WHERE, name, value, **QUICKLY)).result()


async def test_a_value_is_read_changed_and_taken_away(client: Client) -> None:
    name = unique("nv")
    made = await put(client, name, a_value(f"shown-{name}", tags=["a"]))
    assert (made.display_name, made.value, made.secret, made.tags) == (f"shown-{name}", "v1", False, ["a"])
    update = await client.named_value.begin_update(
        *WHERE, name, "*", NamedValueUpdateParameters(value="v2"), **QUICKLY
    )
    assert (await update.result()).value == "v2"
    assert (await client.named_value.list_value(*WHERE, name)).value == "v2"
    assert await client.named_value.get_entity_tag(*WHERE, name) is True
    found = client.named_value.list_by_service(*WHERE, filter=f"displayName eq 'shown-{name}'")
    assert [row.name async for row in found] == [name]
    await client.named_value.delete(*WHERE, name, "*")
    with pytest.raises(ResourceNotFoundError):
        await client.named_value.get(*WHERE, name)


async def test_a_secret_is_shown_to_whoever_asks_for_it_only(client: Client) -> None:
    name = unique("nv")
    made = await put(client, name, a_value(name, value="hush", secret=True))
    read = await client.named_value.get(*WHERE, name)
    assert (made.value, read.value, read.secret) == (None, None, True)
    assert (await client.named_value.list_value(*WHERE, name)).value == "hush"


async def test_a_policy_names_a_value_by_its_display_name_and_gets_its_id_back(
    client: Client, product: str
) -> None:
    name = unique("nv")
    await put(client, name, a_value(f"Shown-{name}"))
    with pytest.raises(HttpResponseError, match="Cannot find a property"):
        await client.product_policy.create_or_update(
            *WHERE, product, "policy", raw(f'<trace source="{{{{shown-{name}}}}}" />')
        )
    made = await client.product_policy.create_or_update(
        *WHERE, product, "policy", raw(f'<trace source="{{{{Shown-{name}}}}}" />')
    )
    assert f'<trace source="{{{{{name}}}}}" />' in made.value
    again = await client.product_policy.get(*WHERE, product, "policy")
    await client.product_policy.create_or_update(*WHERE, product, "policy", again)
    with pytest.raises(HttpResponseError, match=f"/products/{product}/policies/policy") as refused:
        await client.named_value.delete(*WHERE, name, "*")
    assert refused.value.status_code == 400
    await client.product_policy.delete(*WHERE, product, "policy", "*")
    await client.named_value.delete(*WHERE, name, "*")


@pytest_asyncio.fixture(loop_scope="session")
async def vault(standins: StandIns) -> AsyncIterator[SecretClient]:
    """Of somebody who may write and read secrets."""
    with managed_identity(standins):
        async with (
            ManagedIdentityCredential(client_id="vault-officer") as credential,
            key_vault(standins, credential) as vault,
        ):
            yield vault


def a_reference(name: str) -> NamedValueCreateContract:
    return a_value(name, value=None, secret=True, key_vault=in_vault(name))


async def status_of(client: Client, name: str) -> str:
    return str((await client.named_value.get(*WHERE, name)).key_vault.last_status.code)


async def test_a_secret_in_a_vault_is_a_reference(client: Client, vault: SecretClient) -> None:
    name = unique("nv")
    await vault.set_secret(name, "hush")
    made = await put(client, name, a_value(name, value=None, secret=True, key_vault=in_vault(name)))
    assert (made.value, made.key_vault.secret_identifier) == (None, f"https://vault.example/secrets/{name}")
    refreshed = await (await client.named_value.begin_refresh_secret(*WHERE, name, **QUICKLY)).result()
    assert refreshed.key_vault.last_status.code == "Success"


async def test_a_secret_that_cannot_be_read_is_written_and_says_so(
    client: Client, vault: SecretClient
) -> None:
    name = unique("nv")
    made = await put(client, name, a_reference(name))
    assert made.key_vault.last_status.code == "SecretNotFound"
    assert name in made.key_vault.last_status.message
    secret = await vault.set_secret(name, "hush")
    assert await status_of(client, name) == "SecretNotFound"
    await put(client, name, a_reference(name))
    assert await status_of(client, name) == "Success"
    await vault.update_secret_properties(name, secret.properties.version, enabled=False)
    await put(client, name, a_reference(name))
    assert await status_of(client, name) == "SecretDisabled"


async def test_a_secret_is_read_again_every_four_hours(
    standins: StandIns, client: Client, vault: SecretClient
) -> None:
    name = unique("nv")
    await put(client, name, a_reference(name))
    await vault.set_secret(name, "hush")
    standins.control.advance(4 * 3600)
    assert await status_of(client, name) == "Success"
    listed = client.named_value.list_by_service(*WHERE, filter=f"displayName eq '{name}'")
    assert [row.key_vault.last_status.code async for row in listed] == ["Success"]


async def test_a_write_of_a_secret_that_cannot_be_read_may_fail_instead(
    standins: StandIns, client: Client, vault: SecretClient
) -> None:
    name = unique("nv")
    with options(standins, unreadable_secrets="refused"):
        with pytest.raises(HttpResponseError) as failed:
            await put(client, name, a_reference(name))
        assert problem(failed.value)[:2] == ("ValidationError", "keyVault")
        with pytest.raises(ResourceNotFoundError):
            await client.named_value.get(*WHERE, name)
        await vault.set_secret(name, "hush")
        await put(client, name, a_reference(name))
    assert await status_of(client, name) == "Success"


@known_difference(
    "resource-manager", "A named value that refers to a Key Vault has the value of that secret."
)
async def test_the_value_of_a_secret_in_a_vault_can_be_asked_for(client: Client) -> None:
    name = unique("nv")
    await put(client, name, a_value(name, value=None, secret=True, key_vault=in_vault(name)))
    assert (await client.named_value.list_value(*WHERE, name)).value


async def test_what_cannot_be_a_named_value_is_refused_by_name_of_the_field(client: Client) -> None:
    taken = unique("nv")
    await put(client, taken, a_value(taken))
    for target, value in (
        ("displayName", a_value("two words")),
        ("displayName", a_value("x" * 257)),
        ("displayName", a_value(taken)),
        ("value", a_value("x", value="  ")),
        ("value", a_value("x", value=None)),
        ("value", a_value("x", value="x" * 4097)),
        ("value", a_value("x", value="{{other}}")),
        ("tags", a_value("x", tags=[str(number) for number in range(33)])),
        ("secret", a_value("x", value=None, key_vault=in_vault("x"))),
    ):
        with pytest.raises(HttpResponseError) as refused:
            await client.named_value.begin_create_or_update(*WHERE, unique("nv"), value)
        assert (refused.value.status_code, *problem(refused.value)[:2]) == (400, "ValidationError", target)
