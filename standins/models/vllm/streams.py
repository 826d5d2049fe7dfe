"""Server-sent events. A stream that runs goes on when its client has left, to the last token: KAITO's uvicorn
does not tell the application.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

from aiohttp import web

from standins.models.vllm.errors import HEADERS, Json
from standins.models.vllm.server import Server

_DIED = "EngineCore encountered an issue. See stack trace (above) for the root cause."
#: What a stream says when the engine is gone.
ENGINE_DIED: Json = {"error": {"message": _DIED, "type": "InternalServerError", "param": None, "code": 500}}
#: How many events a stream has written when its engine dies.
_LAST_WORDS = 3
_DONE = "[DONE]"


@dataclass
class Pace:
    """How a stream runs: `state` is asked before each event; `left` hears of each event that nobody read."""

    seconds: float
    server: Callable[[], Server]
    left: Callable[[], None]


async def stream(
    request: web.Request, pace: Pace, events: Iterable[Json], *, named: bool = False, done: bool = True
) -> web.StreamResponse:
    """Send events one by one; `named`: each with the name that its `type` says."""
    headers = {**HEADERS, "Content-Type": "text/event-stream; charset=utf-8"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    for number, event in enumerate(chain(events, [None])):
        state = pace.server().state
        if state == "hanging":
            await _until_the_client_goes(request)
            return response
        if state == "draining" or (state == "dying" and (number >= _LAST_WORDS or event is None)):
            await _send(response, pace, _frame(ENGINE_DIED, named=False))
            done = True
            break
        if event is None:
            break
        await _send(response, pace, _frame(event, named=named))
        await asyncio.sleep(pace.seconds)
    if done:
        await _send(response, pace, f"data: {_DONE}\n\n")
    if request.transport is not None and not request.transport.is_closing():
        await response.write_eof()
    return response


def _frame(event: Json, *, named: bool) -> str:
    data = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return (f"event: {event['type']}\n" if named else "") + f"data: {data}\n\n"


async def _send(response: web.StreamResponse, pace: Pace, text: str) -> None:
    try:
        await response.write(text.encode())
    except ConnectionError:
        pace.left()


async def _until_the_client_goes(request: web.Request) -> None:
    while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110
        await asyncio.sleep(0.05)


def without(body: Json, *names: str) -> Json:
    return {name: value for name, value in body.items() if name not in names}


def wants_usage(body: Any) -> tuple[bool, bool]:
    """Whether usage is asked for at the end of a stream, and whether with each chunk."""
    options = body.get("stream_options") or {}
    at_end = bool(options.get("include_usage"))
    return at_end, at_end and bool(options.get("continuous_usage_stats"))
