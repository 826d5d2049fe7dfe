"""Chat completions, whole and as a stream."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from aiohttp import web

from standins.models.openai import tools
from standins.models.openai.asked import CREATED, HEADERS, Asked, Json, missing
from standins.models.openai.events import stream, wants_usage, words
from standins.models.openai.tools import Called
from standins.models.texts import answer_to, text_of, tokens


@dataclass(frozen=True)
class _Written:
    """A text, or a call of a function."""

    text: str
    call: Called | None
    reason: str
    usage: Json


async def chat(asked: Asked) -> web.StreamResponse:
    if not asked.body.get("messages"):
        raise missing("messages")
    written = _write(asked)
    made = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "created": CREATED,
        "model": asked.model,
        "system_fingerprint": asked.base,
    }
    if asked.body.get("stream"):
        return await stream(asked, _chunks(made, written, wants_usage(asked.body)))
    message: Json = {"role": "assistant", "content": written.text}
    if written.call is not None:
        message = {"role": "assistant", "content": None, "tool_calls": tools.in_message(written.call)}
    choice = {"index": 0, "message": message, "finish_reason": written.reason, "logprobs": None}
    return web.json_response(
        made | {"object": "chat.completion", "choices": [choice], "usage": written.usage}, headers=HEADERS
    )


def _write(asked: Asked) -> _Written:
    body = asked.body
    call = tools.called(asked)
    prompt = sum(tokens(text_of(message.get("content"))) for message in body["messages"])
    if call is not None:
        reason = "stop" if call.by_name else "tool_calls"
        return _Written("", call, reason, _usage(prompt, tokens(call.arguments)))
    most = body.get("max_completion_tokens") or body.get("max_tokens")
    text, is_cut = answer_to(text_of(body["messages"][-1].get("content")), most)
    return _Written(text, None, "length" if is_cut else "stop", _usage(prompt, tokens(text)))


def _usage(prompt: int, completion: int) -> Json:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _chunks(made: Json, written: _Written, with_usage: bool) -> Iterator[Json]:
    chunk = made | {"object": "chat.completion.chunk"} | ({"usage": None} if with_usage else {})
    for delta in _deltas(written):
        yield chunk | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": written.reason}]}
    if with_usage:
        yield chunk | {"choices": [], "usage": written.usage}


def _deltas(written: _Written) -> Iterator[Json]:
    """A word at a time; arguments in two pieces."""
    if written.call is None:
        yield {"role": "assistant", "content": ""}
        yield from ({"content": word} for word in words(written.text))
        return
    [call] = tools.in_message(written.call)
    begun = {**call, "index": 0, "function": {**call["function"], "arguments": ""}}
    yield {"role": "assistant", "content": None, "tool_calls": [begun]}
    for piece in tools.pieces(written.call):
        yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
