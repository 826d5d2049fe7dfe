"""One endpoint, one key: which model answers, and who is turned away."""

from __future__ import annotations

import json

import pytest

from shared.catalog.catalog import Catalog, CatalogModel, Member
from shared.policies.policy_xml import SECURITY_HEADERS
from tests.gateway.room import CHAT, Room, asking, saying

FOUNDRY = "https://contoso-ai.openai.azure.com/openai/v1"
CATALOG = Catalog(
    (
        CatalogModel("gpt-4.1", "foundry", (Member(FOUNDRY, "gpt-41-eu"),)),
        CatalogModel(
            "llama", "openai", (Member("http://ollama.contoso.internal:11434/v1", "llama3.3"),), private=True
        ),
        CatalogModel("text-embedding-3-large", "foundry", (Member(FOUNDRY, "embeddings-eu"),)),
    )
)


async def alpha(room: Room, *models: str) -> str:
    """The key of a team that was granted these models."""
    await room.models(CATALOG)
    return await room.team(asking(*(models or ("gpt-4.1", "text-embedding-3-large")), of=CATALOG), CATALOG)


@pytest.mark.parametrize(
    ("path", "model"),
    [
        (CHAT, "gpt-4.1"),
        ("/openai/deployments/gpt-4.1/chat/completions?api-version=2024-10-21", None),
        ("/OpenAI/v1/chat/completions", "gpt-4.1"),
    ],
)
async def test_a_granted_model_answers_however_it_is_named(room: Room, path: str, model: str | None) -> None:
    answer = await room.post(await alpha(room), saying("hello there", model), path)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == "You said: hello there"
    assert answer.json()["model"] == "gpt-41-eu"
    assert room.served() == {"contoso-ai.openai.azure.com/openai/v1": 1}


async def test_embeddings_are_made(room: Room) -> None:
    answer = await room.post(
        await alpha(room), {"model": "text-embedding-3-large", "input": ["a", "b"]}, "/openai/v1/embeddings"
    )
    assert [row["index"] for row in answer.json()["data"]] == [0, 1]


async def test_a_model_that_was_not_granted_is_refused_with_those_that_were(room: Room) -> None:
    answer = await room.post(await alpha(room), saying("hi", "llama"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "model_not_allowed")
    assert "It is for: gpt-4.1, text-embedding-3-large." in answer.json()["error"]["message"]
    assert not room.served()


async def test_the_path_names_the_model_whatever_the_body_says(room: Room) -> None:
    key = await alpha(room)
    answers = [
        await room.post(key, saying("hi", body), f"/openai/deployments/{path}/chat/completions")
        for path, body in (("gpt-4.1", "llama"), ("llama", "gpt-4.1"))
    ]
    assert [answer.status_code for answer in answers] == [200, 403]
    assert answers[0].json()["model"] == "gpt-41-eu"
    assert [metric["dimensions"]["Model"] for metric in room.metrics()] == ["gpt-4.1"]


async def test_the_header_names_the_model_only_where_nothing_else_does(room: Room) -> None:
    key = await alpha(room)
    assert (await room.post(key, saying("hi"), x_ai_eg_model="gpt-4.1")).status_code == 200
    assert (await room.post(key, saying("hi", "llama"), x_ai_eg_model="gpt-4.1")).status_code == 403


async def test_a_stream_arrives_in_chunks_and_ends_as_clients_expect(room: Room) -> None:
    key = await alpha(room)
    async with room.http.stream(
        "POST", CHAT, json=saying("a b", "gpt-4.1", stream=True), headers={"api-key": key}
    ) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        lines = [line async for line in answer.aiter_lines() if line]
    words = [json.loads(line[6:])["choices"][0]["delta"].get("content", "") for line in lines[:-1]]
    assert ("".join(words), lines[-1]) == ("You said: a b", "data: [DONE]")


async def test_an_operation_that_the_api_does_not_have_is_not_found_in_openais_form(room: Room) -> None:
    key = {"api-key": await alpha(room)}
    answer = await room.http.put("/openai/v1/chat/completions", json={}, headers=key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    elsewhere = await room.post(await alpha(room), {}, "/other")
    assert (elsewhere.status_code, elsewhere.json()["statusCode"]) == (404, 404)


@pytest.mark.parametrize("which", ["no body", "no grant", "no team", "no key"])
async def test_refusals_carry_the_security_headers_and_openais_form(room: Room, which: str) -> None:
    key = await alpha(room)
    if which == "no team":
        key = await room.subscription("broad", "/apis/ai")
    body = ["no object"] if which == "no body" else saying("hi", "llama")
    answer = await room.post(None if which == "no key" else key, body)
    assert answer.status_code in (400, 401, 403)
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name] == value


async def test_answers_carry_the_security_headers_and_nothing_of_the_backend(room: Room) -> None:
    answer = await room.post(await alpha(room), saying("hi", "gpt-4.1"))
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers.get("Server") != "model-server"
