"""Filters and pages of lists, driven by azure-mgmt-apimanagement."""

from __future__ import annotations

import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.apimanagement.models import ProductContract

from standins.tests.api_management.builders import (
    INSTANCE,
    SERVER,
    WHERE,
    Client,
    a_backend,
    a_subscription,
    options,
    unique,
)
from standins.tests.azure_clients import GROUP
from standins.tests.plugin import StandIns


async def test_a_list_comes_in_pages_of_what_was_asked_for(standins: StandIns, client: Client) -> None:
    prefix = unique("page")
    names = [f"{prefix}-{number}" for number in range(3)]
    for name in names:
        await client.backend.create_or_update(*WHERE, name, a_backend())
    standins.control.forget_calls()
    listed = [
        row.name
        async for row in client.backend.list_by_service(*WHERE, filter=f"startswith(name,'{prefix}')", top=2)
    ]
    assert listed == names
    assert [call.kind for call in standins.control.calls(SERVER)] == ["LIST backends"] * 2
    rest = client.backend.list_by_service(*WHERE, filter=f"startswith(name,'{prefix}')", skip=1)
    assert [row.name async for row in rest] == names[1:]


async def test_a_page_has_a_hundred_rows_when_nobody_asks_for_fewer(
    standins: StandIns, client: Client
) -> None:
    many = (GROUP, unique("many"))
    with options(standins, "azure", throttling=False):
        for number in range(101):
            await client.product.create_or_update(
                *many, f"p{number}", ProductContract(display_name=f"x{number}")
            )
        standins.control.forget_calls()
        assert len([row async for row in client.product.list_by_service(*many)]) == 101
    assert len(standins.control.calls(SERVER)) == 2


async def test_products_are_found_by_any_field_that_is_documented(client: Client) -> None:
    mine = unique("team")
    wanted = ProductContract(display_name=f"Team {mine}'s", description="for the team", state="published")
    await client.product.create_or_update(*WHERE, mine, wanted)
    await client.product.create_or_update(*WHERE, f"{mine}-2", ProductContract(display_name="another"))
    for expression, found in (
        (f"startswith(name,'{mine}')", [mine, f"{mine}-2"]),
        (f"name eq '{mine}'", [mine]),
        (f"startswith(name,'{mine}') and state eq 'published'", [mine]),
        (f"displayName eq 'Team {mine}''s'", [mine]),
        (f"name ge '{mine}' and name lt '{mine}-3'", [mine, f"{mine}-2"]),
        (f"name eq '{mine}' or name eq '{mine}-2' and state eq 'published'", [mine]),
        (f"endswith(name,'{mine[5:]}-2') eq true", [f"{mine}-2"]),
        (f"contains(displayName,'{mine}') and contains(description,'team')", [mine]),
        (f"substringof('{mine}',displayName)", [mine]),
    ):
        assert [
            row.name async for row in client.product.list_by_service(*WHERE, filter=expression)
        ] == found, expression


async def test_subscriptions_are_found_by_scope_state_and_owner(client: Client, product: str) -> None:
    name = unique("team")
    await client.subscription.create_or_update(*WHERE, name, a_subscription(product, state="suspended"))
    scope = f"{INSTANCE}/products/{product}"
    [administrators] = [
        row.name
        async for row in client.subscription.list(
            *WHERE, filter=f"scope eq '{scope}' and ownerId eq '{INSTANCE}/users/1'"
        )
    ]
    for expression, found in (
        (f"scope eq '{scope}'", [administrators, name]),
        (f"scope eq '{scope}' and state eq 'suspended'", [name]),
        (f"productId eq '{product}' and userId eq '1'", [administrators]),
        (f"name eq '{name}'", [name]),
    ):
        assert [row.name async for row in client.subscription.list(*WHERE, filter=expression)] == found, (
            expression
        )


async def test_an_apis_current_revision_is_found_and_its_operations_by_method(
    client: Client, api: str
) -> None:
    current = client.api.list_by_service(*WHERE, filter=f"path eq '{api}' and isCurrent eq true")
    assert [row.name async for row in current] == [api]
    posts = client.api_operation.list_by_api(
        *WHERE, api, filter="method eq 'POST' and urlTemplate eq '/v1/chat/completions'"
    )
    assert [row.name async for row in posts] == ["post-v1-chat-completions"]


@pytest.mark.parametrize(
    "expression",
    [
        "name like 'x'",
        "owner eq 'x'",
        "name eq x",
        "state gt 'published'",
        "length(name) eq 3",
        "not name eq 'x'",
        "",
    ],
)
async def test_a_filter_that_is_not_documented_is_refused(client: Client, expression: str) -> None:
    with pytest.raises(HttpResponseError) as refused:
        _ = [row async for row in client.product.list_by_service(*WHERE, filter=expression)]
    assert refused.value.status_code == 400
