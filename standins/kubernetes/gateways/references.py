"""What the rules of a route refer to: Services, their ports and pods, filters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from standins.kubernetes.gateways.controllers import Controller
from standins.kubernetes.kinds import POD, SERVICE, Object
from standins.kubernetes.objects import Key, Objects
from standins.kubernetes.selectors import chosen

#: The name of what is wrong, and the reason and the message that are given.
Problem = tuple[str, tuple[str, str]]


@dataclass(frozen=True)
class Backend:
    """What one reference leads to. `problem` is the name of what is said of it, empty where it is right."""

    problem: str
    about: dict[str, Any]
    service: Object | None = None

    @property
    def home(self) -> str:
        return str(self.about["home"])


def backend_of(objects: Objects, reference: Object, namespace: str) -> Backend:
    """Nothing is granted here, so that another namespace is never permitted."""
    home = reference.get("namespace") or namespace
    about = {
        "service": reference["name"],
        "home": home,
        "namespace": namespace,
        "group": reference.get("group", ""),
        "kind": reference.get("kind", "Service"),
        "port": reference.get("port"),
    }
    if (about["group"], about["kind"]) != ("", "Service"):
        return Backend("unknown kind", about)
    if home != namespace:
        return Backend("other namespace", about)
    service = objects.find(Key(SERVICE, home, reference["name"]))
    if service is None:
        return Backend("no service", about)
    if about["port"] not in [port["port"] for port in service["spec"].get("ports", [])]:
        return Backend("no port", about, service)
    return Backend("", about, service)


def pods_of(objects: Objects, service: Object) -> list[Object]:
    """The pods that a Service selects, ready or not."""
    selector = {"matchLabels": service["spec"].get("selector") or {}}
    pods = objects.all(POD, service["metadata"]["namespace"])
    return [pod for pod in pods if selector["matchLabels"] and chosen(selector, pod)]


def problems(controller: Controller, objects: Objects, route: Object) -> Iterator[Problem]:
    """What the controller says of references and filters, in order."""
    for rule, content in enumerate(route["spec"].get("rules", [])):
        for number, reference in enumerate(content.get("backendRefs", [])):
            found = backend_of(objects, reference, route["metadata"]["namespace"])
            name = found.problem or _of_pods(objects, found.service)
            if name and (said := controller.said(name, rule=rule, number=number, **found.about)):
                yield name, said
        for number, each in enumerate(content.get("filters", [])):
            if each["type"] == "ExtensionRef":
                yield from _of_filter(controller, {"rule": rule, "number": number, "filter": each["type"]})


def _of_pods(objects: Objects, service: Object | None) -> str:
    return "" if service is None or pods_of(objects, service) else "no pod"


def _of_filter(controller: Controller, about: dict[str, Any]) -> Iterator[Problem]:
    """One that leads to a kind of its own: nobody has such kinds here."""
    for name in ("filter", "refused filter"):
        if said := controller.said(name, **about):
            yield name, said
