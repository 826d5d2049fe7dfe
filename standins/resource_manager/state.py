"""What the API Management services hold: their resources by ARM id, links, options; every write is kept in
the folder.
"""

from __future__ import annotations

import base64
import contextlib
import re
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from aiohttp import web

from standins.clock import Clock
from standins.resource_manager.arm import SERVER, ArmError, Json, invalid, service_id
from standins.store import Table
from standins.world import World

#: How this server behaves; `Control.set_options("resource-manager", name=value)` changes it.
OPTIONS: Json = {
    # The live service sends both keys in the answers of a subscription's PUT and PATCH; the official examples
    # show none.
    "keys_in_put_answers": True,
    # How long each write on an API locks it, in seconds of the clock: longer than 0 makes overlapping writes
    # meet.
    "api_write_seconds": 0.0,
    # How long an API's import or deletion, a named value or a fragment takes, in seconds of the clock; 0: it
    # has ended when it is answered.
    "long_running_seconds": 0.0,
    # Where the outcome of a long-running operation is asked for (`long_running.PLACES`): the examples of the
    # service name the tenant; the other two are where its description and older answers have it.
    "operations_at": "tenant",
    # What becomes of a named value whose secret cannot be read: it is written and its `lastStatus` says so
    # ("told"), or the operation fails ("refused"). Both are reported of the live service.
    "unreadable_secrets": "told",
    # Whose ceilings hold (`tiers.CEILINGS`): the highest, so that a shared set of stand-ins has room for
    # every test.
    "tier": "Premium",
    # AKS clusters whose API server is not this set's: the cluster's name -> {"server": its https address,
    # "authority": the certificate authority of that address, PEM}. By every other name there is this set's
    # own.
    "clusters": {},
    # What enforces network policies in the clusters: "cilium", "azure", "calico", or "none", as AKS makes
    # a cluster unless it is told otherwise.
    "network_policy": "cilium",
    # Recordings of the live service keep the comments of a policy; users report policies that came back
    # without.
    "policy_comments_kept": True,
    # Which of two operations wins that end with a wildcard is not documented.
    "shortest_wildcard_wins": False,
    # Samples of the service let an API take keys as bearer tokens by a field that no published description
    # has (`apis.BEARER_VERSION`). Resource Manager may as well ignore what it does not know.
    "bearer_field": "kept",
    # Whether the gateway acts on the field, which it has kept.
    "bearer_field_works": True,
}


@dataclass(frozen=True)
class Operation:
    """How a write goes on after its answer: for how many seconds of the clock, and the error with which it
    ends, if it fails.
    """

    seconds: float = 0.0
    failure: Json | None = None


AT_ONCE = Operation()


@dataclass(frozen=True)
class Naming:
    """How the resources of a kind are named: segments of the path, what a missing one is called, pattern and
    length of the name.

    https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftapimanagement
    """

    segment: str
    title: str
    pattern: str = r"[^*#&+:<>?/]+"
    longest: int = 256


def resource_type(id_: str) -> str:
    """`Microsoft.ApiManagement/service/products` of an id like
    `/…/providers/Microsoft.ApiManagement/service/s/products/p`.
    """
    provider, *rest = id_.rpartition("/providers/")[2].split("/")
    return "/".join([provider, *rest[::2]])


def seen_under(row: Json, parent: str) -> Json:
    """A row as lists of what is linked show it: `/…/apis/a` is `/…/products/p/apis/a` under the product."""
    id_ = "/".join([parent, *row["id"].split("/")[-2:]])
    return row | {"id": id_, "type": resource_type(id_)}


