"""Microsoft Foundry at Resource Manager: the accounts. What is below them is in `foundry_projects` and
`foundry_connections`.

https://learn.microsoft.com/rest/api/aiservices/accountmanagement and
https://learn.microsoft.com/azure/ai-foundry/foundry-models/quotas-limits. Writes on one account exclude each
other.
"""

from __future__ import annotations

import re
import uuid
from functools import partial

from aiohttp import web

from standins.http import route
from standins.resource_manager.arm import ArmError, Json, body, insensitive
from standins.resource_manager.hierarchy import FIRST_GROUP, LOCATION, ResourceGroups
from standins.resource_manager.operations import Operations, Tracked
from standins.world import SUBSCRIPTION, TENANT, World

PROVIDER = "Microsoft.CognitiveServices"
_SUBSCRIPTION = "/subscriptions/{subscription}"
_ACCOUNTS = _SUBSCRIPTION + "/resourceGroups/{group}/providers/" + PROVIDER + "/accounts"
ACCOUNT = _ACCOUNTS + "/{account}"
#: Names of accounts and of what is below them.
NAME = r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,63}"
#: The account that is there from the start: the one of the local set (`standins.stack`).
FIRST = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{FIRST_GROUP}/providers/{PROVIDER}/accounts/contoso-"
    "foundry"
)


class Foundry:
    """The accounts with what is below them."""

    def __init__(self, world: World, groups: ResourceGroups) -> None:
        store = world.store(PROVIDER.lower())
        self.world = world
        self.groups = groups
        self.operations = Operations(world, PROVIDER)
        self.accounts = Tracked(world, store.table("accounts"))
        self.deployments = Tracked(world, store.table("deployments"))
        self.projects = Tracked(world, store.table("projects"))
        self.connections = store.table("connections")
        if self.accounts.get(FIRST) is None:
            self.accounts.write(FIRST, _first(), "Creating", world.clock.now())

    def account(self, request: web.Request) -> Json:
        """The account that the path of the request is below; 404 when there is none."""
        row = self.accounts.get(account_id(request))
        if row is None:
            name = request.match_info["account"]
            message = (
                f"Can not perform requested operation on nested resource. Parent resource '{name}' not found."
            )
            raise ArmError(404, "ParentResourceNotFound", message)
        return row

    def check_free(self, account: str) -> None:
        """409 while something on the account, or the account itself, is being written."""
        rows = [self.accounts.get(account), *self.deployments.under(account), *self.projects.under(account)]
        if any(row is not None and self.world.clock.now() < row["ends"] for row in rows):
            message = (
                f"Another operation is being performed on the parent resource '{account}'. Please try again "
                "later."
            )
            raise ArmError(409, "RequestConflict", message)


def routes(app: web.Application, foundry: Foundry) -> None:
    foundry.operations.routes(app)
    route(
        app,
        "GET",
        insensitive(f"{_SUBSCRIPTION}/providers/{PROVIDER}/accounts"),
        "LIST accounts",
        partial(_list_accounts, foundry),
    )
    route(app, "GET", insensitive(_ACCOUNTS), "LIST accounts", partial(_list_accounts, foundry))
    route(app, "GET", insensitive(ACCOUNT), "GET account", partial(_get_account, foundry))
    route(app, "PUT", insensitive(ACCOUNT), "PUT account", partial(_put_account, foundry))


async def _list_accounts(foundry: Foundry, request: web.Request) -> web.Response:
    prefix = request.path.rpartition("/providers/")[0]
    if "group" in request.match_info:
        foundry.groups.require(request.match_info["group"])
    return web.json_response(
        {"value": [foundry.accounts.shown(row) for row in foundry.accounts.under(prefix)]}
    )


async def _get_account(foundry: Foundry, request: web.Request) -> web.Response:
    return web.json_response(foundry.accounts.shown(foundry.accounts.require(account_id(request))))


async def _put_account(foundry: Foundry, request: web.Request) -> web.Response:
    id_, sent = account_id(request), await body(request)
    foundry.groups.require(request.match_info["group"])
    check_name(request.match_info["account"])
    old = foundry.accounts.get(id_)
    check_location(old, sent, request.match_info["group"])
    if not sent.get("kind") or not (sent.get("sku") or {}).get("name"):
        raise ArmError(400, "InvalidResourceProperties", "The properties 'kind' and 'sku' are required.")
    foundry.check_free(id_)
    ends = foundry.operations.ends()
    name = request.match_info["account"]
    shown = {
        "name": name,
        **{key: sent.get(key) for key in ("kind", "sku", "location", "tags")},
        "identity": identity(sent, id_),
    }
    shown["properties"] = _account_properties(sent.get("properties") or {}, name)
    row = foundry.accounts.write(id_, shown, "Creating" if old is None else "Accepted", ends)
    answer = web.json_response(foundry.accounts.shown(row), status=201 if old is None else 200)
    return foundry.operations.begin(request, answer, row["location"], ends)


def _first() -> Json:
    name, who = FIRST.rpartition("/")[2], identity({"identity": {"type": "SystemAssigned"}}, FIRST)
    properties = _account_properties({"allowProjectManagement": True, "customSubDomainName": name}, name)
    return {
        "name": name,
        "kind": "AIServices",
        "sku": {"name": "S0"},
        "location": LOCATION,
        "identity": who,
        "properties": properties,
    }


def _account_properties(sent: Json, name: str) -> Json:
    domain = sent.get("customSubDomainName") or name.lower()
    endpoints = {"AI Foundry API": f"https://{domain}.services.ai.azure.com/"}
    return {
        "publicNetworkAccess": "Enabled",
        **sent,
        "endpoint": f"https://{domain}.cognitiveservices.azure.com/",
        "endpoints": endpoints,
    }


def check_name(name: str, pattern: str = NAME) -> None:
    """400 for a name that does not match."""
    if not re.fullmatch(pattern, name):
        raise ArmError(
            400, "InvalidResourceName", f"Resource name '{name}' is invalid: it must match ^{pattern}$."
        )


def check_location(old: Json | None, sent: Json, group: str) -> None:
    """400 without a location, 409 for another one than the resource has."""
    location = sent.get("location")
    if not location:
        raise ArmError(400, "LocationRequired", "The location property is required for this definition.")
    if old is not None and old["location"] != location:
        message = (
            f"The resource '{old['name']}' already exists in location '{old['location']}' in resource group "
            f"'{group}'. A resource with the same name cannot be created in location '{location}'. Please "
            "select a new resource name."
        )
        raise ArmError(409, "InvalidResourceLocation", message)


def identity(sent: Json, id_: str) -> Json | None:
    """A system-assigned identity gets its object id from the resource, and keeps it."""
    kind = (sent.get("identity") or {}).get("type")
    if not kind or kind == "None":
        return None
    return {"type": kind, "principalId": str(uuid.uuid5(uuid.NAMESPACE_URL, id_.lower())), "tenantId": TENANT}


def account_id(request: web.Request) -> str:
    """The id of the account that the path of the request names."""
    return ACCOUNT.format(**{name: request.match_info[name] for name in ("subscription", "group", "account")})
