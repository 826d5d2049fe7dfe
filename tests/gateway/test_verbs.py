"""What a key can ask for: each verb in each way, the lists of models, and what is not served."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio
from openai import AsyncAzureOpenAI, AsyncOpenAI, BadRequestError, NotFoundError

from shared.catalog.catalog import Catalog, CatalogModel, Member
from shared.catalog.verbs import VERBS, Verb
from shared.policies.policy_xml import SECURITY_HEADERS
from shared.policies.product_policy import LISTS_PER_MINUTE
from tests.gateway.recorder import Recorder, recorder
from tests.gateway.room import CHAT, Room, asking, saying

HOST = "models.contoso.internal"


def _model(name: str, **more: Any) -> CatalogModel:
    return CatalogModel(
        name, "openai", (Member(f"http://{HOST}/v1", f"served-{name}"),), private=True, **more
    )


ALL = frozenset(verb.ability for verb in VERBS) | {"tools"}
CATALOG = Catalog(
    (
        _model("other"),
        _model("plain", serves=frozenset({"chat"})),
        _model("whole", serves=ALL, aliases=("azure/best", "chat-default"), retries=1),
    )
)
NAMES = ["azure/best", "chat-default", "plain", "whole"]
PROMPTS: Mapping[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "hi"}]},
    "completions": {"prompt": "hi"},
    "embeddings": {"input": "hi"},
    "responses": {"input": "hi"},
    "images": {"prompt": "a cat"},
}
WAYS = [(style, verb) for verb in VERBS for style in ("v1", "deployments/whole")] + [
    ("", verb) for verb in VERBS if verb.ability == "responses"
]


@pytest_asyncio.fixture(loop_scope="session")
async def server(room: Room) -> AsyncIterator[Recorder]:
    async with recorder() as server:
        room.standins.control.set_options("gateway", hosts={HOST: server.url})
        yield server
    room.standins.control.set_options("gateway", hosts={})


async def alpha(room: Room) -> str:
    await room.models(CATALOG)
    return await room.team(asking("whole", "plain", of=CATALOG, requests_per_minute=1000), CATALOG)


def clients(room: Room, key: str) -> tuple[AsyncOpenAI, AsyncAzureOpenAI]:
    """Both official clients, with the key in the header of the gateway."""
    address = str(room.http.base_url).rstrip("/")
    shared: dict[str, Any] = {"http_client": room.http, "max_retries": 0}
    plain = AsyncOpenAI(
        base_url=f"{address}/openai/v1", api_key="none", default_headers={"api-key": key}, **shared
    )
    return plain, AsyncAzureOpenAI(azure_endpoint=address, api_version="2024-10-21", api_key=key, **shared)


@pytest.mark.parametrize(("style", "verb"), WAYS, ids=lambda each: getattr(each, "ability", each))
async def test_each_verb_reaches_its_path_at_the_model(
    room: Room, server: Recorder, style: str, verb: Verb
) -> None:
    key = await alpha(room)
    path = "/".join(filter(None, ("/openai", style, verb.path)))
    named = {} if style.startswith("deployments") else {"model": "chat-default"}
    answer = await room.post(key, {**PROMPTS[verb.ability], **named}, path)
    assert answer.status_code == 200, answer.text
    assert [call.path for call in server.calls] == [f"/v1/{verb.path}"]
    assert json.loads(server.calls[0].body)["model"] == "served-whole"


async def test_the_path_wins_over_another_model_in_the_body(room: Room, server: Recorder) -> None:
    """LangChain's embeddings name their default in the body, whatever the deployment is."""
    key = await alpha(room)
    body = {"input": "hi", "model": "text-embedding-ada-002"}
    answer = await room.post(key, body, "/openai/deployments/whole/embeddings")
    assert answer.status_code == 200, answer.text
    assert json.loads(server.calls[0].body)["model"] == "served-whole"


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb.ability != "chat"], ids=lambda v: v.ability)
async def test_a_verb_that_a_model_does_not_serve_is_refused_with_those_that_it_does(
    room: Room, server: Recorder, verb: Verb
) -> None:
    body = {**PROMPTS[verb.ability], "model": "plain"}
    answer = await room.post(await alpha(room), body, f"/openai/v1/{verb.path}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")
    assert "It serves: chat/completions." in answer.json()["error"]["message"]
    assert not server.calls


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, 400),
        ({"functions": [{"name": "f"}]}, 400),
        ({"tools": []}, 200),
        ({"tools": None}, 200),
        ({}, 200),
    ],
)
async def test_tools_at_a_model_without_them_are_refused(
    room: Room, server: Recorder, more: dict[str, Any], status: int
) -> None:
    key = await alpha(room)
    answer = await room.post(key, saying("hi", "plain", **more))
    assert answer.status_code == status, answer.text
    assert (await room.post(key, saying("hi", "whole", **more))).status_code == 200


