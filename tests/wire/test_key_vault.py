"""The Key Vault stand-in, driven by azure-keyvault-secrets."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.identity.aio import ManagedIdentityCredential
from azure.keyvault.secrets.aio import SecretClient

from tests.conftest import StandIns
from tests.wire.azure_clients import ask, key_vault, managed_identity


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def vault(standins: StandIns) -> AsyncIterator[SecretClient]:
    with managed_identity(standins):
        async with ManagedIdentityCredential() as credential, key_vault(standins, credential) as client:
            yield client


@pytest.fixture
def name() -> str:
    return f"alpha-{uuid.uuid4().hex[:12]}-primary-key"


def inner_code(error: HttpResponseError) -> str:
    assert error.error is not None
    return str(error.error.innererror["code"])


def test_the_first_call_is_answered_with_a_challenge(standins: StandIns) -> None:
    status, body, headers = ask(standins, "GET", f"{standins.addresses['key-vault']}/secrets/x/?api-version=7.5")
    assert (status, body["error"]["code"]) == (401, "Unauthorized")
    assert headers["WWW-Authenticate"].startswith(f'Bearer authorization="{standins.addresses["identity"]}/')
    assert 'resource="https://vault.azure.net"' in headers["WWW-Authenticate"]


async def test_a_secret_is_read_back_with_what_was_set(vault: SecretClient, name: str) -> None:
    expires = datetime(2030, 1, 1, tzinfo=UTC)
    made = await vault.set_secret(name, "s3cret", tags={"team": "alpha"}, content_type="text/plain", expires_on=expires)
    read = await vault.get_secret(name)
    assert (read.value, read.properties.version) == ("s3cret", made.properties.version)
    assert (read.properties.tags, read.properties.content_type, read.properties.expires_on) == ({"team": "alpha"}, "text/plain", expires)
    assert read.properties.enabled is True
    assert (await vault.get_secret(name, made.properties.version)).value == "s3cret"
    with pytest.raises(ResourceNotFoundError):
        await vault.get_secret(name, uuid.uuid4().hex)


async def test_dates_come_from_the_clock(standins: StandIns, vault: SecretClient, name: str) -> None:
    before = int(standins.control.now())
    created = (await vault.set_secret(name, "x")).properties.created_on
    assert created is not None
    assert before <= created.timestamp() <= standins.control.now()


async def test_setting_the_same_value_makes_a_new_version_and_the_newest_can_be_told(vault: SecretClient, name: str) -> None:
    made = [(await vault.set_secret(name, "same")).properties.version for _ in range(3)]
    versions = [item async for item in vault.list_properties_of_secret_versions(name)]
    assert len(set(made)) == 3
    assert [item.version for item in sorted(versions, key=lambda item: item.created_on or datetime.min)] == made
    assert (await vault.get_secret(name)).properties.version == made[-1]


async def test_names_are_compared_without_regard_to_case(vault: SecretClient, name: str) -> None:
    await vault.set_secret(name, "one")
    await vault.set_secret(name.upper(), "two")
    assert (await vault.get_secret(name)).value == "two"


async def test_versions_are_listed_in_pages(standins: StandIns, vault: SecretClient, name: str) -> None:
    for number in range(27):
        await vault.set_secret(name, str(number))
    standins.control.forget_calls()
    assert len({item.version async for item in vault.list_properties_of_secret_versions(name)}) == 27
    assert [call.kind for call in standins.control.calls("key-vault")] == ["GET secret versions"] * 2


async def test_the_list_of_secrets_has_no_values_and_no_versions(vault: SecretClient, name: str) -> None:
    await vault.set_secret(name, "x", tags={"team": "alpha"})
    listed = {item.name: item async for item in vault.list_properties_of_secrets(max_page_size=5)}
    assert listed[name].version is None
    assert listed[name].tags == {"team": "alpha"}


async def test_a_disabled_version_cannot_be_read_and_can_be_enabled_again(vault: SecretClient, name: str) -> None:
    version = (await vault.set_secret(name, "x", tags={"team": "alpha"}, content_type="key")).properties.version
    disabled = await vault.update_secret_properties(name, version, enabled=False)
    assert (disabled.enabled, disabled.tags, disabled.content_type) == (False, {"team": "alpha"}, "key")
    with pytest.raises(HttpResponseError, match="disabled secret") as refused:
        await vault.get_secret(name)
    assert (refused.value.status_code, inner_code(refused.value)) == (403, "SecretDisabled")
    await vault.update_secret_properties(name, enabled=True, tags={"team": "beta"})
    assert (await vault.get_secret(name)).properties.tags == {"team": "beta"}


async def test_a_deleted_secret_blocks_its_name_until_it_is_recovered(vault: SecretClient, name: str) -> None:
    await vault.set_secret(name, "old")
    deleted = await vault.delete_secret(name)
    assert deleted.recovery_id is not None
    with pytest.raises(ResourceNotFoundError):
        await vault.get_secret(name)
    with pytest.raises(ResourceExistsError) as refused:
        await vault.set_secret(name, "new")
    assert inner_code(refused.value) == "ObjectIsDeletedButRecoverable"
    await vault.recover_deleted_secret(name)
    await vault.set_secret(name, "new")
    assert [(await vault.get_secret(name)).value, len([v async for v in vault.list_properties_of_secret_versions(name)])] == ["new", 2]


async def test_a_purged_secret_is_gone_and_its_name_is_free(vault: SecretClient, name: str) -> None:
    await vault.set_secret(name, "old")
    await vault.delete_secret(name)
    await vault.purge_deleted_secret(name)
    with pytest.raises(ResourceNotFoundError):
        await vault.get_deleted_secret(name)
    await vault.set_secret(name, "new")
    assert len([item async for item in vault.list_properties_of_secret_versions(name)]) == 1


async def test_what_the_vault_cannot_hold_is_refused(vault: SecretClient, name: str) -> None:
    for wrong_name, value, tags in (
        ("under_score", "x", {}),
        ("n" * 128, "x", {}),
        (name, "x" * (25 * 1024 + 1), {}),
        (name, "x", {str(number): "" for number in range(16)}),
    ):
        with pytest.raises(HttpResponseError) as refused:
            await vault.set_secret(wrong_name, value, tags=tags)
        assert refused.value.status_code == 400
