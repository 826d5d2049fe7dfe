"""Backends, pools and circuit breakers, driven by azure-mgmt-apimanagement."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.apimanagement.models import BackendBaseParametersPool as Pool
from azure.mgmt.apimanagement.models import BackendCircuitBreaker as Breaker
from azure.mgmt.apimanagement.models import (
    BackendContract,
    BackendPoolItem,
    BackendUpdateParameters,
    CircuitBreakerFailureCondition,
    CircuitBreakerRule,
    FailureStatusCodeRange,
)

from standins.tests.api_management.builders import INSTANCE, WHERE, Client, a_backend, problem, raw, unique
from standins.tests.azure_clients import with_etag


def a_pool(*members: str, **properties: int) -> BackendContract:
    """`members` are names of backends."""
    items = [BackendPoolItem(id=f"{INSTANCE}/backends/{name}", **properties) for name in members]
    return BackendContract(type_properties_type="Pool", pool=Pool(services=items))


def a_breaker(*rules: dict[str, Any]) -> Breaker:
    condition = CircuitBreakerFailureCondition(
        count=3, interval=timedelta(minutes=1), status_code_ranges=[FailureStatusCodeRange(min=500, max=599)]
    )
    usual = {"name": "tired", "failure_condition": condition, "trip_duration": timedelta(seconds=30)}
    return Breaker(rules=[CircuitBreakerRule(**{**usual, **rule}) for rule in rules])


async def test_a_backend_is_changed_under_its_etag_only(client: Client) -> None:
    name = unique("team")
    made, etag = await client.backend.create_or_update(*WHERE, name, a_backend(), cls=with_etag)
    assert (made.url, made.name, made.type_properties_type) == ("https://models.example/v1", name, "Single")
    changed = await client.backend.update(*WHERE, name, etag, BackendUpdateParameters(description="moved"))
    assert (changed.url, changed.description) == ("https://models.example/v1", "moved")
    with pytest.raises(HttpResponseError) as refused:
        await client.backend.delete(*WHERE, name, etag)
    assert refused.value.status_code == 412
    assert await client.backend.get_entity_tag(*WHERE, name) is True


async def test_a_backend_stays_while_a_policy_names_it(client: Client, product: str) -> None:
    name = unique("team")
    await client.backend.create_or_update(*WHERE, name, a_backend())
    await client.product_policy.create_or_update(
        *WHERE, product, "policy", raw(f'<set-backend-service backend-id="{name}" />')
    )
    with pytest.raises(HttpResponseError, match=f"/products/{product}/policies/policy") as refused:
        await client.backend.delete(*WHERE, name, "*")
    assert refused.value.status_code == 400
    await client.product_policy.create_or_update(*WHERE, product, "policy", raw(""))
    await client.backend.delete(*WHERE, name, "*")
    with pytest.raises(ResourceNotFoundError):
        await client.backend.get(*WHERE, name)


async def test_a_pool_is_made_of_backends_that_exist(client: Client) -> None:
    single, pool = unique("one"), unique("pool")
    with pytest.raises(HttpResponseError, match="could not be found"):
        await client.backend.create_or_update(*WHERE, pool, a_pool(single))
    await client.backend.create_or_update(*WHERE, single, a_backend())
    made = await client.backend.create_or_update(*WHERE, pool, a_pool(single, weight=1, priority=2))
    assert (made.url, made.protocol, made.pool.services[0].weight) == (None, None, 1)
    for wrong in (a_pool(), a_pool(*[single] * 31), a_pool(single, weight=101), a_pool(single, priority=-1)):
        with pytest.raises(HttpResponseError) as refused:
            await client.backend.create_or_update(*WHERE, pool, wrong)
        assert refused.value.status_code == 400


async def test_a_circuit_breaker_has_one_rule_that_can_be_read(client: Client) -> None:
    made = await client.backend.create_or_update(
        *WHERE, unique("team"), a_backend(circuit_breaker=a_breaker({}))
    )
    assert made.circuit_breaker.rules[0].failure_condition.count == 3
    unlimited = CircuitBreakerFailureCondition(interval=timedelta(minutes=1))
    wrong: tuple[tuple[dict[str, Any], ...], ...] = (
        ({}, {"name": "again"}),
        ({"failure_condition": unlimited},),
    )
    for rules in wrong:
        with pytest.raises(HttpResponseError) as refused:
            await client.backend.create_or_update(
                *WHERE, unique("team"), a_backend(circuit_breaker=a_breaker(*rules))
            )
        assert problem(refused.value)[1] == "circuitBreaker"


async def test_what_is_missing_or_too_long_is_refused_by_name_of_the_field(client: Client) -> None:
    for name, target, backend in (
        (unique("team"), "url", BackendContract(protocol="http")),
        (unique("team"), "url", BackendContract(url="models.example", protocol="http")),
        (unique("team"), "protocol", BackendContract(url="https://x")),
        (unique("team"), "protocol", BackendContract(url="https://x", protocol="grpc")),
        (unique("team"), "description", a_backend(description="x" * 2001)),
        ("b" * 81, "name", a_backend()),
    ):
        with pytest.raises(HttpResponseError) as refused:
            await client.backend.create_or_update(*WHERE, name, backend)
        assert (refused.value.status_code, *problem(refused.value)[:2]) == (400, "ValidationError", target)