async def test_official_clients_list_the_models_of_a_key(room: Room) -> None:
    for client in clients(room, await alpha(room)):
        assert [model.id async for model in await client.models.list()] == NAMES
        for name in NAMES:
            assert (await client.models.retrieve(name)).id == name
        for name in ("other", "azure/none", "a b"):
            with pytest.raises(NotFoundError) as refused:
                await client.models.retrieve(name)
            assert refused.value.code == "model_not_found"


@pytest.mark.parametrize("shortest", [True, False])
async def test_one_model_is_found_whichever_wildcard_wins(room: Room, shortest: bool) -> None:
    key = await alpha(room)
    room.standins.control.set_options("resource-manager", shortest_wildcard_wins=shortest)
    try:
        for path in ("v1/models/azure/best", "models/azure%2Fbest", "v1/models/whole"):
            answer = await room.http.get(f"/openai/{path}", headers={"api-key": key})
            assert answer.status_code == 200, answer.text
    finally:
        room.standins.control.set_options("resource-manager", shortest_wildcard_wins=False)


async def test_lists_count_for_no_limit_but_their_own(room: Room, server: Recorder) -> None:
    await room.models(CATALOG)
    key = await room.team(asking("whole", of=CATALOG, requests_per_minute=1), CATALOG)
    statuses = [
        (await room.http.get("/openai/v1/models", headers={"api-key": key})).status_code
        for _ in range(int(LISTS_PER_MINUTE) + 1)
    ]
    assert statuses == [200] * int(LISTS_PER_MINUTE) + [429]
    assert (await room.post(key, saying("hi", "whole"))).status_code == 200


async def test_a_list_is_kept_by_nobody_and_needs_a_key(room: Room) -> None:
    key = await alpha(room)
    answer = await room.http.get("/openai/v1/models", headers={"api-key": key})
    assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert (await room.http.get("/openai/v1/models")).status_code == 401
    assert (await room.http.get("/openai/v1/models", headers={"api-key": "x"})).status_code == 401


async def test_a_team_without_models_gets_an_empty_list(room: Room) -> None:
    await room.models(CATALOG)
    key = await room.team(asking("whole", of=CATALOG, data_classification="restricted"), CATALOG)
    answer = await room.http.get("/openai/v1/models", headers={"api-key": key})
    assert answer.json() == {"object": "list", "data": []}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/openai/v1/chat/completions"),
        ("POST", "/openai/v1/audio/speech"),
        ("POST", "/openai/v1/models"),
        ("POST", "/openai/v1/responses/resp_1/cancel"),
        ("GET", "/openai/"),
        ("DELETE", "/openai/v1/files/f"),
    ],
)
async def test_any_other_path_is_answered_in_openais_form_with_what_is_served(
    room: Room, method: str, path: str
) -> None:
    answer = await room.http.request(method, path, headers={"api-key": await alpha(room)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert all(verb.path in answer.json()["error"]["message"] for verb in VERBS)


async def test_pictures_that_failed_are_not_asked_for_again(room: Room, server: Recorder) -> None:
    key = await alpha(room)
    server.statuses = [500]
    answer = await room.post(key, {"prompt": "a cat", "model": "whole"}, "/openai/v1/images/generations")
    assert (answer.status_code, len(server.calls)) == (500, 1)
    server.statuses = [500]
    assert (await room.post(key, saying("hi", "whole"), CHAT)).status_code == 200


async def test_a_client_shows_why_a_verb_is_refused(room: Room) -> None:
    client, _ = clients(room, await alpha(room))
    with pytest.raises(BadRequestError, match="does not serve"):
        await client.embeddings.create(model="plain", input="hi")
