"""A cluster in this process, the ingress in front of it, and one pod for all Services, which does as the
query says: `sleep` seconds first, `code` as the status, `chunks` with a `gap` of seconds, `drop` closes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from standins import ingress
from standins.tests.reference.gateway_records import Room


@dataclass
class Pod:
    """`seen` are the requests: the path with its query, and the headers. `scale` is for its seconds."""

    scale: float = 1.0
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        self.seen.append((request.raw_path, {name.lower(): text for name, text in request.headers.items()}))
        query = request.query
        await asyncio.sleep(float(query.get("sleep", 0)) * self.scale)
        if "drop" in query:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if "chunks" not in query:
            return web.json_response({"path": request.path}, status=int(query.get("code", 200)))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number in range(int(query["chunks"])):
            await response.write(f"data: {number}\n\n".encode())
            await asyncio.sleep(float(query["gap"]) * self.scale)
        await response.write_eof()
        return response


@dataclass(frozen=True)
class Answer:
    """`is_whole`: the answer came to its end."""

    status: int
    body: bytes
    headers: dict[str, str]
    is_whole: bool


@dataclass
class Proxied:
    room: Room
    pod: Pod
    port: int = 0

    def options(self, **changed: Any) -> None:
        """Of the ingress."""
        self.room.world.options["ingress"].change(changed)

    async def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Answer | None:
        """The path as it is written here; None where the connection was closed without an answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        lines = {
            "Host": "127.0.0.1",
            "Connection": "close",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }
        head = "".join(f"{name}: {text}\r\n" for name, text in lines.items())
        writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        content = await reader.read()
        writer.close()
        return _parsed(content) if content else None

    async def status(self, method: str, path: str, **headers: str) -> int:
        answer = await self.ask(method, path, headers)
        return answer.status if answer else 0


def _parsed(content: bytes) -> Answer:
    head, _, rest = content.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): text for name, _, text in (line.partition(": ") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        chunks, is_whole = _chunks(rest)
        return Answer(int(first.split()[1]), chunks, headers, is_whole)
    return Answer(int(first.split()[1]), rest, headers, len(rest) == int(headers.get("content-length", 0)))


def _chunks(rest: bytes) -> tuple[bytes, bool]:
    found = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return found, True
        found, rest = found + rest[:length], rest[length + 2 :]
    return found, False


@asynccontextmanager
async def proxied(folder: Path, controller: str, scale: float = 1.0) -> AsyncIterator[Proxied]:
    room, pod = Room(folder, controller), Pod(scale)
    room.world.parts["kubernetes"] = room.cluster
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_route("*", "/{path:.*}", pod.answer)
    async with TestServer(app) as model, TestServer(ingress.build(room.world)) as front:
        room.world.addresses["models"] = str(model.make_url("")).rstrip("/")
        found = Proxied(room, pod, front.port or 0)
        found.options(timeout_scale=scale)
        yield found
