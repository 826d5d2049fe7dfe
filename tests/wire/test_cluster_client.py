"""The client of the cluster: kept, closed when nobody uses it any more, and obedient to what the server asks
for.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import trustme
from azure.identity.aio import ManagedIdentityCredential

from shared.adapters.kaito import DISCOVERY_TIME, KaitoCluster
from shared.adapters.kaito_connection import OLD
from shared.errors import AccessDenied, KindNotServed, MergekeyError, Unavailable
from shared.marker import Marker
from shared.resources.workspaces import namespace_manifest
from standins.stack import CLUSTER_ID
from standins.tests.azure_clients import managed_identity
from standins.tests.plugin import StandIns

CREDENTIALS = "POST cluster listClusterUserCredential"
LISTS = "LIST namespaces"
EXPIRED = json.dumps({"kind": "Status", "reason": "Expired", "message": "a continue parameter is too old"})


@dataclass
class Room:
    """The adapter, every client that it has opened, and its clock in seconds."""

    standins: StandIns
    cluster: _Recording = field(init=False)
    opened: list[Any] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def questions(self) -> int:
        """How often AKS was asked for the address."""
        return self.calls(CREDENTIALS, "resource-manager")

    def calls(self, kind: str, server: str = "kubernetes") -> int:
        return sum(call.kind == kind for call in self.standins.control.calls(server))

    @property
    def open_sessions(self) -> int:
        pools = [client.rest_client.pool_manager for client in self.opened]
        return sum(pool is not None and not pool.closed for pool in pools)

    def fails(self, kind: str, **fault: Any) -> None:
        self.standins.control.fault("kubernetes", kind, **fault)


class _Recording(KaitoCluster):
    """Remembers the clients that it opens."""

    room: Room

    async def _connect(self) -> Any:
        client = await super()._connect()
        self.room.opened.append(client)
        return client


@pytest.fixture
async def room(standins: StandIns) -> AsyncIterator[Room]:
    with managed_identity(standins):
        async with ManagedIdentityCredential() as credential:
            manager = standins.addresses["resource-manager"]
            made = Room(standins)
            made.cluster = _Recording(CLUSTER_ID, manager, credential, lambda: made.seconds)
            made.cluster.room = made
            standins.control.forget_calls()
            yield made
            await made.cluster.close()
            standins.control.forget_faults()
            assert made.open_sessions == 0


async def _attempt(room: Room) -> str:
    try:
        await room.cluster.namespaces()
    except MergekeyError as error:
        return error.reason
    return ""


async def test_the_address_is_asked_for_once(room: Room) -> None:
    await asyncio.gather(*(room.cluster.namespaces() for _ in range(20)))
    assert (room.questions, len(room.opened)) == (1, 1)


async def test_calls_that_fail_ask_nothing_and_leave_nothing_open(room: Room) -> None:
    await room.cluster.namespaces()
    room.fails(LISTS, status=0, count=None)
    assert {await _attempt(room) for _ in range(10)} == {"Unavailable"}
    assert set(await asyncio.gather(*(_attempt(room) for _ in range(90)))) == {"Unavailable"}
    assert (room.questions, room.open_sessions) == (1, 1)
    room.standins.control.forget_faults()
    assert await _attempt(room) == ""


def _told(room: Room, server: str, authority: bytes) -> None:
    """AKS tells this address and this authority, once."""
    cluster = {"server": server, "certificate-authority-data": base64.b64encode(authority).decode()}
    value = base64.b64encode(json.dumps({"clusters": [{"cluster": cluster}]}).encode()).decode()
    body = json.dumps({"kubeconfigs": [{"name": "x", "value": value}]})
    room.standins.control.fault("resource-manager", CREDENTIALS, status=200, body=body)


@pytest.mark.parametrize("what", ["address", "authority"])
async def test_a_cluster_that_changed_is_found_when_what_is_known_of_it_is_old(room: Room, what: str) -> None:
    if what == "address":
        _told(room, "https://localhost:1", (room.standins.folder / "ca.pem").read_bytes())
    else:
        _told(room, room.standins.addresses["kubernetes"], trustme.CA().cert_pem.bytes())
    assert [await _attempt(room) for _ in range(3)] == ["Unavailable"] * 3
    assert room.questions == 1
    room.seconds = OLD
    assert [await _attempt(room) for _ in range(2)] == ["Unavailable", ""]
    assert (room.questions, room.open_sessions) == (2, 1)


async def test_a_client_that_is_refused_is_replaced_and_ends_no_other_call(room: Room) -> None:
    await room.cluster.namespaces()
    room.fails("LIST nodes", status=None, seconds=0.3)
    room.fails(LISTS, status=401, body="")
    slow = asyncio.create_task(room.cluster.gpu_nodes())
    await asyncio.sleep(0)
    with pytest.raises(AccessDenied):
        await room.cluster.namespaces()
    await room.cluster.namespaces()
    assert await slow is not None
    assert (room.questions, room.open_sessions) == (2, 1)


async def test_a_list_whose_next_page_has_expired_is_begun_again(room: Room) -> None:
    await room.cluster.apply(namespace_manifest(Marker(1, "page", "a", "b", "c")))
    room.fails(LISTS, status=410, body=EXPIRED, count=3)
    assert "team-page" in {each.name for each in await room.cluster.namespaces()}
    room.standins.control.forget_calls()
    room.fails(LISTS, status=410, body=EXPIRED, count=None)
    with pytest.raises(Unavailable) as raised:
        await room.cluster.namespaces()
    assert (raised.value.reason, room.calls(LISTS)) == ("Unavailable", 4)


@pytest.mark.parametrize("status", [429, 503, 504])
@pytest.mark.parametrize(("asked", "obeyed"), [(7, timedelta(seconds=7)), (90_000, timedelta(hours=1))])
async def test_the_wait_that_the_server_asks_for_is_obeyed(
    room: Room, status: int, asked: int, obeyed: timedelta
) -> None:
    room.fails(LISTS, status=status, retry_after=asked, body="Too many requests, please try again later.\n")
    with pytest.raises(MergekeyError) as raised:
        await room.cluster.namespaces()
    assert raised.value.retry_after == obeyed  # type: ignore[attr-defined]


async def test_what_is_served_is_kept_for_some_minutes(room: Room) -> None:
    for _ in range(3):
        await room.cluster.served()
    assert room.calls("GET discovery") == 2
    room.seconds = DISCOVERY_TIME
    await asyncio.gather(*(room.cluster.served() for _ in range(5)))
    assert room.calls("GET discovery") == 4


@pytest.mark.parametrize("body", ["404 page not found\n", "<html>Not Found</html>", "{}", ""])
async def test_a_404_that_names_no_object_is_about_the_kind(room: Room, body: str) -> None:
    room.fails("GET namespace", status=404, body=body)
    with pytest.raises(KindNotServed) as raised:
        await room.cluster.namespace("team-none")
    assert (raised.value.group, raised.value.version, raised.value.kind) == ("", "v1", "Namespace")


async def test_the_core_groups_404_without_details_is_about_the_kind(room: Room) -> None:
    status = {"reason": "NotFound", "details": {}, "message": "the server could not find the resource"}
    room.fails("LIST nodes", status=404, body=json.dumps(status))
    with pytest.raises(KindNotServed):
        await room.cluster.gpu_nodes()


@pytest.mark.parametrize("engine", ["azure", "calico", "cilium", "none"])
async def test_resource_manager_says_what_enforces_network_policies(room: Room, engine: str) -> None:
    before = room.standins.control.options("resource-manager")["network_policy"]
    room.standins.control.set_options("resource-manager", network_policy=engine)
    found = await room.cluster.network_policy_engine()
    room.standins.control.set_options("resource-manager", network_policy=before)
    assert found == engine


@pytest.mark.parametrize(
    ("profile", "engine"),
    [
        (None, None),
        ({"networkPlugin": "none", "networkPolicy": "none"}, None),
        ({"networkPlugin": "kubenet"}, "none"),
        ({"networkPlugin": "azure", "networkDataplane": "cilium"}, "cilium"),
    ],
    ids=["untold", "a network of its own", "no engine", "by the data plane"],
)
async def test_a_network_that_names_no_engine_has_none_unless_it_is_its_own(
    room: Room, profile: dict[str, str] | None, engine: str | None
) -> None:
    body = json.dumps({"location": "x", "properties": {"networkProfile": profile}})
    room.standins.control.fault("resource-manager", "GET cluster", status=200, body=body)
    assert await room.cluster.network_policy_engine() == engine


async def test_a_cluster_that_may_not_be_read_is_denied(room: Room) -> None:
    room.standins.control.fault("resource-manager", "GET cluster", status=403)
    with pytest.raises(AccessDenied):
        await room.cluster.network_policy_engine()
