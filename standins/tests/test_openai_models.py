"""Models of OpenAI's and Azure's: every verb, as their own client reads it, and what they refuse."""

from __future__ import annotations

import base64
import struct
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from openai import AsyncOpenAI, BadRequestError, InternalServerError, NotFoundError

from standins.models.texts import vector
from standins.tests.plugin import StandIns

HOST = "openai.internal.contoso.com"
WEATHER = {
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
IN_CHAT: Any = [{"type": "function", "function": WEATHER}]
IN_RESPONSES: Any = [{"type": "function", "strict": False, **WEATHER}]
HELLO: Any = [{"role": "user", "content": "hello to you"}]


@pytest.fixture(autouse=True)
def prepared(standins: StandIns) -> Iterator[None]:
    standins.control.forget_report("models")
    standins.control.set_options("models", serves={f"{HOST}/v1": ["m"]}, lacks={})
    yield
    standins.control.set_options("models", serves={}, lacks={})
    standins.control.forget_report("models")


@pytest_asyncio.fixture(loop_scope="session")
async def client(standins: StandIns) -> AsyncIterator[AsyncOpenAI]:
    """The official client, which sends no credential to this host."""

    async def bare(request: httpx.Request) -> None:
        del request.headers["Authorization"]
        request.headers["Host"] = HOST

    async with httpx.AsyncClient(event_hooks={"request": [bare]}) as http:
        yield AsyncOpenAI(
            base_url=f"{standins.addresses['models']}/v1", api_key="-", max_retries=0, http_client=http
        )


async def test_a_function_is_called_where_the_request_says_so(client: AsyncOpenAI) -> None:
    named = {"type": "function", "function": {"name": "weather"}}
    choices: Any = ((named, "stop"), ("required", "tool_calls"), ("auto", "stop"))
    for choice, reason in choices:
        answer = await client.chat.completions.create(
            model="m", messages=HELLO, tools=IN_CHAT, tool_choice=choice
        )
        assert answer.choices[0].finish_reason == reason
        calls: Any = answer.choices[0].message.tool_calls or []
        found = [(call.function.name, call.function.arguments) for call in calls]
        assert found == ([] if choice == "auto" else [("weather", '{"city": "word"}')])


async def test_a_streamed_call_of_a_function_comes_in_pieces(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="m", messages=HELLO, tools=IN_CHAT, tool_choice="required", stream=True
    )
    chunks = [chunk.choices[0] async for chunk in stream]
    pieces: Any = [call.function for chunk in chunks for call in chunk.delta.tool_calls or ()]
    assert [piece.name for piece in pieces] == ["weather", None, None]
    assert "".join(piece.arguments for piece in pieces) == '{"city": "word"}'
    assert chunks[-1].finish_reason == "tool_calls"


async def test_completions_are_of_each_prompt_and_sixteen_tokens_at_most(client: AsyncOpenAI) -> None:
    answer = await client.completions.create(model="m", prompt=["one", " ".join(["two"] * 20)])
    assert [(each.index, each.finish_reason) for each in answer.choices] == [(0, "stop"), (1, "length")]
    assert answer.choices[0].text == "You said: one"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (21, 3 + 16)
    stream = await client.completions.create(
        model="m", prompt="one two", stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(each.text for chunk in chunks for each in chunk.choices) == "You said: one two"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 6


async def test_a_vector_as_base64_is_the_same_in_32_bits(client: AsyncOpenAI) -> None:
    raw: Any = (
        (await client.embeddings.create(model="m", input="blue sky", encoding_format="base64", dimensions=8))
        .data[0]
        .embedding
    )
    assert struct.unpack("<8f", base64.b64decode(raw)) == pytest.approx(vector("blue sky", 8))
    # What the client asks for by itself is base64, which it reads.
    by_default = (await client.embeddings.create(model="m", input=["blue sky", "sea"])).data
    assert [row.embedding for row in by_default] == [
        pytest.approx(vector("blue sky"), abs=1e-6),
        pytest.approx(vector("sea"), abs=1e-6),
    ]
    assert (await client.embeddings.create(model="m", input=[1, 2, 3])).usage.prompt_tokens == 3


async def test_a_response_is_made_of_its_last_item_and_counts_all(client: AsyncOpenAI) -> None:
    answer = await client.responses.create(
        model="m",
        instructions="be kind",
        input=[
            *HELLO,
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "bye"}]},
        ],
        store=False,
    )
    assert (answer.output_text, answer.status) == ("You said: bye", "completed")
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (6, 3, 9)
    with pytest.raises(NotFoundError):
        await client.responses.retrieve(answer.id)


async def test_a_response_is_kept_unless_its_request_says_otherwise(client: AsyncOpenAI) -> None:
    first = await client.responses.create(model="m", input="hello")
    assert (await client.responses.retrieve(first.id)).output_text == "You said: hello"
    second = await client.responses.create(model="m", input="more", previous_response_id=first.id)
    assert second.usage is not None
    assert second.usage.input_tokens == 1 + 4
    await client.responses.delete(first.id)
    with pytest.raises(NotFoundError):
        await client.responses.retrieve(first.id)
    with pytest.raises(BadRequestError) as refused:
        await client.responses.create(model="m", input="more", previous_response_id=first.id)
    assert refused.value.code == "previous_response_not_found"


