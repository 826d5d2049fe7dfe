"""How the app waits for a vault."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from azure.identity.aio import ManagedIdentityCredential

from shared.adapters.key_vault import KeyVault
from shared.errors import Busy
from shared.secret import SecretValue
from standins.tests.azure_clients import managed_identity
from standins.tests.plugin import StandIns


@pytest.fixture(autouse=True)
def identity(standins: StandIns) -> Iterator[None]:
    with managed_identity(standins):
        yield


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


async def test_the_app_does_not_wait_for_the_end_of_a_deletion_or_a_recovery(
    standins: StandIns, name: str
) -> None:
    async with ManagedIdentityCredential() as credential:
        vault = KeyVault(standins.addresses["key-vault"], credential, verify_challenge=False)
        await vault.set(name, SecretValue("x"), "API key", {})
        with options(standins, deletion_seconds=3600, recovery_seconds=3600):
            async with asyncio.timeout(300):
                await vault.delete(name)
            with pytest.raises(Busy):
                await vault.set(name, SecretValue("x"), "API key", {})
            standins.control.advance(3600)
            async with asyncio.timeout(300):
                await vault.recover(name)
            with pytest.raises(Busy):
                await vault.set(name, SecretValue("x"), "API key", {})
            standins.control.advance(3600)
            await vault.set(name, SecretValue("x"), "API key", {})
            assert len(await vault.versions(name)) == 2
        await vault.close()
