"""Loggers, and the diagnostics that send to them, of the whole service and of one API. Token metrics need
both.

https://learn.microsoft.com/rest/api/apimanagement/logger and
.../diagnostic?view=rest-apimanagement-2024-05-01
"""

from __future__ import annotations

import secrets
from functools import partial

from aiohttp import web

from standins.resource_manager.apis import api_of
from standins.resource_manager.arm import Json, invalid, service_id
from standins.resource_manager.fields import Fields
from standins.resource_manager.kinds import Kind
from standins.resource_manager.lists import filterable
from standins.resource_manager.state import Resources, State
from standins.resource_manager.tiers import check_room

_LOGGER = ("loggerType", "description", "credentials", "isBuffered", "resourceId")
_LOGGER_DEFAULTS: Json = {"description": None, "isBuffered": True, "resourceId": None}
_DIAGNOSTIC = (
    "alwaysLog",
    "loggerId",
    "sampling",
    "frontend",
    "backend",
    "logClientIp",
    "httpCorrelationProtocol",
    "verbosity",
    "operationNameFormat",
    "metrics",
)
_DIAGNOSTIC_DEFAULTS: Json = {
    "alwaysLog": None,
    "httpCorrelationProtocol": "Legacy",
    "logClientIp": True,
    "sampling": None,
}
_NAMES = ("applicationinsights", "azuremonitor", "local")


def routes(app: web.Application, state: State) -> None:
    fields = filterable("name", "description", "resourceId", exact=("loggerType",))
    loggers = Kind(state, "logger", "loggers", state.loggers, fields)
    loggers.reading(app)
    loggers.writing(app, partial(_checked_logger, state), partial(_unused, state))
    of_all = Kind(state, "diagnostic", "diagnostics", state.diagnostics, filterable("name"))
    path, parent = "apis/{api}/diagnostics", partial(api_of, state)
    of_api = Kind(state, "api diagnostic", path, state.api_diagnostics, filterable("name"), parent)
    for kind in (of_all, of_api):
        kind.reading(app)
        kind.writing(app, partial(_checked_diagnostic, state, kind.resources), _always)


def _checked_logger(state: State, request: web.Request, properties: Json) -> Json:
    fields = Fields(properties)
    fields.require("loggerType")
    fields.choice("loggerType", ("azureEventHub", "applicationInsights", "azureMonitor"))
    fields.text("description", 0, 256)
    fields.boolean("isBuffered")
    if fields.given.get("loggerType") in ("azureEventHub", "applicationInsights"):
        fields.require("credentials")
    kept = _LOGGER_DEFAULTS | fields.checked(_LOGGER)
    if state.loggers.get(state.loggers.id(request)) is None:
        check_room(state, "loggers", service_id(request))
    if "credentials" in kept:
        kept["credentials"] = {
            name: _hidden(state, request, value) for name, value in kept["credentials"].items()
        }
    return kept


def _hidden(state: State, request: web.Request, value: str) -> str:
    """A credential becomes a secret named value of its own, and is shown as a reference to it."""
    if value.startswith("{{"):
        return value
    name = secrets.token_hex(12)
    title = f"Logger-Credentials--{name}"
    properties = {"displayName": title, "tags": None, "secret": True, "provisioningState": "Succeeded"}
    state.named_values.write(f"{service_id(request)}/namedValues/{name}", properties, {"value": value})
    return f"{{{{{title}}}}}"


def _unused(state: State, request: web.Request, row: Json) -> None:
    diagnostics = (
        *state.diagnostics.under(service_id(request)),
        *state.api_diagnostics.under(service_id(request)),
    )
    if any(diagnostic["properties"]["loggerId"].lower() == row["id"].lower() for diagnostic in diagnostics):
        raise invalid(("loggerId", f"Logger '{row['name']}' is used by a diagnostic."))


def _checked_diagnostic(state: State, resources: Resources, request: web.Request, properties: Json) -> Json:
    fields = Fields(properties)
    fields.require("loggerId")
    if (name := resources.id(request).rsplit("/", 1)[-1]) not in _NAMES:
        fields.problem("diagnosticId", f"'{name}' is not one of {', '.join(_NAMES)}.")
    logger = str(fields.given.get("loggerId"))
    logger = (
        logger if logger.lower().startswith(service_id(request).lower()) else service_id(request) + logger
    )
    if state.loggers.get(logger) is None:
        fields.problem("loggerId", f"Logger with id '{logger}' could not be found.")
    fields.choice("alwaysLog", ("allErrors",))
    fields.choice("httpCorrelationProtocol", ("None", "Legacy", "W3C"))
    fields.choice("verbosity", ("verbose", "information", "error"))
    fields.choice("operationNameFormat", ("Name", "Url"))
    fields.boolean("logClientIp", "metrics")
    return _DIAGNOSTIC_DEFAULTS | fields.checked(_DIAGNOSTIC) | {"loggerId": logger}


def _always(*_: object) -> None:
    """Nothing forbids to delete a diagnostic."""
