"""The events of a response. The ids of items are others than those of the last event, and without a prefix;
the last event is `response.completed` also where the text was cut off.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from itertools import count

from standins.models.vllm import grammar, tools
from standins.models.vllm.errors import Json
from standins.models.vllm.generation import Text

_UNKNOWN: Json = {"incomplete_details": None, "output": [], "status": "in_progress", "usage": None}


def events(response: Json, text: Text, calls: Sequence[Json]) -> Iterator[Json]:
    numbers = count()
    for event in _events(response, text, calls):
        kind = event.pop("type")
        yield event | {"sequence_number": next(numbers), "type": f"response.{kind}"}


def _events(response: Json, text: Text, calls: Sequence[Json]) -> Iterator[Json]:
    for kind in ("created", "in_progress"):
        yield {"response": response | _UNKNOWN, "type": kind}
    for number, call in enumerate(calls):
        yield from _call(number, call)
    if not calls:
        yield from _message(text)
    yield {"response": response, "type": "completed"}


def _message(text: Text) -> Iterator[Json]:
    name, place = uuid.uuid4().hex[:16], {"output_index": 0}
    part = {"content_index": 0, "item_id": name, **place}
    item: Json = {
        "id": name,
        "content": [],
        "role": "assistant",
        "status": "in_progress",
        "type": "message",
        "phase": None,
    }
    whole: Json = {"annotations": [], "text": text.text, "type": "output_text", "logprobs": None}
    yield {"item": item, **place, "type": "output_item.added"}
    yield {**part, "part": whole | {"text": "", "logprobs": []}, "type": "content_part.added"}
    for piece in text.pieces:
        yield {**part, "delta": piece, "logprobs": [], "type": "output_text.delta"}
    yield {**part, "logprobs": [], "text": text.text, "type": "output_text.done"}
    yield {**part, "part": whole, "type": "content_part.done"}
    done = item | {"content": [whole], "status": "completed", "summary": []}
    yield {"item": done, **place, "type": "output_item.done"}


def _call(number: int, call: Json) -> Iterator[Json]:
    name, place = uuid.uuid4().hex[:16], {"output_index": number}
    arguments, of_item = tools.as_json(call), {"item_id": name, "output_index": number}
    item = {
        "arguments": "",
        "call_id": f"call_{uuid.uuid4().hex[:16]}",
        "name": call["name"],
        "type": "function_call",
        "id": name,
        "async": None,
        "caller": None,
        "namespace": None,
        "status": "in_progress",
    }
    yield {"item": item, **place, "type": "output_item.added"}
    for piece in grammar.pieces_of_json(arguments):
        yield {"delta": piece, **of_item, "type": "function_call_arguments.delta"}
    done = {"arguments": arguments, **of_item, "name": call["name"]}
    yield {**done, "type": "function_call_arguments.done"}
    yield {
        "item": item | {"arguments": arguments, "status": "completed"},
        **place,
        "type": "output_item.done",
    }
