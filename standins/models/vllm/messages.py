"""Messages: the protocol of Anthropic, which vLLM speaks beside OpenAI's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aiohttp import web

from standins.models.vllm import chat, prompts, sampling
from standins.models.vllm.call import Call
from standins.models.vllm.errors import Json, Refused, answer
from standins.models.vllm.streams import stream
from standins.models.vllm.tools import as_json, new_id

_CHOICES = {"any": "required", "auto": "auto", "none": "none"}


async def create(call: Call) -> web.StreamResponse:
    asked = Call(call.server, call.request, as_chat(call.body), call.pace)
    try:
        name = sampling.model(call.server, call.body)
        prompt, written = chat.generate(asked)
    except Refused as error:
        raise _translated(error) from None
    made = _Answer(call.new_id("chatcmpl"), name, prompt, written)
    if call.body.get("stream"):
        return await stream(call.request, call.pace, made.events(), named=True, done=False)
    return answer(made.whole())


async def count_tokens(call: Call) -> web.StreamResponse:
    try:
        sampling.model(call.server, call.body)
        count = prompts.count(prompts.checked(as_chat(call.body)["messages"], call.server))
    except Refused as error:
        raise _translated(error) from None
    return answer({"input_tokens": count, "context_management": {"original_input_tokens": count}})


def as_chat(body: Mapping[str, Any]) -> Json:
    """The same request in OpenAI's protocol."""
    first = [{"role": "system", "content": body["system"]}] if body.get("system") else []
    made = {**body, "messages": [*first, *body["messages"]], "stop": body.get("stop_sequences")}
    if body.get("tools"):
        made["tools"] = [
            {"type": "function", "function": {"name": tool["name"], "parameters": tool.get("input_schema")}}
            for tool in body["tools"]
        ]
        choice = body.get("tool_choice") or {"type": "auto"}
        named = {"type": "function", "function": {"name": choice.get("name")}}
        made["tool_choice"] = named if choice["type"] == "tool" else _CHOICES[choice["type"]]
    return made


def _translated(error: Refused) -> Refused:
    """What only the last resort handles is an internal error here, and so is a value out of its bounds."""
    found = error.body["error"]
    if error.closes or (error.status == 400 and found["param"] is not None):
        return Refused(500, _error("internal_error", found["message"]))
    return Refused(error.status, _error(found["type"], found["message"]))


def _error(kind: str, message: str) -> Json:
    return {"type": "error", "error": {"type": kind, "message": message}}


class _Answer:
    def __init__(self, name: str, model: str, prompt: int, written: chat.Written) -> None:
        self._frame: Json = {"id": name, "type": "message", "role": "assistant"}
        self._model = model
        self._prompt = prompt
        self._written = written

    def whole(self) -> Json:
        return {**self._frame, "content": self._content(), "model": self._model, **self._end()}

    def events(self) -> Iterator[Json]:
        nothing = {"stop_reason": None, "stop_sequence": None}
        start = {"usage": {"input_tokens": self._prompt, "output_tokens": 0}}
        message = {**self._frame, "content": [], "model": self._model, **nothing, **start}
        yield {"type": "message_start", "message": message}
        yield from self._blocks()
        end = self._end()
        yield {"type": "message_delta", "delta": {"stop_reason": end["stop_reason"]}, "usage": end["usage"]}
        yield {"type": "message_stop"}

    def _content(self) -> list[Json]:
        if not self._written.calls:
            return [{"type": "text", "text": self._written.text.text}]
        return [
            {"type": "tool_use", "id": new_id(), "name": call["name"], "input": call["arguments"]}
            for call in self._written.calls
        ]

    def _blocks(self) -> Iterator[Json]:
        for index, call in enumerate(self._written.calls):
            block = {"type": "tool_use", "id": new_id(), "name": call["name"], "input": {}}
            delta = {"type": "input_json_delta", "partial_json": as_json(call)}
            yield from _block(index, block, [delta])
        if not self._written.calls:
            deltas = [{"type": "text_delta", "text": piece} for piece in self._written.text.pieces]
            yield from _block(0, {"type": "text", "text": ""}, deltas)

    def _end(self) -> Json:
        counted = {"input_tokens": self._prompt, "output_tokens": len(self._written.text.pieces)}
        reason = "tool_use" if self._written.calls else "end_turn"
        cut = self._written.text.finish == "length"
        return {"stop_reason": "max_tokens" if cut else reason, "usage": counted}


def _block(index: int, block: Json, deltas: list[Json]) -> Iterator[Json]:
    yield {"type": "content_block_start", "index": index, "content_block": block}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}
