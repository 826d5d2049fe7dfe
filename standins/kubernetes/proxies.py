"""What the proxies of a Gateway know: the routes that its listeners took, as the controller sent them."""

from __future__ import annotations

from dataclasses import dataclass

from standins.kubernetes.cluster import Cluster
from standins.kubernetes.gateways.controllers import Controller
from standins.kubernetes.gateways.listeners import missing_secret
from standins.kubernetes.gateways.memory import installed, memory_of, own_gateway
from standins.kubernetes.kinds import GATEWAY, HTTP_ROUTE, SECRET, Object
from standins.kubernetes.network import Peer
from standins.kubernetes.objects import Key, Objects


@dataclass(frozen=True)
class Served:
    """A route, and the host names under which it is served; an empty name is any."""

    route: Object
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class Proxy:
    """The proxies of one Gateway. `peer` is what network policies know of them."""

    controller: Controller
    peer: Peer
    routes: tuple[Served, ...]


def proxy_of(cluster: Cluster, gateway: str) -> Proxy | None:
    """That of a Gateway (`namespace/name`); None where it has none: it is not there, no controller has it, or
    none of its listeners is valid.
    """
    objects = cluster.objects
    home, _, name = gateway.partition("/")
    _look(cluster, home)
    controller = installed(objects)
    found = own_gateway(objects, controller, home, name) if controller else None
    if controller is None or found is None:
        return None
    valid = _valid_listeners(objects, found)
    if not valid:
        return None
    namespace, labels, _ = controller.proxies(home, name)
    routes = [
        Served(taken.route, hosts)
        for taken in memory_of(objects).taken.values()
        if (hosts := _hosts(taken.hosts.get(gateway, {}), valid))
    ]
    return Proxy(controller, Peer(namespace, labels), tuple(routes))


def _look(cluster: Cluster, home: str) -> None:
    """Let the controller speak where it has something to say; after a restart that may be everywhere."""
    memory = memory_of(cluster.objects)
    if not memory.has_looked:
        memory.has_looked = True
        cluster.look(HTTP_ROUTE, None)
    for namespace in {home, *(key.split("/")[1] for key in memory.waiting)}:
        cluster.look(GATEWAY, namespace)


def _valid_listeners(objects: Objects, gateway: Object) -> set[str]:
    home = gateway["metadata"]["namespace"]
    return {
        each["name"]
        for each in gateway["spec"].get("listeners", [])
        if missing_secret(each, lambda name: objects.find(Key(SECRET, home, name)) is not None) is None
    }


def _hosts(hosts: dict[str, tuple[str, ...]], valid: set[str]) -> tuple[str, ...]:
    """Each name once, in order."""
    return tuple(
        dict.fromkeys(name for listener, names in hosts.items() if listener in valid for name in names)
    )
