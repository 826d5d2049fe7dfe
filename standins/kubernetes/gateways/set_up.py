"""What is made when a cluster is prepared for models: a GatewayClass and one private Gateway, in a namespace
of its own, for the routes of managed namespaces.
"""

from __future__ import annotations

import uuid

from standins.kubernetes.gateways.conditions import awaited, stamped
from standins.kubernetes.gateways.controllers import Controller, controllers
from standins.kubernetes.gateways.memory import installed
from standins.kubernetes.kaito import stamp
from standins.kubernetes.kinds import GATEWAY, GATEWAY_CLASS, NAMESPACE, Kind, Object
from standins.kubernetes.objects import Key, Objects

NAMESPACE_NAME, GATEWAY_NAME = "gateway-system", "internal"
_LABEL = {"app.kubernetes.io/managed-by": "mergekey"}
_INTERNAL = {"service.beta.kubernetes.io/azure-load-balancer-internal": "true"}
#: What is kept of the class that the Gateway of the set-up was given.
_CLASS = "class of the gateway"


def furnish(objects: Objects, now: float) -> None:
    """The class of the controller that is installed, and the Gateway, which follows it to another one. A
    Gateway that was deleted, or given another class, stays so.
    """
    controller = installed(objects)
    for each in controllers().values():
        _furnish_class(objects, each, each is controller, now)
    given = objects.kept.get(_CLASS)
    if controller is None or controller.class_name == given:
        return
    wanted = controller.class_name
    key = Key(GATEWAY, NAMESPACE_NAME, GATEWAY_NAME)
    if given is None:
        _make(objects, Key(NAMESPACE, "", NAMESPACE_NAME), _namespace(), now)
        _make(objects, key, {"spec": _specification(wanted)}, now)
    elif (there := objects.find(key)) and there["spec"].get("gatewayClassName") == given:
        metadata = {**there["metadata"], "generation": there["metadata"]["generation"] + 1}
        spec = {**there["spec"], "gatewayClassName": wanted}
        objects.save(key, {**there, "metadata": metadata, "spec": spec})
    objects.kept[_CLASS] = wanted


def judge_classes(objects: Objects, now: float) -> None:
    """Classes that others made: those of the controller are accepted, the rest waits for its own."""
    controller = installed(objects)
    for value in list(objects.all(GATEWAY_CLASS, "")):
        if controller is not None and value["spec"].get("controllerName") == controller.by:
            before = (value.get("status") or {}).get("conditions", [])
            rows = stamped(_accepted(controller), before, value["metadata"]["generation"], now)
            _set_status(objects, value, {"conditions": rows})
        elif "status" not in value:
            _set_status(objects, value, {"conditions": awaited("Accepted")})


def _accepted(controller: Controller) -> list[tuple[str, str, str, str]]:
    return [("Accepted", "True", "Accepted", str(controller.facts["says"]["class"]))]


def _set_status(objects: Objects, value: Object, status: Object) -> None:
    if value.get("status") != status:
        objects.save(Key(GATEWAY_CLASS, "", value["metadata"]["name"]), {**value, "status": status})


def _furnish_class(objects: Objects, controller: Controller, is_installed: bool, now: float) -> None:
    key = Key(GATEWAY_CLASS, "", controller.class_name)
    there = objects.find(key)
    if is_installed and there is None:
        status = {"conditions": stamped(_accepted(controller), [], 1, now)}
        _make(objects, key, {"spec": {"controllerName": controller.by}, "status": status}, now)
    elif not is_installed and there is not None and there["spec"].get("controllerName") == controller.by:
        objects.remove(key)


def _namespace() -> Object:
    labels = {"kubernetes.io/metadata.name": NAMESPACE_NAME}
    return {
        "metadata": {"labels": labels},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def _specification(class_name: str) -> Object:
    allowed = {"namespaces": {"from": "Selector", "selector": {"matchLabels": _LABEL}}}
    listener = {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": allowed}
    return {
        "gatewayClassName": class_name,
        "infrastructure": {"annotations": _INTERNAL},
        "listeners": [listener],
    }


def _make(objects: Objects, key: Key, content: Object, now: float) -> None:
    if objects.find(key) is not None:
        return
    about: Object = {"name": key.name, "uid": str(uuid.uuid4()), "creationTimestamp": stamp(now)}
    about |= {"namespace": key.namespace} if key.namespace else {}
    about |= {"generation": 1} if key.kind.is_counted else {}
    metadata = {**content.get("metadata", {}), **about}
    objects.save(key, {**_head(key.kind), **content, "metadata": metadata})


def _head(kind: Kind) -> Object:
    return {"apiVersion": kind.api_version, "kind": kind.name}
