"""The operations beside those that write texts for people: tokens, prompts as tokens, scores by tokens."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from standins.models.texts import tokens
from standins.models.vllm import (
    chat,
    completions,
    embeddings,
    pooling_shapes,
    prompts,
    reading,
    sampling,
    shapes,
)
from standins.models.vllm.call import CREATED, Call, usage
from standins.models.vllm.errors import Json, answer, refused

CHAT = reading.Reader(shapes.Chat, "create_chat_completion")
COMPLETION = reading.Reader(shapes.Completion, "create_completion", 34)
EMBEDDING = reading.Reader(pooling_shapes.Embedding, "create_embedding")
#: No two tokens have one number; the recorded tokenizer has 512.
_VOCABULARY = 512
_SAMPLING: Json = {
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "repetition_penalty": 1.0,
    "temperature": 1.0,
    "top_p": 1.0,
    "min_p": 0.0,
}


async def tokenize(call: Call) -> web.StreamResponse:
    sampling.model(call.server, call.body)
    found = _tokens_of(call)
    names = [f"<{number}>" for number in found] if call.body.get("return_token_strs") else None
    made = {"count": len(found), "max_model_len": call.server.context, "tokens": found, "token_strs": names}
    return answer(made)


async def detokenize(call: Call) -> web.StreamResponse:
    sampling.model(call.server, call.body)
    return answer({"prompt": " ".join(f"<{number}>" for number in call.body["tokens"])})


async def render_chat(call: Call) -> web.StreamResponse:
    name = sampling.model(call.server, call.body)
    prompt, length = sampling.prompt_of(call.server, call.body["messages"], call.body.get("tools"))
    limits = sampling.chat_limits(call.server, call.body, prompt, length)
    return answer(_rendered(call, "chatcmpl", name, _numbers(prompt), limits.tokens))


async def render_completion(call: Call) -> web.StreamResponse:
    name = sampling.model(call.server, call.body)
    rows = []
    for prompt in completions.prompts_of(call.body["prompt"]):
        found = _numbers(tokens(prompt)) if isinstance(prompt, str) else list(prompt)
        limits = sampling.limits(call.server, call.body, len(found), 0, name="max_tokens", default=16)
        rows.append(_rendered(call, "cmpl", name, found, limits.tokens))
    return answer(rows)


async def generate(call: Call) -> web.StreamResponse:
    """Tokens in, tokens out."""
    name, asked = sampling.model(call.server, call.body), call.body["sampling_params"]
    prompt = len(call.body["token_ids"])
    limits = sampling.limits(call.server, asked, prompt, 0, name="max_tokens", default=16)
    choice = {
        "index": 0,
        "logprobs": None,
        "finish_reason": "length",
        "token_ids": _numbers(limits.tokens),
        "routed_experts": None,
    }
    made = {
        "request_id": call.new_id("generate-tokens"),
        "model": name,
        "created": CREATED,
        "choices": [choice],
    }
    counted = {"usage": usage(prompt, limits.tokens), "prompt_logprobs": None, "kv_transfer_params": None}
    return answer({**made, **counted})


async def scoring(call: Call) -> web.StreamResponse:
    name, body = sampling.model(call.server, call.body), call.body
    rows = [{"index": number, "object": "score", "score": 0.5} for number in range(len(body["items"]))]
    count = sum(_size(body["query"]) + _size(each) for each in body["items"])
    made = {"id": call.new_id("generative-scoring"), "object": "list", "created": CREATED, "model": name}
    return answer({**made, "data": rows, "usage": usage(count, len(rows))})


async def invoke(call: Call) -> web.StreamResponse:
    """What the body looks like is done."""
    operations = (
        [("input", EMBEDDING, embeddings.embed), ("messages", EMBEDDING, embeddings.embed)]
        if call.server.task == "embed"
        else [("messages", CHAT, chat.chat), ("prompt", COMPLETION, completions.complete)]
    )
    for name, reader, operation in operations:
        if name in call.body:
            body = await reading.read(reader, call.server, call.request, "/invocations")
            return await operation(Call(call.server, call.request, body, call.pace))
    names = [name for name, _, _ in operations]
    raise refused(f"Cannot find suitable handler for request. Expected one of: {names}")


async def scale(call: Call) -> web.StreamResponse:
    if call.body.get("new_data_parallel_size") is None:
        raise refused("new_data_parallel_size is required", kind="Bad Request")
    raise refused("Scale failed", status=500, kind="Internal Server Error")


def _tokens_of(call: Call) -> list[int]:
    if "messages" in call.body:
        return _numbers(prompts.count(prompts.checked(call.body["messages"], call.server)))
    return _numbers(tokens(call.body["prompt"]))


def _numbers(count: int) -> list[int]:
    return [number % _VOCABULARY for number in range(count)]


def _size(given: str | Sequence[int]) -> int:
    return tokens(given) if isinstance(given, str) else len(given)


def _rendered(call: Call, prefix: str, name: str, found: list[int], most: int) -> Json:
    body = call.body
    asked = {key: float(body[key]) for key in _SAMPLING if body.get(key) is not None}
    stop = body.get("stop") or []
    more = {
        "stop": [stop] if isinstance(stop, str) else stop,
        "stop_token_ids": [],
        "max_tokens": most,
        "output_kind": 1 if body.get("stream") else 2,
        "skip_clone": True,
        "bad_words": [],
        "skip_reading_prefix_cache": False,
    }
    return {
        "request_id": call.new_id(prefix),
        "token_ids": found,
        "assistant_tokens_mask": None,
        "token_offsets": None,
        "features": None,
        "sampling_params": {**_SAMPLING, **asked, **more},
        "model": name,
        "stream": bool(body.get("stream")),
        "stream_options": body.get("stream_options"),
        "cache_salt": None,
        "priority": 0,
        "kv_transfer_params": None,
    }


async def derender(call: Call) -> web.StreamResponse:
    """Tokens as a text again, within an answer."""
    sampling.model(call.server, call.body)
    return answer(call.body["generate_response"])
