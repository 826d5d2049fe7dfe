"""Which operation of which API a request is for, by what was imported; and whose key it carries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from standins.gateway.exchange import Failure, Json, Request
from standins.resource_manager.products import open_product
from standins.resource_manager.state import State

_PARAMETER = re.compile(r"\{([^{}]+)\}")
_MISSING = (
    (
        "Access denied due to missing subscription key. Make sure to include subscription key when making "
        "requests to an API."
    ),
    (
        "Access denied due to invalid subscription key. Make sure to provide a valid key for an active "
        "subscription."
    ),
)


@dataclass(frozen=True)
class _Operation:
    method: str
    pattern: re.Pattern[str]
    parameters: tuple[str, ...]
    api: Json
    row: Json


@dataclass(frozen=True)
class Match:
    """An operation, what the placeholders of its template stand for, and the path below the API's."""

    api: Json
    operation: Json
    parameters: dict[str, str]
    route: str


class Routing:
    """The operations of a service, read again after a change."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._versions = (-1, -1, "", False)
        self._operations: list[_Operation] = []

    def find(self, service: str, method: str, path: str) -> Match | None:
        """Paths are compared without regard to case; the longest path of an API wins, and there a path
        without a wildcard.
        """
        for operation in self._current(service):
            found = operation.pattern.fullmatch(path) if operation.method == method else None
            if found:
                values = (unquote(value) for value in found.groups()[1:])
                return Match(
                    operation.api,
                    operation.row,
                    dict(zip(operation.parameters, values, strict=True)),
                    found[1],
                )
        return None

    def api(self, service: str, path: str) -> Json | None:
        """The API that a path is below, the one with the longest path of its own."""
        apis = [row for row in self._state.apis.under(service) if "/operations/" not in row["id"]]
        for api in sorted(apis, key=lambda row: -len(row["properties"]["path"])):
            prefix = f"/{api['properties']['path']}".rstrip("/").lower()
            if f"{path.lower()}/".startswith(f"{prefix}/"):
                return api
        return None

    def _current(self, service: str) -> list[_Operation]:
        shortest = bool(self._state.options["shortest_wildcard_wins"])
        versions = (self._state.apis.version, self._state.operations.version, service, shortest)
        if versions != self._versions:
            self._operations, self._versions = list(self._read(service)), versions
        return self._operations

    def _read(self, service: str) -> Iterator[_Operation]:
        apis = [row for row in self._state.apis.under(service) if "/operations/" not in row["id"]]
        for api in sorted(apis, key=lambda row: -len(row["properties"]["path"])):
            rows = self._state.operations.under(api["id"])
            for row in sorted(rows, key=self._order):
                template = row["properties"]["urlTemplate"]
                yield _Operation(
                    row["properties"]["method"].upper(), _pattern(api, template), _names(template), api, row
                )

    def _order(self, row: Json) -> tuple[bool, int]:
        """Of two wildcards the longer wins, or the shorter: that is not documented."""
        template = row["properties"]["urlTemplate"]
        has_wildcard = template.endswith("*")
        longest_first = -len(template) if not self._state.options["shortest_wildcard_wins"] else len(template)
        return has_wildcard, longest_first if has_wildcard else 0


def _names(template: str) -> tuple[str, ...]:
    return tuple(_PARAMETER.findall(template))


def _pattern(api: Json, template: str) -> re.Pattern[str]:
    parts = "([^/]+)".join(map(re.escape, _PARAMETER.split(template)[::2])).replace(r"\*", ".*")
    path = api["properties"]["path"]
    return re.compile(f"{re.escape(f'/{path}') if path else ''}({parts})/?", re.IGNORECASE)


@dataclass(frozen=True)
class Caller:
    """The subscription of a key, and the product that it is for; None for a key to an API or to all."""

    subscription: Json | None
    product: Json | None


class Keys:
    """The keys of a service, read again after a change."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._read = (-1, "")
        self._by_key: dict[str, Json] = {}

    def caller(self, service: str, api: Json, request: Request) -> Caller:
        """Raises Failure with 401 for a key that is missing or opens nothing here.

        Whether a product is published does not matter, whether it is linked to the API does. A call without a
        key is the open product's, if the API has one, even where the API itself requires a subscription; a
        key that opens nothing is refused all the same:
        https://learn.microsoft.com/azure/api-management/api-management-subscriptions
        """
        names = api["properties"]["subscriptionKeyParameterNames"]
        key = self._key(names, request)
        if key is None:
            product = open_product(self._state, api["id"])
            if product is None and api["properties"]["subscriptionRequired"]:
                raise _refused(api, 0)
            return Caller(None, product)
        subscription = self._current(service).get(key)
        if subscription is None or subscription["properties"]["state"] != "active":
            raise _refused(api, 1)
        return self._scoped(service, api, subscription)

    def _key(self, names: Json, request: Request) -> str | None:
        """The header is taken as it stands, `Bearer ` and all, unless the contract says that the API takes
        bearer tokens. Which of two keys counts there is not documented: the header of its own comes first.
        """
        key = request.headers.get(names["header"]) or request.query.get(names["query"])
        if key is None and names.get("bearer") == "enabled" and self._state.options["bearer_field_works"]:
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            key = token.strip() if scheme.lower() == "bearer" and token.strip() else None
        return key

    def _scoped(self, service: str, api: Json, subscription: Json) -> Caller:
        scope = subscription["properties"]["scope"].lower()
        if scope.rstrip("/") in (service.lower(), f"{service}/apis".lower(), api["id"].lower()):
            return Caller(subscription, None)
        product = self._state.products.get(scope)
        if product is None or f"{scope}/apis/{api['name']}".lower() not in self._state.links:
            raise _refused(api, 1)
        return Caller(subscription, product)

    def _current(self, service: str) -> dict[str, Json]:
        now = (self._state.subscriptions.version, service)
        if now != self._read:
            rows = self._state.subscriptions.under(service)
            self._by_key, self._read = {key: row for row in rows for key in row["hidden"].values()}, now
        return self._by_key


def _refused(api: Json, which: int) -> Failure:
    name = api["properties"]["subscriptionKeyParameterNames"]["header"]
    return Failure(
        401,
        _MISSING[which],
        {"WWW-Authenticate": f'AzureApiManagementKey realm="{api["name"]}",name="{name}",type="header"'},
    )
