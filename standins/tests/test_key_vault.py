"""The Key Vault stand-in, driven by azure-keyvault-secrets: secrets, their versions, their deletion."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.core.rest import HttpRequest
from azure.identity.aio import ManagedIdentityCredential
from azure.keyvault.secrets.aio import SecretClient

from standins.tests.azure_clients import key_vault, managed_identity
from standins.tests.differences import known_difference
from standins.tests.plugin import StandIns

DAY = 86400


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def vault(standins: StandIns) -> AsyncIterator[SecretClient]:
    """As an officer of the vault sees it."""
    with managed_identity(standins):
        async with (
            ManagedIdentityCredential(client_id="vault-officer") as credential,
            key_vault(standins, credential) as client,
        ):
            yield client


@pytest.fixture
def name() -> str:
    return f"alpha-{uuid.uuid4().hex[:12]}-primary-key"


@contextlib.contextmanager
def options(standins: StandIns, **changed: Any) -> Iterator[None]:
    before = standins.control.options("key-vault")
    standins.control.set_options("key-vault", **changed)
    try:
        yield
    finally:
        standins.control.set_options("key-vault", **{option: before[option] for option in changed})


def inner_code(error: HttpResponseError) -> str:
    assert error.error is not None
    return str(error.error.innererror["code"])


async def versions(vault: SecretClient, name: str) -> list[str | None]:
    return [item.version async for item in vault.list_properties_of_secret_versions(name)]


async def begin(vault: SecretClient, method: str, path: str) -> None:
    """Begin what the SDK's own method would wait for."""
    (await vault.send_request(HttpRequest(method, path))).raise_for_status()


async def test_a_secret_is_read_back_with_what_was_set(vault: SecretClient, name: str) -> None:
    expires = datetime(2030, 1, 1, tzinfo=UTC)
    made = await vault.set_secret(
        name, "s3cret", tags={"team": "alpha"}, content_type="text/plain", expires_on=expires
    )
    read = await vault.get_secret(name)
    assert (read.value, read.properties.version) == ("s3cret", made.properties.version)
    assert (read.properties.tags, read.properties.content_type, read.properties.expires_on) == (
        {"team": "alpha"},
        "text/plain",
        expires,
    )
    assert read.properties.enabled is True
    assert (await vault.get_secret(name, made.properties.version)).value == "s3cret"
    with pytest.raises(ResourceNotFoundError, match="was not found in this key vault"):
        await vault.get_secret(name, uuid.uuid4().hex)


async def test_what_was_never_given_is_not_shown(vault: SecretClient, name: str) -> None:
    await vault.set_secret(name, "x")
    read = (await vault.get_secret(name)).properties
    assert (read.tags, read.content_type, read.expires_on, read.not_before) == (None, None, None, None)
    assert (read.recovery_level, read.recoverable_days) == ("Recoverable", 90)


async def test_dates_come_from_the_clock(standins: StandIns, vault: SecretClient, name: str) -> None:
    before = int(standins.control.now())
    created = (await vault.set_secret(name, "x")).properties.created_on
    assert created is not None
    assert before <= created.timestamp() <= standins.control.now()


async def test_setting_the_same_value_makes_a_new_version_and_the_newest_can_be_told(
    vault: SecretClient, name: str
) -> None:
    made = [(await vault.set_secret(name, "same")).properties.version for _ in range(3)]
    found = [item async for item in vault.list_properties_of_secret_versions(name)]
    assert len(set(made)) == 3
    assert [item.version for item in sorted(found, key=lambda item: item.created_on or datetime.min)] == made
    assert (await vault.get_secret(name)).properties.version == made[-1]


async def test_versions_are_listed_by_their_ids_and_not_by_their_age(vault: SecretClient, name: str) -> None:
    made = [(await vault.set_secret(name, "x")).properties.version for _ in range(8)]
    assert await versions(vault, name) == sorted(map(str, made))


async def test_two_versions_of_one_second_can_have_the_same_date(
    standins: StandIns, vault: SecretClient, name: str
) -> None:
    with options(standins, distinct_dates=False):
        made = [(await vault.set_secret(name, "x")).properties.created_on for _ in range(10)]
    assert len(set(made)) < 10


@known_difference(
    "key-vault",
    "Two versions made within one second carry the same date; here each gets a second of its own (option "
    "distinct_dates).",
)
async def test_two_versions_of_one_second_have_the_same_date_without_being_asked(
    vault: SecretClient, name: str
) -> None:
    made = [(await vault.set_secret(name, "x")).properties.created_on for _ in range(10)]
    assert len(set(made)) < 10


