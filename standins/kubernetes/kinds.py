"""The kinds this cluster serves, made from their definitions."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from standins.kubernetes import amounts, definitions
from standins.kubernetes.definitions import expanded
from standins.kubernetes.schema import ANY, Schema, completed, pruned
from standins.world import Options

Object = dict[str, Any]

READ = ("get", "list", "watch")
WRITE = ("create", "update", "patch", "delete", "deletecollection")


@dataclass(frozen=True, eq=False)
class Kind:
    """One kind in one API version. `plural` and `group` name the objects, which all versions share;
    `definition` is the whole schema as OpenAPI writes it, `columns` are those of a table:
    by name the path and the type.

    A custom kind is defined by a CustomResourceDefinition: it knows no strategic merge and no update without
    resourceVersion.
    """

    group: str
    version: str
    plural: str
    name: str
    namespaced: bool = True
    definition: Object = field(default_factory=dict)
    schema: Schema = ANY
    has_status: bool = False
    is_custom: bool = False
    #: Whether `metadata.generation` counts changes of the specification.
    is_counted: bool = False
    verbs: tuple[str, ...] = (*READ, *WRITE)
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    columns: Mapping[str, tuple[str, str]] = field(default_factory=dict)
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
    def noun(self) -> str:
        """For the list of calls, for instance `workspace`."""
        return self.name.lower()

    @property
    def root(self) -> str:
        """The path of its API version."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"

    @property
    def collection(self) -> str:
        """The path of its objects."""
        return f"{self.root}/{'namespaces/{namespace}/' if self.namespaced else ''}{self.plural}"

    def is_served(self, options: Options) -> bool:
        """Unless the option `not_served` names its resource, that in one version, its group, or its API
        version: `workspaces.kaito.sh`, `workspaces.kaito.sh/v1alpha1`, `kaito.sh`, `kaito.sh/v1alpha1`.
        InferenceSets came to v1beta1 with KAITO 0.11.
        """
        is_newer = (self.api_version, self.plural) == ("kaito.sh/v1beta1", "inferencesets")
        if is_newer and _is_before(options["kaito"], "0.11"):
            return False
        names = (self.resource, f"{self.resource}/{self.version}", self.group, self.api_version)
        return set(filter(None, options["not_served"])).isdisjoint(names)


def _namespace(value: Object) -> None:
    value["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = value["metadata"]["name"]
    value.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])


def _quota(value: Object) -> None:
    hard = value.setdefault("spec", {}).get("hard", {})
    hard |= {name: amounts.canonical(str(amount)) for name, amount in hard.items()}
    value.setdefault("status", {})


def _network_policy(value: Object) -> None:
    spec = value.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    spec.setdefault("policyTypes", ["Ingress", "Egress"] if "egress" in spec else ["Ingress"])


def _binding(value: Object) -> None:
    for subject in value.get("subjects", []):
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", "rbac.authorization.k8s.io")


def _secret(value: Object) -> None:
    """`stringData` is for writers only: what is stored and read is `data`, in base64."""
    texts = value.pop("stringData", None) or {}
    encoded = {name: base64.b64encode(text.encode()).decode() for name, text in texts.items()}
    value |= {"data": {**value.get("data", {}), **encoded}} if encoded else {}
    value.setdefault("type", "Opaque")


_COMPLETED = {
    "secrets": _secret,
    "namespaces": _namespace,
    "resourcequotas": _quota,
    "networkpolicies": _network_policy,
    "rolebindings": _binding,
    "clusterrolebindings": _binding,
}
_OWNER = {f"{name}!": "string" for name in ("apiVersion", "kind", "name", "uid")}
_TIME, _NUMBER = {"~type": "string", "format": "date-time"}, {"~type": "integer", "format": "int64"}
METADATA = expanded(
    {
        **dict.fromkeys(
            ("name", "generateName", "namespace", "uid", "resourceVersion", "selfLink"), "string"
        ),
        "creationTimestamp": _TIME,
        "deletionTimestamp": _TIME,
        "generation": _NUMBER,
        "deletionGracePeriodSeconds": _NUMBER,
        "labels": {"~map": "string"},
        "annotations": {"~map": "string"},
        "finalizers": {"~list": "string"},
        "ownerReferences": {"~list": {**_OWNER, "controller": "boolean", "blockOwnerDeletion": "boolean"}},
        "managedFields": "any",
    }
)


def _kinds() -> Iterator[Kind]:
    for row in definitions.read("kinds.yaml"):
        for version, content in row.get("versions", {"v1": "any"}).items():
            yield _kind(row, version, _content(version, content))


def _content(version: str, content: Any) -> Any:
    """A schema, or that of a version in a file of its own."""
    if not isinstance(content, str) or not content.endswith(".yaml"):
        return content
    whole_file = definitions.read(content)
    return whole_file.get(version, whole_file)


