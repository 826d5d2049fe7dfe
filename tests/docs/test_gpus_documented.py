"""docs/gpus.md: its manifests are taken by an API server, and leave no way around API Management open."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from azure.identity.aio import ManagedIdentityCredential

from shared.adapters.kaito import KaitoCluster
from shared.gateway_api.controllers import HABITS, controller_of
from shared.gateway_api.listeners import open_ways
from shared.gateway_api.observed import Gateway
from shared.stages.open_ways import LABELS
from standins.stack import CLUSTER_ID
from standins.tests.azure_clients import managed_identity
from standins.tests.plugin import StandIns

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "gpus.md").read_text()
#: Kinds of the controllers themselves, and of the cluster: nothing here knows them.
OF_OTHERS = {"GatewayClass", "ClientTrafficPolicy"}
Manifest = dict[str, Any]


def documents() -> list[Manifest]:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [each for block in blocks for each in yaml.safe_load_all(block)]


GATEWAYS = {each["spec"]["gatewayClassName"]: each for each in documents() if each["kind"] == "Gateway"}


@pytest_asyncio.fixture(loop_scope="session")
async def cluster(standins: StandIns) -> AsyncIterator[KaitoCluster]:
    with managed_identity(standins):
        async with ManagedIdentityCredential() as credential:
            cluster = KaitoCluster(CLUSTER_ID, standins.addresses["resource-manager"], credential)
            yield cluster
            await cluster.close()


async def applied(cluster: KaitoCluster, gateway: Manifest) -> Gateway:
    """As the cluster shows it; with a name of its own, because the platform of all tests has a Gateway."""
    of_test = deepcopy(gateway)
    of_test["metadata"] |= {"name": gateway["spec"]["gatewayClassName"]}
    for each in documents():
        if each["kind"] == "Namespace":
            await cluster.apply(each)
    await cluster.apply(of_test)
    found = await cluster.gateway(f"{of_test['metadata']['namespace']}/{of_test['metadata']['name']}")
    assert found is not None
    return found


def reasons(gateway: Gateway, *, has_certificate: bool = False) -> list[str]:
    ways = open_ways(gateway, "cilium", has_certificate=has_certificate, labels=LABELS)
    return [way.reason for way in ways]


def test_the_page_has_a_gateway_for_each_controller_that_is_known() -> None:
    found = {controller_of(Gateway("a/b", name)) for name in GATEWAYS}
    assert found == set(HABITS)
    assert {each["kind"] for each in documents()} == {"Namespace", "Gateway"} | OF_OTHERS


@pytest.mark.parametrize("name", GATEWAYS)
async def test_a_documented_gateway_is_taken_and_leaves_no_way_open(cluster: KaitoCluster, name: str) -> None:
    found = await applied(cluster, GATEWAYS[name])
    assert (found.class_name, [each.protocol for each in found.listeners]) == (name, ["HTTPS"])
    assert found.annotations == {"service.beta.kubernetes.io/azure-load-balancer-internal": "true"}
    assert reasons(found) == []


@pytest.mark.parametrize("name", GATEWAYS)
async def test_without_its_selector_a_documented_gateway_takes_others(
    cluster: KaitoCluster, name: str
) -> None:
    changed = deepcopy(GATEWAYS[name])
    changed["spec"]["listeners"][0]["allowedRoutes"]["namespaces"] = {"from": "All"}
    assert reasons(await applied(cluster, changed)) == ["GatewayTakesOtherRoutes"]


@pytest.mark.parametrize("reason", ["GatewayTakesOtherRoutes", "GatewayIsPublic", "NetworkPoliciesIgnored"])
def test_the_page_says_how_each_way_is_closed(reason: str) -> None:
    assert f"`{reason}`" in PAGE
