"""What the cluster has, for clients that ask before they act, for instance kubectl.

https://kubernetes.io/docs/concepts/overview/kubernetes-api/ . The OpenAPI documents say that a PATCH knows
`fieldValidation`, which is what kubectl looks for before it leaves the validation to the server, and the
schemas of the kinds as this server's release of KAITO declares them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial

from aiohttp import web

from standins.kubernetes.cluster import Cluster
from standins.kubernetes.errors import not_served
from standins.kubernetes.kinds import KINDS, WORKSPACE, Kind, Object
from standins.kubernetes.schema import as_openapi
from standins.kubernetes.schemas import WITH_INFERENCE_SETS

_REVIEWS = "authorization.k8s.io"
_VERSION = {
    "major": "1",
    "minor": "32",
    "gitVersion": "v1.32.4",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "",
}
_VERSION |= {"goVersion": "go1.23.8", "compiler": "gc", "platform": "linux/amd64"}
#: Declared, and not served here.
_INFERENCE_SET = Kind("kaito.sh", "v1beta1", "inferencesets", "InferenceSet")
Answer = Callable[[web.Request], Awaitable[web.Response]]


def documents(cluster: Cluster, kinds: Sequence[Kind]) -> dict[str, Object | Callable[[], Object]]:
    """Every document by its path, of a cluster that serves these kinds. Those that depend on the release of
    KAITO are made when they are asked for.
    """
    found: dict[str, Object | Callable[[], Object]] = {"/version": _VERSION}
    found["/api"] = {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    groups = [_group(name, versions) for name, versions in _groups(kinds).items() if name]
    found["/apis"] = {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    found |= {f"/apis/{group['name']}": {"kind": "APIGroup", "apiVersion": "v1", **group} for group in groups}
    found |= {
        _root(name, version): _resources(name, version, kinds)
        for name, versions in _groups(kinds).items()
        for version in versions
    }
    paths = {
        root.lstrip("/"): {"serverRelativeURL": f"/openapi/v3{root}"}
        for root in found
        if root.count("/") > 1 and root.endswith(_VERSIONS)
    }
    found["/openapi/v3"] = {"paths": paths}
    found |= {f"/openapi/v3/{root}": partial(_openapi, f"/{root}", cluster, kinds) for root in paths}
    return found


def answer(path: str, cluster: Cluster) -> Answer:
    """The document at a path, as long as kinds are served of which it tells."""

    async def respond(_: web.Request) -> web.Response:
        document = documents(cluster, cluster.served()).get(path)
        if document is None:
            return not_served()
        return web.json_response(document() if callable(document) else document)

    return respond


_VERSIONS = tuple({f"/{kind.version}" for kind in KINDS})


def _groups(kinds: Sequence[Kind]) -> dict[str, list[str]]:
    """Versions by group, the preferred one first."""
    groups: dict[str, list[str]] = {}
    for kind in kinds:
        versions = groups.setdefault(kind.group, [])
        versions += [] if kind.version in versions else [kind.version]
    return {**groups, _REVIEWS: ["v1"]}


def _root(group: str, version: str) -> str:
    return f"/apis/{group}/{version}" if group else f"/api/{version}"


def _group(name: str, served: Sequence[str]) -> Object:
    versions = [{"groupVersion": f"{name}/{version}", "version": version} for version in served]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _resources(group: str, version: str, kinds: Sequence[Kind]) -> Object:
    rows = [row for kind in kinds if (kind.group, kind.version) == (group, version) for row in _rows(kind)]
    if group == _REVIEWS:
        name = {
            "name": "selfsubjectaccessreviews",
            "singularName": "selfsubjectaccessreview",
            "kind": "SelfSubjectAccessReview",
        }
        rows = [{**name, "namespaced": False, "verbs": ["create"]}]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}".lstrip("/"),
        "resources": rows,
    }


def _rows(kind: Kind) -> list[Object]:
    row: Object = {
        "name": kind.plural,
        "singularName": kind.noun,
        "namespaced": kind.namespaced,
        "kind": kind.name,
    }
    status = {**row, "name": f"{kind.plural}/status", "singularName": "", "verbs": ["get", "patch", "update"]}
    row |= {"verbs": sorted(kind.verbs)} | (
        {"shortNames": list(kind.short_names)} if kind.short_names else {}
    )
    return [row, status] if kind.has_status else [row]


def _openapi(root: str, cluster: Cluster, kinds: Sequence[Kind]) -> Object:
    parameter = {"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}
    paths = {}
    for kind in kinds:
        if _root(kind.group, kind.version) == root and "patch" in kind.verbs:
            within = "/namespaces/{namespace}" if kind.namespaced else ""
            meant = {"group": kind.group, "version": kind.version, "kind": kind.name}
            patch = {
                "x-kubernetes-action": "patch",
                "x-kubernetes-group-version-kind": meant,
                "parameters": [parameter],
                "responses": {},
            }
            paths[f"{root}{within}/{kind.plural}/{{name}}"] = {"patch": patch}
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": _VERSION["gitVersion"]},
        "paths": paths,
        "components": {"schemas": dict(_schemas(root, cluster, kinds))},
    }


def _schemas(root: str, cluster: Cluster, served: Sequence[Kind]) -> Iterator[tuple[str, Object]]:
    """The schemas of the kinds of one group and version, by the names that the server gives them."""
    kinds = [kind for kind in served if _root(kind.group, kind.version) == root]
    if WORKSPACE in kinds and cluster.release in WITH_INFERENCE_SETS:
        kinds.append(_INFERENCE_SET)
    for kind in kinds:
        group = ".".join(reversed((kind.group or "core.api.k8s.io").split(".")))
        meant = [{"group": kind.group, "version": kind.version, "kind": kind.name}]
        shown = {**as_openapi(cluster.schema(kind)), "x-kubernetes-group-version-kind": meant}
        yield f"{group}.{kind.version}.{kind.name}", shown
