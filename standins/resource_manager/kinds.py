"""The operations that most kinds of resources have alike: LIST, GET, HEAD, PUT, PATCH, DELETE, with ETags."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from standins.http import route
from standins.resource_manager.arm import (
    SERVICE,
    Json,
    check_if_match,
    contract,
    insensitive,
    properties_of,
    require_if_match,
    service_id,
    to_delete,
)
from standins.resource_manager.lists import Filterable, page
from standins.resource_manager.long_running import under_way
from standins.resource_manager.state import Resources, State

#: The properties to keep of those that were sent (a PATCH: merged into the old ones). Raises 400
#: ValidationError.
Checked = Callable[[web.Request, Json], Json]
#: Raises what forbids the deletion of the row.
Deletable = Callable[[web.Request, Json], None]


@dataclass(frozen=True)
class Kind:
    """A kind of resource: its name in calls, its path after the service's, where it is kept, what a filter
    may ask of its list.

    `parent` is the id under which a list looks; it raises 404 when there is no such parent.
    """

    state: State
    name: str
    path: str
    resources: Resources
    fields: Filterable
    parent: Callable[[web.Request], str] = service_id

    def reading(self, app: web.Application) -> None:
        """LIST, GET and HEAD."""
        one = insensitive(f"{SERVICE}/{self.path}/{{name}}")
        route(app, "GET", insensitive(f"{SERVICE}/{self.path}"), f"LIST {self.name}s", self._list)
        route(app, "GET", one, f"GET {self.name}", self._get)
        route(app, "HEAD", one, f"HEAD {self.name}", self._head)

    def writing(self, app: web.Application, checked: Checked, deletable: Deletable) -> None:
        """PUT, PATCH and DELETE."""
        one = insensitive(f"{SERVICE}/{self.path}/{{name}}")
        route(app, "PUT", one, f"PUT {self.name}", partial(self._put, checked))
        route(app, "PATCH", one, f"PATCH {self.name}", partial(self._patch, checked))
        route(app, "DELETE", one, f"DELETE {self.name}", partial(self._delete, deletable))

    async def _list(self, request: web.Request) -> web.Response:
        return page(self.state, request, self.resources.under(self.parent(request)), self.fields)

    async def _get(self, request: web.Request) -> web.Response:
        return under_way(self.state, request) or contract(self.resources.require(self.resources.id(request)))

    async def _head(self, request: web.Request) -> web.Response:
        return entity_tag(self.resources.get(self.resources.id(request)))

    async def _put(self, checked: Checked, request: web.Request) -> web.Response:
        properties = await properties_of(request)
        self.resources.check_name(request)
        self.parent(request)
        old = self.resources.get(self.resources.id(request))
        check_if_match(request, old)
        kept = checked(request, properties)
        return contract(self.resources.write(self.resources.id(request), kept), 201 if old is None else 200)

    async def _patch(self, checked: Checked, request: web.Request) -> web.Response:
        properties = await properties_of(request)
        old = self.resources.require(self.resources.id(request))
        require_if_match(request, old)
        return contract(self.resources.write(old["id"], checked(request, old["properties"] | properties)))

    async def _delete(self, deletable: Deletable, request: web.Request) -> web.Response:
        row = to_delete(request, self.resources.get(self.resources.id(request)))
        deletable(request, row)
        self.resources.remove(row["id"])
        return web.Response(status=200)


def entity_tag(row: Json | None) -> web.Response:
    """The answer to HEAD: the ETag and nothing else."""
    return web.Response(status=404) if row is None else web.Response(headers={"ETag": row["etag"]})
