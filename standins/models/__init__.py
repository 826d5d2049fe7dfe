"""Model servers that speak the OpenAI protocol: one process, a virtual server for every host and path that a
backend's URL names.

Answers and their `usage` follow from the texts alone: a token is a word, and an answer repeats the last
message (`texts`). A host that ends with `.svc`, or that the option `servers` names, is a server of KAITO and
answers as vLLM does (`vllm`); all others answer chat completions, embeddings and the list of models as OpenAI
and Azure do. Every server expects the caller that such a server has (`callers`): Azure's hosts a token of the
gateway's identity, hosts among the option `credentials` their key, all others nobody. A call that carries
what it must not carry is noted as a finding, and answered with 500 (a server of KAITO looks at no credential
and answers); the control interface's report has `findings`, `served` (calls by host and path) and `unread`
(events of streams whose client had left, by host). A host is in trouble by a fault of this server with a kind
like `POST chat completions contoso-ai.openai.azure.com`; status 0 is a server that is down.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from aiohttp import web

from standins.http import Handler, application, route
from standins.models import content_safety, openai
from standins.models.callers import Callers
from standins.models.vllm.routes import serve
from standins.models.vllm.server import place_of
from standins.models.vllm.streams import Pace
from standins.world import Options, Report, World

SERVER = "models"
OPTIONS: dict[str, Any] = {
    # Base URL without scheme (`api.openai.com/v1`) -> names of the models that it serves; a server that is
    # not listed serves any. A server of KAITO serves the first.
    "serves": {},
    # Host -> the key that it expects as a bearer token.
    "credentials": {},
    # Seconds between two chunks of a stream, in real time.
    "chunk_seconds": 0.0,
    # Host, or host and path in front of `/v1` -> what is special about the server of KAITO there: fields of
    # vllm.server.Server (`served`, `context`, `tool_parser`, `state`, `release` ...). `kind: openai` is none.
    "servers": {},
}
DIFFERENCES = (
    "A model of KAITO's repeats the last message, a word a token, and calls a tool only where it is told to; "
    "ids of tokens and probabilities mean nothing.",
    "A server of KAITO loads, is busy or dies by an option, never by itself; where a real one's port is not "
    "bound, the connection ends without an answer.",
    "Where several shapes of a request are tried, the errors name fewer kinds of parts of a message.",
)
#: What only servers of KAITO have: the end of the path.
_KAITO_ONLY = (
    ("POST", "/completions", "POST completions"),
    ("POST", "/responses", "POST responses"),
    ("GET", "/responses/{name}", "GET response"),
    ("POST", "/messages", "POST messages"),
)


def build(world: World) -> web.Application:
    """Routes of the servers: the ends of their paths."""
    app, options = application(world, SERVER), world.options_of(SERVER, OPTIONS)
    callers = Callers(world, options)
    world.reports[SERVER] = Report(callers.report, callers.forget)
    app.middlewares.append(callers.guard())
    add = partial(route, app, about=lambda request: request.host)
    kaito = partial(_or_kaito, options, callers)
    add("POST", "/{base:.*?}/chat/completions", "POST chat completions", kaito(partial(openai.chat, options)))
    add("POST", "/{base:.*?}/embeddings", "POST embeddings", kaito(partial(openai.embeddings, options)))
    add("GET", "/{base:.*?}/models", "GET models", kaito(partial(openai.models, options)))
    add("POST", "/contentsafety/text:analyze", "POST text analyze", content_safety.analyze)
    add("POST", "/contentsafety/text:shieldPrompt", "POST text shieldPrompt", content_safety.shield)
    for method, end, kind in _KAITO_ONLY:
        add(method, f"/{{base:.*?}}{end}", kind, kaito(partial(_unknown, world)))
    add("*", "/{path:.*}", "other request of a server of KAITO", kaito(partial(_unknown, world)))
    return app


def _or_kaito(options: Options, callers: Callers, handler: Handler) -> Handler:
    """A handler for servers of KAITO, and `handler` for all others."""

    async def answer(request: web.Request) -> web.StreamResponse:
        place = place_of(options, request)
        if place is None:
            return await handler(request)
        pace = Pace(
            options["chunk_seconds"],
            lambda: (place_of(options, request) or place).server,
            lambda: callers.left(request.host),
        )
        return await serve(place, request, pace)

    return answer


async def _unknown(world: World, request: web.Request) -> web.StreamResponse:
    world.loud(SERVER, f"501 {request.method} {request.path_qs}: this stand-in does not know the operation")
    error = {"code": "NotImplemented", "message": f"{request.method} {request.path}"}
    return web.json_response({"error": error}, status=501)
