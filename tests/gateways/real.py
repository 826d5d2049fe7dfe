"""A real cluster with a real Gateway controller, prepared as docs/gpus.md says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from shared.adapters.kaito_routes import gateway_of, route_of
from shared.gateway_api.causes import RouteVerdict, judge_route
from shared.gateway_api.controllers import Controller
from shared.gateway_api.observed import Gateway
from shared.resources.workspaces import Manifest, namespace_manifest
from standins.stack import wait_until
from standins.tests.reference.gateway_records import rows
from tests.cluster.caller import Caller
from tests.cluster.real import RealCluster
from tests.gateways import objects
from tests.gateways.cases import NAME, Case, marker, own
from tests.gateways.objects import GATEWAY
from tests.gateways.running import running

#: Type -> status and reason.
Said = dict[str, tuple[str, str]]
#: A route that was answered so long ago, or never.
LONG_AGO = timedelta(minutes=1)


@dataclass(frozen=True)
class RealGateways:
    cluster: RealCluster
    controller: Controller

    @property
    def at(self) -> Caller:
        """With the administrator's rights."""
        return self.cluster.administrator

    def apply(self, *manifests: Manifest) -> None:
        for each in manifests:
            objects.apply(self.at, each)

    def prepare(self, case: Case) -> Manifest:
        """Everything that a case has but the route, which is given."""
        home = namespace_manifest(marker(case.team))
        if not case.is_managed:
            home["metadata"] = {"name": case.home}
        self.apply(home)
        if case.backend != "none":
            port = 8080 if case.backend == "other port" else 80
            self.apply(objects.service(case.home, NAME, port))
        if case.backend in ("pod", "other port"):
            self.apply(objects.endpoints(case.home, NAME))
        return case.route(case.team)

    def read(self, manifest: Manifest) -> Any:
        """An object as it is now; None for none."""
        return self.at.find(objects.path_of(manifest))

    def said(self, route: Manifest) -> list[Said]:
        """What was said of the route as it is now, by entry."""
        found = self.read(route)
        generation = found["metadata"]["generation"]
        entries = (found.get("status") or {}).get("parents", [])
        said = [rows(each["conditions"]) for each in entries]
        return [as_said(each) for each in said if all(row[4] == generation for row in each)]

    def verdict(self, route: Manifest, gateway: Manifest | None = None) -> RouteVerdict:
        """Ours, of the route and its Gateway."""
        found, seen = route_of(self.read(route)), self.read(gateway or self.gateway)
        [named] = {f"{each['namespace']}/{each['name']}" for each in route["spec"]["parentRefs"]}
        there: Gateway | Literal["missing"] = "missing" if seen is None else gateway_of(seen)
        return judge_route(found.parents, found.generation, named, LONG_AGO, there)

    @property
    def gateway(self) -> Manifest:
        return objects.gateway_of(self.controller)

    def wait_for_a_later_route(self, team: str) -> None:
        """Apply a route that is right and wait for its verdict: what came before it was looked at too."""
        case = Case(team, "Ready")
        route = self.prepare(case)
        self.apply(route)
        wait_until("the later route is ready", lambda: self.verdict(route).cause.reason == "Ready")

    def play(self) -> bool:
        """Play kubelet and load balancer; whether the Gateway has proxies and an address now."""
        objects.play(self.at)
        found = gateway_of(self.read(self.gateway))
        programmed = {each.status for each in found.conditions if each.type == "Programmed"}
        return programmed == {"True"} and bool(found.addresses)


def as_said(conditions: list[list[Any]]) -> Said:
    return {row[0]: (row[1], row[2]) for row in conditions}


@contextmanager
def real_gateways(cluster: RealCluster, controller: Controller, folder: Path) -> Iterator[RealGateways]:
    """With the Gateway of the page, which has an address. Raises `Absent`."""
    with running(controller, cluster.plane, folder):
        found = RealGateways(cluster, controller)
        [home] = [each for each in objects.documented(controller) if each["kind"] == "Namespace"]
        found.apply(home, *objects.certificates(), *objects.documented(controller))
        wait_until(f"{GATEWAY} has proxies and an address", found.play)
        yield found


def second_gateway(of: Manifest, name: str, class_name: str | None = None) -> Manifest:
    spec = of["spec"] if class_name is None else {**of["spec"], "gatewayClassName": class_name}
    return {**of, "metadata": {**of["metadata"], "name": name}, "spec": spec}


def at_gateway(team: str, name: str) -> Manifest:
    """The app's route at another Gateway."""
    route = own(team)
    [parent] = route["spec"]["parentRefs"]
    return {**route, "spec": {**route["spec"], "parentRefs": [{**parent, "name": name}]}}
