"""A Gateway of Gateway API, and what its controller says of routes."""

from __future__ import annotations

from collections.abc import Iterable

from shared.gateway_api.controllers import HABITS, Controller
from shared.gateway_api.observed import Condition, Gateway, Listener, Parent
from shared.resources.workspaces import MANAGED_BY, MANAGER, Manifest


def conditions(*types: str, generation: int = 1) -> tuple[Condition, ...]:
    """Conditions that are True, with their own names as reasons."""
    return tuple(Condition(each, "True", each, "as it should be", generation) for each in types)


#: The Gateway of the platform, as AKS' application routing has it.
GATEWAY = Gateway(
    "gateway-system/internal",
    "approuting-istio",
    1,
    conditions("Accepted", "Programmed"),
    (
        Listener(
            "http",
            "HTTP",
            80,
            allowed="Selector",
            selector={"matchLabels": {MANAGED_BY: MANAGER}},
            conditions=conditions("Accepted", "Programmed", "ResolvedRefs"),
        ),
    ),
    ("10.224.0.9",),
    {"service.beta.kubernetes.io/azure-load-balancer-internal": "true"},
)


def parents_of(home: str, spec: Manifest) -> set[str]:
    """The Gateways that a route in this namespace names."""
    refs = spec.get("parentRefs") or ()
    return {f"{each.get('namespace', home)}/{each['name']}" for each in refs}


def accepted(controller: Controller, gateways: Iterable[str], generation: int) -> tuple[Parent, ...]:
    """What a controller says of a route that it takes."""
    words = conditions("Accepted", "ResolvedRefs", generation=generation)
    return tuple(Parent(each, HABITS[controller].name, words) for each in sorted(gateways))
