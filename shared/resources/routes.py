"""The route from the Gateway to a workspace, in today's form and in that of earlier releases.

Today's form names the host and each path that a model serves, because another route of the listener that
names the host takes the calls of a route without one, and because a prefix opens everything that the pod
serves (its metrics, its documentation). Its rules have no time limit: Envoy Gateway ends an answer after 15
seconds otherwise. At most 16 rules are allowed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from shared.marker import Marker
from shared.names import namespace, workspace
from shared.requests.request import ModelAccess
from shared.resources.workspaces import ROUTE_VERSION, Cluster, Manifest, object_manifest, spec_matches

#: The paths that are open, as the model server has them.
PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/models")
#: As Gateway API has it; it takes no IP address.
_HOSTNAME = re.compile(r"(?!.*\.[0-9]+$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_MAX_HOSTNAME = 253
#: `other` is neither: somebody edited it.
Form = Literal["exact", "prefix", "other"]


def route_manifest(marker: Marker, model: ModelAccess, cluster: Cluster) -> Manifest:
    """Route from the Gateway to the Service that KAITO names after the workspace, by the paths that a model
    serves; what comes before `/v1` is removed.
    """
    home, name, host = namespace(marker.team), workspace(model.name), hostname_of(cluster.url)
    spec = {
        "parentRefs": _parents(cluster),
        **({} if host is None else {"hostnames": [host]}),
        "rules": _exact_rules(home, name),
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
    if spec_matches(spec, {"spec": {"rules": _exact_rules(namespace, name)}}):
        return "exact"
    return "prefix" if spec_matches(spec, {"spec": {"rules": [_prefix_rule(namespace, name)]}}) else "other"


def _parents(cluster: Cluster) -> list[Manifest]:
    home, _, name = cluster.gateway.partition("/")
    return [{"name": name, "namespace": home}]


def _exact_rules(home: str, name: str) -> list[Manifest]:
    return [
        {
            "matches": [{"path": {"type": "Exact", "value": f"/{home}/{name}{path}"}}],
            "filters": [_rewrite({"type": "ReplaceFullPath", "replaceFullPath": path})],
            "backendRefs": _backend(name),
            "timeouts": {"request": "0s"},
        }
        for path in PATHS
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
