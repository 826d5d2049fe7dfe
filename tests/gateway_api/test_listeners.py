"""The ways around API Management: which are open, by what the Gateway and the cluster show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shared.gateway_api.listeners import NO_ENGINE, is_for_host, is_public, open_ways
from shared.gateway_api.observed import Condition, Gateway, Listener

LABELS = {"app.kubernetes.io/managed-by": "mergekey", "mergekey.dev/team": None}
OURS = {"matchLabels": {"app.kubernetes.io/managed-by": "mergekey"}}
PLAIN = Listener("http", "HTTP", 80, allowed="Selector", selector=OURS)
TLS = Listener("https", "HTTPS", 443, allowed="Selector", selector=OURS)
GATEWAY = Gateway("gateway-system/internal", "nginx", listeners=(PLAIN,), addresses=("10.224.0.9",))
PUBLIC = replace(GATEWAY, addresses=("20.50.2.1",))


def reasons(gateway: Gateway | None, engine: str | None = "cilium", certificate: bool = False) -> list[str]:
    found = list(open_ways(gateway, engine, has_certificate=certificate, labels=LABELS))
    assert all(way.text for way in found)
    return [way.reason for way in found]


def test_a_private_gateway_with_our_selector_leaves_no_way_open() -> None:
    assert reasons(GATEWAY) == []


@pytest.mark.parametrize("engine", ["azure", "calico", "cilium", None])
def test_policies_count_unless_the_cluster_says_that_nothing_enforces_them(engine: str | None) -> None:
    assert (reasons(GATEWAY, engine), reasons(None, NO_ENGINE)) == ([], ["NetworkPoliciesIgnored"])


def _expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("selector", "is_open"),
    [
        (OURS, False),
        ({"matchLabels": {"mergekey.dev/team": "alpha"}}, False),
        ({"matchLabels": {"app.kubernetes.io/managed-by": "Helm"}}, True),
        ({"matchLabels": {"environment": "test"}}, True),
        ({"matchLabels": {"environment": "test", "app.kubernetes.io/managed-by": "mergekey"}}, False),
        ({}, True),
        (_expression("mergekey.dev/team", "Exists"), False),
        (_expression("mergekey.dev/team", "NotIn", "alpha"), True),
        (_expression("mergekey.dev/team", "DoesNotExist"), True),
        (_expression("app.kubernetes.io/managed-by", "Exists"), True),
        (_expression("app.kubernetes.io/managed-by", "In", "mergekey"), False),
        (_expression("app.kubernetes.io/managed-by", "In", "mergekey", "Helm"), True),
        (_expression("app.kubernetes.io/managed-by", "In"), True),
        (_expression("environment", "Exists"), True),
    ],
)
def test_a_selector_is_narrow_when_it_demands_a_label_of_ours(
    selector: dict[str, Any], is_open: bool
) -> None:
    gateway = replace(GATEWAY, listeners=(replace(PLAIN, selector=selector),))
    assert reasons(gateway) == (["GatewayTakesOtherRoutes"] if is_open else [])


@pytest.mark.parametrize(("allowed", "is_open"), [("All", True), ("Same", False), ("None", False)])
def test_a_listener_for_all_namespaces_is_open_to_others(allowed: Any, is_open: bool) -> None:
    other = Listener("other", "HTTP", 8080, allowed=allowed)
    gateway = replace(GATEWAY, listeners=(PLAIN, other))
    found = list(open_ways(gateway, None, has_certificate=False, labels=LABELS))
    assert [way.reason for way in found] == (["GatewayTakesOtherRoutes"] if is_open else [])
    assert all("other" in way.text and not way.stops_new for way in found)


@pytest.mark.parametrize(
    ("listeners", "certificate", "is_open"),
    [
        ((PLAIN,), False, True),
        ((TLS,), False, True),
        ((TLS,), True, False),
        ((PLAIN,), True, True),
        ((PLAIN, TLS), True, True),
    ],
    ids=["plain", "no certificate", "with certificate", "plain with certificate", "one is plain"],
)
def test_a_public_frontend_needs_a_certificate_at_each_listener(
    listeners: tuple[Listener, ...], certificate: bool, is_open: bool
) -> None:
    gateway = replace(PUBLIC, listeners=listeners)
    found = list(open_ways(gateway, "azure", has_certificate=certificate, labels=LABELS))
    assert [(way.reason, way.stops_new) for way in found] == ([("GatewayIsPublic", True)] if is_open else [])
    assert all("20.50.2.1" in way.text for way in found)


@pytest.mark.parametrize(("status", "is_open"), [("True", True), ("False", False)])
def test_a_certificate_that_is_not_demanded_closes_nothing(status: str, is_open: bool) -> None:
    told = Condition("InsecureFrontendValidationMode", status, "ConfigurationChanged", "", 1)
    gateway = replace(PUBLIC, listeners=(TLS,), conditions=(told,))
    assert reasons(gateway, certificate=True) == (["GatewayIsPublic"] if is_open else [])


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("20.50.2.1", True),
        ("2603:1020::1", True),
        ("10.224.0.9", False),
        ("172.16.0.1", False),
        ("192.168.3.4", False),
        ("100.64.0.1", False),
        ("fd00::1", False),
        ("abc.fz12.alb.azure.com", True),
        ("GPU.swedencentral.cloudapp.azure.com.", True),
        ("gw.privatelink.swedencentral.azure.com", False),
        ("internal.gateway-system.svc.cluster.local", False),
        ("models.internal.contoso.com", False),
        ("", False),
    ],
)
def test_an_address_is_public_when_everybody_can_reach_it(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize(
    ("hosts", "generation", "is_for"),
    [
        (["models.contoso.com"], 1, True),
        (["Models.contoso.com", "models.contoso.com."], 1, True),
        (["models.contoso.com", ""], 1, False),
        (["*.contoso.com"], 1, False),
        ([""], 1, False),
        ([], 1, False),
        (["models.contoso.com"], 2, False),
    ],
)
def test_a_gateway_is_for_a_host_when_all_its_listeners_are_and_that_was_seen(
    hosts: list[str], generation: int, is_for: bool
) -> None:
    listeners = tuple(Listener("http", "HTTP", 80, hostname=each) for each in hosts)
    seen = (Condition("Accepted", "True", "Accepted", "", 1),)
    gateway = Gateway("gateway-system/internal", "istio", generation, seen, listeners)
    assert is_for_host(gateway, "models.contoso.com") is is_for
