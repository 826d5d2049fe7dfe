"""The controllers of Gateway API that are known, and what each does by itself.

Measured with Istio 1.31.0-rc.0, Envoy Gateway 1.9.0 and NGINX Gateway Fabric 2.6.7, each against a real API
server, with the proxies that they configured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from shared.gateway_api.observed import Gateway, Parent

Controller = Literal["istio", "envoy-gateway", "nginx"]
#: The label of the name that Kubernetes itself gives each namespace.
NAMESPACE_NAME = "kubernetes.io/metadata.name"
_OF_GATEWAY = "gateway.networking.k8s.io/gateway-name"
_OWNED_BY = "gateway.envoyproxy.io/owning-gateway"
_ENVOY_HOME = "envoy-gateway-system"


@dataclass(frozen=True, slots=True)
class Habits:
    """`classes` are usual names of its GatewayClass, `name` is its `controllerName`.

    `keeps_timeouts`: whether it obeys a route's `timeouts`. `silence` is after how many seconds without a
    byte from the model it ends a call, `body` how many bytes a request may have; None for no bound.
    `forgets`: whether it takes back what it wrote into a route when the Gateway is deleted.
    """

    title: str
    name: str
    classes: tuple[str, ...]
    keeps_timeouts: bool = True
    silence: int | None = None
    body: int | None = None
    forgets: bool = True


HABITS: dict[Controller, Habits] = {
    "istio": Habits("Istio", "istio.io/gateway-controller", ("approuting-istio", "istio")),
    "envoy-gateway": Habits(
        "Envoy Gateway",
        "gateway.envoyproxy.io/gatewayclass-controller",
        ("eg", "envoy-gateway", "envoy"),
        forgets=False,
    ),
    "nginx": Habits(
        "NGINX Gateway Fabric",
        "gateway.nginx.org/nginx-gateway-controller",
        ("nginx",),
        keeps_timeouts=False,
        silence=60,
        body=1024 * 1024,
        forgets=False,
    ),
}


def by_name(controller_name: str) -> Controller | None:
    """The controller that writes this `controllerName`; None for one that is not known."""
    return next((each for each, habits in HABITS.items() if habits.name == controller_name), None)


def by_class(class_name: str) -> Controller | None:
    """The controller of a GatewayClass with this name, as far as it is a usual one."""
    return next((each for each, habits in HABITS.items() if class_name in habits.classes), None)


def controller_of(gateway: Gateway | None, parents: tuple[Parent, ...] = ()) -> Controller | None:
    """The controller by what it wrote into a route, else by the Gateway's class; None where neither tells."""
    written = (
        by_name(each.controller) for each in parents if gateway is None or each.gateway == gateway.name
    )
    found = next((each for each in written if each is not None), None)
    return found or (None if gateway is None else by_class(gateway.class_name))


def proxies(controller: Controller, gateway: str) -> dict[str, Any]:
    """The peer of a NetworkPolicy that is the proxies of this Gateway (`namespace/name`)."""
    home, _, name = gateway.partition("/")
    labels = {_OF_GATEWAY: name}
    if controller == "envoy-gateway":
        labels = {f"{_OWNED_BY}-name": name, f"{_OWNED_BY}-namespace": home}
        home = _ENVOY_HOME
    return {
        "namespaceSelector": {"matchLabels": {NAMESPACE_NAME: home}},
        "podSelector": {"matchLabels": labels},
    }
