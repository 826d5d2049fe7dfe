"""Chat completions, embeddings, the list of models: https://platform.openai.com/docs/api-reference"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from standins.models.texts import answer_to, tokens, vector
from standins.world import Options

Json = dict[str, Any]
_CREATED = 1_700_000_000


def error(status: int, code: str, message: str) -> web.Response:
    return web.json_response(
        {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}},
        status=status,
    )


async def chat(options: Options, request: web.Request) -> web.StreamResponse:
    body = await request.json()
    if (refused := _unserved(options, request, body.get("model"))) is not None:
        return refused
    if not body.get("messages"):
        return error(400, "invalid_value", "messages is required")
    answer, cut = answer_to(body)
    prompt = sum(tokens(str(message.get("content") or "")) for message in body["messages"])
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": tokens(answer),
        "total_tokens": prompt + tokens(answer),
    }
    made = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "created": _CREATED,
        "model": body["model"],
        "system_fingerprint": _base(request),
    }
    reason = "length" if cut else "stop"
    if body.get("stream"):
        wants_usage = (body.get("stream_options") or {}).get("include_usage")
        return await _stream(options, request, _chunks(made, answer, reason, usage if wants_usage else None))
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": answer},
        "finish_reason": reason,
        "logprobs": None,
    }
    return web.json_response(
        made | {"object": "chat.completion", "choices": [choice], "usage": usage},
        headers={"Server": "model-server"},
    )


async def embeddings(options: Options, request: web.Request) -> web.StreamResponse:
    """One vector per text. A URL of Azure names the deployment itself, and the body then need not."""
    body, base = await request.json(), _base(request)
    model = base.rpartition("/deployments/")[2] if "/deployments/" in base else body.get("model")
    if (refused := _unserved(options, request, model)) is not None:
        return refused
    texts = [body["input"]] if isinstance(body.get("input"), str) else body.get("input") or []
    rows = [
        {"object": "embedding", "index": number, "embedding": vector(str(text))}
        for number, text in enumerate(texts)
    ]
    count = sum(tokens(str(text)) for text in texts)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return web.json_response({"object": "list", "data": rows, "model": model, "usage": usage})


async def models(options: Options, request: web.Request) -> web.StreamResponse:
    rows = [
        {"id": name, "object": "model", "created": _CREATED, "owned_by": "local"}
        for name in options["serves"].get(_base(request), ())
    ]
    return web.json_response({"object": "list", "data": rows})


def _base(request: web.Request) -> str:
    return f"{request.host}/{request.match_info['base']}"


def _unserved(options: Options, request: web.Request, model: str | None) -> web.Response | None:
    served = options["serves"].get(_base(request))
    if not model or (served is not None and model not in served):
        return error(404, "model_not_found", f"The model '{model}' does not exist.")
    return None


def _chunks(made: Json, answer: str, reason: str, usage: Json | None) -> Iterator[Json]:
    """A word at a time."""
    chunk = made | {"object": "chat.completion.chunk"} | ({} if usage is None else {"usage": None})
    deltas = [{"role": "assistant", "content": ""}, *({"content": word} for word in _words(answer))]
    for delta in deltas:
        yield chunk | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    if usage is not None:
        yield chunk | {"choices": [], "usage": usage}


def _words(answer: str) -> list[str]:
    first, *rest = answer.split(" ")
    return [first, *(f" {word}" for word in rest)]


async def _stream(options: Options, request: web.Request, chunks: Iterator[Json]) -> web.StreamResponse:
    stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Server": "model-server"})
    await stream.prepare(request)
    for chunk in chunks:
        await stream.write(f"data: {json.dumps(chunk)}\n\n".encode())
        await asyncio.sleep(options["chunk_seconds"])
    await stream.write(b"data: [DONE]\n\n")
    await stream.write_eof()
    return stream
