"""Named values: texts and secrets that policies insert as `{{displayName}}`.

The value of a secret is shown by `listValue` only. One in a Key Vault is a reference: the service reads the
secret when that is written, and again every four hours; `lastStatus` says what came of it. The roles of the
vault are not asked. https://learn.microsoft.com/rest/api/apimanagement/named-value?view=rest-apimanagement-2024-05-01
"""

from __future__ import annotations

import re
from functools import partial

from aiohttp import web

from standins.http import route
from standins.resource_manager.arm import (
    SERVICE,
    Json,
    check_if_match,
    contract,
    insensitive,
    not_known,
    properties_of,
    require_if_match,
    service_id,
    to_delete,
)
from standins.resource_manager.fields import Fields
from standins.resource_manager.kinds import Kind
from standins.resource_manager.lists import filterable
from standins.resource_manager.long_running import begin, started
from standins.resource_manager.references import inserting, refuse_used
from standins.resource_manager.state import AT_ONCE, Operation, State
from standins.resource_manager.tiers import check_room

_KNOWN = ("displayName", "tags", "secret", "value", "keyVault")
_DEFAULTS: Json = {"tags": None, "secret": False, "provisioningState": "Succeeded"}
#: The service reads secrets of a vault again after this long, in seconds.
#: https://learn.microsoft.com/azure/api-management/api-management-howto-properties
VAULT_SECONDS = 4 * 3600.0
_SECRET_URL = re.compile(r"https://[^/]+/secrets/[A-Za-z0-9-]{1,127}(/[0-9a-f]{32})?/?")


def routes(app: web.Application, state: State) -> None:
    Kind(state, "named value", "namedValues", state.named_values, filterable("displayName", "tags")).reading(
        app
    )
    state.named_values.aged = partial(_aged, state)
    one = SERVICE + "/namedValues/{name}"
    route(app, "PUT", insensitive(one), "PUT named value", partial(_put, state))
    route(app, "PATCH", insensitive(one), "PATCH named value", partial(_patch, state))
    route(app, "DELETE", insensitive(one), "DELETE named value", partial(_delete, state))
    route(
        app,
        "POST",
        insensitive(one + "/listValue"),
        "POST named value listValue",
        partial(_list_value, state),
    )
    route(
        app,
        "POST",
        insensitive(one + "/refreshSecret"),
        "POST named value refreshSecret",
        partial(_refresh, state),
    )


async def _put(state: State, request: web.Request) -> web.Response:
    properties = await properties_of(request)
    state.named_values.check_name(request)
    old = state.named_values.get(state.named_values.id(request))
    check_if_match(request, old)
    kept = _checked(state, request, properties)
    if old is None:
        check_room(state, "named_values", service_id(request))
    operation = _begun(state, request, kept)
    row = _write(state, state.named_values.id(request), kept, operation)
    return started(state, request, contract(row, 201 if old is None else 200), row["id"], operation)


async def _patch(state: State, request: web.Request) -> web.Response:
    properties = await properties_of(request)
    old = state.named_values.require(state.named_values.id(request))
    require_if_match(request, old)
    checked = _checked(state, request, old["properties"] | old["hidden"] | properties)
    return _changed(state, request, old["id"], checked)


def _changed(state: State, request: web.Request, id_: str, kept: Json) -> web.Response:
    """At once when it takes no time, else 202: what a PATCH and a refresh answer."""
    operation = _begun(state, request, kept)
    row = _write(state, id_, kept, operation)
    if operation == AT_ONCE:
        return contract(row)
    return started(state, request, web.Response(status=202), id_, operation)


def _begun(state: State, request: web.Request, kept: Json) -> Operation:
    """How the write goes on: where that is told, it fails for a secret that cannot be read."""
    operation = begin(state, request)
    if "keyVault" not in kept or state.options["unreadable_secrets"] == "told":
        return operation
    status = _last_status(state, kept["keyVault"])
    if status["code"] == "Success" or operation.failure is not None:
        return operation
    detail = {"code": status["code"], "message": status["message"], "target": "keyVault"}
    failure = {"code": "ValidationError", "message": "The secret could not be read:", "details": [detail]}
    return Operation(operation.seconds, failure)