async def test_names_are_compared_without_regard_to_case(vault: SecretClient, name: str) -> None:
    await vault.set_secret(name, "one")
    await vault.set_secret(name.upper(), "two")
    assert (await vault.get_secret(name)).value == "two"


async def test_versions_are_listed_in_pages(standins: StandIns, vault: SecretClient, name: str) -> None:
    for number in range(27):
        await vault.set_secret(name, str(number))
    standins.control.forget_calls()
    assert len(set(await versions(vault, name))) == 27
    assert [call.kind for call in standins.control.calls("key-vault")] == ["GET secret versions"] * 2


async def test_a_list_goes_on_where_it_was_though_a_secret_before_it_went(
    vault: SecretClient, name: str
) -> None:
    wanted = [f"{name}-{letter}" for letter in "abcdef"]
    for one in wanted:
        await vault.set_secret(one, "x")
    pages = vault.list_properties_of_secrets(max_page_size=2).by_page()
    found: list[str | None] = []
    async for page in pages:
        found += [item.name async for item in page]
        if wanted[0] in found and len([one for one in wanted if one in found]) < len(wanted):
            with contextlib.suppress(ResourceNotFoundError):
                await vault.delete_secret(wanted[0])
    assert [one for one in found if one in wanted] == wanted


async def test_a_page_has_at_most_25_items(vault: SecretClient) -> None:
    for size in (0, 26):
        with pytest.raises(HttpResponseError, match="maxresults") as refused:
            [item async for item in vault.list_properties_of_secrets(max_page_size=size)]
        assert refused.value.status_code == 400


async def test_a_secret_that_never_was_has_no_versions_which_is_no_error(
    vault: SecretClient, name: str
) -> None:
    assert await versions(vault, name) == []


async def test_the_list_of_secrets_has_no_values_and_no_versions(vault: SecretClient, name: str) -> None:
    await vault.set_secret(name, "x", tags={"team": "alpha"})
    listed = {item.name: item async for item in vault.list_properties_of_secrets(max_page_size=5)}
    assert listed[name].version is None
    assert listed[name].tags == {"team": "alpha"}


async def test_a_disabled_version_cannot_be_read_and_can_be_enabled_again(
    vault: SecretClient, name: str
) -> None:
    version = (
        await vault.set_secret(name, "x", tags={"team": "alpha"}, content_type="key")
    ).properties.version
    disabled = await vault.update_secret_properties(name, version, enabled=False)
    assert (disabled.enabled, disabled.tags, disabled.content_type) == (False, {"team": "alpha"}, "key")
    with pytest.raises(HttpResponseError, match="disabled secret") as refused:
        await vault.get_secret(name)
    assert (refused.value.status_code, inner_code(refused.value)) == (403, "SecretDisabled")
    await vault.update_secret_properties(name, enabled=True, tags={"team": "beta"})
    assert (await vault.get_secret(name)).properties.tags == {"team": "beta"}


async def test_a_secret_can_be_read_before_and_after_its_time(vault: SecretClient, name: str) -> None:
    now = datetime.now(UTC)
    await vault.set_secret(name, "expired", expires_on=now - timedelta(days=30 * 365))
    assert (await vault.get_secret(name)).value == "expired"
    await vault.set_secret(name, "early", not_before=now + timedelta(days=30 * 365))
    assert (await vault.get_secret(name)).value == "early"


async def test_a_deleted_secret_blocks_its_name_until_it_is_recovered(vault: SecretClient, name: str) -> None:
    await vault.set_secret(name, "old")
    deleted = await vault.delete_secret(name)
    assert deleted.recovery_id is not None
    with pytest.raises(ResourceNotFoundError):
        await vault.get_secret(name)
    with pytest.raises(ResourceExistsError, match="can only be recovered or purged") as refused:
        await vault.set_secret(name, "new")
    assert inner_code(refused.value) == "ObjectIsDeletedButRecoverable"
    await vault.recover_deleted_secret(name)
    await vault.set_secret(name, "new")
    assert [(await vault.get_secret(name)).value, len(await versions(vault, name))] == ["new", 2]


async def test_a_deleted_secret_is_listed_with_its_dates_for_90_days(
    standins: StandIns, vault: SecretClient, name: str
) -> None:
    await vault.set_secret(name, "x", tags={"team": "alpha"})
    await vault.delete_secret(name)
    found = {item.name: item async for item in vault.list_deleted_secrets(max_page_size=25)}
    shown = found[name]
    assert (shown.recovery_id, shown.properties.tags) == (
        f"{vault.vault_url}/deletedsecrets/{name}",
        {"team": "alpha"},
    )
    assert shown.deleted_date is not None
    assert shown.scheduled_purge_date == shown.deleted_date + timedelta(days=90)
    standins.control.advance(90 * DAY)
    with pytest.raises(ResourceNotFoundError, match="Deleted Secret not found"):
        await vault.get_deleted_secret(name)
    assert (await vault.set_secret(name, "new")).value == "new"


