"""Images of the models `gpt-image`: always base64, never a URL. A picture is a grey square; what it shows of
the prompt is its brightness.
"""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

from aiohttp import web

from standins.models.openai.asked import (
    CREATED,
    HEADERS,
    Asked,
    Json,
    Refused,
    invalid,
    missing,
    refuse_unknown,
)
from standins.models.texts import tokens

_KNOWN = frozenset(
    {
        "model",
        "prompt",
        "n",
        "size",
        "quality",
        "background",
        "moderation",
        "output_format",
        "output_compression",
        "stream",
        "partial_images",
        "user",
    }
)
_ALLOWED = {
    "size": ("1024x1024", "1024x1536", "1536x1024", "auto"),
    "quality": ("low", "medium", "high", "auto"),
    "background": ("transparent", "opaque", "auto"),
    "output_format": ("png",),
}
_MOST = 10
#: Tokens of a picture of 1024x1024 of low quality.
_TOKENS = 272


async def generate(asked: Asked) -> web.StreamResponse:
    body = asked.body
    _check(body)
    count = body.get("n") or 1
    prompt = str(body["prompt"])
    picture = base64.b64encode(_png(sum(prompt.encode()) % 256)).decode()
    shown = {name: _said(body.get(name), usual[0]) for name, usual in _ALLOWED.items()}
    return web.json_response(
        {
            "created": CREATED,
            "data": [{"b64_json": picture}] * count,
            **shown,
            "usage": _usage(prompt, count),
        },
        headers=HEADERS,
    )


def _check(body: Json) -> None:
    refuse_unknown(body, _KNOWN)
    if not body.get("prompt"):
        raise missing("prompt")
    if body.get("stream"):
        raise Refused(501, "NotImplemented", "this stand-in sends no pictures as a stream", known=False)
    count = body.get("n") or 1
    if not isinstance(count, int) or not 1 <= count <= _MOST:
        raise invalid("n", count, f"1 to {_MOST}")
    for name, allowed in _ALLOWED.items():
        if body.get(name) is not None and body[name] not in allowed:
            raise invalid(name, body[name], ", ".join(f"'{each}'" for each in allowed))


def _said(value: Any, usual: str) -> str:
    return usual if value in (None, "auto") else str(value)


def _usage(prompt: str, count: int) -> Json:
    read, made = tokens(prompt), _TOKENS * count
    return {
        "input_tokens": read,
        "input_tokens_details": {"text_tokens": read, "image_tokens": 0},
        "output_tokens": made,
        "total_tokens": read + made,
    }


def _png(grey: int) -> bytes:
    """One pixel."""
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes([0, grey]))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
