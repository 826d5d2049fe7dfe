"""Real Gateway controllers and our routes: what they say, what we make of it, and that the stand-in plays
them as they are. Needs `MERGEKEY_GATEWAYS`, and a real API server (`make contract`).
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from azure.identity.aio import ManagedIdentityCredential

from shared.adapters.kaito import KaitoCluster
from shared.gateway_api.controllers import HABITS, Controller, proxies
from shared.gateway_api.listeners import open_ways
from shared.resources.network_policy import network_policy_manifest
from shared.resources.routes import form_of
from shared.resources.workspaces import MANAGED_BY, Manifest, spec_matches
from shared.stages.open_ways import LABELS
from standins.kubernetes.kinds import GATEWAY as GATEWAYS
from standins.kubernetes.kinds import HTTP_ROUTE, SECRET
from standins.stack import wait_until
from standins.tests.azure_clients import managed_identity
from standins.tests.plugin import StandIns
from standins.tests.reference.gateway_records import Room
from tests.cluster.caller import MERGE
from tests.contract.targets import a_cluster
from tests.gateways import objects
from tests.gateways.cases import CASES, CLUSTER, NAME, Case, marker
from tests.gateways.objects import GATEWAY, HOME
from tests.gateways.real import RealGateways, Said, as_said, at_gateway, second_gateway

#: In seconds; a controller answers within 0.2.
PATIENCE = 60.0
_INTERNAL = "service.beta.kubernetes.io/azure-load-balancer-internal"


def played(folder: Path, controller: Controller, case: Case, gateway: Manifest) -> list[Said]:
    """What the stand-in's controller says of the case, by entry."""
    room = Room(folder, controller)
    room.put(SECRET, HOME, "models-internal", {"data": {}})
    room.apply(GATEWAYS, HOME, gateway["metadata"]["name"], {"spec": gateway["spec"]})
    route = case.route(case.team)
    room.namespace(case.home, dict(route["metadata"]["labels"]) if case.is_managed else {})
    if case.backend != "none":
        room.service(case.home, NAME, 8080 if case.backend == "other port" else 80)
    if case.backend in ("pod", "other port"):
        room.pod(case.home, NAME)
    room.apply(HTTP_ROUTE, case.home, NAME, {"spec": route["spec"]})
    room.later()
    return [as_said(each["conditions"]) for each in room.parents(case.home, NAME)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_route_is_judged_as_the_controller_means_it_and_as_the_standin_plays_it(
    gateways: RealGateways, tmp_path: Path, case: Case
) -> None:
    wanted = played(tmp_path, gateways.controller, case, gateways.gateway)
    route = gateways.prepare(case)
    gateways.apply(route)
    with suppress(TimeoutError):
        wait_until(f"it says {wanted}", lambda: gateways.said(route) == wanted, PATIENCE)
    assert gateways.said(route) == wanted
    assert gateways.verdict(route).cause.reason == case.expected(gateways.controller)


def test_what_the_api_server_fills_in_is_no_change_of_ours(gateways: RealGateways) -> None:
    route = gateways.prepare(Case("filled-in", "Ready"))
    policy = network_policy_manifest(marker("filled-in"), CLUSTER)
    for _ in range(2):
        gateways.apply(route, policy)
    found = gateways.read(route)
    assert form_of(found["spec"], "team-filled-in", NAME) == "exact"
    assert found["metadata"]["generation"] == 1
    for each in (route, policy):
        assert spec_matches(gateways.read(each)["spec"], each)


async def test_the_workers_read_the_same_through_their_adapter(
    gateways: RealGateways, standins: StandIns
) -> None:
    gateways.wait_for_a_later_route("adapter")
    with managed_identity(standins):
        async with ManagedIdentityCredential() as credential:
            address = standins.addresses["resource-manager"]
            adapter = KaitoCluster(a_cluster(gateways.cluster.name), address, credential)
            seen, [route] = await adapter.gateway(GATEWAY), await adapter.routes("team-adapter")
            named = await adapter.gateway_controller(GATEWAY)
            await adapter.close()
    assert seen is not None
    assert named == gateways.controller
    assert {each.controller for each in route.parents} == {HABITS[gateways.controller].name}
    assert list(open_ways(seen, "cilium", has_certificate=False, labels=LABELS)) == []


def test_the_proxies_are_the_pods_that_network_policies_let_in(gateways: RealGateways) -> None:
    peer = proxies(gateways.controller, GATEWAY)
    home = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    labels = peer["podSelector"]["matchLabels"]
    found = [
        item["spec"]["template"]["metadata"]["labels"]
        for item in gateways.at.items(f"/apis/apps/v1/namespaces/{home}/deployments")
    ]
    assert [each for each in found if labels.items() <= each.items()]


def test_the_annotation_for_a_private_address_reaches_the_service(gateways: RealGateways) -> None:
    asked = [
        (item["metadata"].get("annotations") or {}).get(_INTERNAL)
        for item in gateways.at.items("/api/v1/services")
        if item["spec"]["type"] == "LoadBalancer"
    ]
    assert set(asked) == {"true"}


def test_nobody_answers_for_a_gateway_that_is_missing_or_whose_class_nobody_serves(
    gateways: RealGateways,
) -> None:
    of_nobody = second_gateway(gateways.gateway, "of-nobody", "nobody")
    gateways.apply(of_nobody)
    missing = second_gateway(gateways.gateway, "missing")
    for name in ("missing", "of-nobody"):
        gateways.prepare(Case(name, ""))
        gateways.apply(at_gateway(name, name))
    gateways.wait_for_a_later_route("later-than-nobody")
    reasons = [
        gateways.verdict(at_gateway(name, name), gateway).cause.reason
        for name, gateway in (("missing", missing), ("of-nobody", of_nobody))
    ]
    assert reasons == ["GatewayMissing", "GatewayClassNotServed"]


def test_a_listener_without_its_certificate_is_told_although_the_route_is_accepted(
    gateways: RealGateways,
) -> None:
    gateway = second_gateway(gateways.gateway, "bare")
    [listener] = gateway["spec"]["listeners"]
    tls = {**listener["tls"], "certificateRefs": [{"name": "none"}]}
    gateway["spec"] = {**gateway["spec"], "listeners": [{**listener, "tls": tls}]}
    gateways.prepare(Case("bare", ""))
    route = at_gateway("bare", "bare")
    gateways.apply(gateway, route)
    wait_until("the route is answered", lambda: gateways.said(route), PATIENCE)
    wait_until("told", lambda: gateways.verdict(route, gateway).cause.reason == "InvalidListener", PATIENCE)


def test_a_lost_label_of_the_namespace_is_told_with_the_next_change_at_the_latest(
    gateways: RealGateways,
) -> None:
    case = Case("loses-label", "Ready")
    route = gateways.prepare(case)
    gateways.apply(route)
    wait_until("it is ready", lambda: gateways.verdict(route).cause.reason == "Ready", PATIENCE)
    without = {"metadata": {"labels": {MANAGED_BY: None}}}
    gateways.at.ask("PATCH", f"/api/v1/namespaces/{case.home}", without, MERGE)
    gateways.wait_for_a_later_route("later-than-label")
    told = "NotAllowedByListeners"
    wait_until("it is told", lambda: gateways.verdict(route).cause.reason == told, PATIENCE)


def test_the_word_of_a_deleted_gateway_stays_where_the_controller_forgets_nothing(
    gateways: RealGateways,
) -> None:
    gateway, route = second_gateway(gateways.gateway, "short"), at_gateway("short", "short")
    gateways.prepare(Case("short", "Ready"))
    gateways.apply(gateway, route)
    wait_until("the route is accepted", lambda: _is_accepted(gateways.said(route)), PATIENCE)
    gateways.at.ask("DELETE", objects.path_of(gateway))
    gateways.wait_for_a_later_route("later-than-short")
    forgets = HABITS[gateways.controller].forgets
    if forgets:
        wait_until("the word is gone", lambda: not gateways.said(route), PATIENCE)
    assert _is_accepted(gateways.said(route)) is not forgets
    assert gateways.verdict(route, gateway).cause.reason == "GatewayMissing"


def _is_accepted(said: list[Said]) -> bool:
    return any(each.get("Accepted") == ("True", "Accepted") for each in said)


def test_the_policies_of_the_page_are_accepted(gateways: RealGateways) -> None:
    policies = [
        each for each in objects.documented(gateways.controller) if each["kind"] == "ClientTrafficPolicy"
    ]
    wait_until(
        "they are accepted", lambda: all(_is_taken(gateways.read(each)) for each in policies), PATIENCE
    )
    assert len(policies) == (gateways.controller == "envoy-gateway")


def _is_taken(policy: Manifest) -> bool:
    entries = (policy.get("status") or {}).get("ancestors", [])
    return any(
        (row["type"], row["status"]) == ("Accepted", "True") for each in entries for row in each["conditions"]
    )
