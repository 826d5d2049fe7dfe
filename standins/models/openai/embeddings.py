"""Embeddings: a vector for each text, as numbers or as base64 of 32-bit floats, the lowest byte first."""

from __future__ import annotations

import base64
import struct
from typing import Any

from aiohttp import web

from standins.models.openai.asked import HEADERS, Asked, invalid, missing
from standins.models.texts import inputs, vector


async def embed(asked: Asked) -> web.StreamResponse:
    body = asked.body
    if not body.get("input"):
        raise missing("input")
    encoding = body.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise invalid("encoding_format", encoding, "'float' and 'base64'")
    given = inputs(body["input"])
    rows = [
        {
            "object": "embedding",
            "index": number,
            "embedding": _written(vector(text, body.get("dimensions")), encoding),
        }
        for number, (text, _) in enumerate(given)
    ]
    count = sum(size for _, size in given)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return web.json_response(
        {"object": "list", "data": rows, "model": asked.model, "usage": usage}, headers=HEADERS
    )


def _written(numbers: list[float], encoding: str) -> Any:
    if encoding == "float":
        return numbers
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
