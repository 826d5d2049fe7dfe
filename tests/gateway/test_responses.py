"""The Responses API: nothing is stored, what is in no list is refused, and all else arrives as sent."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from shared.catalog.catalog import Catalog, CatalogModel, Member
from tests.gateway.recorder import Recorder, recorder
from tests.gateway.responses_bodies import FINE, PASSED, REFUSED, WRITTEN, bodies, unstored
from tests.gateway.room import CHAT, Room, asking

RESPONSES = "/openai/v1/responses"
HOST = "models.contoso.internal"
A = CatalogModel("a", "openai", (Member(f"http://{HOST}/v1", "served-a"),))
#: Answered by vLLM.
PHI = CatalogModel("phi-4", "openai", (Member("http://phi-4.models.svc/v1", "phi-4"),), private=True)


def refusal(body: bytes) -> dict[str, Any]:
    told = unstored(body)
    assert told[0] == "!", told
    error: dict[str, Any] = json.loads(told[1:])["error"]
    return error


@pytest.mark.parametrize("which", PASSED)
def test_only_store_is_changed(which: str) -> None:
    sent, arrives = PASSED[which]
    assert unstored(sent) == arrives.decode()


@pytest.mark.parametrize(("field", "value"), [(key, value) for key in FINE for value in FINE[key]])
def test_what_clients_send_passes(field: str, value: Any) -> None:
    assert json.loads(unstored(json.dumps({field: value}).encode())) == {"store": False, field: value}


@pytest.mark.parametrize(("fields", "name", "place"), REFUSED)
def test_what_is_in_no_list_is_refused_by_name(fields: dict[str, Any], name: str, place: str) -> None:
    error = refusal(json.dumps(fields, ensure_ascii=False).encode())
    assert name in error["message"]
    assert (error["param"], error["code"]) == (place, "bad_request")


@pytest.mark.parametrize("body", WRITTEN)
def test_no_way_of_writing_a_key_or_type_goes_past_the_list(body: bytes) -> None:
    assert refusal(body)["type"] == "invalid_request_error"


def test_a_sentence_of_its_own_for_each_thing_that_is_stored_or_runs_elsewhere() -> None:
    asked: list[dict[str, Any]] = [
        {"background": True},
        {"conversation": "c"},
        {"prompt": {"id": "p"}},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
        {"input": [{"role": "user", "content": [{"vector_store_ids": ["v"]}]}]},
        {"input": [{"type": "item_reference", "id": "m"}]},
        {"tools": [{"type": "mcp"}]},
        {"whatever": 1},
    ]
    assert len({refusal(json.dumps(fields).encode())["message"] for fields in asked}) == len(asked)


# ------------------------------------------------------------- the same by a plain reading, of any body


def _objects(value: Any, depth: int) -> Iterator[tuple[dict[str, Any], int]]:
    if isinstance(value, dict):
        yield value, depth
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(each, depth + 1)


_SPELT = {"type", "role", "id", "file_id", "file_ids", "vector_store_ids"}
_STORED = {"file_id", "file_ids", "vector_store_ids"}
_ITEMS = {"message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output",
          "reasoning"}  # fmt: skip
_PARTS = {"input_text", "input_image", "input_file", "input_audio", "output_text", "refusal", "summary_text",
          "reasoning_text", "text", "url_citation"}  # fmt: skip
_TOP = {"include": list, "input": (str, list), "instructions": str, "tools": list, "store": bool,
        "tool_choice": (str, dict), "stream": object, "user": object, "reasoning": object}  # fmt: skip


def _is_fine_object(value: dict[str, Any], types: set[str]) -> bool:
    spelt = not any(key not in _SPELT and key.isascii() and key.lower() in _SPELT for key in value)
    kind = value.get("type")
    known = kind is None or (isinstance(kind, str) and kind in types)
    return spelt and known and not any(value.get(key) is not None for key in _STORED)


def _is_fine_item(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    said = {key for key, value in item.items() if value is not None}
    stored = item.get("type") == "reasoning" and "id" in said and not said & {"content", "encrypted_content"}
    below = all(
        _is_fine_object(value, _ITEMS if depth == 3 else _PARTS) for value, depth in _objects(item, 3)
    )
    return below and not stored and bool(said & {"type", "role"})


def _is_fine_choice(choice: Any) -> bool:
    kinds = {"function", "custom", "allowed_tools"}
    return isinstance(choice, str) or (
        choice.get("type") is not None
        and all(_is_fine_object(value, kinds) for value, _ in _objects(choice, 2))
    )


def _is_fine_tool(tool: Any) -> bool:
    return (
        isinstance(tool, dict)
        and tool.get("type") is not None
        and _is_fine_object(tool, {"function", "custom"})
    )


def _is_fine_field(name: str, value: Any) -> bool:
    if value is None or (name == "background" and value is False):
        return name == "store" or name.lower() != "store"
    if name not in _TOP or not isinstance(value, _TOP[name]):  # type: ignore[arg-type]
        return False
    if name == "include":
        return all(each in ("reasoning.encrypted_content", "message.output_text.logprobs") for each in value)
    if name == "tools":
        return all(map(_is_fine_tool, value))
    if name == "input" and isinstance(value, list):
        return all(map(_is_fine_item, value))
    return name != "tool_choice" or _is_fine_choice(value)


class _TwiceError(Exception):
    pass


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise _TwiceError
    return dict(pairs)


def agrees(body: bytes) -> bool:
    """Whether the stand-in's reading is the plain one: what is fine arrives unstored, all else is refused."""
    told = unstored(body)
    if told == "!!":
        return True
    try:
        read: dict[str, Any] = json.loads(body, object_pairs_hook=_once)
    except _TwiceError:
        return told[0] == "!"
    if not all(_is_fine_field(name, value) for name, value in read.items()):
        return told[0] == "!"
    arrived = json.loads(told, object_pairs_hook=_once)
    return bool(arrived == read | {"store": False} and arrived["store"] is False)


