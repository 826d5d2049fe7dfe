"""Azure Resource Manager with API Management, AKS credentials and role assignments. https only: the SDKs refuse http.

`PUT /_standin/options` changes how the API Management service behaves; the options are `state.OPTIONS`.
"""

from __future__ import annotations

from functools import partial

from aiohttp import web

from standins.http import application, route
from standins.resource_manager import apis, backends, clusters, long_running, policies, products, role_assignments, subscriptions
from standins.resource_manager.arm import SERVER, body, guard, invalid
from standins.resource_manager.state import OPTIONS, State
from standins.world import World


def build(world: World) -> web.Application:
    """Routes of the server."""
    app = application(world, SERVER)
    app.middlewares.append(guard(world))
    state = State(world)
    for module in (products, subscriptions, backends, apis, policies, long_running):
        module.routes(app, state)
    clusters.routes(app, world)
    role_assignments.routes(app, world)
    route(app, "PUT", "/_standin/options", "PUT options", partial(_set_options, state))
    return app


async def _set_options(state: State, request: web.Request) -> web.Response:
    """The options sent are changed, the others stay; answers all of them."""
    sent = await body(request)
    if unknown := sent.keys() - OPTIONS.keys():
        raise invalid(*((name, "is not an option") for name in sorted(unknown)))
    for name, value in sent.items():
        state.options[name] = value
    return web.json_response(OPTIONS | dict(state.options))
