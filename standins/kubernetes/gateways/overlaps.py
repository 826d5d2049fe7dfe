"""Routes that want the same calls."""

from __future__ import annotations

import json

from standins.kubernetes.gateways.memory import memory_of
from standins.kubernetes.kinds import HTTP_ROUTE, Object
from standins.kubernetes.objects import Objects


def overlapping(objects: Objects, route: Object, gateway: str) -> tuple[str, ...]:
    """The other routes that the Gateway has taken and that match what this one matches, by name."""
    memory, mine = memory_of(objects), _place(route)
    found = {
        place
        for match in _matches(route)
        for place in _index(objects).get(match, ())
        if place != mine and place in memory.taken and gateway in memory.taken[place].hosts
    }
    return tuple(f"HTTPRoute {namespace}/{name}" for namespace, name in sorted(found))


def _index(objects: Objects) -> dict[str, list[tuple[str, str]]]:
    memory, version = memory_of(objects), objects.changed.get(HTTP_ROUTE.resource, 0)
    if memory.matches[0] != version:
        found: dict[str, list[tuple[str, str]]] = {}
        for route in objects.all(HTTP_ROUTE, None):
            for match in _matches(route):
                found.setdefault(match, []).append(_place(route))
        memory.matches = version, found
    return memory.matches[1]


def _matches(route: Object) -> set[str]:
    """Each match under each host name, spelled in one way."""
    matches = [match for rule in route["spec"].get("rules", []) for match in rule.get("matches", [])]
    hosts = route["spec"].get("hostnames") or [""]
    return {f"{host} {json.dumps(match, sort_keys=True)}" for host in hosts for match in matches}


def _place(route: Object) -> tuple[str, str]:
    return route["metadata"]["namespace"], route["metadata"]["name"]
