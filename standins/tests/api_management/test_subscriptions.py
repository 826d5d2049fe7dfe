"""Subscriptions and their keys, driven by azure-mgmt-apimanagement."""

from __future__ import annotations

import re

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.apimanagement.models import SubscriptionCreateParameters, SubscriptionUpdateParameters

from standins.tests.api_management.builders import (
    INSTANCE,
    WHERE,
    Client,
    a_subscription,
    options,
    problem,
    unique,
)
from standins.tests.azure_clients import with_etag
from standins.tests.plugin import StandIns


async def test_a_subscription_waits_for_approval_unless_it_is_made_active(
    client: Client, product: str
) -> None:
    name = unique("team")
    made, etag = await client.subscription.create_or_update(
        *WHERE, name, a_subscription(product), cls=with_etag
    )
    assert (made.state, made.scope, made.owner_id) == ("submitted", f"{INSTANCE}/products/{product}", None)
    updated = await client.subscription.update(
        *WHERE, name, etag, SubscriptionUpdateParameters(state="active")
    )
    assert (updated.state, updated.display_name) == ("active", "Team")
    assert name in [row.name async for row in client.product_subscriptions.list(*WHERE, product)]
    await client.subscription.delete(*WHERE, name, "*")
    with pytest.raises(ResourceNotFoundError):
        await client.subscription.get(*WHERE, name)


async def test_a_suspended_subscription_keeps_its_keys_until_it_is_active_again(
    client: Client, product: str
) -> None:
    name = unique("team")
    made = await client.subscription.create_or_update(*WHERE, name, a_subscription(product, state="active"))
    await client.subscription.update(
        *WHERE, name, "*", SubscriptionUpdateParameters(state="suspended", state_comment="left")
    )
    read = await client.subscription.get(*WHERE, name)
    assert (read.state, read.state_comment) == ("suspended", "left")
    again = await client.subscription.create_or_update(*WHERE, name, a_subscription(product, state="active"))
    assert (again.state, again.primary_key) == ("active", made.primary_key)


async def test_keys_are_in_the_answers_to_writes_and_to_list_secrets_and_nowhere_else(
    client: Client, product: str
) -> None:
    name = unique("team")
    made = await client.subscription.create_or_update(*WHERE, name, a_subscription(product, state="active"))
    assert re.fullmatch(r"[0-9a-f]{32}", made.primary_key)
    updated = await client.subscription.update(
        *WHERE, name, "*", SubscriptionUpdateParameters(display_name="Ours")
    )
    keys = await client.subscription.list_secrets(*WHERE, name)
    assert (keys.primary_key, keys.secondary_key) == (made.primary_key, made.secondary_key)
    assert (updated.primary_key, updated.secondary_key) == (made.primary_key, made.secondary_key)
    assert (await client.subscription.get(*WHERE, name)).primary_key is None
    listed = [row async for row in client.product_subscriptions.list(*WHERE, product)]
    assert {row.primary_key for row in listed} == {None}


async def test_the_answers_to_writes_may_come_without_keys(
    standins: StandIns, client: Client, product: str
) -> None:
    name = unique("team")
    with options(standins, keys_in_put_answers=False):
        made = await client.subscription.create_or_update(*WHERE, name, a_subscription(product))
        updated = await client.subscription.update(
            *WHERE, name, "*", SubscriptionUpdateParameters(state="active")
        )
    assert (made.primary_key, updated.primary_key) == (None, None)


async def test_whoever_brings_keys_keeps_them(client: Client, product: str) -> None:
    name = unique("team")
    mine = a_subscription(product, primary_key="my-first", secondary_key="my-second")
    await client.subscription.create_or_update(*WHERE, name, mine)
    await client.subscription.update(*WHERE, name, "*", SubscriptionUpdateParameters(primary_key="my-third"))
    keys = await client.subscription.list_secrets(*WHERE, name)
    assert (keys.primary_key, keys.secondary_key) == ("my-third", "my-second")


async def test_a_regenerated_key_replaces_one_of_the_two_and_is_not_in_the_answer(
    standins: StandIns, client: Client, product: str
) -> None:
    name = unique("team")
    made = await client.subscription.create_or_update(*WHERE, name, a_subscription(product))
    standins.control.forget_calls()
    assert await client.subscription.regenerate_primary_key(*WHERE, name) is None
    assert [
        call.status
        for call in standins.control.calls()
        if call.kind == "POST subscription regeneratePrimaryKey"
    ] == [204]
    first = await client.subscription.list_secrets(*WHERE, name)
    assert (first.primary_key == made.primary_key, first.secondary_key == made.secondary_key) == (False, True)
    await client.subscription.regenerate_secondary_key(*WHERE, name)
    second = await client.subscription.list_secrets(*WHERE, name)
    assert (second.primary_key == first.primary_key, second.secondary_key == first.secondary_key) == (
        True,
        False,
    )


async def test_a_subscription_is_for_a_product_an_api_or_all_apis(
    client: Client, product: str, api: str
) -> None:
    for scope in (f"/products/{product}", f"/apis/{api}", "/apis", f"{INSTANCE}/apis/{api}"):
        asked = SubscriptionCreateParameters(scope=scope, display_name="Team")
        made = await client.subscription.create_or_update(*WHERE, unique("team"), asked)
        assert made.scope == INSTANCE + scope.removeprefix(INSTANCE)


async def test_what_is_too_long_or_for_nothing_is_refused_by_name_of_the_field(
    client: Client, product: str
) -> None:
    for target, asked in (
        ("displayName", SubscriptionCreateParameters(scope="/apis", display_name="x" * 101)),
        ("displayName", SubscriptionCreateParameters(scope="/apis", display_name="")),
        ("scope", a_subscription("absent")),
        ("scope", SubscriptionCreateParameters(scope="/everything", display_name="x")),
        ("state", a_subscription(product, state="asleep")),
        ("primaryKey", a_subscription(product, primary_key="x" * 257)),
    ):
        with pytest.raises(HttpResponseError) as refused:
            await client.subscription.create_or_update(*WHERE, unique("team"), asked)
        assert (refused.value.status_code, *problem(refused.value)[:2]) == (400, "ValidationError", target)


async def test_a_service_has_one_subscription_for_everything_from_the_start(client: Client) -> None:
    built_in = await client.subscription.get(*WHERE, "master")
    assert (built_in.scope, built_in.state, built_in.owner_id) == (f"{INSTANCE}/", "active", None)
