"""What real Gateway controllers wrote of routes and Gateways, and a cluster in this process in which one of
them is played.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from standins.kubernetes.cluster import Cluster, Deletion
from standins.kubernetes.errors import Refused
from standins.kubernetes.kinds import (
    GATEWAY,
    GATEWAY_CLASS,
    HTTP_ROUTE,
    NAMESPACE,
    POD,
    SECRET,
    SERVICE,
    Kind,
    Object,
)
from standins.kubernetes.objects import Key
from standins.kubernetes.ownership import Writer
from standins.tests.reference.descriptions import DIRECTORY
from standins.world import World

FOLDER = DIRECTORY / "gateways"
PRESENT = FOLDER.is_dir()
FILES = {
    "istio": "istio-1.31.0-rc.0",
    "envoy-gateway": "envoy-gateway-1.9.0",
    "nginx": "nginx-gateway-fabric-2.6.7",
}
HOME = "gateways"
_LABELS = {"app.kubernetes.io/managed-by": "mergekey"}


@cache
def record(name: str) -> Any:
    """One of the files, by its name without the ending."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def cases() -> dict[str, Any]:
    found: dict[str, Any] = record("cases")
    return found


class Room:
    """A cluster with one controller. Its clock stands until it is moved."""

    def __init__(self, folder: Path, controller: str) -> None:
        self.world = World(folder)
        self.world.clock.now = lambda: self.now  # type: ignore[method-assign]
        self.now = 1_796_000_000.0
        self.cluster = Cluster(self.world)
        self.controller = controller
        self.world.options["kubernetes"].change({"gateway_controller": controller})

    def options(self, **changed: Any) -> None:
        self.world.options["kubernetes"].change(changed)

    def later(self, seconds: float = 1.0) -> None:
        """Time passes, and every namespace is looked at."""
        for _ in range(2):
            self.now += seconds
            self.cluster.look(HTTP_ROUTE, None)

    def namespace(self, name: str, labels: dict[str, str] | None = None) -> None:
        self.apply(NAMESPACE, "", name, {"metadata": {"labels": labels or {}}})

    def apply(self, kind: Kind, namespace: str, name: str, content: Object) -> Object:
        """Raises `Refused`."""
        metadata: Object = {"name": name, **content.get("metadata", {})}
        metadata |= {"namespace": namespace} if namespace else {}
        head = {"apiVersion": kind.api_version, "kind": kind.name}
        value = {**content, **head, "metadata": metadata}
        key = Key(kind, namespace, name)
        return self.cluster.apply(key, value, Writer("test", kind.api_version, "2026-01-01T00:00:00Z"))[0]

    def put(self, kind: Kind, namespace: str, name: str, content: Object) -> None:
        """An object that others make in a cluster."""
        about = {"name": name, "namespace": namespace, "uid": f"{kind.plural}-{namespace}-{name}"}
        metadata = {**content.get("metadata", {}), **about, "creationTimestamp": "2026-01-01T00:00:00Z"}
        self.cluster.objects.save(Key(kind, namespace, name), {**content, "metadata": metadata})

    def delete(self, kind: Kind, namespace: str, name: str) -> None:
        writer = Writer("test", kind.api_version, "2026-01-01T00:00:00Z")
        self.cluster.delete(Key(kind, namespace, name), Deletion(), writer)

    def service(self, namespace: str, name: str = "phi-4", port: int = 80, not_ready: bool = True) -> None:
        """As KAITO writes it."""
        ports = [{"name": "http", "port": port, "targetPort": 5000}, {"name": "ray", "port": 6379}]
        spec = {"ports": ports, "selector": _selector(name), "publishNotReadyAddresses": not_ready}
        self.put(SERVICE, namespace, name, {"spec": spec})

    def pod(self, namespace: str, name: str = "phi-4", ready: bool = True) -> None:
        rows = [{"type": "Ready", "status": str(ready)}]
        about = {"metadata": {"labels": _selector(name)}, "spec": {}}
        self.put(POD, namespace, f"{name}-0", {**about, "status": {"phase": "Running", "conditions": rows}})

    def conditions(self, namespace: str, name: str) -> list[list[Any]]:
        """Of the first entry of a route; none where nobody has spoken."""
        parents = self.parents(namespace, name)
        return parents[0]["conditions"] if parents else []

    def parents(self, namespace: str, name: str) -> list[Any]:
        """The entries of a route as the records have them."""
        value = self.cluster.get(Key(HTTP_ROUTE, namespace, name))
        return [
            {
                "ref": _reference(each["parentRef"]),
                "by": each["controllerName"],
                "conditions": rows(each["conditions"]),
            }
            for each in (value.get("status") or {}).get("parents", [])
        ]

    def gateways(self) -> None:
        """Those of the records."""
        self.namespace(HOME)
        self.put(SECRET, HOME, "certificate", {"data": {}})
        spec = {"controllerName": "example.com/nobody"}
        self.apply(GATEWAY_CLASS, "", "foreign", {"spec": spec})
        for name, content in cases()["gateways"].items():
            its_class = record(FILES[self.controller])["class"]
            self.apply(GATEWAY, HOME, name, {"spec": {"gatewayClassName": its_class, **content}})

    def case(self, case: Any) -> list[Refused]:
        """What a case of the records has; what the API server refused."""
        refused = []
        for route in routes_of(case):
            namespace, _, name = route["name"].partition("/")
            team = namespace.removeprefix("team-")
            self.namespace(namespace, {**_LABELS, "mergekey.dev/team": team})
            self._backend(case, namespace)
            try:
                self.apply(HTTP_ROUTE, namespace, name, {"spec": route["spec"]})
            except Refused as refusal:
                refused.append(refusal)
            self.later()
        return refused

    def _backend(self, case: Any, namespace: str) -> None:
        about = case.get("service", {})
        name = about.get("name", "phi-4")
        if case["backend"] == "none" or len(name) > 62:  # the pod's name is a value of the selector
            return
        self.service(namespace, name, **{key: part for key, part in about.items() if key != "name"})
        if case["backend"] != "no-pod":
            self.pod(namespace, name, case["backend"] == "ready")


def rows(conditions: list[Object]) -> list[list[Any]]:
    """Type, status, reason, message and generation."""
    names = ("type", "status", "reason", "message")
    return [[*(row[name] for name in names), row.get("observedGeneration")] for row in conditions]


def routes_of(case: Any) -> list[Any]:
    """The routes of a case; `N rules` stands for one with so many."""
    if isinstance(case["routes"], list):
        return list(case["routes"])
    count = int(case["routes"].split()[0])
    team = "team-fo1" if count == 16 else "team-fo2"
    backend = [{"name": "phi-4", "port": 80}]
    rules = [
        {
            "matches": [{"path": {"type": "Exact", "value": f"/{team}/phi-4/v1/v{number}"}}],
            "filters": [_rewrite(f"/v1/v{number}")],
            "backendRefs": backend,
        }
        for number in range(count)
    ]
    parents = [{"name": "main", "namespace": HOME}]
    return [{"name": f"{team}/phi-4", "spec": {"parentRefs": parents, "rules": rules}}]


def _rewrite(path: str) -> Object:
    return {
        "type": "URLRewrite",
        "urlRewrite": {"path": {"type": "ReplaceFullPath", "replaceFullPath": path}},
    }


def _selector(name: str) -> dict[str, str]:
    return {"kaito.sh/workspace": name, "statefulset.kubernetes.io/pod-name": f"{name}-0"}


def _reference(parent: Object) -> str:
    return "/".join(filter(None, (parent.get("namespace"), parent["name"], parent.get("sectionName"))))
