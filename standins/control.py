"""The control interface of a set of stand-ins. Loopback only, and only where `standins.run` is told to have
one.

| request | what it does |
|---|---|
| `GET /_standin/calls` | every call since they were forgotten, oldest first (`world.Call`) |
| `DELETE /_standin/calls` | forget the calls |
| `GET /_standin/rights` | who needed which right for what it did, each once (`world.Right`) |
| `DELETE /_standin/rights` | forget the rights |
| `GET /_standin/exchanges?after=<number>` | whole requests and answers, where recorded (`world.Exchange`) |
| `POST /_standin/faults` | add a fault (`faults.Fault`) |
| `DELETE /_standin/faults` | forget the faults |
| `PUT /_standin/seed` | `{"seed": number}`: what happens by chance from now on is repeatable |
| `PUT /_standin/latency` | `{"profile": "azure" or "none"}` |
| `GET`, `PUT /_standin/options/<server>` | how a server behaves: all options, change some |
| `GET`, `DELETE /_standin/reports/<server>` | what a server noted (`world.Report`); forget it |
| `GET /_standin/clock` | `{"now": seconds since 1970, "run": another text after every start}` |
| `POST /_standin/clock` | move it: `{"advance": seconds}` |
| `PUT /_standin/snapshots/<name>` | put the state aside |
| `POST /_standin/restore` | `{"snapshot": name}`: bring a state back; servers start again on their ports |
| `POST /_standin/reset` | the same with an empty state |
"""

from __future__ import annotations

import contextlib
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from standins import snapshots
from standins.faults import Fault
from standins.world import Call, Exchange, Right, World, as_json

#: Called with a snapshot's name, or None for an empty state: brings it back and starts the servers again.
StartAgain = Callable[[str | None], None]
_Answer = Callable[[web.Request], Awaitable[Any]]


class _Server:
    """The requests of the table above. A wrong one is answered with 400 and the reason."""

    def __init__(self, world: World, start_again: StartAgain) -> None:
        self._world = world
        self._start_again = start_again

    async def calls(self, _: web.Request) -> Any:
        return [as_json(call) for call in self._world.calls]

    async def forget_calls(self, _: web.Request) -> Any:
        self._world.calls.clear()

    async def rights(self, _: web.Request) -> Any:
        return [as_json(right) for right in self._world.rights]

    async def forget_rights(self, _: web.Request) -> Any:
        self._world.rights.clear()

    async def exchanges(self, request: web.Request) -> Any:
        after = int(request.query.get("after", "0"))
        return [as_json(exchange) for exchange in self._world.exchanges or () if exchange.number > after]

    async def add_fault(self, request: web.Request) -> Any:
        self._world.trouble.faults.append(Fault(**await request.json()))

    async def forget_faults(self, _: web.Request) -> Any:
        self._world.trouble.faults.clear()

    async def seed(self, request: web.Request) -> Any:
        self._world.trouble.seed((await request.json())["seed"])

    async def latency(self, request: web.Request) -> Any:
        self._world.trouble.use_profile((await request.json())["profile"])

    async def options(self, request: web.Request) -> Any:
        return self._world.options[request.match_info["server"]].all()

    async def change_options(self, request: web.Request) -> Any:
        self._world.options[request.match_info["server"]].change(await request.json())
        return await self.options(request)

    async def report(self, request: web.Request) -> Any:
        return self._world.reports[request.match_info["server"]].read()

    async def forget_report(self, request: web.Request) -> Any:
        self._world.reports[request.match_info["server"]].forget()

    async def clock(self, _: web.Request) -> Any:
        return {"now": self._world.clock.now(), "run": self._world.run}

    async def advance(self, request: web.Request) -> Any:
        self._world.advance((await request.json())["advance"])
        return await self.clock(request)

    async def snapshot(self, request: web.Request) -> Any:
        snapshots.take(self._world.folder, request.match_info["name"])

    async def restore(self, request: web.Request) -> Any:
        name = (await request.json())["snapshot"]
        if not snapshots.exists(self._world.folder, name):
            raise ValueError(f"there is no snapshot {name}")
        self._start_again(name)

    async def reset(self, _: web.Request) -> Any:
        self._start_again(None)


