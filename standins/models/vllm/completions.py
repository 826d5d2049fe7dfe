"""Completions of a text or of tokens, whole and as a stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from standins.models.texts import tokens
from standins.models.vllm import logprobs, sampling
from standins.models.vllm.call import CREATED, Call, usage
from standins.models.vllm.errors import Json, answer, refused
from standins.models.vllm.generation import Text, write, write_json
from standins.models.vllm.streams import stream, wants_usage

_DEFAULT = 16


@dataclass(frozen=True)
class _Choice:
    """`prompt` is what is echoed before the text, empty without `echo`."""

    prompt: Sequence[str]
    text: Text


async def complete(call: Call) -> web.StreamResponse:
    name = sampling.model(call.server, call.body)
    if call.body.get("suffix"):
        raise refused("suffix is not currently supported")
    if call.body.get("stream") and call.body.get("use_beam_search"):
        raise refused("Streaming is not supported with beam search")
    asked = [_generate(call, prompt) for prompt in prompts_of(call.body["prompt"])]
    count = sum(prompt for prompt, _ in asked)
    choices = [choice for _, choice in asked for _ in range(call.body.get("n") or 1)]
    if call.body.get("stream"):
        return await stream(call.request, call.pace, _chunks(call, name, count, choices))
    return answer(_whole(call, name, count, choices))


def prompts_of(given: Any) -> list[Any]:
    """A prompt is a text or a list of tokens; there may be several."""
    single = isinstance(given, str) or all(isinstance(each, int) for each in given)
    return [given] if single else list(given)


def _generate(call: Call, prompt: Any) -> tuple[int, _Choice]:
    body, server = call.body, call.server
    said = prompt if isinstance(prompt, str) else " ".join(map(str, prompt))
    count = tokens(said) if isinstance(prompt, str) else len(prompt)
    length = len(prompt) if isinstance(prompt, str) else 0
    limits = sampling.limits(server, body, count, length, name="max_tokens", default=_DEFAULT)
    if body.get("logprobs") is not None:
        sampling.logprobs(body["logprobs"], server)
    schema = sampling.output_format(body)
    if schema is False:
        text = write(server, said, limits, body.get("stop"))
    else:
        text = write_json(server, schema, said, limits)
    first, *rest = said.split() or [""]
    return count, _Choice([first, *(f" {word}" for word in rest)] if body.get("echo") else [], text)


def _whole(call: Call, name: str, prompt: int, choices: Sequence[_Choice]) -> Json:
    body = {
        "id": call.new_id("cmpl"),
        "object": "text_completion",
        "created": CREATED,
        "model": name,
        "choices": [_choice(call, number, each) for number, each in enumerate(choices)],
        "service_tier": None,
        "system_fingerprint": call.server.fingerprint,
        "usage": usage(prompt, sum(len(each.text.pieces) for each in choices)),
        "kv_transfer_params": None,
    }
    return body if call.server.old else body | {"metrics": None}


def _choice(call: Call, number: int, choice: _Choice) -> Json:
    pieces = [*choice.prompt, *choice.text.pieces]
    wanted = call.body.get("logprobs")
    known = bool(choice.prompt) and wanted is not None
    return {
        "index": number,
        "text": "".join(pieces),
        "logprobs": logprobs.in_completion(pieces, call.body, first=bool(choice.prompt)),
        "finish_reason": choice.text.finish,
        "stop_reason": choice.text.stopped_by,
        "token_ids": None,
        "prompt_logprobs": logprobs.of_prompt(choice.prompt, wanted or 0) if known else None,
        "prompt_token_ids": None,
        "routed_experts": None,
    }


def _chunks(call: Call, name: str, prompt: int, choices: Sequence[_Choice]) -> Iterator[Json]:
    at_end, always = wants_usage(call.body)
    frame = {"id": call.new_id("cmpl"), "object": "text_completion", "created": CREATED, "model": name}
    mark = {"system_fingerprint": call.server.fingerprint}
    done = 0
    for number, choice in enumerate(choices):
        for step, row in enumerate(_deltas(call, number, choice)):
            done += 1
            ended = step == len(choice.text.pieces) - 1
            counted = {"usage": usage(prompt, done, whole=False)} if always else {}
            yield frame | {"choices": [row]} | (mark if ended and not at_end else {}) | counted
    if at_end:
        yield frame | {"choices": [], "usage": usage(prompt, done, whole=False)} | mark


def _deltas(call: Call, number: int, choice: _Choice) -> Iterator[Json]:
    offset, pieces = 0, choice.text.pieces
    for step, piece in enumerate(pieces):
        new = [*choice.prompt, piece] if step == 0 else [piece]
        last = step == len(pieces) - 1
        yield {
            "index": number,
            "text": "".join(new),
            "logprobs": logprobs.in_completion(new, call.body, first=len(new) > 1, offset=offset),
            "finish_reason": choice.text.finish if last else None,
            "stop_reason": choice.text.stopped_by if last else None,
            "prompt_token_ids": None,
            "token_ids": None,
        }
        offset += len("".join(new))
