"""Backends: https://learn.microsoft.com/rest/api/apimanagement/backend?view=rest-apimanagement-2024-05-01

Limits of pools and circuit breakers: https://learn.microsoft.com/azure/api-management/backends
"""

from __future__ import annotations

import json
import re
from functools import partial
from typing import Any

from aiohttp import web

from standins.resource_manager.arm import Json, service_id
from standins.resource_manager.fields import Fields
from standins.resource_manager.kinds import Kind
from standins.resource_manager.lists import filterable
from standins.resource_manager.references import BACKEND, NAMED_VALUE, naming, pools_of, refuse_used
from standins.resource_manager.state import State

_KNOWN = (
    "title",
    "description",
    "resourceId",
    "properties",
    "credentials",
    "proxy",
    "tls",
    "circuitBreaker",
    "url",
    "protocol",
)
_POOL = ("pool", "type")
_DURATION = re.compile(r"P(?=.)(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?")


def routes(app: web.Application, state: State) -> None:
    kind = Kind(state, "backend", "backends", state.backends, filterable("name", "title", "url"))
    kind.reading(app)
    kind.writing(app, partial(_checked, state), partial(_unused, state))


def _unused(state: State, request: web.Request, row: Json) -> None:
    service = service_id(request)
    refuse_used(
        "Backend", row, service, [*naming(state, service, row, BACKEND), *pools_of(state, service, row)]
    )


def _checked(state: State, request: web.Request, properties: Json) -> Json:
    fields = Fields(properties)
    fields.choice("type", ("Single", "Pool"))
    fields.text("description", 1, 2000)
    fields.text("title", 1, 300)
    if fields.given.get("type") == "Pool":
        _check_pool(state, fields)
        return {"url": None, "protocol": None} | fields.checked((*_KNOWN, *_POOL))
    fields.require("url", "protocol")
    fields.text("url", 1, 2000)
    fields.text("resourceId", 1, 2000)
    fields.choice("protocol", ("http", "soap"))
    if not str(fields.given.get("url", "https://")).startswith(("http://", "https://")):
        fields.problem("url", "Invalid URL: it must be absolute, with the scheme http or https.")
    _check_breaker(fields)
    _check_credentials(state, service_id(request), fields)
    return {"type": "Single"} | fields.checked(_KNOWN)


def _check_pool(state: State, fields: Fields) -> None:
    services: list[dict[str, Any]] = fields.given.get("pool", {}).get("services") or []
    if not 1 <= len(services) <= 30:
        fields.problem("pool", "A pool has 1 to 30 services.")
    for service in services:
        if state.backends.get(str(service.get("id"))) is None:
            fields.problem("pool.services", f"Backend with id '{service.get('id')}' could not be found.")
        if any(not 0 <= (service.get(number) or 0) <= 100 for number in ("weight", "priority")):
            fields.problem("pool.services", "weight and priority must be between 0 and 100.")


def _check_credentials(state: State, service: str, fields: Fields) -> None:
    credentials = fields.given.get("credentials") or {}
    for id_ in credentials.get("certificateIds") or ():
        if state.certificates.get(str(id_)) is None:
            fields.problem("credentials.certificateIds", f"Certificate with id '{id_}' could not be found.")
    authorization = credentials.get("authorization")
    if authorization is not None and not (
        authorization.get("scheme") and 1 <= len(str(authorization.get("parameter") or "")) <= 300
    ):
        fields.problem("credentials", "authorization needs a scheme, and a parameter of 1 to 300 characters.")
    rows = state.named_values.under(service)
    known = {name for row in rows for name in (row["name"], row["properties"]["displayName"])}
    for name in NAMED_VALUE.findall(json.dumps(credentials)):
        if name not in known:
            fields.problem("credentials", f"Cannot find a property '{name}'")


def _check_breaker(fields: Fields) -> None:
    """One rule, though the description of the interface allows 15."""
    rules: list[dict[str, Any]] = fields.given.get("circuitBreaker", {}).get("rules") or []
    if len(rules) > 1:
        fields.problem("circuitBreaker", "Only one circuit breaker rule is supported.")
    for rule in rules:
        condition: dict[str, Any] = rule.get("failureCondition") or {}
        if (condition.get("count") is None) == (condition.get("percentage") is None):
            fields.problem("circuitBreaker", "failureCondition needs count or percentage.")
        for text in (condition.get("interval"), rule.get("tripDuration")):
            if not _DURATION.fullmatch(str(text)):
                fields.problem("circuitBreaker", "interval and tripDuration must be ISO 8601 durations.")
        for limits in condition.get("statusCodeRanges") or []:
            if not 200 <= limits.get("min", 200) <= limits.get("max", 599) <= 599:
                fields.problem("circuitBreaker", "A range of status codes must lie between 200 and 599.")
