"""Responses: nothing is kept, most tools are accepted and ignored, and a text that was cut off is
`incomplete`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from standins.models.vllm import grammar, prompts, sampling, tools
from standins.models.vllm.call import CREATED, Call
from standins.models.vllm.errors import Json, Refused, answer, refused
from standins.models.vllm.generation import Text, write, write_calls, write_json
from standins.models.vllm.response_events import events
from standins.models.vllm.response_tools import shown_tool
from standins.models.vllm.streams import stream

_KIND = "invalid_request_error"
_NO_STORE = (
    "This vLLM engine does not support `store=True` and therefore does not support the background mode. To "
    "enable these features, set the environment variable `VLLM_ENABLE_RESPONSES_API_STORE=1` when launching "
    "the vLLM server."
)
_REASONING = ("context", "effort", "generate_summary", "mode", "summary")


@dataclass(frozen=True)
class _Written:
    prompt: int
    most: int
    text: Text
    calls: Sequence[Json] = ()


async def respond(call: Call) -> web.StreamResponse:
    body = call.body
    name = sampling.model(call.server, body)
    if body.get("background"):
        raise refused(_NO_STORE, kind=_KIND, param="background")
    if previous := body.get("previous_response_id"):
        raise unknown(previous)
    written = _generate(call)
    made = _made(call, name, written)
    if not body.get("stream"):
        return answer(made)
    return await stream(
        call.request, call.pace, events(made, written.text, written.calls), named=True, done=False
    )


async def get(_: Call, name: str) -> web.StreamResponse:
    """Also for `cancel`."""
    raise unknown(name)


def unknown(name: str) -> Refused:
    message = f"Response with id '{name}' not found."
    return refused(message, status=404, kind=_KIND, param="response_id")


def _generate(call: Call) -> _Written:
    body, server = call.body, call.server
    messages = _messages(body)
    given = body.get("tools") or []
    prompt, length = sampling.prompt_of(server, messages, given)
    limits = sampling.limits(server, body, prompt, length, name="max_output_tokens")
    said = prompts.said(messages)
    calls = tools.called(given, body.get("tool_choice")) if server.tool_parser else []
    if calls:
        return _Written(prompt, limits.most, write_calls(server, calls, limits, once=True), calls)
    wanted = (body.get("text") or {}).get("format") or {}
    if wanted.get("type") == "json_schema":
        grammar.compiled(wanted.get("schema"))
        return _Written(prompt, limits.most, write_json(server, wanted.get("schema"), said, limits))
    return _Written(prompt, limits.most, write(server, said, limits, body.get("stop")))


def _messages(body: Mapping[str, Any]) -> list[Json]:
    given = body["input"]
    items = [{"role": "user", "content": given}] if isinstance(given, str) else list(given)
    for item in items:
        if item.get("type") == "item_reference":
            message = "'item_reference' is not a kind of input"
            raise refused(message, status=500, kind="InternalServerError", closes=True)
    first = [{"role": "system", "content": body["instructions"]}] if body.get("instructions") else []
    return [*first, *(_message(item) for item in items)]


def _message(item: Json) -> Json:
    if "content" in item or item.get("type", "message") == "message":
        return item
    return {"role": "tool", "content": item.get("output") or item.get("arguments") or ""}


def _made(call: Call, name: str, written: _Written) -> Json:
    body = call.body
    cut = written.text.finish == "length"
    asked = body.get("max_output_tokens")
    return {
        "id": f"resp_{uuid.uuid4().hex}",
        "created_at": CREATED,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "instructions": body.get("instructions"),
        "metadata": body.get("metadata"),
        "model": name,
        "object": "response",
        "output": [_call(each) for each in written.calls] if written.calls else [_item(written.text)],
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "temperature": _number(body.get("temperature")),
        "tool_choice": _choice(body.get("tool_choice", "auto")),
        "tools": [shown_tool(tool) for tool in body.get("tools") or []],
        "top_p": _number(body.get("top_p")),
        "background": bool(body.get("background")),
        "max_output_tokens": written.most if asked is None else asked,
        "max_tool_calls": body.get("max_tool_calls"),
        "previous_response_id": None,
        "prompt": None,
        "reasoning": _filled(body.get("reasoning"), _REASONING),
        "service_tier": body.get("service_tier", "auto"),
        "status": "incomplete" if cut else "completed",
        "text": _text(body.get("text")),
        "top_logprobs": body.get("top_logprobs"),
        "truncation": body.get("truncation", "disabled"),
        "usage": _usage(written.prompt, len(written.text.pieces)),
        "user": body.get("user"),
        "presence_penalty": float(body.get("presence_penalty") or 0.0),
        "frequency_penalty": float(body.get("frequency_penalty") or 0.0),
        "kv_transfer_params": None,
        "input_messages": None,
        "output_messages": None,
    }


def _item(text: Text) -> Json:
    part: Json = {"annotations": [], "text": text.text, "type": "output_text", "logprobs": None}
    message = {"role": "assistant", "status": "completed", "type": "message", "phase": None}
    return {"id": f"msg_{uuid.uuid4().hex}", "content": [part] if text.text else [], **message}


def _call(call: Json) -> Json:
    return {
        "arguments": tools.as_json(call),
        "call_id": tools.new_id(),
        "name": call["name"],
        "type": "function_call",
        "id": f"fc_{uuid.uuid4().hex}",
        "async": None,
        "caller": None,
        "namespace": None,
        "status": "completed",
    }


def _usage(prompt: int, completion: int) -> Json:
    read = {"cached_tokens": 0, "input_tokens_per_turn": [], "cached_tokens_per_turn": []}
    written: Json = {"output_tokens_per_turn": [], "tool_output_tokens_per_turn": []}
    return {
        "input_tokens": prompt,
        "input_tokens_details": read,
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": 0, "tool_output_tokens": 0, **written},
        "total_tokens": prompt + completion,
    }


def _number(value: Any) -> float:
    return 1.0 if value is None else float(value)


def _choice(choice: Any) -> Any:
    return {"name": choice.get("name"), "type": choice.get("type")} if isinstance(choice, dict) else choice


def _filled(value: Any, names: Sequence[str]) -> Json | None:
    return None if value is None else {name: value.get(name) for name in names}


def _text(value: Any) -> Json | None:
    if value is None:
        return None
    wanted = value.get("format")
    if wanted is not None and wanted.get("type") == "json_schema":
        wanted = _filled(wanted, ("name", "schema", "type", "description", "strict"))
    return {"format": wanted, "verbosity": value.get("verbosity")}
