"""Operations that outlast their first answer, and the resources that they create, change and delete.

The first answer names two places to poll (`Azure-AsyncOperation`, `Location`); the resource shows its state
meanwhile: https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations and
https://github.com/cloud-and-ai-microsoft/resource-provider-contract/blob/master/v1.0/async-api-reference.md.
There is no Retry-After, which is optional: a client would wait that long in real time, while tests move the
clock. How long they take is the option `operation_seconds`.
"""

from __future__ import annotations

import secrets
import uuid

from aiohttp import web

from standins.http import route
from standins.resource_manager.arm import ArmError, Json, insensitive
from standins.roles import options
from standins.store import Table
from standins.world import SUBSCRIPTION, World

_PLACE = f"/subscriptions/{SUBSCRIPTION}/providers/{{provider}}/locations/{{location}}"


class Operations:
    """The operations of one resource provider."""

    def __init__(self, world: World, provider: str) -> None:
        self.world = world
        self._provider = provider
        self._table = world.store(provider.lower()).table("operations")

    def routes(self, app: web.Application) -> None:
        place = f"/subscriptions/{{subscription}}/providers/{self._provider}/locations/{{location}}"
        for what, handler in (("operationStatuses", self._status), ("operationResults", self._result)):
            route(
                app,
                "GET",
                insensitive(f"{place}/{what}/{{operation}}"),
                f"GET {self._provider} {what}",
                handler,
            )

    def ends(self) -> float:
        """When an operation that begins now will have ended."""
        return self.world.clock.now() + float(options(self.world)["operation_seconds"])

    def begin(self, request: web.Request, answer: web.Response, location: str, ends: float) -> web.Response:
        """The answer that begins an operation."""
        name = str(uuid.uuid4())
        self._table[name] = {"begun": self.world.clock.utcnow().isoformat(), "ends": ends}
        place = _PLACE.format(provider=self._provider, location=location)
        for header, what in (("Azure-AsyncOperation", "operationStatuses"), ("Location", "operationResults")):
            url = request.url.with_path(f"{place}/{what}/{name}").with_query(
                {"api-version": request.query["api-version"]}
            )
            answer.headers[header] = str(url)
        return answer

    async def _status(self, request: web.Request) -> web.Response:
        row = self._row(request)
        status = "InProgress" if self.world.clock.now() < row["ends"] else "Succeeded"
        return web.json_response(
            {
                "id": request.path,
                "name": request.match_info["operation"],
                "status": status,
                "startTime": row["begun"],
            }
        )

    async def _result(self, request: web.Request) -> web.Response:
        return web.Response(status=202 if self.world.clock.now() < self._row(request)["ends"] else 204)

    def _row(self, request: web.Request) -> Json:
        name = request.match_info["operation"]
        if name not in self._table:
            raise ArmError(404, "NotFound", f"The operation '{name}' was not found.")
        row: Json = self._table[name]
        return row


class Tracked:
    """Resources of one type, by id in lower case, with the state that the clock gives them.

    A row is the resource as it is shown, and `ends`: until then its state is `passing`. What was being
    deleted is gone afterwards.
    """

    def __init__(self, world: World, table: Table) -> None:
        self._world = world
        self._table = table

    def get(self, id_: str) -> Json | None:
        row: Json | None = self._table.get(id_.lower())
        if row is not None and row["passing"] == "Deleting" and self._world.clock.now() >= row["ends"]:
            del self._table[id_.lower()]
            return None
        return row

    def require(self, id_: str) -> Json:
        """The row; 404 when there is none."""
        row = self.get(id_)
        if row is None:
            kind, group = type_of(id_), id_.split("/")[4]
            what = (
                "/".join([kind, *id_.rpartition("/providers/")[2].split("/")[2::2]])
                if kind.count("/") == 1
                else id_
            )
            message = (
                f"The Resource '{what}' under resource group '{group}' was not found. "
                "For more details please go to https://aka.ms/ARMResourceNotFoundFix"
            )
            raise ArmError(404, "ResourceNotFound", message)
        return row

    def under(self, parent: str) -> list[Json]:
        """Those whose id begins with the parent's, in order of creation."""
        rows = [self.get(key) for key in list(self._table) if key.startswith(f"{parent.lower()}/")]
        return [row for row in rows if row is not None]

    def write(self, id_: str, shown: Json, passing: str, ends: float) -> Json:
        """Create or replace; the ETag changes each time."""
        row = {
            "id": id_,
            "type": type_of(id_),
            "etag": f'"{secrets.token_hex(18)}"',
            **shown,
            "passing": passing,
            "ends": ends,
        }
        self._table[id_.lower()] = row
        return row

    def mark(self, row: Json, passing: str, ends: float) -> None:
        """Begin an operation on a resource that stays as it is, or goes."""
        self._table[row["id"].lower()] = row | {"passing": passing, "ends": ends}

    def shown(self, row: Json) -> Json:
        """As it is answered."""
        state = row["passing"] if self._world.clock.now() < row["ends"] else "Succeeded"
        public = {
            name: value
            for name, value in row.items()
            if name not in ("passing", "ends") and value is not None
        }
        return public | {"properties": {**row["properties"], "provisioningState": state}}


def type_of(id_: str) -> str:
    """`Microsoft.CognitiveServices/accounts/projects` of an id."""
    provider, *rest = id_.rpartition("/providers/")[2].split("/")
    return "/".join([provider, *rest[::2]])