_TYPES = [None, 1, "message", "input_text", "item_reference", "function", "custom", "mcp", "reasoning",
          "allowed_tools"]  # fmt: skip
_KEYS = [
    "type",
    "Type",
    "role",
    "ID",
    "id",
    "content",
    "file_id",
    "FILE_ID",
    "vector_store_ids",
    "tools",
    "x",
]
_DEEP = st.recursive(
    st.sampled_from([None, True, False, 1, "x", "item_reference"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.builds(
            lambda kind, rest: rest | kind,
            st.sampled_from([{}, *({"type": kind} for kind in _TYPES)]),
            st.dictionaries(st.sampled_from(_KEYS), inner, max_size=3),
        )
    ),
    max_leaves=8,
)
_NAMES = ["store", "Store", "input", "tools", "tool_choice", "include", "background", "conversation",
          "prompt", "previous_response_id", "instructions", "user", "x", ""]  # fmt: skip


def _escaped(text: str, places: list[int]) -> bytes:
    """Letters of nested keys and of values with escapes, where the text allows."""
    for place in sorted({place % len(text) for place in places}, reverse=True):
        if text[place].isalpha() and place > 20 and text[place - 1] != "\\":
            changed = f"{text[:place]}\\u{ord(text[place]):04x}{text[place + 1 :]}"
            try:
                json.loads(changed)
            except ValueError:
                continue
            text = changed
    return text.encode()


@given(
    st.dictionaries(st.sampled_from(_NAMES), _DEEP, max_size=4),
    st.lists(st.integers(0, 400), max_size=4),
)
def test_a_plain_reading_of_any_call_comes_to_the_same(fields: dict[str, Any], places: list[int]) -> None:
    assert agrees(_escaped(json.dumps(fields), places))


def test_a_plain_reading_of_calls_with_faults_comes_to_the_same() -> None:
    assert [body for body in bodies(2000, seed=7) if not agrees(body)] == []


# ---------------------------------------------------------------------------------- through the gateway


@pytest_asyncio.fixture(loop_scope="session")
async def server(room: Room) -> AsyncIterator[Recorder]:
    async with recorder() as server:
        room.standins.control.set_options("gateway", hosts={HOST: server.url})
        yield server
    room.standins.control.set_options("gateway", hosts={})


async def key_for(room: Room, model: CatalogModel) -> str:
    catalog = Catalog((model,))
    await room.models(catalog)
    return await room.team(asking(model.name, of=catalog), catalog)


async def send(room: Room, key: str, body: bytes, path: str = RESPONSES) -> httpx.Response:
    headers = {"api-key": key, "Content-Type": "application/json"}
    return await room.http.post(path, content=body, headers=headers)


@pytest.mark.parametrize(
    ("sent", "arrived"),
    [
        (
            b'{"store":true,"model":"a","input":"\\/Date(0)\\/"}',
            b'{"store":false,"model":"served-a","input":"\\/Date(0)\\/"}',
        ),
        (b'{"model":"a","store":null}', b'{"model":"served-a","store":false}'),
        (b'{ "model" : "a" }', b'{"store":false, "model" : "served-a" }'),
    ],
)  # fmt: skip
async def test_the_model_gets_the_call_unstored(
    room: Room, server: Recorder, sent: bytes, arrived: bytes
) -> None:
    answer = await send(room, await key_for(room, A), sent)
    assert answer.status_code == 200, answer.text
    assert [call.body for call in server.calls] == [arrived]


async def test_a_refused_response_asks_no_model_and_costs_no_token(room: Room, server: Recorder) -> None:
    answer = await send(room, await key_for(room, A), b'{"model":"a","input":"x","conversation":"c"}')
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "conversation")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert (server.calls, room.metrics()) == ([], [])


