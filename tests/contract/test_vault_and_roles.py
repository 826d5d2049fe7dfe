"""What both the fakes and Key Vault with its role assignments do."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.errors import Busy, Unavailable
from shared.ports import Roles, Vault
from shared.resources.actual import RoleGrant
from shared.secret import SecretValue
from tests.contract.sides import Watch
from tests.contract.targets import unique

TAGS = {"managed-by": "mergekey", "team": "alpha", "fingerprint": "f"}


@pytest.fixture
def name() -> str:
    return unique("alpha") + "-primary-key"


async def _set(vault: Vault, name: str, text: str = "value", **tags: str) -> None:
    await vault.set(name, SecretValue(text), "API key", TAGS | tags)


async def test_what_is_not_there_has_no_versions(vault: Vault, name: str) -> None:
    assert await vault.versions(name) == []


async def test_a_secret_is_enabled_and_carries_its_tags(vault: Vault, name: str, clock: Watch) -> None:
    await _set(vault, name)
    [version] = await vault.versions(name)
    assert (version.name, version.enabled, dict(version.tags)) == (name, True, TAGS)
    assert abs(version.created - clock.now()) < timedelta(minutes=1)


async def test_the_newest_version_comes_first_even_within_one_second(vault: Vault, name: str) -> None:
    for number in range(4):
        await _set(vault, name, number=str(number))
    assert [version.tags["number"] for version in await vault.versions(name)] == ["3", "2", "1", "0"]


async def test_an_update_changes_one_version_and_replaces_all_its_tags(vault: Vault, name: str) -> None:
    await _set(vault, name, number="0")
    await _set(vault, name, number="1")
    newest, oldest = await vault.versions(name)
    await vault.update(oldest, False, {"withdrawn": "x"})
    found = await vault.versions(name)
    assert [(version.version, version.enabled) for version in found] == [
        (newest.version, True),
        (oldest.version, False),
    ]
    assert dict(found[1].tags) == {"withdrawn": "x"}


async def test_the_newest_version_of_every_secret_is_listed(vault: Vault, name: str) -> None:
    assert name not in {each.name for each in await vault.newest()}
    await _set(vault, name, "one", team="alpha")
    await _set(vault, name, "two", team="bravo")
    [found] = [each for each in await vault.newest() if each.name == name]
    assert (found.enabled, found.tags, found.version) == (True, (await vault.versions(name))[0].tags, "")
    assert found.tags["team"] == "bravo"
    await vault.update((await vault.versions(name))[0], False, {"team": "charlie"})
    [found] = [each for each in await vault.newest() if each.name == name]
    assert (found.enabled, found.tags) == (False, {"team": "charlie"})


async def test_what_is_not_there_cannot_be_updated(vault: Vault, name: str) -> None:
    await _set(vault, name)
    [version] = await vault.versions(name)
    for missing in (replace(version, version="0" * 31 + "f"), replace(version, name=unique("absent"))):
        with pytest.raises(Unavailable) as refused:
            await vault.update(missing, True, {})
        assert refused.value.reason == "NotFound"


async def test_a_deleted_secret_has_no_versions_and_deleting_it_again_succeeds(
    vault: Vault, name: str
) -> None:
    await _set(vault, name)
    for _ in range(2):
        await vault.delete(name)
    assert await vault.versions(name) == []


async def test_a_deleted_secret_keeps_its_name_until_it_is_recovered(vault: Vault, name: str) -> None:
    await _set(vault, name, number="0")
    await vault.delete(name)
    with pytest.raises(Busy) as refused:
        await _set(vault, name, number="1")
    assert (refused.value.reason, refused.value.retry_after) == ("SecretIsDeleted", timedelta(seconds=5))
    await vault.recover(name)
    assert [version.tags["number"] for version in await vault.versions(name)] == ["0"]
    await _set(vault, name, number="1")
    assert [version.tags["number"] for version in await vault.versions(name)] == ["1", "0"]


async def test_whose_a_deleted_secret_is_can_be_told_before_it_is_recovered(vault: Vault, name: str) -> None:
    assert await vault.deleted_tags(name) is None
    await _set(vault, name, team="alpha")
    await _set(vault, name, team="bravo")
    assert await vault.deleted_tags(name) is None
    await vault.delete(name)
    assert await vault.deleted_tags(name.upper()) == TAGS | {"team": "bravo"}
    await vault.recover(name)
    assert await vault.deleted_tags(name) is None


async def test_a_deleted_secret_without_tags_has_none(vault: Vault, name: str) -> None:
    await vault.set(name, SecretValue("value"), "API key", {})
    await vault.delete(name)
    assert await vault.deleted_tags(name) == {}


async def test_what_was_not_deleted_cannot_be_recovered(vault: Vault, name: str) -> None:
    await _set(vault, name)
    with pytest.raises(Unavailable) as refused:
        await vault.recover(name)
    assert refused.value.reason == "NotFound"


async def test_nobody_may_read_a_secret_until_a_role_is_granted(roles: Roles, name: str) -> None:
    group = str(uuid.uuid4())
    assert await roles.granted(group) == frozenset()
    for _ in range(2):
        await roles.grant(name, group)
    assert await roles.granted(group) == {name}


async def test_a_role_is_for_one_group_on_one_secret(roles: Roles, name: str) -> None:
    group, other, second = str(uuid.uuid4()), str(uuid.uuid4()), unique("bravo") + "-endpoint"
    for secret in (name, second):
        await roles.grant(secret, group)
    await roles.grant(name, other)
    await roles.revoke(name, group)
    assert (await roles.granted(group), await roles.granted(other)) == (
        frozenset({second}),
        frozenset({name}),
    )


async def test_all_readers_are_told_at_once(roles: Roles, name: str) -> None:
    group, other = str(uuid.uuid4()), str(uuid.uuid4())
    assert name not in await roles.readers()
    await roles.grant(name, group)
    await roles.grant(name, other)
    found = frozenset({RoleGrant(group, ours=True), RoleGrant(other, ours=True)})
    assert ((await roles.readers())[name], await roles.readers_of(name)) == (found, found)


async def test_a_role_on_a_secret_that_is_spelt_in_capitals_is_one_on_that_secret(
    roles: Roles, name: str
) -> None:
    group = str(uuid.uuid4())
    await roles.grant(name.upper(), group)
    found = frozenset([RoleGrant(group, ours=True)])
    assert ((await roles.readers())[name], await roles.readers_of(name)) == (found, found)
    assert await roles.granted(group) == {name}


async def test_a_role_that_nobody_has_is_taken_away_without_trouble(roles: Roles, name: str) -> None:
    group = str(uuid.uuid4())
    await roles.revoke(name, group)
    assert await roles.granted(group) == frozenset()
