"""The route from the Gateway to a workspace, in today's form and in that of earlier releases.

Today's form names the host and each path that a model serves, because another route of the listener that
names the host takes the calls of a route without one, and because a prefix opens everything that the pod
serves (its metrics, its documentation). Its rules have no time limit: Envoy Gateway ends an answer after 15
seconds otherwise. At most 16 rules are allowed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from typing import Any, Literal
from urllib.parse import urlsplit

from shared.catalog.terms import Ability
from shared.catalog.verbs import VERBS
from shared.marker import Marker
from shared.names import namespace, workspace
from shared.requests.request import ModelAccess
from shared.resources.workspaces import ROUTE_VERSION, Cluster, Manifest, object_manifest, spec_matches

#: By which the workers ask a model for its name: it is open at each.
_MODELS = "/v1/models"
#: The paths that may be open, as the model server has them, and in this order.
PATHS = (*(f"/v1/{verb.path}" for verb in VERBS if verb.ability != "images"), _MODELS)
#: As Gateway API has it; it takes no IP address.
_HOSTNAME = re.compile(r"(?!.*\.[0-9]+$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_MAX_HOSTNAME = 253
#: `other` is neither: somebody edited it.
Form = Literal["exact", "prefix", "other"]


def route_manifest(marker: Marker, model: ModelAccess, cluster: Cluster, serves: Set[Ability]) -> Manifest:
    """Route from the Gateway to the Service that KAITO names after the workspace, by the paths of what the
    model `serves`; what comes before `/v1` is removed.
    """
    home, name, host = namespace(marker.team), workspace(model.name), hostname_of(cluster.url)
    spec = {
        "parentRefs": _parents(cluster),
        **({} if host is None else {"hostnames": [host]}),
        "rules": _exact_rules(home, name, _paths_of(serves)),
    }
    return object_manifest(ROUTE_VERSION, "HTTPRoute", marker, name, spec)


def earlier_route_manifest(marker: Marker, model: ModelAccess, cluster: Cluster) -> Manifest:
    """The same in the form of earlier releases: all paths of the workspace, for any host."""
    home, name = namespace(marker.team), workspace(model.name)
    spec = {"parentRefs": _parents(cluster), "rules": [_prefix_rule(home, name)]}
    return object_manifest(ROUTE_VERSION, "HTTPRoute", marker, name, spec)


def without_host(manifest: Manifest) -> Manifest:
    """The same for any host. As soon as one route of a listener names a host, the routes that name none
    answer 404 there, whatever their paths: beside such routes none may name it.
    """
    spec = {key: part for key, part in manifest["spec"].items() if key != "hostnames"}
    return {**manifest, "spec": spec}


def names_no_host(spec: Mapping[str, Any]) -> bool:
    """Whether an existing route is for any host."""
    return not spec.get("hostnames")


def hostname_of(url: str) -> str | None:
    """The host of an address, as a route names it; None for an IP address, which a route cannot name."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    return host if len(host) <= _MAX_HOSTNAME and _HOSTNAME.fullmatch(host) else None


def form_of(spec: Mapping[str, Any], namespace: str, name: str) -> Form:
    """The form of the rules of an existing route; its Gateway and its host do not count."""
    if _open_paths(spec, namespace, name):
        return "exact"
    return "prefix" if spec_matches(spec, {"spec": {"rules": [_prefix_rule(namespace, name)]}}) else "other"


def opens_more(spec: Mapping[str, Any], manifest: Manifest) -> Manifest:
    """The manifest with the rules of an existing route, if these open all of its paths and others of a model
    server: the gateway refuses what a model does not serve, and a route that is only too wide stays as it is.
    """
    home, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
    is_open = set(_open_paths(spec, home, name))
    if not is_open > set(_open_paths(manifest["spec"], home, name)):
        return manifest
    return {**manifest, "spec": {**manifest["spec"], "rules": spec["rules"]}}


def _paths_of(serves: Set[Ability]) -> list[str]:
    served = {f"/v1/{verb.path}" for verb in VERBS if verb.ability in serves} | {_MODELS}
    return [path for path in PATHS if path in served]


def _open_paths(spec: Mapping[str, Any], home: str, name: str) -> list[str]:
    """The paths that the rules of a route open, if they are rules of ours; none otherwise."""
    prefix, rules = f"/{home}/{name}", spec.get("rules") or ()
    named = [path for path in PATHS if any(_matches(rule, prefix + path) for rule in rules)]
    is_ours = spec_matches(spec, {"spec": {"rules": _exact_rules(home, name, named)}})
    return named if is_ours and _MODELS in named else []


def _matches(rule: Mapping[str, Any], value: str) -> bool:
    """Whether it is for this path."""
    return any((each.get("path") or {}).get("value") == value for each in rule.get("matches") or ())


def _parents(cluster: Cluster) -> list[Manifest]:
    home, _, name = cluster.gateway.partition("/")
    return [{"name": name, "namespace": home}]


def _exact_rules(home: str, name: str, paths: Sequence[str]) -> list[Manifest]:
    return [
        {
            "matches": [{"path": {"type": "Exact", "value": f"/{home}/{name}{path}"}}],
            "filters": [_rewrite({"type": "ReplaceFullPath", "replaceFullPath": path})],
            "backendRefs": _backend(name),
            "timeouts": {"request": "0s"},
        }
        for path in paths
    ]


def _prefix_rule(home: str, name: str) -> Manifest:
    return {
        "matches": [{"path": {"type": "PathPrefix", "value": f"/{home}/{name}"}}],
        "filters": [_rewrite({"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"})],
        "backendRefs": _backend(name),
    }


def _rewrite(path: Manifest) -> Manifest:
    return {"type": "URLRewrite", "urlRewrite": {"path": path}}


def _backend(name: str) -> list[Manifest]:
    return [{"name": name, "port": 80}]
