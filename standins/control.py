"""The control interface of a set of stand-ins: what was called, faults, the clock. Loopback only.

| request | what it does |
|---|---|
| `GET /_standin/calls` | every call since the last reset, oldest first |
| `DELETE /_standin/calls` | forget the calls |
| `POST /_standin/faults` | add a fault: `{server, kind, when, status, count, retry_after}` |
| `DELETE /_standin/faults` | forget the faults |
| `GET /_standin/clock` | `{"now": seconds since 1970}` |
| `POST /_standin/clock` | `{"advance": seconds}` |
"""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from aiohttp import web

from standins.world import Call, Fault, World, as_json


def build(world: World) -> web.Application:
    """The server side."""
    app = web.Application()

    async def calls(_: web.Request) -> web.Response:
        return web.json_response([as_json(call) for call in world.calls])

    async def forget_calls(_: web.Request) -> web.Response:
        world.calls.clear()
        return web.Response(status=204)

    async def add_fault(request: web.Request) -> web.Response:
        world.faults.append(Fault(**await request.json()))
        return web.Response(status=204)

    async def forget_faults(_: web.Request) -> web.Response:
        world.faults.clear()
        return web.Response(status=204)

    async def clock(_: web.Request) -> web.Response:
        return web.json_response({"now": world.clock.now()})

    async def advance(request: web.Request) -> web.Response:
        world.advance((await request.json())["advance"])
        return web.json_response({"now": world.clock.now()})

    app.router.add_get("/_standin/calls", calls)
    app.router.add_delete("/_standin/calls", forget_calls)
    app.router.add_post("/_standin/faults", add_fault)
    app.router.add_delete("/_standin/faults", forget_faults)
    app.router.add_get("/_standin/clock", clock)
    app.router.add_post("/_standin/clock", advance)
    return app


class Control:
    """The client side, for tests, the demo and benchmarks. Blocking: one small request on loopback at a time."""

    def __init__(self, url: str) -> None:
        self.url = url

    def calls(self, server: str | None = None) -> list[Call]:
        return [call for call in (Call(**row) for row in self._ask("GET", "calls")) if server in (None, call.server)]

    def forget_calls(self) -> None:
        self._ask("DELETE", "calls")

    def fault(self, server: str, kind: str, **options: Any) -> None:
        """Make the next call whose kind matches the pattern fail; the options are those of `Fault`."""
        self._ask("POST", "faults", {"server": server, "kind": kind, **options})

    def forget_faults(self) -> None:
        self._ask("DELETE", "faults")

    def now(self) -> float:
        return float(self._ask("GET", "clock")["now"])

    def advance(self, seconds: float) -> None:
        self._ask("POST", "clock", {"advance": seconds})

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_standin/{path}", data=content, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            answer = response.read()
        return json.loads(answer) if answer else None
