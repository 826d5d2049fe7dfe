"""Finds what a request asks for, as FastAPI does: unknown paths are 404, wrong methods 405, a slash too much
leads to the path without it; any origin may ask.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache

from aiohttp import web

from standins.models.vllm import (
    chat,
    completions,
    embeddings,
    messages,
    others,
    pages,
    pooling_shapes,
    responses,
    shapes,
    states,
)
from standins.models.vllm.call import Call
from standins.models.vllm.errors import HEADERS, Refused, answer, not_found, refusal
from standins.models.vllm.reading import Reader, read
from standins.models.vllm.server import Place, Server
from standins.models.vllm.streams import Pace

Operation = Callable[[Call], Awaitable[web.StreamResponse]]
Page = Callable[[Server], web.Response]
_METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, QUERY"
#: What `--api-key` guards.
_GUARDED = ("/v1/", "/inference/")


@dataclass(frozen=True)
class Route:
    """One method at one path; `{name}` in it is any segment. It has a page, or a reader and an operation."""

    method: str
    path: str
    page: Page | None = None
    reader: Reader | None = None
    operation: Operation | None = None
    by_name: Callable[[Call, str], Awaitable[web.StreamResponse]] | None = None


class _Elsewhere(Exception):
    """The path is not for this method, or another path is meant."""

    def __init__(self, found: web.Response) -> None:
        super().__init__(found.status)
        self.answer = found


def _post(path: str, reader: Reader, operation: Operation) -> Route:
    return Route("POST", path, reader=reader, operation=operation)


_ANY = Reader(dict, "invocations")
_TOKENIZE = Reader(shapes.TokenizeText | shapes.TokenizeChat, "tokenize")
_SCORE = Reader(pooling_shapes.ScoreOfTexts | pooling_shapes.ScoreOfQueries, "create_score")
_RERANK = Reader(pooling_shapes.Rerank, "do_rerank")
_ALWAYS = (
    Route("GET", "/health", pages.healthy),
    Route("GET", "/load", pages.load),
    Route("GET", "/version", pages.version),
    Route("GET", "/ping", pages.healthy),
    Route("POST", "/ping", pages.healthy),
    Route("GET, HEAD", "/docs", pages.docs),
    Route("GET, HEAD", "/redoc", pages.redoc),
    Route("GET, HEAD", "/openapi.json", pages.description),
    Route("GET", "/v1/models", pages.models),
    _post("/tokenize", _TOKENIZE, others.tokenize),
    _post("/detokenize", Reader(shapes.Detokenize, "detokenize"), others.detokenize),
    _post("/invocations", _ANY, others.invoke),
    _post("/scale_elastic_ep", Reader(dict, "scale_elastic_ep"), others.scale),
    Route("POST", "/is_scaling_elastic_ep", pages.not_scaling),
)
_GENERATE = (
    _post("/v1/chat/completions", others.CHAT, chat.chat),
    _post("/v1/chat/completions/batch", Reader(shapes.Batch, "create_batch_chat_completion"), chat.batch),
    _post("/v1/chat/completions/render", others.CHAT, others.render_chat),
    _post("/v1/chat/completions/derender", Reader(shapes.Answered, "derender"), others.derender),
    _post("/v1/completions", others.COMPLETION, completions.complete),
    _post("/v1/completions/render", others.COMPLETION, others.render_completion),
    _post("/v1/completions/derender", Reader(shapes.Answered, "derender"), others.derender),
    _post("/v1/responses", Reader(shapes.Responses, "create_responses", 48), responses.respond),
    Route("GET", "/v1/responses/{name}", by_name=responses.get),
    Route("POST", "/v1/responses/{name}/cancel", by_name=responses.get),
    _post("/v1/messages", Reader(shapes.Messages, "create_messages"), messages.create),
    _post("/v1/messages/count_tokens", Reader(shapes.CountTokens, "count_tokens"), messages.count_tokens),
    _post("/inference/v1/generate", Reader(shapes.Generate, "generate"), others.generate),
    _post("/generative_scoring", Reader(shapes.Scoring, "create_generative_scoring"), others.scoring),
)
_EMBED = (
    _post("/v1/embeddings", others.EMBEDDING, embeddings.embed),
    _post("/pooling", others.EMBEDDING, embeddings.pool),
    *(_post(path, _RERANK, embeddings.rerank) for path in ("/rerank", "/v1/rerank", "/v2/rerank")),
    *(_post(path, _SCORE, embeddings.score) for path in ("/score", "/v1/score")),
)


async def serve(place: Place, request: web.Request, pace: Pace) -> web.StreamResponse:
    """The answer of a server, whatever its state."""
    server = place.server
    if server.state in ("starting", "draining", "hanging"):
        states.refuse_connection(request)
    if server.state == "loading":
        return states.loading(request)
    try:
        found = await _answer(place, request, pace)
    except Refused as error:
        found = refusal(request, error)
    except _Elsewhere as other:
        found = other.answer
    if "Origin" in request.headers and not found.prepared:
        found.headers["Access-Control-Allow-Origin"] = "*"
    return found


def routes(server: Server) -> tuple[Route, ...]:
    return (*_ALWAYS, *(_EMBED if server.task == "embed" else _GENERATE))


async def _answer(place: Place, request: web.Request, pace: Pace) -> web.StreamResponse:
    server = place.server
    if (early := _before(place, request)) is not None:
        return early
    route, name = _find(place, request)
    if route.page is not None:
        return route.page(server)
    if route.by_name is not None:
        return await route.by_name(Call(server, request, {}, pace), name)
    return await _operate(route, place, request, pace)


def _before(place: Place, request: web.Request) -> web.Response | None:
    """What is answered in front of the routes. Raises Refused."""
    server, path = place.server, place.path
    if request.method == "OPTIONS" and {"Origin", "Access-Control-Request-Method"} <= request.headers.keys():
        return _preflight(request)
    if server.api_key and path.startswith(_GUARDED) and _key(request) != server.api_key:
        return answer({"error": "Unauthorized"}, 401)
    if path.rstrip("/") == "/metrics":
        return states.metrics()
    if server.state == "busy" and request.method == "POST" and path in states.LIMITED:
        raise states.busy(server)
    return None


async def _operate(route: Route, place: Place, request: web.Request, pace: Pace) -> web.StreamResponse:
    if route.reader is None or route.operation is None:
        raise not_found()
    body = await read(route.reader, place.server, request, place.path)
    if place.server.state == "dying" and not body.get("stream"):
        raise states.engine_died()
    return await route.operation(Call(place.server, request, body, pace))


def _find(place: Place, request: web.Request) -> tuple[Route, str]:
    """The route, and the name in its path. Raises Refused or _Elsewhere."""
    here = _at(place.server, place.path)
    for route, name in here:
        if request.method in route.method.split(", "):
            return route, name
    if here:
        allowed = {"Allow": here[0][0].method}
        raise _Elsewhere(answer({"detail": "Method Not Allowed"}, 405, allowed))
    shorter = place.path.rstrip("/")
    if place.path.endswith("/") and _at(place.server, shorter):
        where = f"http://{request.host}{request.rel_url.raw_path.rstrip('/')}"
        raise _Elsewhere(web.Response(status=307, headers={**HEADERS, "Location": where}))
    raise not_found()


def _at(server: Server, path: str) -> list[tuple[Route, str]]:
    found = [(route, _pattern(route.path).fullmatch(path)) for route in routes(server)]
    return [(route, (match.groups() or ("",))[0]) for route, match in found if match is not None]


@cache
def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.escape(path).replace(r"\{name\}", "([^/]+)"))


def _preflight(request: web.Request) -> web.Response:
    headers = {
        **HEADERS,
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Methods": _METHODS,
        "Access-Control-Max-Age": "600",
        "Content-Type": "text/plain; charset=utf-8",
    }
    if wanted := request.headers.get("Access-Control-Request-Headers"):
        headers["Access-Control-Allow-Headers"] = wanted
    return web.Response(body=b"OK", headers=headers)


def _key(request: web.Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ")
