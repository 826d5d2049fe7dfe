"""A Kubernetes API server with KAITO, for the kinds that the app touches. https, with an Entra token as on AKS.

| request | what it does |
|---|---|
| `PUT /_standin/options` | change `{nodes_ready_after, inference_ready_after, deleted_after}` (seconds) and `fail`, see `kaito.Options` |
| `GET /_standin/options` | the options in force |
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

from aiohttp import web

from standins.http import application, route
from standins.kubernetes.api import Api
from standins.kubernetes.cluster import Cluster
from standins.kubernetes.kinds import KINDS, NAMESPACE, SERVICE, Kind
from standins.world import World


def build(world: World) -> web.Application:
    """Routes of the server."""
    cluster = Cluster(world)
    app = application(world, "kubernetes")
    for kind in KINDS:
        _add_routes(app, Api(world, cluster, kind), kind)
    route(app, "GET", "/_standin/options", "get options", partial(_get_options, cluster))
    route(app, "PUT", "/_standin/options", "set options", partial(_put_options, cluster))
    return app


def _add_routes(app: web.Application, api: Api, kind: Kind) -> None:
    base = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
    collection = f"{base}/{kind.plural}" if kind is NAMESPACE else f"{base}/namespaces/{{namespace}}/{kind.plural}"
    item = f"{collection}/{{name}}"
    route(app, "GET", item, f"GET {kind.noun}", api.handle(api.get))
    route(app, "GET", collection, f"LIST {kind.plural}", api.handle(api.list))
    if kind.namespaced:
        route(app, "GET", f"{base}/{kind.plural}", f"LIST {kind.plural}", api.handle(api.list))
    if kind is SERVICE:
        return  # KAITO makes them; the app only looks
    route(app, "POST", collection, f"POST {kind.noun}", api.handle(api.create))
    route(app, "PUT", item, f"PUT {kind.noun}", api.handle(api.replace))
    route(app, "PATCH", item, f"PATCH {kind.noun}", api.handle(api.patch))
    route(app, "DELETE", item, f"DELETE {kind.noun}", api.handle(api.delete))


async def _get_options(cluster: Cluster, _: web.Request) -> web.Response:
    return web.json_response(asdict(cluster.objects.options))


async def _put_options(cluster: Cluster, request: web.Request) -> web.Response:
    try:
        cluster.objects.set_options(await request.json())
    except TypeError as error:
        return web.json_response({"message": str(error)}, status=400)
    return web.json_response(asdict(cluster.objects.options))
