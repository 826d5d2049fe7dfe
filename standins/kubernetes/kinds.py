"""The kinds this cluster serves."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from standins.kubernetes import schemas
from standins.kubernetes.schema import ANY, Schema, completed, pruned

Object = dict[str, Any]

READ = ("get", "list", "watch")
WRITE = ("create", "update", "patch", "delete")


@dataclass(frozen=True)
class Kind:
    """One kind in one API version. `plural` and `group` name the objects, which all versions share."""

    group: str
    version: str
    plural: str
    name: str
    namespaced: bool = True
    schema: Schema = ANY
    has_status: bool = False
    verbs: tuple[str, ...] = (*READ, *WRITE)
    short_names: tuple[str, ...] = ()
    #: What depends on other fields, beyond the defaults of the schema.
    complete: Callable[[Object], None] = lambda _: None

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """As error messages spell it, for instance `workspaces.kaito.sh`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def is_custom(self) -> bool:
        """Whether a CustomResourceDefinition defines it: those know no strategic merge and no update without
        resourceVersion.
        """
        return self.group in ("kaito.sh", "gateway.networking.k8s.io")

    @property
    def noun(self) -> str:
        """For the list of calls, for instance `workspace`."""
        return self.name.lower()


def _namespace(value: Object) -> None:
    value["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = value["metadata"]["name"]
    value.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])


def _network_policy(value: Object) -> None:
    spec = value.setdefault("spec", {})
    spec.setdefault("policyTypes", ["Ingress", "Egress"] if "egress" in spec else ["Ingress"])


def _binding(value: Object) -> None:
    for subject in value.get("subjects", []):
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", "rbac.authorization.k8s.io")


NAMESPACE = Kind(
    *("", "v1", "namespaces", "Namespace"),
    namespaced=False,
    schema=schemas.NAMESPACE,
    has_status=True,
    short_names=("ns",),
    complete=_namespace,
)
QUOTA = Kind(
    "", "v1", "resourcequotas", "ResourceQuota", schema=schemas.QUOTA, has_status=True, short_names=("quota",)
)
#: Made by KAITO; everybody else only looks.
SERVICE = Kind("", "v1", "services", "Service", verbs=READ, short_names=("svc",))
#: Made by AKS; they can be deleted.
NODE = Kind("", "v1", "nodes", "Node", namespaced=False, verbs=(*READ, "delete"), short_names=("no",))
WORKSPACE = Kind(
    *("kaito.sh", "v1beta1", "workspaces", "Workspace"),
    schema=schemas.WORKSPACE_V1BETA1,
    has_status=True,
    short_names=("wk", "wks"),
)
#: The version that the app uses with the AKS add-on (KAITO 0.6).
ADD_ON_WORKSPACE = Kind(
    *("kaito.sh", "v1alpha1", "workspaces", "Workspace"),
    schema=schemas.WORKSPACE_V1ALPHA1,
    has_status=True,
    short_names=("wk", "wks"),
)
_RIGHTS, _ADMISSION = ("rbac.authorization.k8s.io", "v1"), ("admissionregistration.k8s.io", "v1")
ROLE = Kind(*_RIGHTS, "roles", "Role", schema=schemas.ROLE)
CLUSTER_ROLE = Kind(*_RIGHTS, "clusterroles", "ClusterRole", namespaced=False, schema=schemas.CLUSTER_ROLE)
ROLE_BINDING = Kind(*_RIGHTS, "rolebindings", "RoleBinding", schema=schemas.BINDING, complete=_binding)
CLUSTER_ROLE_BINDING = Kind(
    *(*_RIGHTS, "clusterrolebindings", "ClusterRoleBinding"),
    namespaced=False,
    schema=schemas.BINDING,
    complete=_binding,
)
KINDS = (
    NAMESPACE,
    QUOTA,
    SERVICE,
    NODE,
    WORKSPACE,
    ADD_ON_WORKSPACE,
    Kind(
        *("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy"),
        schema=schemas.NETWORK_POLICY,
        short_names=("netpol",),
        complete=_network_policy,
    ),
    Kind(
        "gateway.networking.k8s.io",
        "v1",
        "httproutes",
        "HTTPRoute",
        schema=schemas.HTTP_ROUTE,
        has_status=True,
    ),
    ROLE,
    CLUSTER_ROLE,
    ROLE_BINDING,
    CLUSTER_ROLE_BINDING,
    Kind(
        *(*_ADMISSION, "validatingadmissionpolicies", "ValidatingAdmissionPolicy"),
        namespaced=False,
        schema=schemas.ADMISSION_POLICY,
        has_status=True,
    ),
    Kind(
        *(*_ADMISSION, "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding"),
        namespaced=False,
        schema=schemas.ADMISSION_BINDING,
    ),
)
#: One kind per resource: the version in which the controllers see its objects.
STORED = {kind.resource: kind for kind in reversed(KINDS)}


def defaulted(kind: Kind, schema: Schema, value: Object) -> Object:
    """The object as the schema and the kind complete it."""
    done: Object = completed(schema, deepcopy(value))
    kind.complete(done)
    return done


def viewed(kind: Kind, stored: Object) -> Object:
    """A stored object in the version that was asked for, without what that version does not declare."""
    value = {**stored, "apiVersion": kind.api_version, "kind": kind.name}
    if kind == ADD_ON_WORKSPACE:  # the older version declares less
        shown: Object = pruned(kind.schema, value)
        return shown
    return value
