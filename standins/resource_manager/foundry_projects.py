"""What a Foundry account holds: model deployments and projects.

https://learn.microsoft.com/rest/api/aiservices/accountmanagement and
https://learn.microsoft.com/azure/ai-foundry/foundry-models/quotas-limits (250 projects and 32 deployments of
an account; in which words one more is refused is not documented).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from aiohttp import web

from standins.http import route
from standins.resource_manager.arm import ArmError, Json, body, insensitive
from standins.resource_manager.cognitive_services import (
    ACCOUNT,
    Foundry,
    account_id,
    check_location,
    check_name,
    identity,
)
from standins.resource_manager.operations import Tracked


@dataclass(frozen=True)
class _Kind:
    """Deployments or projects of all accounts: the segment of their path, and how many of them an account may
    have.
    """

    foundry: Foundry
    rows: Tracked
    segment: str
    most: int

    def id(self, request: web.Request) -> str:
        return f"{account_id(request)}/{self.segment}/{request.match_info['name']}"

    def of(self, account: Json) -> list[Json]:
        return self.rows.under(f"{account['id']}/{self.segment}")


def routes(app: web.Application, foundry: Foundry) -> None:
    deployments, projects = (
        _Kind(foundry, foundry.deployments, "deployments", 32),
        _Kind(foundry, foundry.projects, "projects", 250),
    )
    for kind, name, put in (
        (deployments, "foundry deployment", _put_deployment),
        (projects, "foundry project", _put_project),
    ):
        many = insensitive(f"{ACCOUNT}/{kind.segment}")
        route(app, "GET", many, f"LIST {name}s", partial(_list, kind))
        for method, handler in (("GET", _get), ("PUT", put), ("DELETE", _delete)):
            route(app, method, many + "/{name}", f"{method} {name}", partial(handler, kind))
    route(
        app,
        "PATCH",
        insensitive(f"{ACCOUNT}/projects") + "/{name}",
        "PATCH foundry project",
        partial(_patch_project, projects),
    )


async def _list(kind: _Kind, request: web.Request) -> web.Response:
    account = kind.foundry.account(request)
    return web.json_response({"value": [kind.rows.shown(row) for row in kind.of(account)]})


async def _get(kind: _Kind, request: web.Request) -> web.Response:
    kind.foundry.account(request)
    return web.json_response(kind.rows.shown(kind.rows.require(kind.id(request))))


async def _delete(kind: _Kind, request: web.Request) -> web.Response:
    account, row = kind.foundry.account(request), kind.rows.get(kind.id(request))
    if row is None:
        return web.Response(status=204)
    kind.foundry.check_free(account["id"])
    ends = kind.foundry.operations.ends()
    for connection in [
        key for key in kind.foundry.connections if key.startswith(f"{row['id'].lower()}/connections/")
    ]:
        del kind.foundry.connections[connection]
    kind.rows.mark(row, "Deleting", ends)
    return kind.foundry.operations.begin(request, web.Response(status=202), account["location"], ends)


async def _put_deployment(kind: _Kind, request: web.Request) -> web.Response:
    account, sent = kind.foundry.account(request), await body(request)
    model = (sent.get("properties") or {}).get("model") or {}
    if not (model.get("format") and model.get("name") and (sent.get("sku") or {}).get("name")):
        raise ArmError(
            400, "InvalidResourceProperties", "The model and the sku of a deployment are required."
        )
    _check_room(kind, request, account)
    sku = dict(sent["sku"])
    if isinstance(sku.get("capacity"), str) and sku["capacity"].isdecimal():
        sku["capacity"] = int(sku["capacity"])  # az sends text; the service reads a number
    shown = {
        "name": request.match_info["name"],
        "sku": sku,
        "tags": sent.get("tags"),
        "properties": sent["properties"],
    }
    return _write(kind, request, account, shown)


async def _put_project(kind: _Kind, request: web.Request) -> web.Response:
    account, sent, old = kind.foundry.account(request), await body(request), kind.rows.get(kind.id(request))
    if (
        account["kind"] != "AIServices"
        or account["properties"].get("allowProjectManagement") is not True
        or not account.get("identity")
    ):
        message = (
            "Project can only be created under AIServices Kind account with allowProjectManagement set to "
            "true."
        )
        raise ArmError(400, "BadRequest", message)
    check_location(old, sent, request.match_info["group"])
    _check_room(kind, request, account)
    name = request.match_info["name"]
    properties = _described(sent) | {
        "isDefault": old["properties"]["isDefault"] if old else not kind.of(account),
        "endpoints": {
            "AI Foundry API": f"{account['properties']['endpoints']['AI Foundry API']}api/projects/{name}"
        },
    }
    shown = {
        "name": f"{account['name']}/{name}",
        "location": sent["location"],
        "tags": sent.get("tags"),
        "properties": properties,
    }
    return _write(kind, request, account, shown | {"identity": identity(sent, kind.id(request))})


async def _patch_project(kind: _Kind, request: web.Request) -> web.Response:
    """What is sent replaces what was there, the rest stays."""
    account, sent = kind.foundry.account(request), await body(request)
    row = kind.rows.require(kind.id(request))
    kind.foundry.check_free(account["id"])
    shown = {name: row.get(name) for name in ("name", "location", "identity", "tags")} | {
        "properties": row["properties"] | _described(sent)
    }
    return _write(kind, request, account, shown | ({"tags": sent["tags"]} if "tags" in sent else {}))


def _described(sent: Json) -> Json:
    properties = sent.get("properties") or {}
    return {
        name: properties[name] for name in ("displayName", "description") if properties.get(name) is not None
    }


def _check_room(kind: _Kind, request: web.Request, account: Json) -> None:
    """400 for a name that may not be, 409 while something else is written, 400 for one too many."""
    check_name(request.match_info["name"])
    kind.foundry.check_free(account["id"])
    if kind.rows.get(kind.id(request)) is None and len(kind.of(account)) >= kind.most:
        raise ArmError(
            400,
            "BadRequest",
            f"The maximum number of {kind.segment} of the account '{account['name']}' is {kind.most}.",
        )


def _write(kind: _Kind, request: web.Request, account: Json, shown: Json) -> web.Response:
    new, ends = kind.rows.get(kind.id(request)) is None, kind.foundry.operations.ends()
    row = kind.rows.write(kind.id(request), shown, "Creating" if new else "Accepted", ends)
    answer = web.json_response(kind.rows.shown(row), status=201 if new else 200)
    return kind.foundry.operations.begin(request, answer, account["location"], ends)
