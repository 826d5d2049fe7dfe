"""The whole road, for real: an openai client, the gateway stand-in with our policies, the proxy of a real
Gateway with our route, and a real vLLM behind it. docs/gpus.md says how to set one up.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio
from openai import AsyncOpenAI, BadRequestError

from shared.adapters.roads import WorkspaceRoads
from shared.gateway_api.road import RoadVerdict, judge_road
from shared.resources.desired import Platform
from shared.resources.workspaces import workspace_url
from tests.gateway.real_road import ANSWER, CATALOG, CONTEXT, GRANTED, NAME, TEAM, cluster
from tests.gateway.room import Room, asking

URL = os.environ.get("MERGEKEY_ROAD_URL", "")
CLUSTER = cluster(URL)
#: Paths of the pod that no route lets through.
CLOSED = (
    "/metrics",
    "/docs",
    "/health",
    "/tokenize",
    "/invocations",
    "/v1/messages",
    "/v1/models/chat-small",
)

pytestmark = pytest.mark.skipif(
    not URL,
    reason="no real road was asked for: MERGEKEY_ROAD_URL names the address of a real Gateway with the route "
    "of team alpha's model chat-small, and a real vLLM behind it (docs/gpus.md)",
)


@pytest_asyncio.fixture(loop_scope="session")
async def client(room: Room) -> AsyncIterator[AsyncOpenAI]:
    """Of team alpha, at the gateway."""
    room.platform = Platform(
        1, room.standins.addresses["gateway"], CLUSTER, room.standins.addresses["key-vault"]
    )
    room.standins.control.set_options("gateway", hosts={urlsplit(URL).netloc: URL})
    await room.models(CATALOG)
    key = await room.team(asking(of=CATALOG, models=(GRANTED,)), CATALOG)
    yield AsyncOpenAI(
        base_url=f"{room.standins.addresses['gateway']}/openai/v1",
        api_key="not-used",
        default_headers={"api-key": key},
        http_client=room.http,
        max_retries=0,
        timeout=120,
    )
    room.standins.control.set_options("gateway", hosts={})


def hello(**more: Any) -> dict[str, Any]:
    return {"model": NAME, "messages": [{"role": "user", "content": "Hello there"}], **more}


async def test_a_call_is_answered_by_the_teams_own_model(client: AsyncOpenAI, room: Room) -> None:
    answer = await client.chat.completions.create(**hello(max_tokens=20))
    assert (answer.model, answer.choices[0].finish_reason) == (NAME, "length")
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 20
    assert room.log()[-1]["backends"] == [[f"team-{TEAM}--{NAME}", 200]]


async def test_a_long_stream_arrives_whole_and_ends_at_the_ceiling_of_answers(client: AsyncOpenAI) -> None:
    """No hop ends it: it takes longer than the 15 seconds after which Envoy Gateway ends an answer of a route
    without `timeouts`.
    """
    wish = hello(max_tokens=CONTEXT - 1000, extra_body={"ignore_eos": True})
    stream = await client.chat.completions.create(**wish, stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in stream]
    assert [choice.finish_reason for choice in chunks[-2].choices] == ["length"]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == ANSWER


async def test_a_body_of_two_mebibytes_arrives(client: AsyncOpenAI) -> None:
    """The server ignores a field that it does not know."""
    answer = await client.chat.completions.create(
        **hello(max_tokens=2, extra_body={"padding": "x" * (2 << 20)})
    )
    assert answer.model == NAME


async def test_what_the_server_refuses_arrives_as_its_refusal(client: AsyncOpenAI, room: Room) -> None:
    with pytest.raises(BadRequestError) as caught:
        await client.chat.completions.create(**hello(max_tokens=CONTEXT + 1))
    assert (caught.value.status_code, caught.value.param) == (400, "max_tokens")
    assert room.log()[-1]["backends"] == [[f"team-{TEAM}--{NAME}", 400]]


async def test_the_workers_see_that_the_road_answers() -> None:
    answer = await WorkspaceRoads(URL).ask(workspace_url(CLUSTER, TEAM, NAME))
    assert judge_road(answer, NAME) == RoadVerdict("Answers")


@pytest.mark.parametrize("path", CLOSED)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_nothing_else_of_the_pod_can_be_reached(method: str, path: str) -> None:
    base = workspace_url(CLUSTER, TEAM, NAME).removesuffix("/v1")
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.request(method, base + path, json={})).status_code == 404


async def test_a_model_that_is_not_served_is_refused_by_the_server_itself() -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        url = f"{workspace_url(CLUSTER, TEAM, NAME)}/chat/completions"
        answer = await http.post(url, json=hello() | {"model": "other"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "NotFoundError")
