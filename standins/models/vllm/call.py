"""One request on its way through a server."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from aiohttp import web

from standins.models.vllm.errors import Json
from standins.models.vllm.server import Server
from standins.models.vllm.streams import Pace

CREATED = 1_700_000_000


@dataclass(frozen=True)
class Call:
    """A request with its body read."""

    server: Server
    request: web.Request
    body: Json
    pace: Pace

    def new_id(self, prefix: str) -> str:
        """The id of an answer: what the client calls its request, or a new one."""
        return f"{prefix}-{self.request.headers.get('X-Request-Id') or uuid.uuid4().hex}"


def usage(prompt: int, completion: int, *, whole: bool = True) -> Json:
    """Tokens of an answer; chunks of a stream leave the details out."""
    found: Json = {
        "prompt_tokens": prompt,
        "total_tokens": prompt + completion,
        "completion_tokens": completion,
    }
    return found | ({"prompt_tokens_details": None} if whole else {})
