"""The model servers: answers that can be foretold, and no call with what must not reach a model."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from standins.identity import IDENTITY_HEADER
from standins.models.callers import AUDIENCE, GATEWAY
from standins.models.texts import vector
from standins.tests.plugin import StandIns

AZURE, KEYED, OPEN = "contoso-ai.openai.azure.com", "api.provider.example", "mistral.internal.contoso.com"
HELLO: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello to you"}]}


@pytest.fixture(autouse=True)
def prepared(standins: StandIns) -> Iterator[None]:
    standins.control.forget_report("models")
    standins.control.set_options(
        "models", credentials={KEYED: "secret-of-the-platform"}, serves={f"{OPEN}/v1": ["m"]}
    )
    yield
    standins.control.set_options("models", credentials={}, serves={}, servers={}, chunk_seconds=0.0)
    standins.control.forget_report("models")


@pytest_asyncio.fixture(loop_scope="session")
async def http(standins: StandIns) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=standins.addresses["models"]) as client:
        yield client


async def post(
    http: httpx.AsyncClient, host: str, body: Any = HELLO, path: str = "/v1/chat/completions", **headers: str
) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await http.post(path, json=body, headers={"Host": host, **named})


async def token(standins: StandIns, http: httpx.AsyncClient, client: str, resource: str = AUDIENCE) -> str:
    query = {"resource": resource, "api-version": "2019-08-01", "client_id": client}
    answer = await http.get(
        f"{standins.addresses['identity']}/msi/token",
        params=query,
        headers={"X-IDENTITY-HEADER": IDENTITY_HEADER},
    )
    return f"Bearer {answer.json()['access_token']}"


async def test_tokens_are_words_and_the_answer_repeats_what_was_said(http: httpx.AsyncClient) -> None:
    answer = (await post(http, OPEN)).json()
    assert answer["choices"][0] | {"logprobs": None} == {
        "index": 0,
        "message": {"role": "assistant", "content": "You said: hello to you"},
        "finish_reason": "stop",
        "logprobs": None,
    }
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    cut = (await post(http, OPEN, HELLO | {"max_tokens": 3})).json()
    assert (cut["choices"][0]["message"]["content"], cut["choices"][0]["finish_reason"]) == (
        "You said: hello",
        "length",
    )


async def test_a_stream_ends_with_done_and_says_its_usage_only_when_asked(http: httpx.AsyncClient) -> None:
    for asked in (True, False):
        text = (
            await post(http, OPEN, HELLO | {"stream": True, "stream_options": {"include_usage": asked}})
        ).text
        *events, end, _ = text.split("\n\n")
        assert end == "data: [DONE]"
        last = json.loads(events[-1].removeprefix("data: "))
        assert (last["choices"] == [], bool(last.get("usage"))) == (asked, asked)


async def test_a_model_that_the_server_does_not_have_is_not_found(http: httpx.AsyncClient) -> None:
    answer = await post(http, OPEN, HELLO | {"model": "other"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert [row["id"] for row in (await http.get("/v1/models", headers={"Host": OPEN})).json()["data"]] == [
        "m"
    ]


def test_vectors_are_of_words_without_their_order() -> None:
    assert vector("Blue sky") == vector("sky, blue")
    assert sum(number * number for number in vector("a b c")) == pytest.approx(1.0)


async def test_each_server_knows_its_caller(standins: StandIns, http: httpx.AsyncClient) -> None:
    gateway, team = [await token(standins, http, client) for client in (GATEWAY, "somebody-else")]
    elsewhere = await token(standins, http, GATEWAY, "https://vault.azure.net")
    for sent, status in ((gateway, 200), (team, 401), (elsewhere, 401), ("Bearer nonsense", 401)):
        assert (
            await post(http, AZURE, path="/openai/v1/chat/completions", Authorization=sent)
        ).status_code == status
    assert (await post(http, AZURE, path="/openai/v1/chat/completions")).status_code == 401
    for key, status in (("secret-of-the-platform", 200), ("another", 401)):
        assert (await post(http, KEYED, Authorization=f"Bearer {key}")).status_code == status
    report = standins.control.report("models")
    assert report == {"findings": [], "served": {f"{AZURE}/openai/v1": 1, f"{KEYED}/v1": 1}, "unread": {}}


@pytest.mark.parametrize(
    "header", ["api_key", "x_api_key", "Cookie", "Ocp_Apim_Subscription_Key", "Authorization"]
)
async def test_a_call_with_what_must_not_reach_a_model_is_a_finding(
    standins: StandIns, http: httpx.AsyncClient, header: str
) -> None:
    answer = await post(http, OPEN, **{header: "Bearer of-a-team"})
    assert answer.status_code == 500
    (finding,) = standins.control.report("models")["findings"]
    assert (finding["server"], header.replace("_", "-") in finding["what"]) == (f"{OPEN}/v1", True)
    assert "of-a-team" not in str(standins.control.report("models"))


@pytest.mark.parametrize("name", ["api-key", "Subscription-Key"])
async def test_a_key_in_the_query_is_a_finding_too(
    standins: StandIns, http: httpx.AsyncClient, name: str
) -> None:
    assert (await post(http, OPEN, path=f"/v1/chat/completions?{name}=of-a-team")).status_code == 500
    assert len(standins.control.report("models")["findings"]) == 1


async def test_trouble_is_ordered_by_host(standins: StandIns, http: httpx.AsyncClient) -> None:
    standins.control.fault("models", f"POST chat completions {OPEN}", status=429, retry_after=7)
    answer = await post(http, OPEN)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert (await post(http, OPEN)).status_code == 200
    standins.control.fault("models", f"POST chat completions {OPEN}", status=0)
    with pytest.raises(httpx.RemoteProtocolError):
        await post(http, OPEN)