async def test_a_deletion_takes_its_time(standins: StandIns, vault: SecretClient, name: str) -> None:
    await vault.set_secret(name, "old")
    with options(standins, deletion_seconds=70):
        await begin(vault, "DELETE", f"/secrets/{name}")
        for read in (vault.get_secret, vault.get_deleted_secret):
            with pytest.raises(ResourceNotFoundError):
                await read(name)
        with pytest.raises(ResourceExistsError, match="being deleted and cannot be re-created") as refused:
            await vault.set_secret(name, "new")
        assert inner_code(refused.value) == "ObjectIsBeingDeleted"
        with pytest.raises(ResourceExistsError, match="currently being deleted"):
            await vault.purge_deleted_secret(name)
        standins.control.advance(70)
        assert (await vault.get_deleted_secret(name)).name == name


async def test_a_recovery_takes_its_time(standins: StandIns, vault: SecretClient, name: str) -> None:
    await vault.set_secret(name, "old")
    await vault.delete_secret(name)
    with options(standins, recovery_seconds=40):
        await begin(vault, "POST", f"/deletedsecrets/{name}/recover")
        with pytest.raises(ResourceNotFoundError):
            await vault.get_secret(name)
        with pytest.raises(ResourceExistsError, match="being recovered and cannot be re-created") as refused:
            await vault.set_secret(name, "new")
        assert inner_code(refused.value) == "ObjectIsBeingRecovered"
        standins.control.advance(40)
        assert (await vault.get_secret(name)).value == "old"


async def test_purge_protection_keeps_a_deleted_secret(vault: SecretClient, name: str) -> None:
    await vault.set_secret(name, "old")
    await vault.delete_secret(name)
    with pytest.raises(HttpResponseError, match="purge protection is enabled") as refused:
        await vault.purge_deleted_secret(name)
    assert refused.value.status_code == 403
    assert (await vault.get_deleted_secret(name)).name == name


async def test_a_purged_secret_is_gone_and_its_name_is_free_when_that_is_done(
    standins: StandIns, vault: SecretClient, name: str
) -> None:
    await vault.set_secret(name, "old")
    await vault.delete_secret(name)
    with options(standins, purge_protection=False, deletion_seconds=5):
        await vault.purge_deleted_secret(name)
        with pytest.raises(ResourceNotFoundError):
            await vault.get_deleted_secret(name)
        with pytest.raises(ResourceExistsError) as refused:
            await vault.set_secret(name, "new")
        assert inner_code(refused.value) == "ObjectIsBeingDeleted"
        standins.control.advance(5)
    await vault.set_secret(name, "new")
    assert len(await versions(vault, name)) == 1


@pytest.mark.parametrize("wrong_name", ["under_score", "n" * 128])
async def test_a_name_has_at_most_127_letters_digits_and_dashes(vault: SecretClient, wrong_name: str) -> None:
    for call in (
        vault.set_secret(wrong_name, "x"),
        vault.get_secret(wrong_name),
        vault.delete_secret(wrong_name),
    ):
        with pytest.raises(HttpResponseError, match="invalid name") as refused:
            await call
        assert refused.value.status_code == 400


@pytest.mark.parametrize(
    ("value", "properties"),
    [
        ("x" * (25 * 1024 + 1), {}),
        ("x", {"tags": {str(number): "" for number in range(16)}}),
        ("x", {"tags": {"team": "a" * 513}}),
        ("x", {"content_type": "c" * 256}),
    ],
)
async def test_what_the_vault_cannot_hold_is_refused(
    vault: SecretClient, name: str, value: str, properties: dict[str, Any]
) -> None:
    with pytest.raises(HttpResponseError, match="invalid value") as refused:
        await vault.set_secret(name, value, **properties)
    assert refused.value.status_code == 400
    assert await versions(vault, name) == []


async def test_what_the_vault_can_just_hold_is_kept(vault: SecretClient, name: str) -> None:
    tags = {str(number): "a" * 512 for number in range(15)}
    await vault.set_secret(name, "x" * 25 * 1024, tags=tags, content_type="c" * 255)
    assert (await vault.get_secret(name)).properties.tags == tags
