"""A room for each test: nothing provisioned, nothing counted, nothing broken. Without the vendors'
descriptions, policies are not compared with Microsoft's schemas.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest_asyncio
from azure.identity.aio import ManagedIdentityCredential

from standins.tests.azure_clients import managed_identity
from standins.tests.plugin import StandIns
from standins.tests.reference.descriptions import PRESENT
from tests.gateway.csharp_programs import is_there
from tests.gateway.room import OPERATOR, Room

collect_ignore = [] if PRESENT else ["test_policy_schemas.py"]
if not (is_there() or "MERGEKEY_CONTRACT_REPORT" in os.environ):
    collect_ignore.append("test_csharp.py")
if "MERGEKEY_CONTRACT_MODELS" not in os.environ:
    collect_ignore.append("test_clients_of_others.py")
if not {"MERGEKEY_ROAD_URL", "MERGEKEY_CONTRACT_REPORT"} & set(os.environ):
    collect_ignore.append("test_real_road.py")


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
