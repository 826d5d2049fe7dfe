"""Server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable

from aiohttp import web

from standins.models.openai.asked import HEADERS, Asked, Json


async def stream(asked: Asked, events: Iterable[Json], *, named: bool = False) -> web.StreamResponse:
    """Send events one by one. `named`: each with the name that its `type` says, and no `[DONE]` at the
    end.
    """
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", **HEADERS})
    await answer.prepare(asked.request)
    for event in events:
        name = f"event: {event['type']}\n" if named else ""
        await answer.write(f"{name}data: {json.dumps(event)}\n\n".encode())
        await asyncio.sleep(asked.options["chunk_seconds"])
    if not named:
        await answer.write(b"data: [DONE]\n\n")
    await answer.write_eof()
    return answer


def wants_usage(body: Json) -> bool:
    return bool((body.get("stream_options") or {}).get("include_usage"))


def words(text: str) -> list[str]:
    """The pieces in which a text is sent: a word at a time."""
    first, *rest = text.split(" ")
    return [first, *(f" {word}" for word in rest)]
