"""From HTTP to the policies and back."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from aiohttp import web
from multidict import CIMultiDict, MultiDict

from standins.gateway import pipeline
from standins.gateway.context import Context
from standins.gateway.exchange import Failure, NotKnown, Request, Response
from standins.gateway.facilities import SERVER, Facilities
from standins.gateway.routing import Keys, Match, Routing


class Server:
    """Answers every request."""

    def __init__(self, gateway: Facilities) -> None:
        self._gateway = gateway
        self._routing = Routing(gateway.state)
        self._keys = Keys(gateway.state)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        called = await _read(request)
        try:
            match = self._routing.find(self._gateway.service, _method(called), called.path)
            answer, context = await self._answer(called, match)
        except NotKnown as error:
            self._gateway.world.loud(SERVER, f"500 this stand-in does not know {error}")
            answer, context = Failure(500, f"This stand-in does not know {error}").answer(), None
        try:
            return await _send(request, answer)
        finally:
            if context is not None:
                self._gateway.log.append(self._line(context, answer))

    async def _answer(self, request: Request, match: Match | None) -> tuple[Response, Context | None]:
        if match is None:
            return await self._not_found(request)
        request.parameters = match.parameters
        context = Context(self._gateway, request, match.api, match.operation, route=match.route)
        if request.method == "OPTIONS":
            return await pipeline.preflight(context) or Failure(404, "Resource not found").answer(), context
        try:
            caller = self._keys.caller(self._gateway.service, match.api, request)
        except Failure as failure:
            return await pipeline.refuse(context, failure), context
        context.subscription, context.product = caller.subscription, caller.product
        return await pipeline.answer(context), context

    async def _not_found(self, request: Request) -> tuple[Response, Context | None]:
        """An operation that an API does not have reaches the API's policy for errors; a path of no API does
        not.
        """
        failure = Failure(404, "Unable to match incoming request to an operation.")
        api = self._routing.api(self._gateway.service, request.path)
        if api is None or request.method == "OPTIONS":
            return Failure(404, "Resource not found").answer(), None
        context = Context(self._gateway, request, api, None)
        return await pipeline.refuse(context, failure), context

    def _line(self, context: Context, answer: Response) -> dict[str, Any]:
        """Of the diagnostic log: no header and no body, so no key."""
        line: dict[str, Any] = {
            "at": self._gateway.world.clock.now(),
            "method": context.request.method,
            "path": context.request.path,
        }
        for name, row in (
            ("operation", context.operation),
            ("product", context.product),
            ("subscription", context.subscription),
        ):
            line[name] = row and row["name"]
        line |= {"status": answer.status, "backends": context.asked, "cached": context.cached}
        if context.traces:
            line["traces"] = context.traces
        if context.usage is not None:
            line |= {"prompt": context.usage.prompt, "completion": context.usage.completion}
        return line


async def _read(request: web.Request) -> Request:
    path = request.raw_path.partition("?")[0]
    return Request(
        request.method, path, CIMultiDict(request.headers), MultiDict(request.query), await request.read()
    )


def _method(request: Request) -> str:
    """A browser asks beforehand about the method that it wants to use."""
    return (
        request.headers.get("Access-Control-Request-Method", "")
        if request.method == "OPTIONS"
        else request.method
    )


async def _send(request: web.Request, answer: Response) -> web.StreamResponse:
    if answer.chunks is None:
        return web.Response(
            status=answer.status, reason=answer.phrase, headers=answer.headers, body=answer.body
        )
    stream = web.StreamResponse(status=answer.status, reason=answer.phrase, headers=answer.headers)
    await stream.prepare(request)
    async with aclosing(answer.chunks) as chunks:  # the tokens are counted though nobody listens any more
        async for chunk in chunks:
            await stream.write(chunk)
    await stream.write_eof()
    return stream