def _kind(row: Mapping[str, Any], version: str, content: Any) -> Kind:
    definition = whole(expanded(content))
    schema = Schema.of_openapi(definition)
    reads = (*READ, "delete") if row.get("delete") else READ
    return Kind(
        row.get("group", ""),
        version,
        row["plural"],
        row["kind"],
        namespaced=not row.get("cluster"),
        definition=definition,
        schema=schema,
        has_status=row.get("status", False),
        is_custom=row.get("custom", False),
        is_counted=row.get("custom", False) or row.get("counted", False),
        verbs=reads if row.get("read") else (*READ, *(WRITE[:-1] if row.get("singly") else WRITE)),
        short_names=tuple(row.get("short", ())),
        categories=tuple(row.get("categories", ())),
        columns=_columns(row.get("columns", {}), schema),
        complete=_COMPLETED.get(row["plural"], lambda _: None),
    )


def _columns(paths: Mapping[str, str], schema: Schema) -> dict[str, tuple[str, str]]:
    """The columns that this version has a field for."""
    columns = {}
    for name, path in paths.items():
        inner: Schema | None = schema
        for step in re.findall(r"\.(\w+)", path.partition("[")[0]):
            inner = inner.of(step) if inner else None
        if inner is not None:
            columns[name] = path, "integer" if inner.type == "integer" else "string"
    return columns


def whole(schema: Object) -> Object:
    """The schema of an object with `apiVersion`, `kind` and `metadata` besides."""
    if "properties" not in schema:
        return schema
    return {
        **schema,
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": METADATA,
            **schema["properties"],
        },
    }


KINDS = tuple(_kinds())
#: One kind per resource: the version in which the controllers see its objects.
STORED = {kind.resource: kind for kind in reversed(KINDS)}
NAMESPACE, QUOTA, SERVICE, NODE = (
    STORED[name] for name in ("namespaces", "resourcequotas", "services", "nodes")
)
CONFIG_MAP, SECRET, POD = (STORED[name] for name in ("configmaps", "secrets", "pods"))
WORKSPACE = STORED["workspaces.kaito.sh"]
NODE_CLAIM = STORED["nodeclaims.karpenter.sh"]
NETWORK_POLICY = STORED["networkpolicies.networking.k8s.io"]
HTTP_ROUTE, GATEWAY, GATEWAY_CLASS = (
    STORED[f"{plural}.gateway.networking.k8s.io"] for plural in ("httproutes", "gateways", "gatewayclasses")
)
#: The version that the app uses with the AKS add-on (KAITO 0.6).
ADD_ON_WORKSPACE = next(kind for kind in KINDS if kind.api_version == "kaito.sh/v1alpha1")
ROLE, CLUSTER_ROLE, ROLE_BINDING, CLUSTER_ROLE_BINDING = (
    STORED[f"{plural}.rbac.authorization.k8s.io"]
    for plural in ("roles", "clusterroles", "rolebindings", "clusterrolebindings")
)
POLICY, POLICY_BINDING = (
    STORED[f"validatingadmissionpolic{end}.admissionregistration.k8s.io"] for end in ("ies", "ybindings")
)
DEFINITION = STORED["customresourcedefinitions.apiextensions.k8s.io"]


#: Releases of KAITO that are told apart; `next` stands for one that nobody knows yet: it has a field more.
_RELEASES = ("0.6", "0.7", "0.8", "0.9", "0.10", "0.11", "0.12", "next")
#: Fields of a Workspace in v1beta1 and the release that brought them; before 0.8 the size had a default.
_SINCE = {
    "status.targetNodeCount": "0.7",
    "status.state": "0.9",
    "status.performance": "0.10",
    "resource.partition": "0.12",
}


def _is_before(release: str, other: str) -> bool:
    """Of two releases; an option that names none means the newest that is known."""
    return _RELEASES.index(release if release in _RELEASES else "0.12") < _RELEASES.index(other)


@cache
def _workspace(release: str) -> tuple[Object, Schema]:
    """What v1beta1 declares in a release of KAITO."""
    content = definitions.read("workspace.yaml")["v1beta1"]
    for path, since in _SINCE.items():
        part, name = path.split(".")
        if _is_before(release, since):
            del content[part][name]
    if _is_before(release, "0.8"):
        content["resource"]["instanceType"] = {"~type": "string", "default": "Standard_NC24ads_A100_v4"}
    content["resource"] |= {"unreleased": "string"} if release == "next" else {}
    definition = whole(expanded(content))
    return definition, Schema.of_openapi(definition)


def defined(kind: Kind, release: str) -> tuple[Object, Schema]:
    """The schema of a kind where this release of KAITO is installed."""
    return _workspace(release) if kind is WORKSPACE else (kind.definition, kind.schema)


def defaulted(kind: Kind, schema: Schema, value: Object) -> Object:
    """The object as the schema and the kind complete it."""
    done: Object = completed(schema, deepcopy(value))
    kind.complete(done)
    return done


def viewed(kind: Kind, stored: Object) -> Object:
    """A stored object in the version that was asked for, without what that version does not declare."""
    value = {**stored, "apiVersion": kind.api_version, "kind": kind.name}
    if kind is ADD_ON_WORKSPACE:  # the older version declares less
        shown: Object = pruned(kind.schema, value)
        return shown
    return value