def _last_status(state: State, reference: Json) -> Json:
    """What came of reading the secret. A set of stand-ins without a vault has every secret."""
    at = f"{state.world.clock.utcnow():%Y-%m-%dT%H:%M:%SZ}"
    vault = state.world.parts.get("key-vault")
    found = None if vault is None else vault.read(reference["secretIdentifier"])
    if found is None or found.value is not None:
        return {"code": "Success", "timeStampUtc": at}
    return {"code": found.code, "message": found.message, "timeStampUtc": at}


def _aged(state: State, row: Json) -> Json:
    """The row, whose secret the service reads again from time to time."""
    read = row["hidden"].get("read")
    if read is None or state.world.clock.now() < read + VAULT_SECONDS:
        return row
    reference = row["properties"]["keyVault"]
    reference = reference | {"lastStatus": _last_status(state, reference)}
    row = row | {
        "properties": row["properties"] | {"keyVault": reference},
        "hidden": row["hidden"] | {"read": state.world.clock.now()},
    }
    state.named_values.keep(row)
    return row


def _write(state: State, id_: str, kept: Json, operation: Operation) -> Json:
    """The value of a secret goes to the hidden part."""
    shown, hidden = _DEFAULTS | kept, {}
    if "keyVault" in shown:
        shown["keyVault"] = shown["keyVault"] | {"lastStatus": _last_status(state, shown["keyVault"])}
        hidden = {"read": state.world.clock.now()}
    if shown["secret"] and "value" in shown:
        hidden = {"value": shown.pop("value")}
    return state.named_values.write(id_, shown, hidden, operation)


def _checked(state: State, request: web.Request, properties: Json) -> Json:
    fields = Fields(properties)
    fields.require("displayName")
    fields.text("displayName", 1, 256)
    if not re.fullmatch(r"[A-Za-z0-9-._]+", str(fields.given.get("displayName", "-"))):
        fields.problem(
            "displayName", "displayName may contain only letters, digits, periods, dashes and underscores."
        )
    fields.boolean("secret")
    if len(fields.given.get("tags", ())) > 32:
        fields.problem("tags", "A named value has at most 32 tags.")
    _check_value(fields)
    _check_is_alone(state, request, fields)
    return fields.checked(_KNOWN)


def _check_value(fields: Fields) -> None:
    vault = fields.given.get("keyVault")
    if vault is None:
        fields.require("value")
        fields.text("value", 1, 4096)
        if not str(fields.given.get("value", "-")).strip():
            fields.problem("value", "value may not be empty or consist only of whitespace.")
        if "{{" in str(fields.given.get("value")):
            fields.problem("value", "A named value cannot contain another one.")
    elif not fields.given.get("secret"):
        fields.problem("secret", "A named value from a Key Vault must be a secret.")
    elif not _SECRET_URL.fullmatch(str(vault.get("secretIdentifier"))):
        fields.problem("keyVault", "secretIdentifier must be the URL of a secret in a Key Vault.")


def _check_is_alone(state: State, request: web.Request, fields: Fields) -> None:
    """`displayName` is the name in policies, so there is one of it."""
    own, name = state.named_values.id(request).lower(), fields.given.get("displayName")
    others = (row for row in state.named_values.under(service_id(request)) if row["id"].lower() != own)
    if any(row["properties"]["displayName"] == name for row in others):
        fields.problem("displayName", f"There is another named value '{name}'.")


async def _delete(state: State, request: web.Request) -> web.Response:
    row = to_delete(request, state.named_values.get(state.named_values.id(request)))
    service = service_id(request)
    refuse_used("Named Value", row, service, inserting(state, service, row))
    state.named_values.remove(row["id"])
    return web.Response(status=200)


async def _list_value(state: State, request: web.Request) -> web.Response:
    row = state.named_values.require(state.named_values.id(request))
    if "keyVault" in row["properties"]:
        raise not_known(state.world, "the value of a secret in a Key Vault")
    value = row["hidden"].get("value", row["properties"].get("value"))
    return web.json_response({"value": value}, headers={"ETag": row["etag"]})


async def _refresh(state: State, request: web.Request) -> web.Response:
    """Read the secret again, as the service does every four hours by itself."""
    row = state.named_values.require(state.named_values.id(request))
    if "keyVault" not in row["properties"]:
        raise not_known(state.world, "a refresh of a named value that is not in a Key Vault")
    return _changed(state, request, row["id"], row["properties"])
