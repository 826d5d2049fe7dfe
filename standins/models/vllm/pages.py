"""What a server says of itself, to GET without a body."""

from __future__ import annotations

from aiohttp import web

from standins.models.vllm.call import CREATED
from standins.models.vllm.errors import HEADERS, Json, answer
from standins.models.vllm.server import Server

_PAGE = """<!DOCTYPE html>
<html>
<head><title>FastAPI - {name}</title></head>
<body></body>
</html>
"""
_PERMISSION: Json = {
    "object": "model_permission",
    "created": CREATED,
    "allow_create_engine": False,
    "allow_sampling": True,
    "allow_logprobs": True,
    "allow_search_indices": False,
    "allow_view": True,
    "allow_fine_tuning": False,
    "organization": "*",
    "group": None,
    "is_blocking": False,
}


def models(server: Server) -> web.Response:
    model = {
        "id": server.served,
        "object": "model",
        "created": CREATED,
        "owned_by": "vllm",
        "root": "/workspace/weights",
        "parent": None,
        "max_model_len": server.context,
        "permission": [{"id": "modelperm-0123456789abcdef", **_PERMISSION}],
    }
    return answer({"object": "list", "data": [model]})


def version(server: Server) -> web.Response:
    return answer({"version": server.release})


def load(_: Server) -> web.Response:
    return answer({"server_load": 0})


def healthy(server: Server) -> web.Response:
    """Without a body, and without a type."""
    made = web.Response(status=503 if server.state == "dying" else 200, headers=HEADERS)
    made.headers["Content-Length"] = "0"
    return made


def docs(_: Server) -> web.Response:
    return _page("Swagger UI")


def redoc(_: Server) -> web.Response:
    return _page("ReDoc")


def description(_: Server) -> web.Response:
    info = {"title": "FastAPI", "version": "0.1.0"}
    return answer({"openapi": "3.1.0", "info": info, "paths": {}, "components": {"schemas": {}}})


def not_scaling(_: Server) -> web.Response:
    return answer({"is_scaling_elastic_ep": False})


def _page(name: str) -> web.Response:
    headers = {**HEADERS, "Content-Type": "text/html; charset=utf-8"}
    return web.Response(body=_PAGE.format(name=name).encode(), headers=headers)
