"""The service itself, and what holds for every request about it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.identity.aio import ManagedIdentityCredential
from azure.mgmt.apimanagement.models import NamedValueCreateContract, ProductContract

from standins.control import Control
from standins.tests.api_management.builders import INSTANCE, OPERATOR, WHERE, Client, options, raw, unique
from standins.tests.azure_clients import GROUP, SERVICE, api_management, ask, managed_identity
from standins.tests.differences import known_difference
from standins.tests.plugin import ROOT, StandIns
from standins.world import SUBSCRIPTION


async def test_a_service_says_where_its_gateway_is_and_of_which_tier_it_is(
    standins: StandIns, client: Client
) -> None:
    with options(standins, tier="StandardV2"):
        found = await client.api_management_service.get(*WHERE)
    assert (found.id, found.name, found.provisioning_state) == (INSTANCE, SERVICE, "Succeeded")
    assert (found.sku.name, found.gateway_url) == ("StandardV2", f"https://{SERVICE}.azure-api.net")


async def test_services_are_listed_by_group_and_by_subscription(client: Client) -> None:
    group = unique("rg")
    await client.api_management_service.get(group, "other")
    assert [row.name async for row in client.api_management_service.list_by_resource_group(group)] == [
        "other"
    ]
    everywhere = [row.id async for row in client.api_management_service.list()]
    assert (
        f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.ApiManagement/service/"
        "other"
    ) in everywhere


@known_difference(
    "resource-manager",
    "An API Management service that nobody has made is not found; here every one exists that is named.",
)
async def test_a_service_that_nobody_has_made_is_not_found(client: Client) -> None:
    with pytest.raises(ResourceNotFoundError):
        await client.api_management_service.get(GROUP, unique("absent"))


async def test_the_fixed_words_of_a_path_may_be_spelled_in_any_case(
    standins: StandIns, credential: ManagedIdentityCredential, product: str
) -> None:
    token = (await credential.get_token("https://management.azure.com/.default")).token
    path = INSTANCE.replace("resourceGroups", "RESOURCEGROUPS").replace(
        "Microsoft.ApiManagement", "microsoft.apimanagement"
    )
    url = f"{standins.addresses['resource-manager']}{path}/Products/{product.upper()}?api-version=2024-05-01"
    status, body, _ = ask(standins, "GET", url, Authorization=f"Bearer {token}")
    assert (status, body["name"]) == (200, product)


async def test_a_killed_server_forgets_nothing(tmp_path: Path) -> None:
    name = unique("team")
    for life in (1, 2):
        with own_standins(tmp_path) as standins, managed_identity(standins):
            async with (
                ManagedIdentityCredential(client_id=OPERATOR) as credential,
                api_management(standins, credential) as client,
            ):
                if life == 1:
                    await client.product.create_or_update(*WHERE, name, ProductContract(display_name="kept"))
                    await client.product_policy.create_or_update(*WHERE, name, "policy", raw(""))
                    standins.control.set_options("resource-manager", long_running_seconds=30)
                    value = NamedValueCreateContract(display_name=name, value="v")
                    await client.named_value.begin_create_or_update(*WHERE, name, value, polling=False)
                else:
                    assert (await client.product.get(*WHERE, name)).display_name == "kept"
                    assert (await client.product_policy.get(*WHERE, name, "policy")).value
                    assert (await client.named_value.get(*WHERE, name)).provisioning_state == "InProgress"
                    standins.control.advance(30)
                    assert (await client.named_value.get(*WHERE, name)).provisioning_state == "Succeeded"


@contextmanager
def own_standins(folder: Path) -> Iterator[StandIns]:
    """A set for one test, which ends it with SIGKILL."""
    command = [
        sys.executable,
        "-m",
        "standins.run",
        "--folder",
        str(folder),
        "--only",
        "identity",
        "resource-manager",
    ]
    command += ["--control", "--latency", "none"]
    with subprocess.Popen(
        [*command, "--with-parent"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        yield StandIns(Control(ready["control"]), ready["addresses"], ready["ca"], folder)
        os.kill(process.pid, signal.SIGKILL)
