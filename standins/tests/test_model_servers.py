"""A server of KAITO answers as vLLM does: an extract of what was recorded of a real one."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio

from standins.models.vllm.server import Server, server_from
from standins.tests.hosting import eventually
from standins.tests.plugin import StandIns
from standins.tests.reference.vllm_exchanges import Client

HOST = "phi-4.team-alpha.svc"
CHAT, RESPONSES, EMBEDDINGS = "/v1/chat/completions", "/v1/responses", "/v1/embeddings"
HELLO: dict[str, Any] = {"model": "phi-4", "messages": [{"role": "user", "content": "hello to you"}]}
WEATHER = {
    "name": "weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Oslo", "Bern"]}},
        "required": ["city"],
    },
}
TOOLS: dict[str, Any] = {"tools": [{"type": "function", "function": WEATHER}]}


@pytest.fixture(autouse=True)
def prepared(standins: StandIns) -> Iterator[None]:
    standins.control.forget_report("models")
    yield
    standins.control.set_options("models", servers={}, chunk_seconds=0.0)
    standins.control.forget_report("models")


@pytest_asyncio.fixture(loop_scope="session")
async def http(standins: StandIns) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=standins.addresses["models"], headers={"Host": HOST}) as client:
        yield client


def special(standins: StandIns, **wishes: Any) -> None:
    standins.control.set_options("models", servers={HOST: wishes})


def events(text: str) -> list[Any]:
    """The data of each event."""
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) if line.startswith("{") else line for line in lines]


async def asked(http: httpx.AsyncClient, path: str = CHAT, /, **changes: Any) -> httpx.Response:
    return await http.post(path, json={**(HELLO if path == CHAT else {}), **changes})


@pytest.mark.parametrize(
    ("changes", "status", "kind", "param"),
    [
        ({"model": "Phi-4"}, 404, "NotFoundError", "model"),
        ({"max_tokens": 100_000}, 400, "BadRequestError", "max_tokens"),
        ({"max_tokens": 0}, 400, "BadRequestError", "max_tokens"),
        ({"temperature": 3}, 400, "BadRequestError", "temperature"),
        ({"top_p": 2}, 400, "BadRequestError", "top_p"),
        ({"n": 2, "temperature": 0}, 400, "BadRequestError", None),
        ({"messages": []}, 400, "BadRequestError", None),
        ({"messages": [{"role": "user", "content": "x" * 60_000}]}, 400, "BadRequestError", "input_text"),
        ({"messages": None}, 400, "Bad Request", "body.messages"),
        ({"max_tokens": "many"}, 400, "Bad Request", "body.max_tokens"),
        ({"stream_options": {"include_usage": True}}, 400, "Bad Request", "stream_options"),
        ({"tool_choice": "auto"}, 400, "Bad Request", "tool_choice"),
        (TOOLS, 400, "BadRequestError", None),
        ({**TOOLS, "tool_choice": "required", "stream": True}, 400, "BadRequestError", None),
    ],
)
async def test_a_refusal_has_the_form_of_vllm(
    http: httpx.AsyncClient, changes: dict[str, Any], status: int, kind: str, param: str | None
) -> None:
    answer = await asked(http, **changes)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/json")
    error = answer.json()["error"]
    assert (error["type"], error["param"], error["code"]) == (kind, param, status)


@pytest.mark.parametrize("name", [None, ""])
async def test_a_request_without_a_model_is_for_the_one_that_is_served(
    http: httpx.AsyncClient, name: str | None
) -> None:
    assert (await asked(http, model=name)).json()["model"] == "phi-4"
    [row] = (await http.get("/v1/models")).json()["data"]
    assert (row["id"], row["owned_by"], row["max_model_len"]) == ("phi-4", "vllm", 2048)


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/v1/nothing", 404, {"detail": "Not Found"}),
        ("POST", EMBEDDINGS, 404, {"detail": "Not Found"}),
        ("GET", "/v1/models/phi-4", 404, {"detail": "Not Found"}),
        ("GET", CHAT, 405, {"detail": "Method Not Allowed"}),
        ("GET", "/version", 200, {"version": "0.25.1"}),
    ],
)
async def test_paths_are_those_of_vllm(
    http: httpx.AsyncClient, method: str, path: str, status: int, body: Any
) -> None:
    answer = await http.request(method, path, json={})
    assert (answer.status_code, answer.json()) == (status, body)


async def test_a_schema_error_repeats_the_whole_request_with_a_file_of_the_server(
    http: httpx.AsyncClient,
) -> None:
    long = "x" * 10_000
    message = (await asked(http, tools=[], user=long)).json()["error"]["message"]
    assert (message.count(long), "site-packages" in message) == (2, True)


@pytest.mark.parametrize(("changes", "ends"), [({"messages": []}, True), ({"max_tokens": 0}, False)])
def test_an_error_of_the_last_resort_ends_the_connection_unsaid(
    standins: StandIns, changes: dict[str, Any], ends: bool
) -> None:
    client = Client(urlsplit(standins.addresses["models"]).netloc, HOST)
    answer = client.send({"method": "POST", "path": CHAT, "body": HELLO | changes})
    assert (answer.status, answer.closes, "connection" in answer.headers) == (400, ends, False)


async def test_the_last_word_of_a_stream_says_why_it_ends(http: httpx.AsyncClient) -> None:
    first, *_, last, end = events((await asked(http, stream=True)).text)
    assert (first["choices"][0]["delta"], end) == ({"role": "assistant", "content": ""}, "[DONE]")
    assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"]) == ({"content": " you"}, "stop")
    assert ("usage" in last, "system_fingerprint" in first, "system_fingerprint" in last) == (
        False,
        False,
        True,
    )
    counted = events((await asked(http, stream=True, stream_options={"include_usage": True})).text)[-2]
    assert (counted["choices"], counted["usage"]["completion_tokens"]) == ([], 5)


async def test_tools_are_called_where_a_parser_reads_them(
    standins: StandIns, http: httpx.AsyncClient
) -> None:
    special(standins, tool_parser="hermes")
    named = {"type": "function", "function": {"name": "weather"}}
    for choice, reason in (("required", "tool_calls"), (named, "stop")):
        [answer] = (await asked(http, **TOOLS, tool_choice=choice)).json()["choices"]
        [call] = answer["message"]["tool_calls"]
        assert (json.loads(call["function"]["arguments"]), answer["finish_reason"]) == (
            {"city": "Oslo"},
            reason,
        )
    [cut] = (await asked(http, **TOOLS, tool_choice="required", max_tokens=3)).json()["choices"]
    assert (cut["message"]["content"][:11], "tool_calls" in cut["message"]) == ("<tool_call>", False)


async def test_a_response_that_is_cut_off_is_completed_all_the_same(http: httpx.AsyncClient) -> None:
    *_, last = events((await asked(http, RESPONSES, input="hi", max_output_tokens=2, stream=True)).text)
    assert (last["type"], last["response"]["status"]) == ("response.completed", "incomplete")
    gone = await http.get(f"{RESPONSES}/{last['response']['id']}")
    assert (gone.status_code, gone.json()["error"]["param"]) == (404, "response_id")


async def test_vectors_are_numbers_or_base64(standins: StandIns, http: httpx.AsyncClient) -> None:
    special(standins, task="embed")
    plain = (await asked(http, EMBEDDINGS, input="hello")).json()["data"][0]["embedding"]
    coded = (await asked(http, EMBEDDINGS, input="hello", encoding_format="base64")).json()["data"][0]
    assert list(struct.unpack("<64f", base64.b64decode(coded["embedding"]))) == pytest.approx(plain)
    assert (await asked(http)).status_code == 404
    # The last: the connection ends after it.
    assert (await asked(http, EMBEDDINGS, input="hello", dimensions=8)).status_code == 400


@pytest.mark.parametrize(
    ("state", "status", "health"), [("loading", 501, 404), ("busy", 429, 200), ("dying", 500, 503)]
)
async def test_a_server_that_does_not_serve_answers_by_its_state(
    standins: StandIns, http: httpx.AsyncClient, state: str, status: int, health: int
) -> None:
    special(standins, state=state)
    answer = await asked(http)
    assert (answer.status_code, "Retry-After" in answer.headers) == (status, False)
    assert (await http.get("/health")).status_code == health


@pytest.mark.parametrize("state", ["starting", "draining", "hanging"])
async def test_a_server_that_is_away_answers_nothing(
    standins: StandIns, http: httpx.AsyncClient, state: str
) -> None:
    special(standins, state=state)
    with pytest.raises(httpx.TransportError):
        await asked(http)


@pytest.mark.parametrize("state", ["draining", "dying"])
async def test_a_stream_ends_with_an_error_when_its_server_goes(
    standins: StandIns, http: httpx.AsyncClient, state: str
) -> None:
    special(standins, endless=True)
    standins.control.set_options("models", chunk_seconds=0.05)
    asks = http.stream("POST", CHAT, json=HELLO | {"stream": True, "max_tokens": 1000})
    async with asks as answer:
        pieces = answer.aiter_text()
        seen = [await anext(pieces)]
        special(standins, endless=True, state=state)
        seen += [piece async for piece in pieces]
    *_, error, end = events("".join(seen))
    assert (error["error"]["code"], end) == (500, "[DONE]")


async def test_a_stream_whose_client_leaves_runs_to_its_last_token(
    standins: StandIns, http: httpx.AsyncClient
) -> None:
    special(standins, endless=True)
    standins.control.set_options("models", chunk_seconds=0.01)
    async with http.stream("POST", CHAT, json=HELLO | {"stream": True, "max_tokens": 100}) as answer:
        await anext(answer.aiter_text())
    kind, before = f"POST chat completions {HOST}", len(standins.control.calls("models"))
    await eventually(
        lambda: [call for call in standins.control.calls("models")[before:] if call.kind == kind]
    )
    assert standins.control.report("models")["unread"][HOST] > 50


async def test_a_ceiling_ends_answers_whatever_is_asked(standins: StandIns, http: httpx.AsyncClient) -> None:
    special(standins, ceiling=3, endless=True)
    for changes, tokens in (({}, 3), ({"max_tokens": 500}, 3), ({"max_tokens": 2}, 2)):
        assert (await asked(http, **changes)).json()["usage"]["completion_tokens"] == tokens
    assert (await asked(http, max_tokens=100_000)).status_code == 400
    assert (await asked(http, min_tokens=4)).status_code == 400


async def test_a_completion_without_a_bound_has_its_usual_one_below_a_ceiling(
    standins: StandIns, http: httpx.AsyncClient
) -> None:
    special(standins, ceiling=300, endless=True)
    alone = {"Host": HOST, "Connection": "close"}  # the server closes it without a word after this error
    least = await http.post("/v1/completions", json={"prompt": "x", "min_tokens": 17}, headers=alone)
    assert (
        least.json()["error"]["message"] == "min_tokens must be less than or equal to max_tokens=16, got 17."
    )
    long = await http.post("/v1/completions", json={"prompt": "word " * 9000})
    assert "you requested 16 output tokens" in long.json()["error"]["message"]


@pytest.mark.parametrize("changes", [{"max_tokens": 100_000}, {"temperature": 3}, {"top_p": 2}])
async def test_a_value_out_of_bounds_is_an_internal_error_in_anthropics_protocol(
    standins: StandIns, http: httpx.AsyncClient, changes: dict[str, Any]
) -> None:
    found = await http.post("/v1/messages", json={**HELLO, "max_tokens": 4, **changes})
    assert (found.status_code, found.json()["error"]["type"]) == (500, "internal_error")


async def test_a_key_that_arrives_is_answered_and_noted(standins: StandIns, http: httpx.AsyncClient) -> None:
    assert (await http.post(CHAT, json=HELLO, headers={"api-key": "of-a-team"})).status_code == 200
    [finding] = standins.control.report("models")["findings"]
    assert (finding["server"], "api-key" in finding["what"]) == (f"{HOST}/v1", True)


async def test_another_host_can_be_a_server_of_kaito_below_a_path(
    standins: StandIns, http: httpx.AsyncClient
) -> None:
    standins.control.set_options("models", servers={"models.example/team/phi": {"served": "a/b"}})
    for path, model in (("/team/phi/v1", "a/b"), ("/team/other/v1", "phi-4")):
        sent = await http.post(
            f"{path}/chat/completions", json=HELLO | {"model": ""}, headers={"Host": "models.example"}
        )
        assert sent.status_code == (200 if model == "a/b" else 404)


def test_a_wish_that_no_server_has_is_refused() -> None:
    assert server_from(HOST, {"release": "0.22.1"}) == Server("phi-4", release="0.22.1")
    for wishes in ({"colour": "red"}, {"state": "tired"}):
        with pytest.raises(ValueError, match="model server"):
            server_from(HOST, wishes)
