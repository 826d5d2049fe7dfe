"""Responses. An answer is kept and can be read, deleted and followed up, unless its request says
`store: false`; another server knows nothing of it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from standins.models.openai import tools
from standins.models.openai.asked import CREATED, HEADERS, Asked, Json, Refused, missing
from standins.models.openai.events import stream
from standins.models.openai.response_events import events
from standins.models.openai.tools import Called
from standins.models.texts import answer_to, text_of, tokens

#: What reaches stored objects, runs something, or is done later.
_NOT_HERE = ("background", "conversation", "prompt")
_TOOLS = ("function", "custom")


class Responses:
    """The answers that are kept: of each server, by their id."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Json] = {}

    async def create(self, asked: Asked) -> web.StreamResponse:
        _check(asked.body)
        former = self._former(asked)
        made = _made(asked, former)
        if made["store"]:
            self._kept[asked.base, made["id"]] = made
        if asked.body.get("stream"):
            return await stream(asked, events(made), named=True)
        return web.json_response(made, headers=HEADERS)

    def get(self, base: str, name: str) -> web.StreamResponse:
        return web.json_response(self._one(base, name), headers=HEADERS)

    def delete(self, base: str, name: str) -> web.StreamResponse:
        self._one(base, name)
        del self._kept[base, name]
        return web.json_response({"id": name, "object": "response", "deleted": True}, headers=HEADERS)

    def forget(self) -> None:
        self._kept.clear()

    def _one(self, base: str, name: str) -> Json:
        if (base, name) not in self._kept:
            raise Refused(404, None, f"Response with id '{name}' not found.")
        return self._kept[base, name]

    def _former(self, asked: Asked) -> int:
        """The tokens of the answer that is followed up."""
        name = asked.body.get("previous_response_id")
        if name is None:
            return 0
        if (asked.base, name) not in self._kept:
            message = f"Previous response with id '{name}' not found."
            raise Refused(400, "previous_response_not_found", message, "previous_response_id")
        return int(self._kept[asked.base, name]["usage"]["total_tokens"])


def _check(body: Json) -> None:
    if not body.get("input"):
        raise missing("input")
    for name in _NOT_HERE:
        if body.get(name):
            raise Refused(501, "NotImplemented", f"this stand-in does not know '{name}'", known=False)
    for tool in body.get("tools") or ():
        if tool.get("type") not in _TOOLS:
            message = f"this stand-in does not know the tool '{tool.get('type')}'"
            raise Refused(501, "NotImplemented", message, known=False)


def _made(asked: Asked, former: int) -> Json:
    body = asked.body
    items = _items(body["input"])
    prompt = former + tokens(str(body.get("instructions") or "")) + sum(map(tokens, items))
    call = tools.called(asked)
    text, is_cut = answer_to(items[-1], body.get("max_output_tokens"))
    written = tokens(text if call is None else call.arguments)
    is_cut = is_cut and call is None
    return {
        "id": f"resp_{uuid.uuid4().hex}",
        "object": "response",
        "created_at": CREATED,
        "status": "incomplete" if is_cut else "completed",
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        **_repeated(body),
        "model": asked.model,
        "output": [_message(text, is_cut) if call is None else _call(call)],
        "usage": _usage(prompt, written),
    }


def _items(given: Any) -> list[str]:
    """The text of each item: of a message, or of what a function gave."""
    if isinstance(given, str):
        return [given]
    return [text_of(each.get("content") or each.get("output") or each.get("arguments")) for each in given]


def _repeated(body: Mapping[str, Any]) -> Json:
    """What an answer says of its request, with what holds where it said nothing."""
    usual: Json = {
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "user": None,
    }
    return {name: value if body.get(name) is None else body[name] for name, value in usual.items()}


def _message(text: str, is_cut: bool) -> Json:
    part: Json = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    return {
        "id": f"msg_{uuid.uuid4().hex}",
        "type": "message",
        "status": "incomplete" if is_cut else "completed",
        "role": "assistant",
        "content": [part],
    }


def _call(call: Called) -> Json:
    return {
        "id": f"fc_{uuid.uuid4().hex}",
        "type": "function_call",
        "status": "completed",
        "arguments": call.arguments,
        "call_id": call.id,
        "name": call.name,
    }


def _usage(prompt: int, completion: int) -> Json:
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + completion,
    }
