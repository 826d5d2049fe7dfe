"""Model servers that speak the OpenAI protocol: one process, a virtual server for every host and path that a
backend's URL names.

Answers and their `usage` follow from the texts alone: a token is a word, and an answer repeats the last
message (`texts`). Every server expects the caller that such a server has (`callers`): Azure's hosts a token
of the gateway's identity, hosts among the option `credentials` their key, all others nobody. A call that
carries what it must not carry is answered with 500 and noted as a finding; the control interface's report has
`findings` and `served` (calls by host and path). A host is in trouble by a fault of this server with a kind
like `POST chat completions contoso-ai.openai.azure.com`; status 0 is a server that is down.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from aiohttp import web

from standins.http import application, route
from standins.models import content_safety, openai
from standins.models.callers import Callers
from standins.world import Report, World

SERVER = "models"
OPTIONS: dict[str, Any] = {
    # Base URL without scheme (`api.openai.com/v1`) -> names of the models that it serves; a server that is
    # not listed serves any.
    "serves": {},
    # Host -> the key that it expects as a bearer token.
    "credentials": {},
    # Seconds between two chunks of a stream, in real time.
    "chunk_seconds": 0.0,
}


def build(world: World) -> web.Application:
    """Routes of the servers: the ends of their paths."""
    app, options = application(world, SERVER), world.options_of(SERVER, OPTIONS)
    callers = Callers(world, options)
    world.reports[SERVER] = Report(callers.report, callers.forget)
    app.middlewares.append(callers.guard())
    handlers = (
        ("POST", "/chat/completions", "POST chat completions", partial(openai.chat, options)),
        ("POST", "/embeddings", "POST embeddings", partial(openai.embeddings, options)),
        ("GET", "/models", "GET models", partial(openai.models, options)),
        ("POST", "/contentsafety/text:analyze", "POST text analyze", content_safety.analyze),
        ("POST", "/contentsafety/text:shieldPrompt", "POST text shieldPrompt", content_safety.shield),
    )
    for method, end, kind, handler in handlers:
        route(
            app,
            method,
            f"/{{base:.*?}}{end}" if "contentsafety" not in end else end,
            kind,
            handler,
            about=lambda request: request.host,
        )
    return app
