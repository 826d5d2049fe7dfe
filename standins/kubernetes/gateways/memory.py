"""What a controller and its proxies remember; after a restart they look again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from standins.kubernetes.gateways.controllers import Controller, controllers
from standins.kubernetes.gateways.listeners import Hosts
from standins.kubernetes.kinds import GATEWAY, GATEWAY_CLASS, HTTP_ROUTE, NAMESPACE, SERVICE, Object
from standins.kubernetes.objects import Key, Objects


@dataclass(frozen=True)
class Taken:
    """A route as the proxies have it: `hosts` by the Gateway (`namespace/name`) and its listener."""

    route: Object
    hosts: Mapping[str, Hosts]


@dataclass
class Memory:
    #: Since when an object waits for a word, by its key.
    waiting: dict[str, float] = field(default_factory=dict)
    #: By namespace and name of the route.
    taken: dict[tuple[str, str], Taken] = field(default_factory=dict)
    #: Labels of a namespace, and the version of the change at which they were read.
    labels: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    #: The state in which nothing was left to say of a namespace.
    settled: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    #: Routes by the matches that they have, as of a version.
    matches: tuple[int, dict[str, list[tuple[str, str]]]] = (-1, {})
    has_looked: bool = False
    away: bool = False
    back_at: float = 0.0


def memory_of(objects: Objects) -> Memory:
    memory: Memory = objects.memory.setdefault("gateways", Memory())
    return memory


def installed(objects: Objects) -> Controller | None:
    """The controller that this cluster has, if its kinds are served."""
    are_served = all(kind.is_served(objects.options) for kind in (GATEWAY, GATEWAY_CLASS, HTTP_ROUTE))
    return controllers().get(objects.options["gateway_controller"]) if are_served else None


def own_gateway(objects: Objects, controller: Controller, namespace: str, name: str) -> Object | None:
    """The Gateway, if it is there and of a class of this controller."""
    gateway = objects.find(Key(GATEWAY, namespace, name))
    if gateway is None:
        return None
    its_class = objects.find(Key(GATEWAY_CLASS, "", str(gateway["spec"].get("gatewayClassName"))))
    return gateway if its_class and its_class["spec"].get("controllerName") == controller.by else None


def labels_of(objects: Objects, controller: Controller, namespace: str) -> dict[str, str]:
    """The labels of a namespace as the controller knows them: one that does not watch namespaces reads them
    when a route, a Gateway or a Service has changed.
    """
    found = objects.find(Key(NAMESPACE, "", namespace)) or {"metadata": {}}
    labels: dict[str, str] = dict(found["metadata"].get("labels") or {})
    if controller.has("watches"):
        return labels
    memory = memory_of(objects)
    change = max(objects.changed.get(kind.resource, 0) for kind in (HTTP_ROUTE, GATEWAY, SERVICE))
    kept = memory.labels.get(namespace)
    if kept is None or kept[0] != change:
        kept = memory.labels[namespace] = (change, labels)
    return kept[1]
