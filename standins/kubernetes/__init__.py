"""A Kubernetes API server with KAITO, for the kinds that the app and kubectl touch. https, with an Entra
token as on AKS.

How the cluster behaves is a matter of its options, see `cluster.DEFAULTS`.
"""

from __future__ import annotations

from aiohttp import web

from standins.http import application, route
from standins.kubernetes.api import Api, Door
from standins.kubernetes.cluster import Cluster
from standins.kubernetes.discovery import answer, documents
from standins.kubernetes.kinds import KINDS, Kind
from standins.world import World

#: Where it does otherwise than the real cluster. `standins/COVERAGE.md` lists them.
DIFFERENCES = (
    (
        "KAITO takes a selector that no node can have as labels, and its node never comes; here the "
        "workspace is refused."
    ),
    (
        "A quota is enforced some moments after it was written, and a workspace counts some moments after it "
        "went; here both hold at once."
    ),
)


def build(world: World) -> web.Application:
    """Routes of the server."""
    cluster = Cluster(world)
    door = Door(world, cluster)
    app = application(world, "kubernetes")
    for path in documents(cluster, KINDS):
        # The Python client asks with a slash at the end.
        route(app, "GET", f"{path}{{slash:/?}}", "GET discovery", door.guarded(answer(path, cluster)))
    for kind in KINDS:
        _add_routes(app, kind, Api(door, cluster, kind))
        if kind.has_status:
            _add_status_routes(app, kind, Api(door, cluster, kind, "status"))
    reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    route(app, "POST", reviews, "POST selfsubjectaccessreview", door.guarded(door.review))
    return app


def _add_routes(app: web.Application, kind: Kind, api: Api) -> None:
    """`LIST` is a watch too."""
    collection, item = _collection(kind), f"{_collection(kind)}/{{name}}"
    route(app, "GET", item, f"GET {kind.noun}", api.handle("get", api.get))
    route(app, "GET", collection, f"LIST {kind.plural}", api.handle("list", api.list))
    if kind.namespaced:
        route(app, "GET", f"{_base(kind)}/{kind.plural}", f"LIST {kind.plural}", api.handle("list", api.list))
    writes = (
        ("create", "POST", collection, api.create),
        ("update", "PUT", item, api.replace),
        ("patch", "PATCH", item, api.patch),
        ("delete", "DELETE", item, api.delete),
    )
    for verb, method, path, operation in writes:
        if verb in kind.verbs:
            route(app, method, path, f"{method} {kind.noun}", api.handle(verb, operation))


def _add_status_routes(app: web.Application, kind: Kind, api: Api) -> None:
    path = f"{_collection(kind)}/{{name}}/status"
    for verb, method, operation in (
        ("get", "GET", api.get),
        ("update", "PUT", api.replace),
        ("patch", "PATCH", api.patch),
    ):
        route(app, method, path, f"{method} {kind.noun} status", api.handle(verb, operation))


def _base(kind: Kind) -> str:
    return f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"


def _collection(kind: Kind) -> str:
    return (
        f"{_base(kind)}/namespaces/{{namespace}}/{kind.plural}"
        if kind.namespaced
        else f"{_base(kind)}/{kind.plural}"
    )
