"""A model server that goes by the body, and keeps the bytes of what it was sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True)
class Sent:
    """One call: bytes of the body and headers as they arrived."""

    body: bytes
    headers: dict[str, str]
    path: str = ""


@dataclass
class Recorder:
    """`statuses` are the answers of the next calls; 200 when none is left. One that is `silent` answers only
    when it ends.
    """

    url: str = ""
    calls: list[Sent] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    silent: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        self.calls.append(Sent(await request.read(), dict(request.headers), request.path))
        if self.silent:
            await self.ended.wait()
        if self.statuses:
            return web.json_response({"error": {}}, status=self.statuses.pop(0))
        asked = await request.json()
        usage = {"prompt_tokens": 4, "completion_tokens": 6, "total_tokens": 10}
        return web.json_response({"model": asked["model"], "choices": [], "usage": usage})


@asynccontextmanager
async def recorder() -> AsyncIterator[Recorder]:
    """It listens on a port of its own as long as the block runs."""
    server, app = Recorder(), web.Application(client_max_size=2**26)
    app.router.add_post("/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        server.url = f"http://{host}:{port}"
        yield server
    finally:
        server.ended.set()
        await runner.cleanup()
