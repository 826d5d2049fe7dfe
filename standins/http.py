"""What the HTTP stand-ins have in common: every call recorded, trouble injected, unknown routes refused
with 501.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Middleware

from standins.faults import Fault, When
from standins.world import World

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Headers that carry credentials: never part of a recorded exchange.
_CREDENTIALS = {
    "authorization",
    "x-identity-header",
    "api-key",
    "ocp-apim-subscription-key",
    "x-api-key",
    "cookie",
    "set-cookie",
}
_CREDENTIALS_IN_QUERY = ("api-key", "subscription-key")


#: How a server words a fault; None: as all do.
Wording = Callable[[Fault, web.Request], web.Response | None]


def application(world: World, server: str, wording: Wording = lambda *_: None) -> web.Application:
    """An aiohttp application for one stand-in; add routes with `route`."""
    return web.Application(middlewares=[_recorder(world, server, wording)], client_max_size=64 * 1024 * 1024)


def route(
    app: web.Application,
    method: str,
    path: str,
    kind: str,
    handler: Handler,
    about: Callable[[web.Request], str] | None = None,
) -> None:
    """Register an operation. `kind` is its name in the list of calls and in faults, for instance
    `PUT product`.

    `about` says what else the name of a single call has, for instance which of many hosts it was for.
    """

    async def named(request: web.Request) -> web.StreamResponse:
        return await handler(request)

    named.kind = kind  # type: ignore[attr-defined]  # read by the recorder
    named.about = about  # type: ignore[attr-defined]
    app.router.add_route(method, path, named)


@dataclass(frozen=True)
class _Call:
    """One request on its way through a server."""

    world: World
    server: str
    kind: str
    request: web.Request
    started: float
    wording: Wording

    async def fault(self, when: When) -> web.StreamResponse | None:
        """The answer of the fault that this call shall meet, if there is one that answers."""
        fault = self.world.take_fault(self.server, self.kind, when)
        if fault is None:
            return None
        # Who hangs has heard all: the client may be gone by then. An answer before the end of a request looks
        # like a broken connection.
        await self.request.read()
        await asyncio.sleep(fault.seconds)
        return None if fault.status is None else await self._fail(fault)

    async def _fail(self, fault: Fault) -> web.StreamResponse:
        if not fault.status:
            self.world.record(self.server, self.kind, _target(self.request), 0, self.started)
            if self.request.transport is not None:
                self.request.transport.close()
            raise ConnectionResetError("closed on purpose by an injected fault")
        if (answer := self.wording(fault, self.request)) is not None:
            await self.done(answer, injected=True)
            return answer
        headers = (
            dict(fault.headers)
            if fault.retry_after is None
            else {"Retry-After": str(fault.retry_after), **fault.headers}
        )
        body = (
            json.dumps({"error": {"code": fault.code, "message": "an injected fault"}})
            if fault.body is None
            else fault.body
        )
        answer = web.json_response(text=body, status=fault.status, headers=headers)
        await self.done(answer, injected=True)
        return answer

    async def done(self, answer: web.StreamResponse, injected: bool = False) -> None:
        await asyncio.sleep(self.world.trouble.latency(self.server, self.kind))
        self.world.record(self.server, self.kind, _target(self.request), answer.status, self.started)
        if self.world.exchanges is not None:
            await self._record_exchange(answer, injected)

    async def _record_exchange(self, answer: web.StreamResponse, injected: bool) -> None:
        self.world.record_exchange(
            server=self.server,
            kind=self.kind,
            method=self.request.method,
            path=_target(self.request),
            request_headers=_shown(self.request.headers),
            request_body=_text(await self.request.read()),
            status=answer.status,
            answer_headers=_shown(answer.headers),
            answer_body=_text(answer.body)
            if isinstance(answer, web.Response) and isinstance(answer.body, bytes)
            else None,
            injected=injected,
        )


def _recorder(world: World, server: str, wording: Wording) -> Middleware:
    @web.middleware
    async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        kind = getattr(request.match_info.handler, "kind", None)
        if request.match_info.http_exception is not None or kind is None:
            world.loud(
                server, f"501 {request.method} {request.path_qs}: this stand-in does not know the operation"
            )
            world.record(server, "unknown", request.path_qs, 501, started)
            return web.json_response(
                {"error": {"code": "NotImplemented", "message": f"{request.method} {request.path}"}},
                status=501,
            )
        # set beside the kind, unknown to mypy
        about = getattr(request.match_info.handler, "about")  # noqa: B009
        call = _Call(world, server, f"{kind} {about(request)}" if about else kind, request, started, wording)
        if (failed := await call.fault("before")) is not None:
            return failed
        try:
            response = await handler(request)
        except web.HTTPException as error:
            response = error
        if (failed := await call.fault("after")) is not None:
            return failed
        await call.done(response)
        if isinstance(response, web.HTTPException):
            raise response
        return response

    return record


def _target(request: web.Request) -> str:
    """Path and query, without the keys that some servers take in the query."""
    found = request.path_qs
    return str(request.rel_url.without_query_params(*_CREDENTIALS_IN_QUERY)) if "-key=" in found else found


def _shown(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items() if name.lower() not in _CREDENTIALS}


def _text(body: bytes | None) -> str | None:
    try:
        return body.decode() if body else None
    except UnicodeDecodeError:
        return None
