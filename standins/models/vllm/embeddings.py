"""What a server of an embedding model does: embeddings, scores, and the order of documents by them."""

from __future__ import annotations

import base64
import struct
import uuid
from typing import Any

from aiohttp import web

from standins.models.texts import tokens, vector
from standins.models.vllm import prompts, sampling
from standins.models.vllm.call import CREATED, Call, usage
from standins.models.vllm.errors import Json, answer, raised, refused


async def embed(call: Call) -> web.StreamResponse:
    name, body = _model(call), call.body
    given = _inputs(call)
    if body.get("dimensions") is not None:
        raise raised(
            f'Model "{name}" does not support matryoshka representation, changing output dimensions will '
            "lead to poor results."
        )
    rows = [
        {"index": number, "object": "embedding", "embedding": _written(text, body.get("encoding_format"))}
        for number, (text, _) in enumerate(given)
    ]
    count = sum(size for _, size in given)
    made = {"id": call.new_id("embd"), "object": "list", "created": CREATED, "model": name, "data": rows}
    return answer({**made, "usage": usage(count, 0)})


async def pool(call: Call) -> web.StreamResponse:
    """Vectors of texts, whatever the model's task is."""
    name = _model(call)
    given = _inputs(call)
    rows = [
        {"index": number, "object": "pooling", "data": vector(text)} for number, (text, _) in enumerate(given)
    ]
    made = {"id": call.new_id("pool"), "object": "list", "created": CREATED, "model": name, "data": rows}
    return answer({**made, "usage": usage(sum(size for _, size in given), 0)})


async def rerank(call: Call) -> web.StreamResponse:
    name, body = _model(call), call.body
    query, documents = body["query"], body["documents"]
    texts = documents if isinstance(documents, list) else [prompts.text_of(documents)]
    rows: list[Json] = [
        {
            "index": number,
            "document": {"text": text, "multi_modal": None},
            "relevance_score": _alike(query, text),
        }
        for number, text in enumerate(texts)
    ]
    rows.sort(key=lambda row: -float(row["relevance_score"]))
    count = sum(tokens(prompts.text_of(query)) + tokens(text) for text in texts)
    made = {"id": _name(), "model": name, "usage": {"prompt_tokens": count, "total_tokens": count}}
    return answer({**made, "results": rows[: body.get("top_n") or len(rows)]})


async def score(call: Call) -> web.StreamResponse:
    name, body = _model(call), call.body
    left = _list(body.get("text_1", body.get("queries")))
    right = _list(body.get("text_2", body.get("documents")))
    if len(left) not in (1, len(right)):
        raise raised("Input lengths must be either 1:1, 1:N or N:N")
    pairs = list(zip(left * len(right) if len(left) == 1 else left, right, strict=True))
    rows = [
        {"index": number, "object": "score", "score": _alike(one, other)}
        for number, (one, other) in enumerate(pairs)
    ]
    count = sum(tokens(one) + tokens(other) for one, other in pairs)
    made = {"id": _name(), "object": "list", "created": CREATED, "model": name, "data": rows}
    return answer({**made, "usage": usage(count, 0)})


def _model(call: Call) -> str:
    """A name that is not served is found too late for the handler of the operation."""
    name = call.body.get("model")
    if name and name != call.server.served:
        message = f"The model `{name}` does not exist."
        raise refused(message, status=404, kind="NotFoundError", closes=True)
    return call.server.served


def _inputs(call: Call) -> list[tuple[str, int]]:
    """Each text with its tokens. Raises Refused."""
    body, server = call.body, call.server
    if "messages" in body:
        found = [(prompts.said(prompts.checked(body["messages"], server)), prompts.count(body["messages"]))]
    else:
        found = [_input(each) for each in _list(body["input"])]
    if not found:
        raise raised("You must pass at least one prompt")
    for text, size in found:
        if not size:
            raise raised("The decoder prompt cannot be empty")
        sampling.fit(server, size, len(text))
    return found


def _input(given: Any) -> tuple[str, int]:
    return (given, tokens(given)) if isinstance(given, str) else (" ".join(map(str, given)), len(given))


def _list(given: Any) -> list[Any]:
    single = isinstance(given, str) or (bool(given) and all(isinstance(each, int) for each in given))
    return [given] if single else list(given)


def _written(text: str, encoding: Any) -> Any:
    numbers = vector(text)
    return (
        base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
        if encoding == "base64"
        else numbers
    )


def _alike(one: Any, other: Any) -> float:
    left, right = vector(prompts.text_of(one)), vector(prompts.text_of(other))
    return sum(a * b for a, b in zip(left, right, strict=True))


def _name() -> str:
    return f"score-{uuid.uuid4().hex[:16]}"
