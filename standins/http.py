"""What the HTTP stand-ins have in common: every call recorded, faults injected, unknown routes refused with 501."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from standins.world import Fault, World

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Set on the request by a handler (`request[KIND] = "PUT product"`) or on the route's name; names the operation in the list of calls.
KIND = "kind"


def application(world: World, server: str) -> web.Application:
    """An aiohttp application for one stand-in; add routes with `route`."""
    return web.Application(middlewares=[_recorder(world, server)], client_max_size=64 * 1024 * 1024)


def route(app: web.Application, method: str, path: str, kind: str, handler: Handler) -> None:
    """Register an operation. `kind` is its name in the list of calls and in faults, for instance `PUT product`."""

    async def named(request: web.Request) -> web.StreamResponse:
        return await handler(request)

    named.kind = kind  # type: ignore[attr-defined]  # read by the recorder
    app.router.add_route(method, path, named)


def _recorder(world: World, server: str) -> Middleware:
    @web.middleware
    async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        kind = getattr(request.match_info.handler, "kind", None)
        if request.match_info.http_exception is not None or kind is None:
            world.loud(server, f"501 {request.method} {request.path_qs}: this stand-in does not know the operation")
            world.record(server, "unknown", request.path_qs, 501, started)
            return web.json_response({"error": {"code": "NotImplemented", "message": f"{request.method} {request.path}"}}, status=501)
        if fault := world.take_fault(server, kind, "before"):
            return _fail(world, server, kind, request, fault, started)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            response = error
        if fault := world.take_fault(server, kind, "after"):
            return _fail(world, server, kind, request, fault, started)
        world.record(server, kind, request.path_qs, response.status, started)
        if isinstance(response, web.HTTPException):
            raise response
        return response

    return record


def _fail(world: World, server: str, kind: str, request: web.Request, fault: Fault, started: float) -> web.StreamResponse:
    world.record(server, kind, request.path_qs, fault.status, started)
    if fault.status == 0:
        if request.transport is not None:
            request.transport.close()
        raise ConnectionResetError("closed on purpose by an injected fault")
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    return web.json_response({"error": {"code": "Injected", "message": "an injected fault"}}, status=fault.status, headers=headers)
