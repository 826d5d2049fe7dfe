"""How much: tokens and calls in a minute, tokens in a period, counted from what the backends say."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.requests.details import Period
from shared.requests.request import ModelAccess, TokenQuota
from standins.stack import wait_until
from tests.gateway.room import CHAT, Room, asking, saying
from tests.gateway.test_calls import CATALOG

OF_MODEL = "x-remaining-model-tokens"
#: A call that costs ten tokens: four words asked, six answered.
TEN = saying("How are you today", "gpt-4.1")


async def limited(
    room: Room, tokens: int | None = None, quota: TokenQuota | None = None, **terms: Any
) -> str:
    """The key of a team with these limits for one model."""
    await room.models(CATALOG)
    request = asking("gpt-4.1", "llama", of=CATALOG, **terms)
    models = (ModelAccess("gpt-4.1", "foundry", tokens, quota, None), request.models[1])
    return await room.team(replace(request, models=models), CATALOG)


async def until(room: Room, key: str, status: int) -> int:
    """How many calls it takes until one is answered so."""
    for number in range(1, 20):
        answer = await room.post(key, TEN)
        if answer.status_code == status:
            return number
        assert answer.status_code == 200, answer.text
    raise AssertionError(f"never {status}")


async def test_beyond_the_tokens_of_a_minute_calls_are_refused_until_it_is_over(room: Room) -> None:
    key = await limited(room, tokens=25)
    left = [(await room.post(key, TEN)).headers[OF_MODEL] for _ in range(3)]
    assert left == ["15", "5", "0"]
    refused = await room.post(key, TEN)
    seconds = int(refused.headers["Retry-After"])
    assert (refused.status_code, refused.headers[OF_MODEL]) == (429, "0")
    assert refused.json()["error"] == {
        "message": f"Token limit is exceeded. Try again in {seconds} seconds.",
        "type": "rate_limit_error",
        "param": None,
        "code": "rate_limit_exceeded",
    }
    assert refused.headers["X-Content-Type-Options"] == "nosniff"
    room.standins.control.advance(seconds - 10)
    assert (await room.post(key, TEN)).status_code == 429
    room.standins.control.advance(11)
    assert (await room.post(key, TEN)).status_code == 200


async def test_a_models_limit_does_not_touch_another_model_and_the_teams_does(room: Room) -> None:
    key = await limited(room, tokens=10, tokens_per_minute=25)
    assert await until(room, key, 429) == 2
    refused = await room.post(key, TEN)
    assert (refused.headers["x-remaining-tokens"], refused.headers[OF_MODEL]) == ("15", "0")
    assert [(await room.post(key, TEN | {"model": "llama"})).status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize("period", ["Hourly", "Daily", "Weekly", "Monthly", "Yearly"])
async def test_a_quota_ends_with_its_period_of_the_calendar(room: Room, period: Period) -> None:
    key = await limited(room, quota=TokenQuota(15, period))
    assert await until(room, key, 403) == 3
    refused = await room.post(key, TEN)
    seconds = int(refused.headers["Retry-After"])
    assert refused.json()["error"]["message"] == f"Token quota is exceeded. Try again in {seconds} seconds."
    assert refused.json()["error"]["code"] == "insufficient_quota"
    begins = datetime.fromtimestamp(room.standins.control.now() + seconds, UTC)
    assert (begins.minute, begins.second) in ((0, 0), (0, 1))  # seconds are rounded up
    if period in ("Hourly", "Daily"):  # the clock moves forward only, and the stand-ins are shared
        room.standins.control.advance(seconds + 1)
        assert (await room.post(key, TEN)).status_code == 200


async def test_calls_in_a_minute_are_counted_before_anything_else_and_for_all_models(room: Room) -> None:
    key = await limited(room, requests_per_minute=3)
    left = [
        (await room.post(key, body)).headers["x-remaining-requests"]
        for body in (TEN, TEN | {"model": "llama"}, TEN)
    ]
    assert left == ["2", "1", "0"]
    refused = await room.post(key, TEN)
    assert refused.status_code == 429
    assert refused.json()["error"]["message"].startswith("Rate limit is exceeded. Try again in ")
    assert refused.headers["x-remaining-requests"] == "0"
    room.standins.control.advance(int(refused.headers["Retry-After"]) + 1)
    assert (await room.post(key, TEN)).status_code == 200


@pytest.mark.parametrize("options", [{"stream_options": {"include_usage": True}}, {}])
async def test_a_streams_tokens_are_a_guess_whatever_its_last_chunk_says(
    room: Room, options: dict[str, Any]
) -> None:
    """Asked 17 characters and answered 27: five and seven tokens of four characters each."""
    key = await limited(room, tokens=1000)
    async with room.http.stream(
        "POST", CHAT, json={**TEN, "stream": True, **options}, headers={"api-key": key}
    ) as answer:
        lines = [line async for line in answer.aiter_lines() if line.startswith("data: {")]
    assert bool(json.loads(lines[-1][6:]).get("usage")) == bool(options)
    left = (await room.post(key, TEN)).headers[OF_MODEL]
    assert int(left) == 1000 - 12 - 10


async def test_a_stream_that_the_client_leaves_counts_as_far_as_it_came(room: Room) -> None:
    key, control = await limited(room, tokens=100_000), room.standins.control
    control.set_options("models", chunk_seconds=0.1)
    long = saying("word " * 1000, "gpt-4.1", stream=True)
    async with room.http.stream("POST", CHAT, json=long, headers={"api-key": key}) as answer:
        assert await anext(answer.aiter_lines())
    try:
        await asyncio.to_thread(wait_until, "the tokens are counted", room.metrics)
    finally:
        control.set_options("models", chunk_seconds=0.0)  # not before: all the other words would come at once
    (metric,) = room.metrics()
    assert (metric["prompt"], metric["completion"] < 1000) == (1250, True)


async def test_what_a_backend_refuses_costs_nothing(room: Room) -> None:
    key = await limited(room, tokens=1000)
    room.trouble("contoso-ai.openai.azure.com", status=400)
    assert (await room.post(key, TEN)).status_code == 400
    assert (await room.post(key, TEN)).headers[OF_MODEL] == "990"


async def test_metrics_say_whose_tokens_they_were(room: Room) -> None:
    key = await limited(room, cost_center="CC-12345")
    await room.post(key, TEN)
    (metric,) = room.metrics()
    dimensions = {"Team": "alpha", "Model": "gpt-4.1", "Cost centre": "CC-12345", "Product": "team-alpha"}
    assert metric == {
        "namespace": "mergekey",
        "dimensions": dimensions,
        "prompt": 4,
        "completion": 6,
        "total": 10,
    }
