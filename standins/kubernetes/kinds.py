"""The kinds this cluster serves, what their schemas default, and what they drop or refuse."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """One kind in one API version. `stored` is the plural under which all versions of it share their objects."""

    group: str
    version: str
    plural: str
    name: str
    namespaced: bool = True
    default: Callable[[Object], None] = lambda _: None

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """As error messages spell it, for instance `workspaces.kaito.sh`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def is_custom(self) -> bool:
        """Whether a CustomResourceDefinition defines it: those know no strategic merge and no update without resourceVersion."""
        return self.group in ("kaito.sh", "gateway.networking.k8s.io")

    @property
    def noun(self) -> str:
        """For the list of calls, for instance `workspace`."""
        return self.name.lower()


#: What the CRD of a Workspace knows: anything else is dropped without a word, as the real server does.
_WORKSPACE = {
    "resource": ("count", "instanceType", "labelSelector", "partition", "preferredNodes"),
    "inference": ("adapters", "config", "preset", "template"),
    "tuning": ("config", "input", "method", "output", "preset"),
}
_ENVELOPE = ("apiVersion", "kind", "metadata", "status")


def _namespace(value: Object) -> None:
    value["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = value["metadata"]["name"]
    value.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])


def _network_policy(value: Object) -> None:
    spec = value.setdefault("spec", {})
    spec.setdefault("policyTypes", ["Ingress", "Egress"] if "egress" in spec else ["Ingress"])


def _route(value: Object) -> None:
    spec = value.setdefault("spec", {})
    for parent in spec.get("parentRefs", []):
        parent.setdefault("group", "gateway.networking.k8s.io")
        parent.setdefault("kind", "Gateway")
    for rule in spec.setdefault("rules", [{}]):
        for match in rule.setdefault("matches", [{}]):
            path = match.setdefault("path", {})
            path.setdefault("type", "PathPrefix")
            path.setdefault("value", "/")
        for backend in rule.get("backendRefs", []):
            backend.setdefault("group", "")
            backend.setdefault("kind", "Service")
            backend.setdefault("weight", 1)


def _workspace(value: Object) -> None:
    for field in [name for name in value if name not in _ENVELOPE]:
        if field not in _WORKSPACE:
            del value[field]
        elif isinstance(value[field], dict):
            value[field] = {name: part for name, part in value[field].items() if name in _WORKSPACE[field]}
    if "resource" in value:
        value["resource"].setdefault("count", 1)


def _workspace_of_the_add_on(value: Object) -> None:
    _workspace(value)
    if "resource" in value:
        value["resource"].setdefault("instanceType", "Standard_NC24ads_A100_v4")


NAMESPACE = Kind("", "v1", "namespaces", "Namespace", namespaced=False, default=_namespace)
QUOTA = Kind("", "v1", "resourcequotas", "ResourceQuota")
SERVICE = Kind("", "v1", "services", "Service")
WORKSPACE = Kind("kaito.sh", "v1beta1", "workspaces", "Workspace", default=_workspace)
#: The version that the AKS add-on (KAITO 0.6) serves; the same objects, seen with its smaller status.
ADD_ON_WORKSPACE = Kind("kaito.sh", "v1alpha1", "workspaces", "Workspace", default=_workspace_of_the_add_on)
KINDS = (
    NAMESPACE,
    QUOTA,
    SERVICE,
    WORKSPACE,
    ADD_ON_WORKSPACE,
    Kind("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", default=_network_policy),
    Kind("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute", default=_route),
)

_CONDITIONS_OF_THE_ADD_ON = ("NodeClaimReady", "ResourceReady", "InferenceReady", "WorkspaceSucceeded", "WorkspaceDeleting")


def defaulted(kind: Kind, value: Object) -> Object:
    """The object as the schema completes it."""
    completed = deepcopy(value)
    kind.default(completed)
    return completed


def viewed(kind: Kind, stored: Object) -> Object:
    """A stored object in the version that was asked for."""
    value = {**stored, "apiVersion": kind.api_version, "kind": kind.name}
    if kind is ADD_ON_WORKSPACE and "status" in stored:
        status = {name: part for name, part in stored["status"].items() if name in ("conditions", "workerNodes")}
        status["conditions"] = [row for row in status.get("conditions", []) if row["type"] in _CONDITIONS_OF_THE_ADD_ON]
        value["status"] = status
    return value
