"""Model servers that speak the OpenAI protocol: one process, a virtual server for every host and path that a
backend's URL names.

Answers and their `usage` follow from the texts alone: a token is a word, and an answer repeats the last
message (`texts`). A host that ends with `.svc`, or that the option `servers` names, is a server of KAITO and
answers as vLLM does (`vllm`); all others answer chat completions, completions, embeddings, responses, images
and the list of models as OpenAI and Azure do (`openai`). Every server expects the caller that such a server
has (`callers`): Azure's hosts a token of the gateway's identity, hosts among the option `credentials` their
key, all others nobody. A call that carries what it must not carry is noted as a finding, and answered with
500 (a server of KAITO looks at no credential and answers); the control interface's report has `findings`,
`served` (calls by host and path) and `unread` (events of streams whose client had left, by host). A host is
in trouble by a fault of this server with a kind like `POST chat completions contoso-ai.openai.azure.com`;
status 0 is a server that is down.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from aiohttp import web

from standins.http import Handler, application, route
from standins.models import content_safety
from standins.models.callers import Callers
from standins.models.openai import chat, completions, embeddings, images
from standins.models.openai.asked import CREATED, Asked, Refused, base_of, error, read
from standins.models.openai.responses import Responses
from standins.models.vllm.routes import serve
from standins.models.vllm.server import place_of
from standins.models.vllm.streams import Pace
from standins.world import Options, Report, World

Operation = Callable[[Asked], Awaitable[web.StreamResponse]]

SERVER = "models"
OPTIONS: dict[str, Any] = {
    # Base URL without scheme (`api.openai.com/v1`) -> names of the models that it serves; a server that is
    # not listed serves any. A server of KAITO serves the first.
    "serves": {},
    # The same -> what its models do not do: chat, tools, responses, embeddings, completions, images.
    "lacks": {},
    # Host -> the key that it expects as a bearer token.
    "credentials": {},
    # Seconds between two chunks of a stream, in real time.
    "chunk_seconds": 0.0,
    # Host, or host and path in front of `/v1` -> what is special about the server of KAITO there: fields of
    # vllm.server.Server (`served`, `context`, `tool_parser`, `state`, `release` ...). `kind: openai` is none.
    "servers": {},
}
DIFFERENCES = (
    "A model of OpenAI's or Azure's does everything unless the option `lacks` says otherwise, and calls a "
    "function only where it is told to; its answers have no `content_filter_results`, and its responses are "
    "kept until the server ends.",
    "A model of KAITO's repeats the last message, a word a token, and calls a tool only where it is told to; "
    "ids of tokens and probabilities mean nothing.",
    "A server of KAITO loads, is busy or dies by an option, never by itself; where a real one's port is not "
    "bound, the connection ends without an answer.",
    "Where several shapes of a request are tried, the errors name fewer kinds of parts of a message.",
)
#: The end of the path -> the name of the operation, what its model must do, and who answers.
_CALLS: Mapping[str, tuple[str, str, Operation]] = {
    "/chat/completions": ("POST chat completions", "chat", chat.chat),
    "/completions": ("POST completions", "completions", completions.complete),
    "/embeddings": ("POST embeddings", "embeddings", embeddings.embed),
    "/images/generations": ("POST images", "images", images.generate),
}


def build(world: World) -> web.Application:
    """Routes of the servers: the ends of their paths."""
    app, options = application(world, SERVER), world.options_of(SERVER, OPTIONS)
    callers = Callers(world, options)
    app.middlewares.append(callers.guard())
    add = partial(route, app, about=lambda request: request.host)
    kaito = partial(_or_kaito, options, callers)
    kept = Responses()
    world.reports[SERVER] = Report(callers.report, partial(_forget, callers, kept))
    calls = {**_CALLS, "/responses": ("POST responses", "responses", kept.create)}
    for end, (kind, ability, operation) in calls.items():
        asked = _asked(world, options, ability, operation)
        add("POST", f"/{{base:.*?}}{end}", kind, kaito(asked))
    for method, by_name in (("GET", kept.get), ("DELETE", kept.delete)):
        add(method, "/{base:.*?}/responses/{name}", f"{method} response", kaito(_named(by_name)))
    add("GET", "/{base:.*?}/models", "GET models", kaito(partial(_models, options)))
    add("POST", "/{base:.*?}/messages", "POST messages", kaito(partial(_unknown, world)))
    add("POST", "/contentsafety/text:analyze", "POST text analyze", content_safety.analyze)
    add("POST", "/contentsafety/text:shieldPrompt", "POST text shieldPrompt", content_safety.shield)
    add("*", "/{path:.*}", "other request of a server of KAITO", kaito(partial(_unknown, world)))
    return app


def _asked(world: World, options: Options, ability: str, operation: Operation) -> Handler:
    """A handler for an operation whose model must do this."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await operation(await read(options, request, ability))
        except Refused as refused:
            if not refused.known:
                world.loud(SERVER, f"501 {request.method} {request.path_qs}: {refused.message}")
            return error(refused.status, refused.code, refused.message, refused.param)

    return answer


def _named(operation: Callable[[str, str], web.StreamResponse]) -> Handler:
    """A handler for what is asked of an answer that is kept."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return operation(base_of(request), request.match_info["name"])
        except Refused as refused:
            return error(refused.status, refused.code, refused.message, refused.param)

    return answer


async def _models(options: Options, request: web.Request) -> web.StreamResponse:
    rows = [
        {"id": name, "object": "model", "created": CREATED, "owned_by": "local"}
        for name in options["serves"].get(base_of(request), ())
    ]
    return web.json_response({"object": "list", "data": rows})


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


def _forget(callers: Callers, kept: Responses) -> None:
    callers.forget()
    kept.forget()


async def _unknown(world: World, request: web.Request) -> web.StreamResponse:
    world.loud(SERVER, f"501 {request.method} {request.path_qs}: this stand-in does not know the operation")
    error = {"code": "NotImplemented", "message": f"{request.method} {request.path}"}
    return web.json_response({"error": error}, status=501)
