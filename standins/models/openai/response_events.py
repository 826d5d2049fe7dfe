"""The events of a response. The last one has the whole answer; it is `response.incomplete` where the text was
cut off.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from standins.models.openai.asked import Json
from standins.models.openai.events import words


def events(response: Json) -> Iterator[Json]:
    numbers = count()
    for event in _events(response):
        kind = event.pop("type")
        yield {"type": f"response.{kind}", "sequence_number": next(numbers), **event}


def _events(response: Json) -> Iterator[Json]:
    begun = response | {"status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    for kind in ("created", "in_progress"):
        yield {"type": kind, "response": begun}
    for number, item in enumerate(response["output"]):
        place = {"output_index": number}
        empty: Json = {"content": []} if item["type"] == "message" else {"arguments": ""}
        yield {"type": "output_item.added", **place, "item": item | empty | {"status": "in_progress"}}
        yield from (_message if item["type"] == "message" else _call)(item, place)
        yield {"type": "output_item.done", **place, "item": item}
    yield {"type": response["status"], "response": response}


def _message(item: Json, place: Json) -> Iterator[Json]:
    [part] = item["content"]
    where = {"item_id": item["id"], **place, "content_index": 0}
    yield {"type": "content_part.added", **where, "part": part | {"text": ""}}
    for word in words(part["text"]):
        yield {"type": "output_text.delta", **where, "delta": word, "logprobs": []}
    yield {"type": "output_text.done", **where, "text": part["text"], "logprobs": []}
    yield {"type": "content_part.done", **where, "part": part}


def _call(item: Json, place: Json) -> Iterator[Json]:
    where = {"item_id": item["id"], **place}
    middle = len(item["arguments"]) // 2
    for piece in (item["arguments"][:middle], item["arguments"][middle:]):
        yield {"type": "function_call_arguments.delta", **where, "delta": piece}
    done = {"arguments": item["arguments"], "name": item["name"]}
    yield {"type": "function_call_arguments.done", **where, **done}