class Resources:
    """The resources of one kind, by ARM id. Ids are compared without regard to case and shown as they were
    first written.

    A row is `{id, type, name, properties, etag, hidden, until}`; `hidden` is never shown (keys, values of
    named values, groups), `until` is when a resource that is not provisioned yet will be. A row of a write
    that fails has `before`, too: the row, or None, that is there again afterwards.
    """

    def __init__(self, table: Table, naming: Naming, clock: Clock) -> None:
        self._table = table
        self._naming = naming
        self._clock = clock
        #: Another one after every change, for those who keep what they made of the rows.
        self.version = 0
        #: What the clock changes in a row, besides its operation.
        self.aged: Callable[[Json], Json] = lambda row: row

    def id(self, request: web.Request) -> str:
        """The id of the resource that the path of the request names."""
        kind = self._naming.segment.format(**request.match_info)
        return f"{service_id(request)}/{kind}/{request.match_info['name']}"

    def check_name(self, request: web.Request) -> None:
        """400 when a resource may not have this name."""
        name = request.match_info["name"]
        if not re.fullmatch(self._naming.pattern, name) or len(name) > self._naming.longest:
            raise invalid(
                (
                    "name",
                    (
                        f"'{name}' must match {self._naming.pattern} and have at most {self._naming.longest} "
                        "characters."
                    ),
                )
            )

    def get(self, id_: str) -> Json | None:
        row = self._table.get(id_.lower())
        return None if row is None else self._as_of_now(row)

    def require(self, id_: str) -> Json:
        """The row; 404 when there is none."""
        row = self.get(id_)
        if row is None:
            raise ArmError(404, "ResourceNotFound", f"{self._naming.title} not found.")
        return row

    def write(
        self, id_: str, properties: Json, hidden: Json | None = None, operation: Operation = AT_ONCE
    ) -> Json:
        """Create or replace; the ETag changes each time. Without `hidden` the hidden part stays."""
        before = self.get(id_)
        old = before or {"id": id_, "hidden": {}}
        goes_on = operation != AT_ONCE
        row = {
            "id": old["id"],
            "type": resource_type(old["id"]),
            "name": old["id"].rsplit("/", 1)[-1],
            "properties": properties | {"provisioningState": "InProgress"} if goes_on else properties,
            "etag": f'"{base64.b64encode(secrets.token_bytes(8)).decode()}"',
            "hidden": old["hidden"] if hidden is None else hidden,
            "until": self._clock.now() + operation.seconds if goes_on else None,
        }
        if operation.failure is not None:
            row["before"] = before
        self.keep(row)
        return row

    def keep(self, row: Json) -> None:
        """Keep a changed row under its old ETag: what changed is no part of the resource."""
        self._table[row["id"].lower()] = row
        self.version += 1

    def remove(self, id_: str) -> None:
        self.version += 1
        self._table.pop(id_.lower(), None)

    def under(self, parent: str) -> list[Json]:
        """The rows whose id begins with the parent's, in order of creation."""
        prefix = parent.lower() + "/"
        rows = [self._as_of_now(row) for key, row in self._table.items() if key.startswith(prefix)]
        return [row for row in rows if row is not None]

    def _as_of_now(self, row: Json) -> Json | None:
        if row["until"] is None:
            return self.aged(row)
        if row["until"] > self._clock.now():
            return row
        if "before" in row:
            before: Json | None = row["before"]
            return before
        row = self.aged(row)
        return row | {"properties": row["properties"] | {"provisioningState": "Succeeded"}}


class State:
    """Everything the API Management part of Resource Manager knows."""

    def __init__(self, world: World) -> None:
        store = world.store("resource-manager")

        def kept(naming: Naming) -> Resources:
            return Resources(store.table(naming.segment), naming, world.clock)

        self.world = world
        self.products = kept(Naming("products", "Product"))
        self.subscriptions = kept(Naming("subscriptions", "Subscription"))
        self.backends = kept(Naming("backends", "Backend", longest=80))
        self.apis = kept(Naming("apis", "API"))
        self.operations = kept(Naming("apis/{api}/operations", "Operation", longest=80))
        self.fragments = kept(Naming("policyFragments", "PolicyFragment", r"\w+|\w[\w-]+\w", 80))
        self.policies = kept(Naming("policies", "PoliciesConfiguration"))
        self.named_values = kept(Naming("namedValues", "Property"))
        self.certificates = kept(Naming("certificates", "Certificate", r"[A-Za-z0-9-]+", 80))
        self.groups = kept(Naming("groups", "Group"))
        self.loggers = kept(Naming("loggers", "Logger"))
        self.diagnostics = kept(Naming("diagnostics", "Diagnostic", longest=80))
        self.api_diagnostics = kept(Naming("apis/{api}/diagnostics", "Diagnostic", longest=80))
        #: `<product id>/apis/<api name>` in lower case -> `{product, api}`, both ids in lower case.
        self.links = store.table("product-apis")
        #: Id of a service in lower case -> `{id, createdAt}`: those that a request has named.
        self.services = store.table("services")
        #: Long-running operations by name: `long_running`.
        self.begun = store.table("operations that were begun")
        self.options = world.options_of(SERVER, OPTIONS)
        self._written: set[str] = set()

    @contextlib.asynccontextmanager
    async def writing(self, api: str) -> AsyncIterator[None]:
        """Hold the API while it is written: a second write meanwhile is refused, as the real service does."""
        key, row = api.lower(), self.apis.get(api)
        if key in self._written or (
            row is not None and row["properties"]["provisioningState"] == "InProgress"
        ):
            raise ArmError(409, "PessimisticConcurrencyConflict", "Operation on the API is in progress")
        self._written.add(key)
        try:
            if seconds := self.options["api_write_seconds"]:
                await self.world.clock.sleep(seconds)
            yield
        finally:
            self._written.discard(key)
