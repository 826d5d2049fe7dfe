"""Connections of a Foundry project:
https://learn.microsoft.com/rest/api/aiservices/accountmanagement/project-connections
"""

from __future__ import annotations

from functools import partial

from aiohttp import web

from standins.http import route
from standins.resource_manager.arm import ArmError, body, insensitive
from standins.resource_manager.cognitive_services import ACCOUNT, PROVIDER, Foundry, account_id, check_name


def routes(app: web.Application, foundry: Foundry) -> None:
    many = insensitive(f"{ACCOUNT}/projects/{{project}}/connections")
    route(app, "GET", many, "LIST foundry connections", partial(_list, foundry))
    route(app, "GET", many + "/{name}", "GET foundry connection", partial(_get, foundry))
    route(app, "PUT", many + "/{name}", "PUT foundry connection", partial(_put, foundry))
    route(app, "DELETE", many + "/{name}", "DELETE foundry connection", partial(_delete, foundry))


def _connection_id(foundry: Foundry, request: web.Request) -> str:
    """404 unless the project is there."""
    foundry.account(request)
    project = f"{account_id(request)}/projects/{request.match_info['project']}"
    foundry.projects.require(project)
    return f"{project}/connections/{request.match_info.get('name', '')}"


async def _list(foundry: Foundry, request: web.Request) -> web.Response:
    prefix = _connection_id(foundry, request).lower()
    return web.json_response(
        {"value": [row for key, row in foundry.connections.items() if key.startswith(prefix)]}
    )


async def _get(foundry: Foundry, request: web.Request) -> web.Response:
    row = foundry.connections.get(_connection_id(foundry, request).lower())
    if row is None:
        raise ArmError(
            404, "NotFound", f"Connection {request.match_info['name']} can't be found in this workspace"
        )
    return web.json_response(row)


async def _put(foundry: Foundry, request: web.Request) -> web.Response:
    """Credentials are taken and never shown."""
    id_, properties = _connection_id(foundry, request), (await body(request)).get("properties") or {}
    check_name(request.match_info["name"], r"[a-zA-Z0-9][a-zA-Z0-9_-]{2,32}")
    if not properties.get("authType"):
        raise ArmError(400, "UserError", "The property 'authType' of a connection is required.")
    shown = {name: value for name, value in properties.items() if name != "credentials" and value is not None}
    row = {
        "id": id_,
        "name": request.match_info["name"],
        "type": f"{PROVIDER}/accounts/projects/connections",
        "properties": shown,
    }
    foundry.connections[id_.lower()] = row
    return web.json_response(row)


async def _delete(foundry: Foundry, request: web.Request) -> web.Response:
    row = foundry.connections.pop(_connection_id(foundry, request).lower(), None)
    return web.Response(status=204 if row is None else 200)
