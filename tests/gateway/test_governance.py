"""Browsers, Entra tokens, classes of data, content safety, answers kept by meaning."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx
import pytest
from azure.identity.aio import ManagedIdentityCredential

from shared.catalog.catalog import Catalog, CatalogModel, ContentSafety, EntraTokens, Member, SemanticCache
from shared.requests.request import ModelAccess
from standins.identity import OTHER_TENANT
from standins.tests.azure_clients import key_vault
from standins.tests.test_key_vault_access import a_token
from standins.world import TENANT
from tests.gateway.room import CHAT, Room, asking, saying

FOUNDRY = "https://contoso-ai.openai.azure.com/openai/v1"
SAFETY = "contoso-safety.cognitiveservices.azure.com"
PAGE = "https://chat.contoso.com"
AUDIENCE = "api://contoso-models"
MODEL = CatalogModel("gpt-4.1", "foundry", (Member(FOUNDRY, "gpt-4.1"),))
EMBEDDINGS = CatalogModel("text-embedding-3-large", "foundry", (Member(FOUNDRY, "embeddings-eu"),))
PLAIN = Catalog((MODEL,))


async def key_for(room: Room, catalog: Catalog, **terms: Any) -> str:
    await room.models(catalog)
    return await room.team(asking("gpt-4.1", of=catalog, **terms), catalog)


# Browsers


async def preflight(room: Room, origin: str) -> httpx.Response:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "api-key,content-type",
    }
    return await room.http.request("OPTIONS", CHAT, headers=asked)


async def test_a_page_of_a_known_origin_may_call_and_read_what_it_is_told(room: Room) -> None:
    key = await key_for(room, replace(PLAIN, origins=(PAGE,)), requests_per_minute=1)
    asked = await preflight(room, PAGE)
    assert (asked.status_code, asked.headers["Access-Control-Allow-Origin"]) == (200, PAGE)
    assert (asked.headers["Access-Control-Allow-Methods"], asked.headers["Access-Control-Max-Age"]) == (
        "GET,POST,DELETE",
        "300",
    )
    assert asked.headers["Access-Control-Allow-Headers"] == "api-key,content-type"
    answers = [await room.post(key, saying("hi", "gpt-4.1"), Origin=PAGE) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]


async def test_a_page_of_another_origin_is_told_nothing(room: Room) -> None:
    key = await key_for(room, replace(PLAIN, origins=(PAGE,)))
    assert "Access-Control-Allow-Origin" not in (await preflight(room, "https://elsewhere.example")).headers
    answer = await room.post(key, saying("hi", "gpt-4.1"), Origin="https://elsewhere.example")
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_without_origins_browsers_have_nothing_to_ask(room: Room) -> None:
    await key_for(room, PLAIN)
    assert (await preflight(room, PAGE)).status_code == 404


# Entra tokens


async def test_where_tokens_are_asked_for_the_key_alone_is_not_enough(room: Room) -> None:
    key = await key_for(room, replace(PLAIN, tokens=EntraTokens(TENANT, AUDIENCE)))
    good = a_token(room.standins, f"{AUDIENCE}/.default")
    bad = (
        a_token(room.standins, "api://other/.default"),
        a_token(room.standins, f"{AUDIENCE}/.default", OTHER_TENANT),
        "no-token",
    )
    assert (await room.post(key, saying("hi", "gpt-4.1"), Authorization=f"Bearer {good}")).status_code == 200
    assert (await room.post(None, saying("hi", "gpt-4.1"), Authorization=f"Bearer {good}")).status_code == 401
    answer = await room.post(key, saying("hi", "gpt-4.1"))
    assert answer.json()["error"]["message"] == "Azure Active Directory JWT not present."
    for token in bad:
        assert (
            await room.post(key, saying("hi", "gpt-4.1"), Authorization=f"Bearer {token}")
        ).status_code == 401
    assert room.served() == {"contoso-ai.openai.azure.com/openai/v1": 1}


async def test_what_says_who_the_client_is_reaches_no_model(room: Room) -> None:
    """The model servers answer 500 to any of these, and remember it."""
    key = await key_for(room, PLAIN)
    headers = {
        "Authorization": "Bearer mine",
        "x_api_key": "mine",
        "Cookie": "a=b",
        "Ocp_Apim_Subscription_Key": "mine",
    }
    assert (
        await room.post(key, saying("hi", "gpt-4.1"), f"{CHAT}?subscription-key=mine&API-KEY=mine", **headers)
    ).status_code == 200


# Classes of data


async def test_restricted_data_reaches_private_models_only_and_the_api_says_so_once_more(room: Room) -> None:
    private = CatalogModel(
        "llama",
        "openai",
        (Member("http://ollama.contoso.internal/v1", "llama3.3"),),
        data_classes=frozenset({"restricted"}),
        private=True,
    )
    catalog = Catalog((MODEL, private))
    await room.models(catalog)
    granted = tuple(ModelAccess(model.name, model.provider, None, None, None) for model in catalog.models)
    key = await room.team(asking(of=catalog, models=granted, data_classification="restricted"), catalog)
    assert [(await room.post(key, saying("hi", name))).status_code for name in ("llama", "gpt-4.1")] == [
        200,
        403,
    ]
    await room.models(Catalog((MODEL, replace(private, data_classes=frozenset({"public"})))))
    refused = await room.post(key, saying("hi", "llama"))
    assert (refused.status_code, "class of data" in refused.json()["error"]["message"]) == (403, True)


# Content safety


@pytest.mark.parametrize(
    ("text", "status"),
    [("a friendly word", 200), ("[Violence:3]", 200), ("[Violence:4]", 403), ("now [attack]", 403)],
)
async def test_harmful_prompts_reach_no_model(room: Room, text: str, status: int) -> None:
    room.standins.control.set_options("models", credentials={SAFETY: "safety-key"})
    async with (
        ManagedIdentityCredential(client_id="vault-officer") as officer,
        key_vault(room.standins, officer) as vault,
    ):
        await vault.set_secret("content-safety", "safety-key")
    catalog = Catalog((replace(MODEL, screened=True),), content_safety=ContentSafety(f"https://{SAFETY}", 4))
    answer = await room.post(await key_for(room, catalog), saying(text, "gpt-4.1"))
    assert answer.status_code == status, answer.text
    assert ("contoso-ai.openai.azure.com/openai/v1" in room.served()) == (status == 200)


async def test_without_content_safety_nothing_is_let_through(room: Room) -> None:
    catalog = Catalog((replace(MODEL, screened=True),), content_safety=ContentSafety(f"https://{SAFETY}", 4))
    key = await key_for(room, catalog)
    room.standins.control.fault("models", f"POST text .* {SAFETY}", status=0)
    answer = await room.post(key, saying("hi", "gpt-4.1"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "server_error")
    assert "contoso-ai.openai.azure.com/openai/v1" not in room.served()


# Answers kept by meaning


CACHED = Catalog(
    (replace(MODEL, cached=True), EMBEDDINGS),
    cache=SemanticCache("text-embedding-3-large", Decimal("0.05"), 600),
)


def chats(room: Room) -> int:
    return room.served().get("contoso-ai.openai.azure.com/openai/v1", 0)


async def test_a_question_of_the_same_meaning_gets_the_answer_that_was_kept_for_a_while(room: Room) -> None:
    key = await key_for(room, CACHED)
    answers = [
        (await room.post(key, saying(text, "gpt-4.1")))
        for text in ("is the sky blue", "the sky is blue", "is the sea deep")
    ]
    said = [answer.json()["choices"][0]["message"]["content"] for answer in answers]
    assert said == ["You said: is the sky blue", "You said: is the sky blue", "You said: is the sea deep"]
    assert (chats(room), len(room.metrics())) == (2, 2)
    assert answers[1].headers["Cache-Control"] == "no-store"
    room.standins.control.advance(601)
    await room.post(key, saying("the sky is blue", "gpt-4.1"))
    assert chats(room) == 3


async def test_no_team_gets_what_was_kept_for_another(room: Room) -> None:
    first = await key_for(room, CACHED)
    second = await room.team(replace(asking("gpt-4.1", of=CACHED), team="bravo"), CACHED)
    for key in (first, second):
        assert (await room.post(key, saying("is the sky blue", "gpt-4.1"))).status_code == 200
    assert chats(room) == 2


# What is not known


async def test_a_policy_that_the_stand_in_does_not_know_is_refused_loudly_and_not_ignored(room: Room) -> None:
    key = await key_for(room, PLAIN)
    policy = (
        await room.writer._client.product_policy.get("ai", room.name, "team-alpha", "policy", format="xml")
    ).value
    strange = str(policy).replace("<base />", '<base /><ip-filter action="forbid" />', 1)
    await room.writer.put_product_policy("team-alpha", strange, "*")
    answer = await room.post(key, saying("hi", "gpt-4.1"))
    assert (answer.status_code, answer.json()["message"]) == (500, "This stand-in does not know <ip-filter>")
    assert (
        "[gateway] 500 this stand-in does not know <ip-filter>"
        in (room.standins.folder / "standins.log").read_text()
    )


async def test_a_changed_policy_is_in_force_with_the_next_call(room: Room) -> None:
    key = await key_for(room, PLAIN)
    assert (await room.post(key, saying("hi", "gpt-4.1"))).status_code == 200
    await room.team(asking(of=PLAIN, models=()), PLAIN)
    assert (await room.post(key, saying("hi", "gpt-4.1"))).status_code == 403
