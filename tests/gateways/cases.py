"""Routes that are judged by a real controller and by the one that the stand-in plays: the app's own, and what
can be wrong with one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Literal, get_args

from shared.catalog.terms import Ability
from shared.gateway_api.controllers import Controller
from shared.marker import Marker
from shared.names import namespace
from shared.requests.request import ModelAccess
from shared.resources.routes import earlier_route_manifest, route_manifest
from shared.resources.workspaces import Cluster, Manifest
from tests.fakes.app import GPU
from tests.gateways.objects import GATEWAY, HOST

MODEL = ModelAccess("phi-4", "kaito", None, None, GPU)
NAME = MODEL.name
CLUSTER = Cluster(GATEWAY, f"https://{HOST}")
#: What there is of the workspace: a pod, its Service alone, that with another port, nothing.
Backend = Literal["pod", "no pod", "other port", "none"]


def marker(team: str) -> Marker:
    return Marker(1, team, "access.yaml", "c0ffee", "d1e5")


def own(team: str) -> Manifest:
    """The app's route."""
    return route_manifest(marker(team), MODEL, CLUSTER, set(get_args(Ability)))


def earlier(team: str) -> Manifest:
    """The route of earlier releases."""
    return earlier_route_manifest(marker(team), MODEL, CLUSTER)


def with_host(team: str) -> Manifest:
    return _changed(team, hostnames=["other.contoso.com"])


def with_listener(team: str) -> Manifest:
    [parent] = own(team)["spec"]["parentRefs"]
    return _changed(team, parentRefs=[{**parent, "sectionName": "other"}])


def to_another_namespace(team: str) -> Manifest:
    return _with_rule(team, backendRefs=[{"name": NAME, "namespace": "default", "port": 80}])


def with_unknown_filter(team: str) -> Manifest:
    reference = {"group": "example.com", "kind": "Limit", "name": "much"}
    return _with_rule(team, filters=[{"type": "ExtensionRef", "extensionRef": reference}])


def _changed(team: str, **spec: object) -> Manifest:
    manifest = own(team)
    return {**manifest, "spec": {**manifest["spec"], **spec}}


def _with_rule(team: str, **part: object) -> Manifest:
    manifest = deepcopy(own(team))
    manifest["spec"]["rules"] = [{**manifest["spec"]["rules"][0], **part}]
    return manifest


@dataclass(frozen=True)
class Case:
    """`reason` is that of our verdict; `but` those of controllers that tell it otherwise. `is_managed`:
    whether the namespace has our label.
    """

    team: str
    reason: str
    route: Callable[[str], Manifest] = own
    backend: Backend = "pod"
    is_managed: bool = True
    but: Mapping[Controller, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.team

    @property
    def home(self) -> str:
        return namespace(self.team)

    def expected(self, controller: Controller) -> str:
        return self.but.get(controller, self.reason)


CASES = (
    Case("own", "Ready"),
    Case("earlier", "Ready", earlier),
    Case("other-host", "NoMatchingListenerHostname", with_host),
    Case("other-listener", "NoMatchingParent", with_listener),
    Case("not-managed", "NotAllowedByListeners", is_managed=False),
    Case("no-service", "BackendNotFound", backend="none"),
    Case("other-port", "BackendNotFound", backend="other port", but={"istio": "Ready"}),
    Case("no-pod", "Ready", backend="no pod", but={"envoy-gateway": "EndpointsNotFound"}),
    Case("other-namespace", "RefNotPermitted", to_another_namespace),
    Case("unknown-filter", "RouteNotSupported", with_unknown_filter),
)
