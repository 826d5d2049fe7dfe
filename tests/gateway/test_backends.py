"""Where a call goes: weights, priorities, circuit breakers, retries, fallbacks, and as whom the gateway
calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from azure.identity.aio import ManagedIdentityCredential

from shared.catalog.catalog import Breaker, Catalog, CatalogModel, Member
from shared.names import member_backend
from standins.tests.azure_clients import key_vault
from tests.gateway.recorder import recorder
from tests.gateway.room import CHAT, Room, asking, saying

EU, US, CANARY = "eu.openai.azure.com", "us.openai.azure.com", "canary.openai.azure.com"
PROVIDER, OWN = "api.provider.example", "mistral.internal.contoso.com"
POOLED = CatalogModel(
    "gpt-4.1",
    "foundry",
    (
        Member(f"https://{EU}/openai/v1", "gpt-4.1", "eu", 75),
        Member(f"https://{CANARY}/openai/v1", "gpt-4.1", "canary", 25),
        Member(f"https://{US}/openai/v1", "gpt-4.1", "us", 100, 2),
    ),
    breaker=Breaker(failures=2, interval=60, trip=30),
)
OTHER = CatalogModel("mistral", "kaito", (Member(f"http://{OWN}/v1", "mistral-7b"),))
PLAIN = CatalogModel("claude", "openai", (Member(f"https://{PROVIDER}/v1", "claude-4"),))


WORSE = ("retry_keeps_member", "identity_sets_header", "exhausted_pool_fails")
READINGS = {
    "the better way": dict.fromkeys(WORSE, False),
    "the worse way": dict.fromkeys(WORSE, True),
}


@pytest.fixture(autouse=True, params=READINGS)
def reading(room: Room, request: pytest.FixtureRequest) -> Iterator[None]:
    """What the documentation leaves open: all must hold either way."""
    room.standins.control.set_options("gateway", **READINGS[request.param])
    yield
    room.standins.control.set_options("gateway", **dict.fromkeys(WORSE, False))


async def key_for(room: Room, *models: CatalogModel) -> str:
    catalog = Catalog(models)
    await room.models(catalog)
    return await room.team(asking(*(model.name for model in models), of=catalog), catalog)


def hosts(room: Room) -> Counter[str]:
    """Calls that were served, by host."""
    return Counter({server.partition("/")[0]: count for server, count in room.served().items()})


async def calls(room: Room, key: str, model: str, count: int = 1) -> list[int]:
    return [(await room.post(key, saying("hi", model))).status_code for _ in range(count)]


async def test_members_of_a_pool_get_their_share_and_the_spare_gets_none(room: Room) -> None:
    """Of 200 calls the canary gets 50 on average, with a standard deviation of about 6."""
    key = await key_for(room, POOLED)
    room.standins.control.seed(3)
    assert set(await calls(room, key, "gpt-4.1", 200)) == {200}
    assert 22 <= hosts(room)[CANARY] <= 78
    assert hosts(room)[US] == 0


async def test_the_same_seed_makes_the_same_choices(room: Room) -> None:
    key, chosen = await key_for(room, POOLED), []
    for _ in range(2):
        room.standins.control.seed(7)
        room.standins.control.forget_report("gateway")
        await calls(room, key, "gpt-4.1", 20)
        chosen.append([line["backends"] for line in room.log()])
    assert chosen[0] == chosen[1]


async def test_a_breaker_trips_after_so_many_failures_and_its_time_passes(room: Room) -> None:
    key = await key_for(room, replace(POOLED, members=(Member(f"https://{EU}/openai/v1", "gpt-4.1"),)))
    room.trouble(EU, status=500, count=None)
    assert await calls(room, key, "gpt-4.1", 3) == [500, 500, 503]
    assert room.standins.control.report("gateway")["tripped"] == ["shared--gpt-4-1"]
    room.standins.control.forget_faults()
    room.standins.control.advance(25)
    assert await calls(room, key, "gpt-4.1") == [503]
    room.standins.control.advance(6)
    assert await calls(room, key, "gpt-4.1") == [200]


async def test_an_attempt_does_not_stay_with_the_member_of_a_pool_that_failed(room: Room) -> None:
    members = tuple(replace(member, weight=50, priority=1) for member in POOLED.members[:2])
    pool = replace(POOLED, members=members, retries=1, breaker=Breaker(failures=1, interval=60, trip=30))
    key = await key_for(room, pool)
    for host in (EU, CANARY):
        room.trouble(host, status=503, count=1)
    assert await calls(room, key, "gpt-4.1") == [503]
    assert len({name for name, _ in room.log()[0]["backends"]}) == 2


async def test_a_pool_that_is_exhausted_says_when_to_come_back(room: Room) -> None:
    key = await key_for(room, POOLED)
    for host in (EU, CANARY, US):
        room.trouble(host, status=500, count=None)
    while (answer := await room.post(key, saying("hi", "gpt-4.1"))).status_code != 503:
        assert len(room.log()) < 40
    assert answer.headers["Retry-After"] == "30"


async def test_a_backend_that_is_silent_trips_its_breaker_too(room: Room) -> None:
    async with recorder() as server:
        server.silent = True
        room.standins.control.set_options("gateway", hosts={EU: server.url}, timeout_seconds=0.2)
        lonely = replace(POOLED, members=(Member(f"https://{EU}/openai/v1", "gpt-4.1"),))
        assert await calls(room, await key_for(room, lonely), "gpt-4.1", 3) == [500, 500, 503]
    room.standins.control.set_options("gateway", hosts={}, timeout_seconds=60.0)


async def test_a_breaker_that_does_not_count_silence_is_seen_as_another(room: Room) -> None:
    lonely = replace(POOLED, members=(Member(f"https://{EU}/openai/v1", "gpt-4.1"),))
    await key_for(room, lonely)
    client, at = room.writer._client.backend, ("ai", room.name, "shared--gpt-4-1")
    [found] = await room.writer.backends("shared--")
    assert found.breaker == lonely.breaker
    written: Any = await client.get(*at)
    written.circuit_breaker.rules[0].failure_condition.error_reasons = None
    await client.create_or_update(*at, written)
    [found] = await room.writer.backends("shared--")
    assert found.breaker != lonely.breaker


async def test_failures_that_lie_far_apart_trip_nothing(room: Room) -> None:
    lonely = replace(
        POOLED,
        members=(Member(f"https://{EU}/openai/v1", "gpt-4.1"),),
        breaker=Breaker(failures=2, interval=20, trip=600),
    )
    key = await key_for(room, lonely)
    for _ in range(3):
        room.trouble(EU, status=500)
        assert await calls(room, key, "gpt-4.1") == [500]
        room.standins.control.advance(21)
    assert await calls(room, key, "gpt-4.1") == [200]


async def test_a_backend_that_says_when_to_come_back_is_left_alone_for_so_long(room: Room) -> None:
    key = await key_for(room, replace(POOLED, members=(Member(f"https://{EU}/openai/v1", "gpt-4.1"),)))
    room.trouble(EU, status=429, retry_after=120, count=2)
    assert await calls(room, key, "gpt-4.1", 3) == [429, 429, 503]
    room.standins.control.advance(100)
    assert await calls(room, key, "gpt-4.1") == [503]
    room.standins.control.advance(21)
    assert await calls(room, key, "gpt-4.1") == [200]


async def test_the_spare_is_asked_when_all_others_have_tripped_and_none_when_it_has_too(room: Room) -> None:
    key = await key_for(room, POOLED)
    for host in (EU, CANARY):
        room.trouble(host, status=503, count=None)
    while hosts(room)[US] == 0:  # each of the two trips after two failures
        assert len(room.log()) < 40
        await calls(room, key, "gpt-4.1")
    assert set(room.standins.control.report("gateway")["tripped"]) == {
        member_backend("gpt-4.1", name) for name in ("eu", "canary")
    }
    room.trouble(US, status=0, count=None)
    assert await calls(room, key, "gpt-4.1", 3) == [500, 500, 503]


@pytest.mark.parametrize("status", [429, 500, 503, 0])
async def test_a_failed_call_is_repeated_as_often_as_the_model_says(room: Room, status: int) -> None:
    key = await key_for(room, replace(PLAIN, retries=1))
    room.trouble(PROVIDER, status=status, count=1)
    assert await calls(room, key, "claude") == [200]
    assert [answer for _, answer in room.log()[0]["backends"]] == [status, 200]
    room.trouble(PROVIDER, status=status, count=2)
    assert await calls(room, key, "claude") == [status or 500]


async def test_a_call_that_the_client_got_wrong_is_not_repeated(room: Room) -> None:
    key = await key_for(room, replace(PLAIN, retries=3, fallback="mistral"), OTHER)
    room.trouble(PROVIDER, status=400)
    assert await calls(room, key, "claude") == [400]
    assert len(room.log()[0]["backends"]) == 1


async def test_the_fallback_is_asked_last_and_its_tokens_count_for_the_asked_model(
    room: Room,
) -> None:
    key = await key_for(room, replace(PLAIN, retries=1, fallback="mistral"), OTHER)
    room.trouble(PROVIDER, status=503, count=None)
    answer = await room.post(key, saying("hi", "claude"))
    assert (answer.status_code, answer.json()["model"]) == (200, "mistral-7b")
    assert room.log()[0]["backends"] == [
        ["shared--claude", 503],
        ["shared--claude", 503],
        ["shared--mistral", 200],
    ]
    assert room.metrics()[0]["dimensions"]["Model"] == "claude"


async def test_a_fallback_to_foundry_gets_the_gateways_token_and_one_away_from_it_does_not(
    room: Room,
) -> None:
    foundry = replace(
        POOLED, members=(Member(f"https://{EU}/openai/v1", "gpt-4.1"),), breaker=None, fallback="claude"
    )
    key = await key_for(room, foundry, replace(PLAIN, fallback="gpt-4.1"))
    for host, model in ((PROVIDER, "claude"), (EU, "gpt-4.1")):
        room.trouble(host, status=503, count=1)
        assert await calls(room, key, model) == [200]
    assert hosts(room) == {EU: 1, PROVIDER: 1}


async def test_a_token_that_only_the_fallback_needs_does_not_reach_the_provider(room: Room) -> None:
    foundry = replace(POOLED, members=(Member(f"https://{EU}/openai/v1", "gpt-4.1"),), breaker=None)
    key = await key_for(room, foundry, replace(PLAIN, fallback="gpt-4.1"))
    assert await calls(room, key, "claude") == [200]
    assert hosts(room) == {PROVIDER: 1}


async def test_a_stream_falls_back_too(room: Room) -> None:
    key = await key_for(room, replace(PLAIN, fallback="mistral"), OTHER)
    room.trouble(PROVIDER, status=0)
    async with room.http.stream(
        "POST", CHAT, json=saying("hi", "claude", stream=True), headers={"api-key": key}
    ) as answer:
        assert (answer.status_code, [line async for line in answer.aiter_lines()][-2]) == (
            200,
            "data: [DONE]",
        )


async def test_a_backend_is_shown_the_secret_of_the_vault_and_a_new_one_after_hours(
    room: Room,
) -> None:
    control = room.standins.control
    control.set_options("models", credentials={PROVIDER: "first"})
    async with (
        ManagedIdentityCredential(client_id="vault-officer") as officer,
        key_vault(room.standins, officer) as vault,
    ):
        await vault.set_secret(room.name, "first")
        key = await key_for(
            room,
            replace(PLAIN, members=(Member(f"https://{PROVIDER}/v1", "claude-4", credential=room.name),)),
        )
        assert await calls(room, key, "claude") == [200]
        await vault.set_secret(room.name, "second")
        control.set_options("models", credentials={PROVIDER: "second"})
        assert await calls(room, key, "claude") == [401]
        control.advance(4 * 3600 + 1)
        assert await calls(room, key, "claude") == [200]


async def test_a_credential_that_the_vault_does_not_have_fails_the_call(room: Room) -> None:
    key = await key_for(
        room, replace(PLAIN, members=(Member(f"https://{PROVIDER}/v1", "claude-4", credential="nowhere"),))
    )
    assert await calls(room, key, "claude") == [500]
    assert not room.served()


async def test_a_backend_that_says_it_has_no_such_model_is_passed_on(room: Room) -> None:
    room.standins.control.set_options("models", serves={f"{PROVIDER}/v1": ["something-else"]})
    answer = await room.post(await key_for(room, PLAIN), saying("hi", "claude"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