async def test_chat_may_say_what_responses_may_not(room: Room, server: Recorder) -> None:
    body = b'{"model":"a","store":true,"messages":[{"role":"user","content":"x"}]}'
    assert (await send(room, await key_for(room, A), body, CHAT)).status_code == 200
    assert server.calls[0].body == body.replace(b'"a"', b'"served-a"')


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("path", ["/openai/v1/responses/resp_1", "/openai/responses/resp_1"])
async def test_no_stored_response_is_read_or_deleted(
    room: Room, server: Recorder, method: str, path: str
) -> None:
    answer = await room.http.request(method, path, headers={"api-key": await key_for(room, A)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")
    assert "stored" in answer.json()["error"]["message"]
    assert not server.calls


async def test_a_response_counts_the_tokens_that_it_says(room: Room) -> None:
    key = await key_for(room, PHI)
    answer = await send(room, key, b'{"model":"phi-4","input":"How are you today"}')
    assert answer.status_code == 200, answer.text
    said = answer.json()["usage"]
    (metric,) = room.metrics()
    assert (metric["prompt"], metric["completion"]) == (said["input_tokens"], said["output_tokens"])


async def test_a_stream_of_a_response_passes_and_counts_what_its_end_says(room: Room) -> None:
    key = await key_for(room, PHI)
    body = {"model": "phi-4", "input": "How are you today", "stream": True}
    async with room.http.stream("POST", RESPONSES, json=body, headers={"api-key": key}) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        lines = [line async for line in answer.aiter_lines() if line.startswith("data: ")]
    events = [json.loads(line[6:]) for line in lines]
    assert events[0]["type"] == "response.created"
    assert events[-1]["type"] == "response.completed"
    said = events[-1]["response"]["usage"]
    (metric,) = room.metrics()
    assert (metric["prompt"], metric["completion"]) == (said["input_tokens"], said["output_tokens"])
