"""Completions of a text or of tokens, whole and as a stream."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from aiohttp import web

from standins.models.openai.asked import CREATED, HEADERS, Asked, Json, missing
from standins.models.openai.events import stream, wants_usage, words
from standins.models.texts import answer_to, inputs, tokens

#: Tokens of an answer where the request does not say how many.
_DEFAULT = 16


async def complete(asked: Asked) -> web.StreamResponse:
    body = asked.body
    if not body.get("prompt"):
        raise missing("prompt")
    prompts = inputs(body["prompt"])
    most = body.get("max_tokens", _DEFAULT)
    answers = [answer_to(text, most) for text, _ in prompts for _ in range(body.get("n") or 1)]
    prompt, completion = sum(size for _, size in prompts), sum(tokens(text) for text, _ in answers)
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    made = {
        "id": f"cmpl-{uuid.uuid4().hex}",
        "object": "text_completion",
        "created": CREATED,
        "model": asked.model,
    }
    if body.get("stream"):
        return await stream(asked, _chunks(made, answers, usage if wants_usage(body) else None))
    choices = [_choice(number, text, _reason(cut)) for number, (text, cut) in enumerate(answers)]
    return web.json_response(made | {"choices": choices, "usage": usage}, headers=HEADERS)


def _choice(number: int, text: str, reason: str | None) -> Json:
    return {"text": text, "index": number, "logprobs": None, "finish_reason": reason}


def _reason(is_cut: bool) -> str:
    return "length" if is_cut else "stop"


def _chunks(made: Json, answers: Sequence[tuple[str, bool]], usage: Any) -> Iterator[Json]:
    chunk = made | ({} if usage is None else {"usage": None})
    for number, (text, is_cut) in enumerate(answers):
        for word in words(text):
            yield chunk | {"choices": [_choice(number, word, None)]}
        yield chunk | {"choices": [_choice(number, "", _reason(is_cut))]}
    if usage is not None:
        yield chunk | {"choices": [], "usage": usage}
