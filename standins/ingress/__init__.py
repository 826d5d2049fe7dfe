"""The proxies of the cluster's Gateway: calls of models on the team's own GPUs come through here.

A call is matched with the HTTPRoutes that the Gateway's listeners took (`standins.kubernetes.gateways`),
rewritten, and sent to the pod of the Service, which is a model server of `standins.models` with the host
`<workspace>.<namespace>.svc`. It knows the name under which it serves its model from the command line and
the configuration of the pod. What proxies do by themselves is in `habits`, as it was recorded of Envoy 1.40
fed by Istio and Envoy Gateway, and of nginx with the files of NGINX Gateway Fabric.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from standins.http import application, route
from standins.ingress.server import SERVER, Server
from standins.world import World

#: Where it does otherwise than real proxies. `standins/COVERAGE.md` lists them.
DIFFERENCES = (
    "All listeners of the Gateway are served at one port, over HTTP: no TLS, no certificates of clients.",
    (
        "The pod sees its own name in `Host`, where a proxy sends the caller's; here that one is in "
        "`X-Forwarded-Host`."
    ),
    "Redirections, mirrors and changes of an answer's headers: 500 and a line on standard error.",
    "A pod that goes ends its calls at once; a change of a route ends none.",
)
OPTIONS: dict[str, Any] = {
    # Whose proxies these are, `namespace/name`.
    "gateway": "gateway-system/internal",
    # Seconds of real time for each second of a proxy's limits.
    "timeout_scale": 1.0,
    # A pod that runs and is not ready: `answers` 404 and 501, since its port is bound (a model from Hugging
    # Face), `refuses` the connection (a model of an image), or is `called` as one that is ready.
    "loading": "answers",
}


def build(world: World) -> web.Application:
    """Routes of the server: one."""
    app = application(world, SERVER)
    server = Server(world, world.options_of(SERVER, OPTIONS))

    async def client(_: web.Application) -> AsyncIterator[None]:
        async with server.client():
            yield

    app.cleanup_ctx.append(client)
    route(app, "*", "/{path:.*}", "call", server.serve, about=lambda request: request.method)
    return app
