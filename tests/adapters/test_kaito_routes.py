"""What is read of a route and of a Gateway."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.adapters.kaito_routes import gateway_of, route_of
from shared.gateway_api.observed import Condition, Gateway, Listener, Parent

CONDITION = {
    "type": "Accepted",
    "status": "True",
    "reason": "Accepted",
    "message": "",
    "observedGeneration": 2,
    "lastTransitionTime": "2026-11-30T09:00:00Z",
}
READ = Condition("Accepted", "True", "Accepted", "", 2)
METADATA: dict[str, Any] = {
    "name": "phi-4",
    "namespace": "team-alpha",
    "generation": 2,
    "creationTimestamp": "2026-11-30T09:00:00Z",
}


def _said(**ref: str) -> dict[str, Any]:
    return {"parentRef": ref, "controllerName": "istio.io/gateway-controller", "conditions": [CONDITION]}


def test_a_route_shows_by_whom_it_is_taken_and_our_annotations() -> None:
    annotations = {"mergekey.dev/road": "", "kubectl.kubernetes.io/last-applied-configuration": "{}"}
    found = route_of(
        {
            "metadata": {**METADATA, "annotations": annotations},
            "spec": {"rules": []},
            "status": {
                "parents": [_said(name="main", namespace="gw", sectionName="http"), _said(name="beside")]
            },
        }
    )
    assert found.parents == tuple(
        Parent(each, "istio.io/gateway-controller", (READ,)) for each in ("gw/main", "team-alpha/beside")
    )
    assert found.annotations == {"mergekey.dev/road": ""}
    assert (found.generation, found.created) == (2, datetime(2026, 11, 30, 9, tzinfo=UTC))


@pytest.mark.parametrize("status", [{}, {"status": {}}, {"status": {"parents": None}}])
def test_a_route_of_which_no_controller_has_spoken_has_no_parents(status: dict[str, Any]) -> None:
    found = route_of({"metadata": METADATA, "spec": {}, **status})
    assert (found.parents, found.annotations) == ((), {})


def test_a_gateway_shows_its_listeners_its_addresses_and_what_it_hands_on() -> None:
    selector = {"matchLabels": {"a": "b"}}
    closed = {"name": "https", "protocol": "HTTPS", "port": 443, "hostname": "models.contoso.com"}
    open_ = {
        "name": "http",
        "protocol": "HTTP",
        "port": 80,
        "allowedRoutes": {"namespaces": {"from": "Selector", "selector": selector}},
    }
    found = gateway_of(
        {
            "metadata": {"name": "internal", "namespace": "gw", "generation": 2},
            "spec": {
                "gatewayClassName": "eg",
                "listeners": [closed, open_],
                "infrastructure": {"annotations": {"azure-load-balancer-internal": "true"}},
            },
            "status": {
                "conditions": [CONDITION],
                "addresses": [{"type": "IPAddress", "value": "10.0.0.4"}],
                "listeners": [{"name": "http", "attachedRoutes": 3, "conditions": [CONDITION]}],
            },
        }
    )
    assert found == Gateway(
        "gw/internal",
        "eg",
        2,
        (READ,),
        (
            Listener("https", "HTTPS", 443, "models.contoso.com"),
            Listener("http", "HTTP", 80, "", "Selector", selector, (READ,), 3),
        ),
        ("10.0.0.4",),
        {"azure-load-balancer-internal": "true"},
    )


def test_a_word_that_gateway_api_does_not_know_is_not_understood() -> None:
    listener = {"name": "a", "protocol": "HTTP", "port": 80, "allowedRoutes": {"namespaces": {"from": "Any"}}}
    spec = {"gatewayClassName": "eg", "listeners": [listener]}
    with pytest.raises(ValueError, match="Any"):
        gateway_of({"metadata": METADATA, "spec": spec})
