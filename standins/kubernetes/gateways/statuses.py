"""What a controller says of its Gateways and their listeners."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from standins.kubernetes.gateways.conditions import stamped
from standins.kubernetes.gateways.controllers import Controller, Row, filled
from standins.kubernetes.gateways.listeners import kinds, missing_secret
from standins.kubernetes.kinds import Object

_GROUP = "gateway.networking.k8s.io"


def gateway_status(
    controller: Controller,
    gateway: Object,
    attached: Counter[str],
    has_secret: Callable[[str], bool],
    address: str,
    now: float,
) -> Object:
    """`attached` counts routes by listener; `address` is the load balancer's, empty before it has one."""
    before, generation = gateway.get("status") or {}, gateway["metadata"]["generation"]
    listeners = gateway["spec"].get("listeners", [])
    missing = {each["name"]: missing_secret(each, has_secret) for each in listeners}
    serves = None in missing.values() or not listeners
    said = {row["name"]: row.get("conditions", []) for row in before.get("listeners", [])}
    rows = _rows(controller, gateway, serves, address)
    status: Object = {
        "conditions": stamped(rows, before.get("conditions", []), generation, now),
        "listeners": [
            {
                "name": name,
                "attachedRoutes": attached[name],
                "supportedKinds": [{"group": _GROUP, "kind": kind} for kind in kinds(each)],
                "conditions": stamped(
                    _listener(controller, gateway, missing[name]), said.get(name, []), generation, now
                ),
            }
            for each in listeners
            for name in [each["name"]]
        ],
    }
    found = _addresses(controller, gateway, address) if serves or "no listener" in _words(controller) else []
    return status | ({"addresses": found} if found else {})


def _words(controller: Controller) -> dict[str, Any]:
    words: dict[str, Any] = controller.facts["gateway"]
    return words


def _rows(controller: Controller, gateway: Object, serves: bool, address: str) -> list[Row]:
    words = _words(controller)
    accepted = words["accepted"] if serves else words.get("no listener", words["accepted"])
    programmed = words["programmed"]
    if not serves:
        programmed = words.get("unprogrammed", programmed)
    elif not address:
        programmed = words.get("no address", programmed)
    about = _about(controller, gateway)
    return [
        (type_, status, reason, filled(message, about))
        for type_, status, reason, message in (accepted, programmed, *words.get("more", ()))
    ]


def _about(controller: Controller, gateway: Object) -> dict[str, str]:
    metadata = gateway["metadata"]
    home, _, service = controller.proxies(metadata["namespace"], metadata["name"])
    ports = sorted(str(each["port"]) for each in gateway["spec"].get("listeners", []))
    names = [f"{service}.{home}.svc.cluster.local:{port}" for port in ports]
    return {"namespace": home, "service": service, "services": " and ".join(names)}


def _addresses(controller: Controller, gateway: Object, address: str) -> list[Object]:
    own = [{"type": "IPAddress", "value": address}] if address else []
    wanted = list(gateway["spec"].get("addresses", []))
    match controller.facts.get("addresses"):
        case "instead":
            return wanted or own
        case "besides":
            return own + wanted
    return own


def _listener(controller: Controller, gateway: Object, secret: str | None) -> list[Row]:
    about = {"namespace": gateway["metadata"]["namespace"], "secret": secret or ""}
    words = controller.facts["listener" if secret is None else "no certificate"]
    return [(type_, status, reason, filled(message, about)) for type_, status, reason, message in words]
