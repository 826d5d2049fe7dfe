"""What real Gateway controllers wrote into Gateways and routes (messages are those of Istio, Envoy Gateway
and NGINX Gateway Fabric, Apache-2.0), as the API server shows it. `records.json` is an extract of all that
was recorded, which `REFERENCE_DIR` names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from shared.adapters.kaito_routes import gateway_of, route_of
from shared.gateway_api.controllers import Controller
from shared.gateway_api.observed import Gateway
from shared.resources.actual import Route
from standins.tests.reference.descriptions import DIRECTORY

Record = dict[str, Any]
EXTRACT = Path(__file__).parent / "records.json"
ALL = DIRECTORY / "gateways"
FILES: dict[Controller, str] = {
    "istio": "istio-1.31.0-rc.0",
    "envoy-gateway": "envoy-gateway-1.9.0",
    "nginx": "nginx-gateway-fabric-2.6.7",
}
_HOME = "gateways"


@dataclass(frozen=True)
class Case:
    """A route that a controller was asked to take, with the Gateway (`namespace/name`) that it names.
    `refused` is the status of the API server's answer where it was not written.
    """

    name: str
    controller: Controller
    gateway: str
    route: Route | None
    seen: Gateway | None
    refused: int | None = None

    def __str__(self) -> str:
        return f"{self.controller}-{self.name}-{'' if self.route is None else self.route.name[:20]}"


@cache
def extract() -> Record:
    return dict(json.loads(EXTRACT.read_text()))


@cache
def everything() -> Record:
    """All that was recorded, in the form of the extract; empty where it is not on this machine."""
    if not ALL.is_dir():
        return {"cases": {}, "gateways": {}, "controllers": {}}
    asked = json.loads((ALL / "cases.json").read_text())
    written = {file: json.loads((ALL / f"{file}.json").read_text()) for file in FILES.values()}
    return {**asked, "controllers": written}


def cases(records: Record) -> Iterator[Case]:
    for controller, file in FILES.items():
        if file in records["controllers"]:
            yield from _cases_of(controller, records, records["controllers"][file])


def _cases_of(controller: Controller, records: Record, written: Record) -> Iterator[Case]:
    for name, asked in records["cases"].items():
        found = written["cases"][name]
        gateway_name = _asked_gateway(asked)
        seen, at = gateway(records, written, gateway_name), f"{_HOME}/{gateway_name}"
        for refused in found.get("refused") or ():
            yield Case(name, controller, at, None, seen, refused["status"])
        for route, parents in (found.get("parents") or {}).items():
            yield Case(name, controller, at, a_route(route, parents), seen)


def _asked_gateway(asked: Record) -> str:
    """All routes of a case name one; routes that are only described name `main`."""
    if isinstance(asked["routes"], str):
        return "main"
    [ref] = asked["routes"][0]["spec"]["parentRefs"]
    return str(ref["name"])


def life(controller: Controller, event: str) -> Record:
    return dict(extract()["controllers"][FILES[controller]]["life"][event])


def a_route(name: str, parents: list[Record], generation: int = 1) -> Route:
    """As the adapter reads it."""
    home, _, own = name.partition("/")
    metadata = {
        "namespace": home,
        "name": own,
        "generation": generation,
        "creationTimestamp": "2026-11-30T09:00:00Z",
    }
    status = {"parents": [_parent(each) for each in parents]} if parents else {}
    return route_of({"metadata": metadata, "spec": {"rules": []}, "status": status})


def _parent(row: Record) -> Record:
    namespace, name, *listener = row["ref"].split("/")
    ref = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": namespace, "name": name}
    if listener:
        ref["sectionName"] = listener[0]
    return {
        "parentRef": ref,
        "controllerName": row["by"],
        "conditions": [_condition(each) for each in row["conditions"]],
    }


def _condition(row: list[Any]) -> Record:
    names = ("type", "status", "reason", "message", "observedGeneration")
    found = {name: value for name, value in zip(names, row, strict=True) if value is not None}
    return {**found, "lastTransitionTime": "2026-11-30T09:00:00Z"}


def gateway(records: Record, written: Record, name: str) -> Gateway | None:
    """As the adapter reads it; None where there was none."""
    if name not in records["gateways"]:
        return None
    spec, status = records["gateways"][name], written["gateways"][name]
    listeners = [
        {**each, "conditions": [_condition(row) for row in each["conditions"]]}
        for each in status["listeners"] or ()
    ]
    found = {
        "conditions": [_condition(row) for row in status["conditions"]],
        "addresses": status["addresses"],
        "listeners": listeners,
    }
    metadata = {"namespace": _HOME, "name": name, "generation": 1}
    return gateway_of(
        {"metadata": metadata, "spec": {"gatewayClassName": written["class"], **spec}, "status": found}
    )
