"""Chat completions, whole and as a stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

from aiohttp import web

from standins.models.vllm import grammar, logprobs, prompts, sampling, tools
from standins.models.vllm.call import CREATED, Call, usage
from standins.models.vllm.errors import Json, answer
from standins.models.vllm.generation import Limits, Text, write, write_calls, write_json
from standins.models.vllm.streams import stream, wants_usage, without


@dataclass(frozen=True)
class Written:
    """What the model wrote in one choice: `calls` are its calls of tools; a parser may have read it."""

    text: Text
    calls: Sequence[Json] = ()
    parsed: bool = False

    @property
    def cut_off(self) -> bool:
        return bool(self.calls) and self.text.finish == "length"


async def chat(call: Call) -> web.StreamResponse:
    name = sampling.model(call.server, call.body)
    prompt, written = generate(call)
    made = _made(call, name)
    count = _count(call)
    if call.body.get("stream"):
        return await stream(call.request, call.pace, _chunks(call, made, prompt, [written] * count))
    return answer(_whole(call, made, prompt, [written] * count))


async def batch(call: Call) -> web.StreamResponse:
    """Several conversations, a choice of each."""
    name = sampling.model(call.server, call.body)
    found = [generate(_with(call, messages)) for messages in call.body["messages"]]
    whole = _whole(call, _made(call, name), sum(prompt for prompt, _ in found), [each for _, each in found])
    return answer(whole)


def generate(call: Call) -> tuple[int, Written]:
    """Tokens of the prompt, and what follows it. Raises Refused."""
    body, server = call.body, call.server
    tools.check(server, body)
    sampling.trusted(body)
    given = body.get("tools")
    prompt, length = sampling.prompt_of(server, body["messages"], given)
    limits = sampling.chat_limits(server, body, prompt, length)
    if body.get("logprobs"):
        sampling.logprobs(body.get("top_logprobs") or 0, server)
    return prompt, _written(call, limits)


def _written(call: Call, limits: Limits) -> Written:
    body, server = call.body, call.server
    said = prompts.said(body["messages"])
    parsed = tools.read_by_parser(server, body)
    if parsed and (calls := tools.called(body["tools"], body["tool_choice"])):
        named = isinstance(body["tool_choice"], dict)
        return Written(write_calls(server, calls, limits, once=named), calls, parsed)
    schema = sampling.output_format(body)
    if schema is not False:
        return Written(write_json(server, schema, said, limits), parsed=parsed)
    return Written(write(server, said, limits, body.get("stop")), parsed=parsed)


def _with(call: Call, messages: list[Json]) -> Call:
    return Call(call.server, call.request, {**call.body, "messages": messages}, call.pace)


def _count(call: Call) -> int:
    return int(call.body.get("n") or 1)


def _made(call: Call, name: str) -> Json:
    return {"id": call.new_id("chatcmpl"), "created": CREATED, "model": name}


def finish_of(call: Call, written: Written, *, streamed: bool = False) -> str:
    """A named tool ends with `stop`, required ones with `tool_calls`; cut off ones only in a stream."""
    if written.calls and (streamed or not written.cut_off):
        return "stop" if isinstance(call.body.get("tool_choice"), dict) else "tool_calls"
    return written.text.finish


def _whole(call: Call, made: Json, prompt: int, choices: Sequence[Written]) -> Json:
    completion = sum(len(each.text.pieces) for each in choices)
    body = {
        "id": made["id"],
        "object": "chat.completion",
        "created": made["created"],
        "model": made["model"],
        "choices": [_choice(call, number, each) for number, each in enumerate(choices)],
        "service_tier": None,
        "system_fingerprint": call.server.fingerprint,
        "usage": usage(prompt, completion),
        "prompt_logprobs": None,
        "prompt_token_ids": None,
        "prompt_text": None,
        "kv_transfer_params": None,
    }
    return body if call.server.old else body | {"metrics": None}


def _choice(call: Call, number: int, written: Written) -> Json:
    whole_calls = [] if written.cut_off else tools.in_chat(written.calls)
    message: Json = {
        "role": "assistant",
        "content": "" if whole_calls else written.text.text,
        "refusal": None,
        "annotations": None,
        "audio": None,
        "function_call": None,
        "tool_calls": whole_calls,
        "reasoning": None,
    }
    return {
        "index": number,
        "message": message if whole_calls or call.server.old else without(message, "tool_calls"),
        "logprobs": logprobs.in_chat(written.text.pieces, call.body),
        "finish_reason": finish_of(call, written),
        "stop_reason": written.text.stopped_by,
        "token_ids": None,
        "routed_experts": None,
    }


def _chunks(call: Call, made: Json, prompt: int, choices: Sequence[Written]) -> Iterator[Json]:
    """First the roles, then a token at a time; the last token comes with the reason, or the reason after it
    where a parser reads.
    """
    at_end, always = wants_usage(call.body)
    frame = {"id": made["id"], "object": "chat.completion.chunk", "created": CREATED, "model": made["model"]}
    done = 0

    def chunk(choice: Json, **more: Any) -> Json:
        counted = {"usage": usage(prompt, done, whole=False)} if always else {}
        return frame | {"choices": [choice]} | counted | more

    for number in range(len(choices)):
        first = {"index": number, "delta": {"role": "assistant", "content": ""}, "logprobs": None}
        yield chunk(first | {"finish_reason": None}, prompt_token_ids=None, prompt_text=None)
    rows = [_deltas(call, number, each) for number, each in enumerate(choices)]
    for choice in filter(None, chain.from_iterable(zip_longest(*rows))):
        done += 1
        ended = choice["finish_reason"] is not None and not at_end
        yield chunk(choice, **({"system_fingerprint": call.server.fingerprint} if ended else {}))
    if at_end:
        total = sum(len(each.text.pieces) for each in choices)
        mark = {"system_fingerprint": call.server.fingerprint}
        yield frame | {"choices": [], "usage": usage(prompt, total, whole=False)} | mark


def _deltas(call: Call, number: int, written: Written) -> list[Json]:
    if written.calls:
        deltas: list[Json] = [{"content": None, "tool_calls": each} for each in _call_deltas(written)]
    else:
        deltas = [{"content": piece} for piece in written.text.pieces or [""]]
    if written.parsed:
        deltas.append({})
    end = {"finish_reason": finish_of(call, written, streamed=True), "stop_reason": written.text.stopped_by}
    return [
        {
            "index": number,
            "delta": delta,
            "logprobs": logprobs.in_chat([delta["content"]], call.body) if delta.get("content") else None,
            **(end if step == len(deltas) - 1 else {"finish_reason": None}),
            "token_ids": None,
        }
        for step, delta in enumerate(deltas)
    ]


def _call_deltas(written: Written) -> Iterator[list[Json]]:
    """The name of each call, then its arguments in pieces."""
    from_text = max(written.text.text.count("<tool_call>"), 1)
    for index in range(from_text):
        call = written.calls[index % len(written.calls)]
        function = {"name": call["name"]}
        yield [{"id": tools.new_id(), "type": "function", "index": index, "function": function}]
        for piece in grammar.pieces_of_json(tools.as_json(call)):
            yield [{"index": index, "function": {"arguments": piece}}]
