"""The controller at work: what it would have said by now of the routes and Gateways of a namespace."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from standins.kubernetes.gateways.conditions import awaited, stamped, timeless
from standins.kubernetes.gateways.controllers import Controller
from standins.kubernetes.gateways.listeners import Attachment, Guest, Hosts, attach
from standins.kubernetes.gateways.memory import Memory, Taken, installed, labels_of, memory_of, own_gateway
from standins.kubernetes.gateways.overlaps import overlapping
from standins.kubernetes.gateways.statuses import gateway_status
from standins.kubernetes.gateways.verdicts import verdict
from standins.kubernetes.kinds import GATEWAY, HTTP_ROUTE, SECRET, Object
from standins.kubernetes.objects import Key, Objects

#: Seconds after a change, and after the controller's return, until it has spoken.
DELAY, START = 0.05, 0.7


def catch_up(objects: Objects, namespace: str, now: float) -> None:
    """While the controller is away, all stays as it was."""
    memory, controller = memory_of(objects), installed(objects)
    for gateway in list(objects.all(GATEWAY, namespace)):
        if "status" not in gateway:
            key = Key(GATEWAY, namespace, gateway["metadata"]["name"])
            objects.save(key, {**gateway, "status": {"conditions": awaited("Accepted", "Programmed")}})
    if controller is None or objects.options["gateway_controller_away"]:
        memory.away = controller is not None
        return
    if memory.away:
        memory.away, memory.back_at = False, now + START - DELAY
    address = objects.options["gateway_address"]
    if memory.settled.get(namespace) == (objects.version, controller.name, address):
        return
    settled = _Round(objects, controller, memory, now).work(namespace, address)
    if settled:
        memory.settled[namespace] = (objects.version, controller.name, address)


@dataclass(frozen=True)
class _Round:
    objects: Objects
    controller: Controller
    memory: Memory
    now: float

    def work(self, namespace: str, address: str) -> bool:
        """Whether nothing is left to say."""
        routes = list(self.objects.all(HTTP_ROUTE, namespace))
        done = [self._judge(route) for route in routes]
        standing = {(namespace, route["metadata"]["name"]) for route in routes}
        for place in [each for each in self.memory.taken if each[0] == namespace and each not in standing]:
            del self.memory.taken[place]
        for gateway in list(self.objects.all(GATEWAY, namespace)):
            name = gateway["metadata"]["name"]
            if own_gateway(self.objects, self.controller, namespace, name) is not None:
                key = Key(GATEWAY, namespace, name)
                done.append(self._say(key, gateway, self._gateway(gateway, address)))
        return all(done)

    def _judge(self, route: Object) -> bool:
        metadata = route["metadata"]
        hosts: dict[str, Hosts] = {}
        before = (route.get("status") or {}).get("parents", [])
        parents = [row for row in before if row["controllerName"] != self.controller.by]
        for reference in route["spec"].get("parentRefs", []):
            parents += self._parent(route, reference, before, hosts)
        key = Key(HTTP_ROUTE, metadata["namespace"], metadata["name"])
        if not (parents or before) or self._say(key, route, {"parents": parents}):
            self.memory.taken[key.namespace, key.name] = Taken(route, hosts)
            return True
        return False

    def _parent(
        self, route: Object, reference: Object, before: list[Object], hosts: dict[str, Hosts]
    ) -> list[Object]:
        """The entry of one Gateway, or none; what listeners took goes into `hosts`."""
        if (reference.get("kind"), reference.get("group")) != ("Gateway", HTTP_ROUTE.group):
            return []
        home = reference.get("namespace") or route["metadata"]["namespace"]
        gateway = own_gateway(self.objects, self.controller, home, reference["name"])
        if gateway is None:
            kept = [] if self.controller.has("forgets") else before
            return [row for row in kept if self._is_of(row, reference)]
        shown = self._shown(reference, gateway)
        place = f"{home}/{reference['name']}"
        found = self._attachment(gateway, reference, route)
        others = overlapping(self.objects, route, place) if self.controller.said("overlap", routes="") else ()
        said = verdict(self.controller, self.objects, route, found, others)
        if said.accepted or found.refusal is not None:
            hosts[place] = {**hosts.get(place, {}), **found.hosts}
        earlier: list[Object] = [row for row in before if self._is_of(row, shown)]
        rows = earlier[0]["conditions"] if earlier else []
        conditions = stamped(said.rows, rows, route["metadata"]["generation"], self.now)
        return [{"parentRef": shown, "controllerName": self.controller.by, "conditions": conditions}]

    def _attachment(self, gateway: Object, reference: Object, route: Object) -> Attachment:
        namespace = route["metadata"]["namespace"]
        guest = Guest(namespace, labels_of(self.objects, self.controller, namespace))
        return attach(
            self.controller, gateway, reference, route, guest, self._secrets(gateway["metadata"]["namespace"])
        )

    def _shown(self, reference: Object, gateway: Object) -> Object:
        """The reference as the controller writes it: one of them names the only listener."""
        listeners = gateway["spec"].get("listeners", [])
        if self.controller.has("lists") and len(listeners) == 1:
            return {"sectionName": listeners[0]["name"], **reference}
        return dict(reference)

    def _is_of(self, row: Object, reference: Object) -> bool:
        """Whether an entry is ours and of this reference; the listener may have been added."""
        if row["controllerName"] != self.controller.by:
            return False
        found: Object = row["parentRef"]
        return {**found, **reference} == found

    def _gateway(self, gateway: Object, address: str) -> Object:
        metadata = gateway["metadata"]
        place = f"{metadata['namespace']}/{metadata['name']}"
        attached = Counter(
            listener for each in self.memory.taken.values() for listener in each.hosts.get(place, {})
        )
        secrets = self._secrets(metadata["namespace"])
        return gateway_status(self.controller, gateway, attached, secrets, address, self.now)

    def _secrets(self, namespace: str) -> Any:
        return lambda name: self.objects.find(Key(SECRET, namespace, name)) is not None

    def _say(self, key: Key, value: Object, status: Object) -> bool:
        """Write the status when its time has come; whether it stands by now."""
        if timeless(value.get("status")) == timeless(status):
            self.memory.waiting.pop(str(key), None)
            return True
        since = self.memory.waiting.setdefault(str(key), max(self.now, self.memory.back_at))
        if self.now < since + DELAY:
            return False
        del self.memory.waiting[str(key)]
        self.objects.save(key, {**value, "status": status})
        return True
