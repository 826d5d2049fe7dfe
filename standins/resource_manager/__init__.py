"""Azure Resource Manager with API Management, AKS, Foundry, roles and what they live in. https only: the SDKs
refuse http.

What can be changed about it: `state.OPTIONS` (server `resource-manager`) and `standins.roles.OPTIONS` (server
`azure`).
"""

from __future__ import annotations

from aiohttp import web

from standins.http import application
from standins.identity import entra_routes
from standins.resource_manager import (
    api_operations,
    apis,
    app_roles,
    backends,
    certificates,
    clusters,
    cognitive_services,
    foundry_connections,
    foundry_projects,
    fragments,
    groups,
    hierarchy,
    insights,
    loggers,
    long_running,
    named_values,
    policies,
    products,
    role_assignments,
    role_definitions,
    services,
    subscriptions,
)
from standins.resource_manager.arm import SERVER
from standins.resource_manager.guard import guard
from standins.resource_manager.state import State
from standins.world import World

_API_MANAGEMENT = (
    services,
    products,
    groups,
    subscriptions,
    certificates,
    backends,
    apis,
    api_operations,
    policies,
    fragments,
    named_values,
    loggers,
    long_running,
)


def build(world: World) -> web.Application:
    """Routes of the server."""
    app = application(world, SERVER)
    app.middlewares.append(guard(world))
    state = world.parts[SERVER] = State(world)
    for module in _API_MANAGEMENT:
        module.routes(app, state)
    resource_groups = hierarchy.ResourceGroups(world)
    hierarchy.routes(app, world, resource_groups)
    foundry = cognitive_services.Foundry(world, resource_groups)
    for below in (cognitive_services, foundry_projects, foundry_connections):
        below.routes(app, foundry)
    insights.routes(app, resource_groups)
    for each in (clusters, role_assignments, role_definitions):
        each.routes(app, world)
    entra_routes(app, world)
    app_roles.give_app_its_roles(world)
    return app
