"""What the cluster has, for clients that ask before they act, for instance kubectl:
https://kubernetes.io/docs/concepts/overview/kubernetes-api/ . All of it is made from the kinds that are
served.
"""

from __future__ import annotations

import hashlib
import json
from itertools import groupby
from typing import Any

from standins.kubernetes.kinds import KINDS, METADATA, Kind, Object, defined
from standins.world import Options

#: Kinds of which nothing is stored: a question is created, and answered.
REVIEWS = (
    ("authentication.k8s.io", "SelfSubjectReview"),
    ("authorization.k8s.io", "SelfSubjectAccessReview"),
    ("authorization.k8s.io", "SelfSubjectRulesReview"),
)
_VERSION = {
    "major": "1",
    "minor": "35",
    "emulationMajor": "1",
    "emulationMinor": "35",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "34",
    "gitVersion": "v1.35.4",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "go1.25.8",
    "compiler": "gc",
    "platform": "linux/amd64",
}
_HEALTH = ("/healthz", "/livez", "/readyz")
_CONDITIONS = (
    ("NamesAccepted", "NoConflicts", "no conflicts found"),
    ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
)


def served(options: Options) -> list[Kind]:
    return [kind for kind in KINDS if kind.is_served(options)]


def document(path: str, options: Options, address: str) -> Object | str | None:
    """What is at a path; None where this is no path of discovery. A text is plain text."""
    if path in _HEALTH:
        return "ok"
    roots = _roots(options)
    fixed: dict[str, Object] = {
        "/version": _VERSION,
        "/api": {
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
        },
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": list(_groups(roots).values())},
    }
    if path in fixed:
        return fixed[path]
    if path in roots:
        return _resources(path, roots[path])
    if path.startswith("/openapi"):
        return _openapi(path, roots, options)
    if path == "/":
        return {
            "paths": sorted([*fixed, *roots, *_HEALTH, "/openapi/v2", "/openapi/v3", *_group_paths(roots)])
        }
    group = _groups(roots).get(path.removeprefix("/apis/"))
    return {"kind": "APIGroup", "apiVersion": "v1", **group} if group else None


def definitions_of(options: Options) -> dict[str, Object]:
    """The CustomResourceDefinitions of the custom kinds that are served, by name."""
    custom = sorted((kind for kind in served(options) if kind.is_custom), key=lambda kind: kind.resource)
    return {
        name: _definition(list(same), options) for name, same in groupby(custom, lambda kind: kind.resource)
    }


def _definition(versions: list[Kind], options: Options) -> Object:
    kind = versions[0]
    names: Object = {
        "plural": kind.plural,
        "singular": kind.noun,
        "kind": kind.name,
        "listKind": f"{kind.name}List",
    }
    names |= {"shortNames": list(kind.short_names)} if kind.short_names else {}
    names |= {"categories": list(kind.categories)}
    rows: list[Object] = [
        {
            "name": each.version,
            "served": True,
            "storage": each is kind,
            "schema": {"openAPIV3Schema": _plain(defined(each, options["kaito"])[0])},
            "subresources": {"status": {}} if each.has_status else {},
            "additionalPrinterColumns": [
                *(
                    {"name": name, "type": type_, "jsonPath": path}
                    for name, (path, type_) in each.columns.items()
                ),
                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
            ],
        }
        for each in versions
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.resource},
        "spec": {
            "group": kind.group,
            "names": names,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "versions": rows,
            "conversion": {"strategy": "None"},
        },
        "status": {
            "conditions": [
                {"type": type_, "status": "True", "reason": reason, "message": text}
                for type_, reason, text in _CONDITIONS
            ],
            "acceptedNames": names,
            "storedVersions": [kind.version],
        },
    }


def _plain(definition: Object) -> Object:
    """A schema with metadata as a definition declares it: as an object."""
    if "properties" not in definition:
        return definition
    return {**definition, "properties": {**definition["properties"], "metadata": {"type": "object"}}}


def _roots(options: Options) -> dict[str, list[Kind]]:
    """The kinds by the path of their API version; reviews have kinds of their own."""
    roots: dict[str, list[Kind]] = {}
    for kind in served(options):
        roots.setdefault(kind.root, []).append(kind)
    return roots | {f"/apis/{group}/v1": [] for group, _ in REVIEWS}


def _groups(roots: dict[str, list[Kind]]) -> dict[str, Object]:
    """By name, with the preferred version first."""
    groups: dict[str, Object] = {}
    for root in roots:
        if root.startswith("/apis/"):
            name, version = root.removeprefix("/apis/").split("/")
            row = {"groupVersion": f"{name}/{version}", "version": version}
            group = groups.setdefault(name, {"name": name, "versions": [], "preferredVersion": row})
            group["versions"].append(row)
    return groups