def build(world: World, start_again: StartAgain) -> web.Application:
    """The server side."""
    app, server = web.Application(), _Server(world, start_again)
    routes: tuple[tuple[str, str, _Answer], ...] = (
        ("GET", "calls", server.calls),
        ("DELETE", "calls", server.forget_calls),
        ("GET", "rights", server.rights),
        ("DELETE", "rights", server.forget_rights),
        ("GET", "exchanges", server.exchanges),
        ("POST", "faults", server.add_fault),
        ("DELETE", "faults", server.forget_faults),
        ("PUT", "seed", server.seed),
        ("PUT", "latency", server.latency),
        ("GET", "options/{server}", server.options),
        ("PUT", "options/{server}", server.change_options),
        ("GET", "reports/{server}", server.report),
        ("DELETE", "reports/{server}", server.forget_report),
        ("GET", "clock", server.clock),
        ("POST", "clock", server.advance),
        ("PUT", "snapshots/{name}", server.snapshot),
        ("POST", "restore", server.restore),
        ("POST", "reset", server.reset),
    )
    for method, path, answer in routes:
        app.router.add_route(method, f"/_standin/{path}", _answering(answer))
    return app


def _answering(answer: _Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def respond(request: web.Request) -> web.Response:
        try:
            content = await answer(request)
        except (KeyError, TypeError, ValueError) as error:
            return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)
        return web.Response(status=204) if content is None else web.json_response(content)

    return respond


class Refused(Exception):
    """The control interface did not accept a request; the text says why."""


class Control:
    """The client side, for tests, the demo and benchmarks. Blocking: one small request on loopback at a
    time.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def calls(self, server: str | None = None) -> list[Call]:
        return [
            call
            for call in (Call(**row) for row in self._ask("GET", "calls"))
            if server in (None, call.server)
        ]

    def forget_calls(self) -> None:
        self._ask("DELETE", "calls")

    def rights(self) -> set[Right]:
        return {Right(**row) for row in self._ask("GET", "rights")}

    def forget_rights(self) -> None:
        self._ask("DELETE", "rights")

    def exchanges(self, after: int = 0) -> list[Exchange]:
        """Those with a higher number, oldest first."""
        return [Exchange(**row) for row in self._ask("GET", f"exchanges?after={after}")]

    def fault(self, server: str, kind: str, **options: Any) -> None:
        """Make the next call whose kind matches the pattern fail; the options are those of `Fault`."""
        self._ask("POST", "faults", {"server": server, "kind": kind, **options})

    def forget_faults(self) -> None:
        self._ask("DELETE", "faults")

    def seed(self, seed: int) -> None:
        self._ask("PUT", "seed", {"seed": seed})

    def use_latency(self, profile: str) -> None:
        self._ask("PUT", "latency", {"profile": profile})

    def options(self, server: str) -> dict[str, Any]:
        return dict(self._ask("GET", f"options/{server}"))

    def set_options(self, server: str, **options: Any) -> None:
        self._ask("PUT", f"options/{server}", options)

    def report(self, server: str) -> dict[str, Any]:
        """What the server noted; its documentation says what that is."""
        return dict(self._ask("GET", f"reports/{server}"))

    def forget_report(self, server: str) -> None:
        self._ask("DELETE", f"reports/{server}")

    def now(self) -> float:
        return float(self._ask("GET", "clock")["now"])

    def advance(self, seconds: float) -> None:
        self._ask("POST", "clock", {"advance": seconds})

    def snapshot(self, name: str) -> None:
        self._ask("PUT", f"snapshots/{name}")

    def restore(self, name: str) -> None:
        """Bring a snapshot back, and wait until the servers are there again. What they were doing breaks
        off.
        """
        self._start_again("restore", {"snapshot": name})

    def reset(self) -> None:
        """An empty state, and wait until the servers are there again."""
        self._start_again("reset", {})

    def _start_again(self, path: str, body: Mapping[str, Any], seconds: float = 90.0) -> None:
        run = self._ask("GET", "clock")["run"]
        self._ask("POST", path, body)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self._ask("GET", "clock")["run"] != run:
                    return
            time.sleep(0.05)
        raise TimeoutError(f"the stand-ins did not start again in {seconds:.0f} s")

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_standin/{path}", data=content, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                answer = response.read()
        except urllib.error.HTTPError as error:
            raise Refused(error.read().decode()) from error
        return json.loads(answer) if answer else None
