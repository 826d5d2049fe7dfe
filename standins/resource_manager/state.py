"""What an API Management service holds: its resources by ARM id, links, options; every write is kept in the folder."""

from __future__ import annotations

import base64
import contextlib
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import web

from standins.resource_manager.arm import ArmError, Json, invalid, service_id
from standins.store import Table
from standins.world import World

#: Settings of this server, changed with `PUT /_standin/options`, and what they are at first.
OPTIONS: Json = {
    # The live service sends both keys in the answer of a subscription's PUT; the official examples show none.
    "keys_in_put_answers": True,
    # How long each write on an API locks it, in seconds of the clock: longer than 0 makes overlapping writes meet.
    "api_write_seconds": 0.0,
}


@dataclass(frozen=True)
class Naming:
    """How the resources of a kind are named: segment of the path, pattern and length of the name."""

    segment: str
    pattern: str = r"[^*#&+:<>?/]+"
    longest: int = 256


def resource_type(id_: str) -> str:
    """`Microsoft.ApiManagement/service/products` of an id like `/…/providers/Microsoft.ApiManagement/service/s/products/p`."""
    provider, *rest = id_.rpartition("/providers/")[2].split("/")
    return "/".join([provider, *rest[::2]])


class Resources:
    """The resources of one kind, by ARM id. Ids are compared without regard to case and shown as they were first written.

    A row is `{id, type, name, properties, etag, hidden}`; `hidden` is never shown (keys, groups).
    """

    def __init__(self, table: Table, naming: Naming) -> None:
        self._table = table
        self._naming = naming

    def id(self, request: web.Request) -> str:
        """The id of the resource that the path of the request names."""
        return f"{service_id(request)}/{self._naming.segment}/{request.match_info['name']}"

    def check_name(self, request: web.Request) -> None:
        """400 when a resource may not have this name."""
        name = request.match_info["name"]
        if not re.fullmatch(self._naming.pattern, name) or len(name) > self._naming.longest:
            raise invalid(("name", f"'{name}' must match {self._naming.pattern} and have at most {self._naming.longest} characters."))

    def get(self, id_: str) -> Json | None:
        return self._table.get(id_.lower())

    def require(self, id_: str) -> Json:
        """The row; 404 when there is none."""
        row = self.get(id_)
        if row is None:
            raise ArmError(404, "ResourceNotFound", f"{id_.rsplit('/', 1)[-1]} not found.")
        return row

    def write(self, id_: str, properties: Json, hidden: Json | None = None) -> Json:
        """Create or replace; the ETag changes each time. Without `hidden` the hidden part stays."""
        old = self.get(id_) or {"id": id_, "hidden": {}}
        row = {
            "id": old["id"],
            "type": resource_type(old["id"]),
            "name": old["id"].rsplit("/", 1)[-1],
            "properties": properties,
            "etag": f'"{base64.b64encode(secrets.token_bytes(8)).decode()}"',
            "hidden": old["hidden"] if hidden is None else hidden,
        }
        self._table[id_.lower()] = row
        return row

    def remove(self, id_: str) -> None:
        self._table.pop(id_.lower(), None)

    def under(self, parent: str) -> list[Json]:
        """The rows whose id begins with the parent's, in order of creation."""
        prefix = parent.lower() + "/"
        return [row for key, row in self._table.items() if key.startswith(prefix)]


class State:
    """Everything the API Management part of Resource Manager knows."""

    def __init__(self, world: World) -> None:
        store = world.store("resource-manager")
        self.world = world
        self.products = Resources(store.table("products"), Naming("products"))
        self.subscriptions = Resources(store.table("subscriptions"), Naming("subscriptions"))
        self.backends = Resources(store.table("backends"), Naming("backends", longest=80))
        self.apis = Resources(store.table("apis"), Naming("apis"))
        self.fragments = Resources(store.table("policy-fragments"), Naming("policyFragments", r"\w+|\w[\w-]+\w", 80))
        self.policies = Resources(store.table("policies"), Naming("policies"))
        self.operations = Resources(store.table("operations"), Naming("operations"))
        #: `<product id>/apis/<api name>` in lower case -> `{product, api}`, both ids in lower case.
        self.links = store.table("product-apis")
        self.options = store.table("options")
        self._written: set[str] = set()

    def option(self, name: str) -> bool | float:
        value: bool | float = self.options.get(name, OPTIONS[name])
        return value

    @contextlib.asynccontextmanager
    async def writing(self, api: str) -> AsyncIterator[None]:
        """Hold the API while it is written: a second write meanwhile is refused, as the real service does."""
        key = api.lower()
        if key in self._written:
            raise ArmError(409, "PessimisticConcurrencyConflict", "Operation on the API is in progress")
        self._written.add(key)
        try:
            if seconds := self.option("api_write_seconds"):
                await self.world.clock.sleep(seconds)
            yield
        finally:
            self._written.discard(key)
