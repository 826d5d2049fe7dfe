"""HTTP functions, and the administration call that runs any other function at once."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from standins.functions_host import conversion
from standins.functions_host.index import HTTP, SERVICE_BUS, Function, triggered
from standins.functions_host.invocation import Invoker
from standins.functions_host.options import HostError, Keys

log = logging.getLogger(__name__)

#: Request bodies up to 100 MB, as the real host allows.
_MAX_BODY = 104_857_600


class HttpTriggers:
    """The web application of the host: `/<prefix>/<route>` per HTTP function, `POST /admin/functions/<name>`
    for the others.
    """

    def __init__(self, functions: Iterable[Function], invoker: Invoker, keys: Keys, prefix: str) -> None:
        self._functions = {function.name: function for function in functions}
        self._invoker = invoker
        self._keys = keys
        self._prefix = prefix
        self._by_hand: set[asyncio.Task[None]] = set()

    def build(self) -> web.Application:
        """The aiohttp application. When it shuts down it waits for the functions that were run by hand."""
        app = web.Application(client_max_size=_MAX_BODY)
        for function in triggered(self._functions.values(), HTTP):
            self._add(app, function)
        app.router.add_post("/admin/functions/{name}", self._run_by_hand)
        app.on_shutdown.append(self._finish)
        return app

    def _add(self, app: web.Application, function: Function) -> None:
        route = function.trigger.get("route") or function.name
        path = "/".join(("", *filter(None, (self._prefix, aiohttp_route(route)))))
        for method in function.trigger.get("methods") or ["*"]:
            app.router.add_route(method, path, self._handler(function))

    def _handler(self, function: Function) -> Callable[[web.Request], Awaitable[web.Response]]:
        level = str(function.trigger.get("authLevel", "FUNCTION")).upper()

        async def handle(request: web.Request) -> web.Response:
            if not self._allowed(request, level):
                return web.Response(status=401)
            asked = conversion.http_request(request, await request.read())
            try:
                returned = await self._invoker.run(function, asked)
            # the function's own error, whose stack trace is in the log; callers see none of it
            except Exception:
                return web.Response(status=500)
            try:
                return conversion.http_response(returned)
            except TypeError as error:
                log.error("%s: %s", function.name, error)
                return web.Response(status=500)

        return handle

    async def _run_by_hand(self, request: web.Request) -> web.Response:
        if not self._allowed(request, "ADMIN"):
            return web.Response(status=401)
        function = self._functions.get(request.match_info["name"])
        if function is None or function.kind == HTTP:
            return web.Response(status=404)
        body = await request.json() if request.can_read_body else {}
        argument = (
            conversion.message_of_text(body.get("input", ""))
            if function.kind == SERVICE_BUS
            else conversion.timer_request()
        )
        task = asyncio.create_task(self._run(function, argument))
        self._by_hand.add(task)
        task.add_done_callback(self._by_hand.discard)
        return web.Response(status=202)

    async def _run(self, function: Function, argument: object) -> None:
        try:
            await self._invoker.run(function, argument)
        # the function's own error: the invoker has logged it, and nobody waits for an answer
        except Exception:
            log.debug("%s was run by hand and failed", function.name)

    async def _finish(self, _: web.Application) -> None:
        if self._by_hand:
            await asyncio.wait(self._by_hand, timeout=10)

    def _allowed(self, request: web.Request, level: str) -> bool:
        """Whether the caller shows a key that is good enough:
        https://learn.microsoft.com/azure/azure-functions/function-keys-how-to.
        """
        if level == "ANONYMOUS":
            return True
        shown = request.headers.get("x-functions-key") or request.query.get("code") or ""
        accepted = [self._keys.master] if level == "ADMIN" else [self._keys.master, self._keys.default]
        return any(hmac.compare_digest(shown.encode(), key.encode()) for key in accepted)


def aiohttp_route(route: str) -> str:
    """A route of a function in the spelling of aiohttp: `{name}` stays, `{*rest}` takes what is left of the
    path.

    Raises HostError for a constraint (`{id:int}`) or an optional part (`{id?}`), which this host does not
    know.
    """
    if re.search(r"{[^}]*[:?][^}]*}", route):
        raise HostError(f"the route {route} has a part that this host does not know")
    return re.sub(r"{\*(\w+)}", r"{\1:.*}", route)
