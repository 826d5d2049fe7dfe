"""A room for each test: nothing provisioned, nothing counted, nothing broken."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from azure.identity.aio import ManagedIdentityCredential

from tests.conftest import StandIns
from tests.gateway.room import OPERATOR, Room
from tests.wire.azure_clients import managed_identity


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def credential(standins: StandIns) -> AsyncIterator[ManagedIdentityCredential]:
    """Of the subscription's owner."""
    with managed_identity(standins):
        async with ManagedIdentityCredential(client_id=OPERATOR) as credential:
            yield credential


@pytest_asyncio.fixture(loop_scope="session")
async def room(standins: StandIns, credential: ManagedIdentityCredential) -> AsyncIterator[Room]:
    """Whatever the test did, no model server has got what it must not get."""
    room, control = Room(standins, credential), standins.control
    control.forget_faults()
    for server in ("gateway", "models"):
        control.forget_report(server)
    control.set_options("gateway", service=room.service)
    control.set_options("models", serves={}, credentials={})
    yield room
    await room.close()
    assert not room.findings()