@pytest.mark.parametrize(("most", "end"), [(None, "completed"), (2, "incomplete")])
async def test_the_last_event_of_a_response_has_the_whole_of_it(
    client: AsyncOpenAI, most: int | None, end: str
) -> None:
    stream = await client.responses.create(
        model="m", input="hello", max_output_tokens=most, stream=True, store=False
    )
    events: Any = [event async for event in stream]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events if not event.type.endswith(".delta")] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        f"response.{end}",
    ]
    said = "".join(event.delta for event in events if event.type.endswith(".delta"))
    assert said == events[-1].response.output_text == ("You said: hello" if most is None else "You said:")
    assert events[0].response.usage is None
    assert events[-1].response.usage.output_tokens == (3 if most is None else 2)


async def test_a_response_calls_a_function_and_streams_its_arguments(client: AsyncOpenAI) -> None:
    asked: Any = {"model": "m", "input": "hello", "tools": IN_RESPONSES, "store": False}
    [call] = (await client.responses.create(**asked, tool_choice="required")).output
    assert (call.type, getattr(call, "arguments", None)) == ("function_call", '{"city": "word"}')
    stream: Any = await client.responses.create(
        **asked, tool_choice={"type": "function", "name": "weather"}, stream=True
    )
    deltas = [event.delta async for event in stream if event.type == "response.function_call_arguments.delta"]
    assert (len(deltas), "".join(deltas)) == (2, '{"city": "word"}')


async def test_a_picture_is_base64_and_has_a_usage_of_its_own(client: AsyncOpenAI) -> None:
    answer = await client.images.generate(model="m", prompt="a grey cat", n=2, size="1024x1024")
    assert answer.data is not None
    assert answer.usage is not None
    assert [base64.b64decode(each.b64_json or "")[:4] for each in answer.data] == [b"\x89PNG"] * 2
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (3, 544)


@pytest.mark.parametrize(
    ("path", "body", "code", "param"),
    [
        ("chat/completions", {}, "missing_required_parameter", "messages"),
        ("chat/completions", {"messages": HELLO, "tools": []}, "empty_array", "tools"),
        ("chat/completions", {"messages": HELLO, "tool_choice": "required"}, None, "tool_choice"),
        ("completions", {}, "missing_required_parameter", "prompt"),
        ("embeddings", {}, "missing_required_parameter", "input"),
        ("embeddings", {"input": "a", "encoding_format": "hex"}, "invalid_value", "encoding_format"),
        ("responses", {}, "missing_required_parameter", "input"),
        ("images/generations", {}, "missing_required_parameter", "prompt"),
        (
            "images/generations",
            {"prompt": "a", "response_format": "url"},
            "unknown_parameter",
            "response_format",
        ),
        ("images/generations", {"prompt": "a", "size": "1x1"}, "invalid_value", "size"),
        ("images/generations", {"prompt": "a", "n": 11}, "invalid_value", "n"),
    ],
)
async def test_a_wrong_request_is_refused_with_the_parameter(
    client: AsyncOpenAI, path: str, body: dict[str, Any], code: str | None, param: str
) -> None:
    with pytest.raises(BadRequestError) as refused:
        await client.post(f"/{path}", body={"model": "m", **body}, cast_to=object)
    assert (refused.value.code, refused.value.param) == (code, param)


@pytest.mark.parametrize(
    ("lacking", "path", "body", "code"),
    [
        ("tools", "chat/completions", {"messages": HELLO, "tools": IN_CHAT}, "unsupported_parameter"),
        ("tools", "responses", {"input": "a", "tools": IN_RESPONSES}, "unsupported_parameter"),
        ("chat", "chat/completions", {"messages": HELLO}, "OperationNotSupported"),
        ("completions", "completions", {"prompt": "a"}, "OperationNotSupported"),
        ("embeddings", "embeddings", {"input": "a"}, "OperationNotSupported"),
        ("responses", "responses", {"input": "a"}, "OperationNotSupported"),
        ("images", "images/generations", {"prompt": "a"}, "OperationNotSupported"),
    ],
)
async def test_what_a_model_does_not_do_is_refused(
    standins: StandIns, client: AsyncOpenAI, lacking: str, path: str, body: dict[str, Any], code: str
) -> None:
    await client.post(f"/{path}", body={"model": "m", **body}, cast_to=object)
    standins.control.set_options("models", lacks={f"{HOST}/v1": [lacking]})
    with pytest.raises(BadRequestError) as refused:
        await client.post(f"/{path}", body={"model": "m", **body}, cast_to=object)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "more",
    [
        {"background": True},
        {"conversation": "conv_1"},
        {"prompt": {"id": "pmpt_1"}},
        {"tools": [{"type": "web_search"}]},
    ],
    ids=lambda more: next(iter(more)),
)
async def test_what_the_service_would_do_and_this_cannot_is_loud(
    client: AsyncOpenAI, more: dict[str, Any]
) -> None:
    with pytest.raises(InternalServerError) as refused:
        await client.responses.create(model="m", input="hello", **more)
    assert (refused.value.status_code, refused.value.code) == (501, "NotImplemented")
