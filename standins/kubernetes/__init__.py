"""A Kubernetes API server with KAITO, for the kinds that the app and kubectl touch. https, with an Entra
token as on AKS.

How the cluster behaves is a matter of its options, see `cluster.DEFAULTS`.
"""

from __future__ import annotations

from aiohttp import web

from standins.faults import Fault
from standins.http import application, route
from standins.kubernetes.api import Api, Door
from standins.kubernetes.cluster import Cluster
from standins.kubernetes.discovery import REVIEWS
from standins.kubernetes.errors import starting
from standins.kubernetes.kinds import KINDS, POD, STORED, Kind
from standins.world import World

#: Where it does otherwise than the real cluster. `standins/COVERAGE.md` lists them.
DIFFERENCES = (
    "KAITO tunes a model; here the webhook looks at a workspace with tuning, and nothing comes of it.",
    (
        "KAITO asks Hugging Face about a model that it does not know; here every id is one, and its model "
        "gets one node."
    ),
    (
        "KAITO counts the nodes for each length of a context; here that of the next longer of 2,048, 8,192, "
        "32,768 and 131,072 tokens counts."
    ),
    "KAITO looks into the ConfigMap of a tuning job; here it must only be there.",
    (
        "A quota is enforced some moments after it was written, and a workspace counts some moments after it "
        "went; here both hold at once."
    ),
    (
        "A namespace that waits for finalizers is looked at again in rounds of some seconds; here it is gone "
        "with the last one."
    ),
    (
        "HTTPRoute is defined as in Gateway API 1.4 whichever Gateway controller runs; from 1.5 on a route "
        "needs a rule."
    ),
    "There is no ReferenceGrant: a route that refers to another namespace is never permitted.",
    "The Deployments and Services of a Gateway's proxies are not made, and no features of a class are told.",
    "Expressions of admission policies are compiled, but their types are not checked before they are used.",
    "Entries of lists that are maps by a key have owners of their own; here a list has one owner.",
)


def build(world: World) -> web.Application:
    """Routes of the server."""
    cluster = world.parts["kubernetes"] = Cluster(world)
    door = Door(world, cluster)
    app = application(world, "kubernetes", _failing)
    for kind in KINDS:
        _add_routes(app, kind, Api(door, cluster, kind))
        if kind.has_status:
            _add_status_routes(app, kind, Api(door, cluster, kind, "status"))
    log = Api(door, cluster, POD, "log")
    route(app, "GET", f"{POD.collection}/{{name}}/log", f"GET {POD.noun} log", log.handle("get", log.log))
    for group, name in REVIEWS:
        path = f"/apis/{group}/v1/{{review:{name.lower()}s}}"
        route(app, "POST", path, f"POST {name.lower()}", door.guarded(door.review))
    for plural, part in (
        ("pods", "exec"),
        ("pods", "attach"),
        ("pods", "portforward"),
        ("serviceaccounts", "token"),
    ):
        api = Api(door, cluster, STORED[plural], part)
        path = f"{STORED[plural].collection}/{{name}}/{part}"
        for method in ("POST", "GET") if plural == "pods" else ("POST",):
            name = f"{method} {STORED[plural].noun} {part}"
            route(app, method, path, name, api.handle("create", api.connect))
    # A path that belongs to nothing else tells what the cluster has, or that it does not have that.
    route(app, "GET", "/{rest:.*}", "GET discovery", door.guarded(door.elsewhere))
    route(app, "*", "/{rest:.*}", "anything else", door.guarded(door.elsewhere))
    return app


def _failing(fault: Fault, request: web.Request) -> web.Response | None:
    """How a fault that says nothing itself is worded: as by a server that has just been started."""
    if fault.body is not None or fault.status not in (403, 429, 503):
        return None
    refusal = starting(fault.status, "unknown", request.method, request.path)
    if fault.retry_after is not None:
        refusal.retry_after = fault.retry_after
    answer = refusal.response()
    answer.headers.update(fault.headers)
    return answer


def _add_routes(app: web.Application, kind: Kind, api: Api) -> None:
    """`LIST` is a watch too."""
    collection, item = kind.collection, f"{kind.collection}/{{name}}"
    route(app, "GET", item, f"GET {kind.noun}", api.handle("get", api.get))
    route(app, "GET", collection, f"LIST {kind.plural}", api.handle("list", api.list))
    if kind.namespaced:
        route(app, "GET", f"{kind.root}/{kind.plural}", f"LIST {kind.plural}", api.handle("list", api.list))
    writes = (
        ("create", "POST", collection, api.create),
        ("update", "PUT", item, api.replace),
        ("patch", "PATCH", item, api.patch),
        ("delete", "DELETE", item, api.delete),
        ("deletecollection", "DELETE", collection, api.delete_all),
    )
    for verb, method, path, operation in writes:
        if verb in kind.verbs:
            name = kind.plural if verb == "deletecollection" else kind.noun
            route(app, method, path, f"{method} {name}", api.handle(verb, operation))


def _add_status_routes(app: web.Application, kind: Kind, api: Api) -> None:
    path = f"{kind.collection}/{{name}}/status"
    for verb, method, operation in (
        ("get", "GET", api.get),
        ("update", "PUT", api.replace),
        ("patch", "PATCH", api.patch),
    ):
        route(app, method, path, f"{method} {kind.noun} status", api.handle(verb, operation))
