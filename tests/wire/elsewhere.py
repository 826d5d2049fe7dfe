"""A host that nobody named in the settings: what came to it, and whether it brought a token."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from standins.tests.plugin import StandIns


@dataclass
class Elsewhere:
    """Its address; of each request the path and the `Authorization` header, empty where there was none. It
    answers all with `body`.
    """

    address: str = ""
    body: bytes = b"{}"
    requests: list[tuple[str, str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.append((request.path, request.headers.get("Authorization", "")))
        return web.Response(body=self.body, content_type="application/json")


@asynccontextmanager
async def another_host(standins: StandIns) -> AsyncIterator[Elsewhere]:
    """One whose certificate is trusted, as that of any host on the internet may be."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(standins.folder / "server.pem")
    elsewhere, app = Elsewhere(), web.Application()
    app.router.add_route("*", "/{path:.*}", elsewhere.answer)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    elsewhere.address = f"https://localhost:{runner.addresses[0][1]}"
    yield elsewhere
    await runner.cleanup()