def _group_paths(roots: dict[str, list[Kind]]) -> list[str]:
    return [f"/apis/{name}" for name in _groups(roots)]


def _resources(root: str, kinds: list[Kind]) -> Object:
    rows = [row for kind in kinds for row in _rows(kind)]
    for group, name in REVIEWS:
        if root == f"/apis/{group}/v1":
            about = {"name": f"{name.lower()}s", "singularName": name.lower(), "kind": name}
            rows.append({**about, "namespaced": False, "verbs": ["create"]})
    version = root.removeprefix("/apis/").removeprefix("/api/")
    content = {"kind": "APIResourceList", "groupVersion": version, "resources": rows}
    return content if version == "v1" else {"apiVersion": "v1", **content}


_CUSTOM_ORDER = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")


def _rows(kind: Kind) -> list[Object]:
    row: Object = {
        "name": kind.plural,
        "singularName": kind.noun,
        "namespaced": kind.namespaced,
        "kind": kind.name,
    }
    status = {**row, "name": f"{kind.plural}/status", "singularName": "", "verbs": ["get", "patch", "update"]}
    row |= {
        "verbs": [verb for verb in _CUSTOM_ORDER if verb in kind.verbs]
        if kind.is_custom
        else sorted(kind.verbs)
    }
    row |= {"shortNames": list(kind.short_names)} if kind.short_names else {}
    row |= {"categories": list(kind.categories)} if kind.categories else {}
    return [row, status] if kind.has_status else [row]


# OpenAPI


def _openapi(path: str, roots: dict[str, list[Kind]], options: Options) -> Object | None:
    if path == "/openapi/v2":
        every = [kind for kinds in roots.values() for kind in kinds]
        whole = {"swagger": "2.0", **_described(every, options, "#/definitions/")}
        return {**whole, "definitions": whole.pop("components")["schemas"]}
    if path == "/openapi/v3":
        paths = {}
        for root, kinds in roots.items():
            text = json.dumps(_described(kinds, options), sort_keys=True)
            mark = hashlib.sha512(text.encode()).hexdigest().upper()
            paths[root.lstrip("/")] = {"serverRelativeURL": f"/openapi/v3{root}?hash={mark}"}
        return {"paths": paths}
    root = path.removeprefix("/openapi/v3")
    return {"openapi": "3.0.0", **_described(roots[root], options)} if root in roots else None


def _described(kinds: list[Kind], options: Options, prefix: str = "#/components/schemas/") -> Object:
    """The paths of these kinds and their schemas, as far as clients look at them: kubectl leaves the
    validation to the server where a PATCH knows `fieldValidation`.
    """
    paths: Object = {}
    schemas: Object = {}
    metadata = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    for kind in kinds:
        name, meant = _schema_name(kind), {"group": kind.group, "version": kind.version, "kind": kind.name}
        schema = dict(defined(kind, options["kaito"])[0])
        if "properties" in schema:
            schema["properties"] = {
                **schema["properties"],
                "metadata": {"allOf": [{"$ref": prefix + metadata}]},
            }
        schemas[name] = {**schema, "x-kubernetes-group-version-kind": [meant]}
        for path, verb, method in (
            ("", "list", "get"),
            ("/{name}", "get", "get"),
            ("/{name}", "patch", "patch"),
        ):
            if verb in kind.verbs:
                action: Object = {
                    "x-kubernetes-action": verb,
                    "x-kubernetes-group-version-kind": meant,
                    "responses": {},
                }
                action |= {"parameters": [_VALIDATION]} if verb == "patch" else {}
                paths.setdefault(kind.collection + path, {})[method] = action
    schemas |= {metadata: METADATA} if kinds else {}
    about = {"title": "Kubernetes", "version": _VERSION["gitVersion"]}
    return {"info": about, "paths": paths, "components": {"schemas": schemas}}


_VALIDATION: dict[str, Any] = {"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}


def _schema_name(kind: Kind) -> str:
    """`io.k8s.api.core.v1.Namespace`; of a custom kind its group backwards: `sh.kaito.v1beta1.Workspace`."""
    if kind.is_custom:
        return ".".join([*reversed(kind.group.split(".")), kind.version, kind.name])
    group = kind.group.removesuffix(".k8s.io").removesuffix(".authorization") or "core"
    return f"io.k8s.api.{group}.{kind.version}.{kind.name}"
