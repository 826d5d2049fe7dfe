"""Answers of a server that does not serve: none, those of the port that is bound while a model loads, those
of KAITO in front of a busy one, and those after its engine died.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import NoReturn

from aiohttp import web

from standins.models.vllm.errors import HEADERS, Refused
from standins.models.vllm.server import Server
from standins.models.vllm.streams import ENGINE_DIED

_LOADING = {"Server": "BaseHTTP/0.6 Python/3.11.7", "Connection": "close"}
_PAGE = """<!DOCTYPE HTML>
<html lang="en">
    <head>
        <meta charset="utf-8">
        <title>Error response</title>
    </head>
    <body>
        <h1>Error response</h1>
        <p>Error code: 501</p>
        <p>Message: Unsupported method ({method!r}).</p>
        <p>Error code explanation: 501 - {phrase}.</p>
    </body>
</html>
"""
METRICS_TYPE = "text/plain; version=1.0.0; charset=utf-8"
#: Where KAITO counts the requests that wait: not in front of responses and messages.
LIMITED = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/tokenize")


def refuse_connection(request: web.Request) -> NoReturn:
    """As near as a server can come to a port that is not bound: the connection ends without an answer."""
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError("no server listens")


def loading(request: web.Request) -> web.Response:
    """Python's own server, until vLLM has the port: it knows GET, and one path."""
    if request.method not in ("GET", "HEAD"):
        page = _PAGE.format(method=request.method, phrase=HTTPStatus.NOT_IMPLEMENTED.description)
        return _closing(501, page.encode(), "text/html;charset=utf-8")
    if request.path == "/metrics":
        return _closing(200, b"# HELP kaito_model_ready Whether the model is ready\n", METRICS_TYPE)
    return _closing(404, b"")


def _closing(status: int, body: bytes, kind: str = "") -> web.Response:
    headers = {**_LOADING, **({"Content-Type": kind} if kind else {})}
    made = web.Response(body=body or None, status=status, headers=headers)
    made.force_close()
    return made


def busy(server: Server) -> Refused:
    """Without `Retry-After`."""
    message = f"Too many requests: waiting queue ({server.queue + 1}) exceeds max-num-seqs ({server.queue})."
    error = {"message": message, "type": "requests", "param": None, "code": "rate_limit_exceeded"}
    return Refused(429, {"error": error})


def engine_died() -> Refused:
    return Refused(500, ENGINE_DIED)


def metrics() -> web.Response:
    text = "# HELP vllm:num_requests_running Number of requests in model execution batches.\n"
    text += "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running 0.0\n"
    return web.Response(body=text.encode(), headers={**HEADERS, "Content-Type": METRICS_TYPE})
